//go:build !js

package wasmclient_test

import (
	"testing"
	"testing/synctest"
	"time"

	"skerry/wasmclient"
)

// TestFollowersKnowHowItStands looks at a tab that does not sync: what the one that does knows of the server is known
// there within a second, and not any more when that one is silent.
func TestFollowersKnowHowItStands(t *testing.T) {
	inBubble(t, func(w *world) {
		d := w.device("ada")
		leader, follower := d.tab(), d.tab()
		leader.leads(time.Second)
		leader.makeSpace()
		time.Sleep(time.Second)
		synctest.Wait()
		want, got := leader.Status(), follower.Status()
		if got.Leader || want.Connection != "online" || got.Connection != want.Connection || got.LastSync == 0 || got.LastSync != want.LastSync {
			w.Errorf("the tab that leads says %+v, the other %+v", want, got)
		}
		heard := 0
		defer follower.OnChange(func(c wasmclient.Change) {
			if c.Status {
				heard++
			}
		})()
		leader.freeze()
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if got := follower.Status(); got.Connection != "following" || heard == 0 {
			w.Errorf("of a leader that is silent the other says %+v after %d changes", got, heard)
		}
		leader.thaw()
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if got := follower.Status(); got.Connection != "online" {
			w.Errorf("of a leader that is back the other says %+v", got)
		}
	})
}
