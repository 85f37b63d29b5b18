package syncserver_test

import (
	"context"
	"errors"
	"testing"

	"skerry/shared/space"
	"skerry/syncserver"
	"skerry/syncserver/memlog"
)

// TestRotateSeal: positions that were sealed under any secret count, also of a rotation that was cut off; those that are to be forgotten do not.
func TestRotateSeal(t *testing.T) {
	log := memlog.New()
	if _, err := syncserver.RotateSeal(t.Context(), log, false); err == nil {
		t.Fatal("there was no secret to rotate")
	}
	var id space.ID
	var sealed []space.Position
	good := func() (good []bool) {
		r := start(t, log)
		defer r.stop()
		for _, at := range sealed {
			good = append(good, syncserver.CheckSeal(r.server, id, at))
		}
		alice := r.dial("alice")
		if id == (space.ID{}) {
			id = alice.create()
		}
		sealed = append(sealed, alice.append(id, alice.transaction(1)))
		return good
	}
	all := func(t *testing.T, want ...bool) {
		t.Helper()
		got := good()
		if len(got) != len(want) {
			t.Fatalf("%v, want %v", got, want)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("%v, want %v", got, want)
			}
		}
	}
	all(t)
	all(t, true)
	for n := range 3 {
		if earlier, err := syncserver.RotateSeal(t.Context(), log, false); err != nil || earlier != n+1 {
			t.Fatalf("RotateSeal = %d, %v", earlier, err)
		}
	}
	all(t, true, true)
	first, err := log.Key(t.Context(), "server/seal")
	if err != nil {
		t.Fatal(err)
	}
	cut := &cutLog{Log: log, after: 1}
	if _, err := syncserver.RotateSeal(t.Context(), cut, false); !errors.Is(err, errCut) {
		t.Fatalf("cut off: %v", err)
	}
	if now, _ := log.Key(t.Context(), "server/seal"); string(now) != string(first) {
		t.Fatal("it was not cut off")
	}
	all(t, true, true, true)
	if earlier, err := syncserver.RotateSeal(t.Context(), log, false); err != nil || earlier != 4 {
		t.Fatalf("RotateSeal = %d, %v", earlier, err)
	}
	all(t, true, true, true, true)
	if earlier, err := syncserver.RotateSeal(t.Context(), log, true); err != nil || earlier != 0 {
		t.Fatalf("RotateSeal that forgets = %d, %v", earlier, err)
	}
	all(t, false, false, false, false, false)
	all(t, false, false, false, false, false, true)
}

var errCut = errors.New("cut off")

// cutLog is a log whose process ends after so many changes of keys.
type cutLog struct {
	syncserver.Log
	after int
}

func (l *cutLog) CompareAndSet(ctx context.Context, key string, old, value []byte) (bool, error) {
	if l.after == 0 {
		return false, errCut
	}
	l.after--
	return l.Log.CompareAndSet(ctx, key, old, value)
}
