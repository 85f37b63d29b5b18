package syncserver_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/memlog"
)

// slowPages is a log whose first pages wait at a gate.
type slowPages struct {
	*memlog.Log
	gate *gate
}

func (s *slowPages) PutPages(ctx context.Context, id space.ID, pages []syncserver.Page) error {
	s.gate.pass()
	return s.Log.PutPages(ctx, id, pages)
}

// lines is what a logger writes.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestACheckpointThatIsThereIsKept: while a checkpoint for an expiry is written slowly, the server looks again for what it still has to
// free, and asks for the same one. When that comes to be written it is there: nothing has failed, and nothing is counted twice.
func TestACheckpointThatIsThereIsKept(t *testing.T) {
	inner := memlog.New()
	engine := runsModules(t, inner, nil)
	synctest.Test(t, func(t *testing.T) {
		log := &slowPages{Log: inner, gate: newGate()}
		told := &lines{}
		r := start(t, log, engine, func(c *syncserver.Config) { c.Logger = slog.New(slog.NewTextHandler(told, nil)) })
		alice := r.dial("alice")
		id := alice.create()
		alice.append(id, alice.transaction(1), alice.transaction(1))
		if v := alice.verdict(id, expires("alice", 1)); v.Kind != wire.Accepted {
			t.Fatalf("the expiry: %+v", v)
		}
		<-log.gate.reached
		time.Sleep(time.Minute) // of the bubble's: the server looks for what is left to do every few seconds
		synctest.Wait()
		close(log.gate.release)
		synctest.Wait()
		if gone, err := log.Expired(context.Background(), id); err != nil || gone != 1 {
			t.Errorf("the log has expired up to %d, %v", gone, err)
		}
		if text := r.metrics(); !strings.Contains(text, "skerry_checkpoints_total 1\n") {
			t.Error("not one checkpoint is counted")
		}
		r.stop()
		if strings.Contains(told.String(), "level=ERROR") {
			t.Errorf("the server told:\n%s", told)
		}
	})
}
