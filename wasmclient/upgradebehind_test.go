//go:build !js

package wasmclient_test

import (
	"testing"
	"testing/synctest"
	"time"

	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
	"skerry/shared/space"
)

// What a page wrote waits for a module, and the same page writes the upgrade to just that module behind it: that goes first.
func TestUpgradeBehindWhatWaitsForIt(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		was := texted("text")
		older := moduletest.Kept("1.0.0", []program.EventType{{Name: "note", Fields: was}}, nil)
		newer := moduletest.Kept("1.1.0", []program.EventType{{Name: "note", Fields: was}, {Name: "shout", Fields: was}}, nil)
		tab := j.tab(j.device("ada"))
		s := j.spaceOf(tab, older)
		j.appendEach(s, []space.Event{stamped("shout", was, "text", "ho")})
		time.Sleep(time.Minute)
		synctest.Wait()
		d, err := tab.PutModule(j.Context(), newer)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Upgrade(j.Context(), d, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if info := s.Info(); info.Pending > 0 {
			t.Errorf("%d wait for ever", info.Pending)
		}
	})
}
