package sqlitelog

import (
	"testing"

	"skerry/shared/space"
	"skerry/syncserver"
	"skerry/syncserver/logtest"
)

// open opens a log in config.Dir, or a new directory if that is empty, and closes it with the test.
func open(t testing.TB, config Config) *Log {
	t.Helper()
	if config.Dir == "" {
		config.Dir = t.TempDir()
	}
	log, err := Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	return log
}

func TestLog(t *testing.T) {
	logtest.Run(t, func(t *testing.T) logtest.Opened {
		log := open(t, Config{})
		current := log
		return logtest.Opened{
			Log:    log,
			Reopen: func() syncserver.Log { current = open(t, log.config); return current },
			Second: func() syncserver.Log {
				second, err := OpenReadOnly(t.Context(), log.config)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { second.Close() })
				return second
			},
			SetHead: func(id space.ID, head space.Head) { setHead(t, current, id, head) },
			Hints:   true,
		}
	})
}

// setHead makes an empty space look as if it ended at head.
func setHead(t *testing.T, log *Log, id space.ID, head space.Head) {
	err := log.write(t.Context(), 0, func(w *writer) error {
		tip, err := w.tip(id)
		if err != nil {
			return err
		}
		tip.head, tip.dirty = head, true
		w.dirty = append(w.dirty, tip)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
