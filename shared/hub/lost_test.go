package hub_test

import (
	"testing"

	"skerry/shared/hub"
)

// TestLostTables: tables that lack a page say nothing of what is judged by them. The space is opened anew, and everybody is
// told what they would have been told.
func TestLostTables(t *testing.T) {
	t.Run("when a push is judged", func(t *testing.T) {
		w := openedWorld(t)
		w.push(1, tx(1), tx(2))
		w.found()
		w.push(2, tx(3), typed("bad", 4))
		w.module.spoiled = true
		w.found()
		w.wants()
		if w.lost != 0 {
			t.Fatal("the space is opened anew while an append is under way")
		}
		w.stored()
		w.wants("1/1: accepted@1 accepted@2")
		if w.lost != 1 || w.open == nil {
			t.Fatal("the space is not opened anew")
		}
		w.settle()
		w.wants("2/1: accepted@3 forbidden")
		if w.lost != 1 || w.module.applied != 3 {
			t.Errorf("lost %d times, applied %d", w.lost, w.module.applied)
		}
	})
	t.Run("when records are applied", func(t *testing.T) {
		w := newWorld(t)
		w.log.other(tx(1))
		w.module.spoiled = true
		w.push(1, tx(2))
		w.settle()
		w.wants("1/1: accepted@2")
		if w.lost != 1 {
			t.Errorf("lost %d times", w.lost)
		}
	})
	t.Run("when somebody asks who may read", func(t *testing.T) {
		w := openedWorld(t)
		w.module.stranger = "eve"
		w.module.spoiled = true
		for ref, identity := range []string{"ann", "eve"} {
			w.step(hub.Ask{Conn: 1, Ref: uint64(ref), Identities: []string{identity}})
		}
		w.settle()
		if len(w.answers) != 2 || w.lost != 1 {
			t.Fatalf("answers %v, lost %d times", w.answers, w.lost)
		}
		for i, answer := range w.answers {
			if answer.Code != 0 || !answer.Exists || answer.MayRead != (i == 0) {
				t.Errorf("answer %d: %+v", i, answer)
			}
		}
	})
	t.Run("when the shell finds that out", func(t *testing.T) {
		w := openedWorld(t)
		w.module.spoiled = true
		w.step(hub.Spoiled{Err: w.module.page()})
		w.push(1, tx(1))
		w.settle()
		w.wants("1/1: accepted@1")
		if w.lost != 1 {
			t.Errorf("lost %d times", w.lost)
		}
	})
	t.Run("when the shell asks who may read", func(t *testing.T) {
		w := openedWorld(t)
		w.module.spoiled = true
		if _, err := w.s.MayRead([]string{"ann"}); err == nil {
			t.Fatal("it may be known")
		}
		w.step(hub.Tick{})
		w.settle()
		if may, err := w.s.MayRead([]string{"ann"}); !may || err != nil || w.lost != 1 {
			t.Errorf("after it was opened anew: %v, %v, lost %d times", may, err, w.lost)
		}
	})
}
