//go:build !js

package wasmclient_test

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestWhatAHiddenTabAppendsIsCommittedAtOnce lets no time pass: a page that nobody looks at may be stopped at any moment.
func TestWhatAHiddenTabAppendsIsCommittedAtOnce(t *testing.T) {
	inBubble(t, func(w *world) {
		d := w.device("ada")
		leader, follower := d.tab(), d.tab()
		leader.leads(time.Second)
		s := leader.makeSpace()
		for _, tab := range []*tab{leader, follower} {
			tab.SetVisible(false)
			synctest.Wait()
			before := time.Now()
			receipt := append1(w.T, tab.Space(s.ID()), "just before")
			if err := receipt.Durable(w.Context()); err != nil {
				w.Error(err)
			}
			if waited := time.Since(before); waited != 0 {
				w.Errorf("what a hidden tab appended was durable after %v", waited)
			}
		}
	})
}
