//go:build !js

package wasmclient_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"skerry/shared/digest"
	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/wasmclient"
)

// TestSpaceLifecycle: every tab of every device is told what happens to a space, each once, in the order in which it happens.
func TestSpaceLifecycle(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		members := moduletest.Members(nil)
		newer := moduletest.Members(func(m *program.Manifest) { m.Version = "99.0.0" })
		for _, bytes := range [][]byte{members, newer} {
			if err := j.site.log.PutBlob(j.Context(), digest.Of(bytes), bytes); err != nil {
				t.Fatal(err)
			}
		}
		ada, bob := j.device("ada"), j.device("bob")
		tabs := []*tab{j.tab(ada), j.tab(ada), j.tab(bob), j.tab(bob)}
		told := make([][]string, len(tabs))
		for i, tab := range tabs {
			tab.OnSpaceLifecycle(func(l wasmclient.SpaceLifecycle) { told[i] = append(told[i], l.What) })
		}
		rest := func() {
			time.Sleep(10 * time.Second)
			synctest.Wait()
		}
		wants := func(when string, want ...string) {
			t.Helper()
			rest()
			for i := range tabs {
				if got := strings.Join(told[i], ", "); got != want[i/2] {
					t.Errorf("%s: tab %d was told %q, want %q", when, i, got, want[i/2])
				}
			}
		}
		s, err := tabs[0].CreateSpace(j.Context(), wasmclient.SpaceOptions{Module: digest.Of(members)})
		if err != nil {
			t.Fatal(err)
		}
		id := s.ID()
		tabs[1].Space(id)
		wants("made", "created", "")
		change := func(kind string) {
			t.Helper()
			if _, err := j.write(s, kind, moduletest.MembersAdd("bob")).Synced(j.Context()); err != nil {
				t.Fatal(err)
			}
		}
		eve := j.tab(j.device("eve"))
		eve.OnSpaceLifecycle(func(l wasmclient.SpaceLifecycle) { t.Errorf("a stranger was told %q", l.What) })
		eve.Space(id)
		change("add")
		tabs[2].Space(id)
		tabs[3].Space(id)
		wants("added", "created", "joined")
		receipt, err := s.AppendEvents(j.Context(), []space.Event{wasmclient.UpgradeEvent(digest.Of(newer), nil)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := receipt.Synced(j.Context()); err != nil {
			t.Fatal(err)
		}
		wants("upgraded", "created, upgraded", "joined, upgraded")
		change("remove")
		wants("removed", "created, upgraded", "joined, upgraded, left")
		j.restart() // the server refuses him from the start now: that is no news
		wants("removed, on another connection", "created, upgraded", "joined, upgraded, left")
		if info := tabs[3].Space(id).Info(); info.Genesis == nil || info.Position.Seq != 4 || info.Code != wire.CodeLeft {
			t.Errorf("what is known here when he has left: %+v", info)
		}
		if records, err := tabs[3].Space(id).Read(j.Context(), 0, 100, 1<<20); err != nil || len(records) != 4 {
			t.Errorf("what is here when he has left: %d records, %v", len(records), err)
		}

		// One that comes later knows the space, and is told that it has left it.
		for _, tab := range tabs[2:] {
			if err := tab.Close(j.Context()); err != nil {
				t.Fatal(err)
			}
		}
		var after []string
		again := j.tab(bob)
		again.OnSpaceLifecycle(func(l wasmclient.SpaceLifecycle) { after = append(after, l.What) })
		again.Space(id)
		rest()
		if got := strings.Join(after, ", "); got != "left" {
			t.Errorf("a later tab was told %q", got)
		}
		follows := j.tab(bob)
		rest()
		if info := follows.Info(id); info.Code != wire.CodeLeft {
			t.Errorf("one that follows it knows %v", info.Code)
		}
		change("add")
		j.restart()
		rest()
		time.Sleep(time.Minute)
		rest()
		if got := strings.Join(after, ", "); got != "left, joined" {
			t.Errorf("who was added again was told %q", got)
		}
	})
}

// TestExpiredIsTold: every tab is told that records of a space have expired, and up to where, the one that syncs and the others; and so
// is who comes later.
func TestExpiredIsTold(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		members := moduletest.Members(nil)
		if err := j.site.log.PutBlob(j.Context(), digest.Of(members), members); err != nil {
			t.Fatal(err)
		}
		ada := j.device("ada")
		tabs := []*tab{j.tab(ada), j.tab(ada)}
		var told [2][]string
		hear := func(i int, tab *tab) {
			tab.OnSpaceLifecycle(func(l wasmclient.SpaceLifecycle) {
				told[i] = append(told[i], fmt.Sprint(l.What, " ", l.Info.Expired))
			})
		}
		hear(0, tabs[0])
		hear(1, tabs[1])
		rest := func() {
			time.Sleep(10 * time.Second)
			synctest.Wait()
		}
		s, err := tabs[0].CreateSpace(j.Context(), wasmclient.SpaceOptions{Module: digest.Of(members)})
		if err != nil {
			t.Fatal(err)
		}
		tabs[1].Space(s.ID())
		for _, who := range []string{"bob", "cy", "dan"} {
			if _, err := j.write(s, "add", moduletest.MembersAdd(who)).Synced(j.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for _, upto := range []uint64{1, 3} {
			receipt, err := s.Expire(j.Context(), upto)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := receipt.Synced(j.Context()); err != nil {
				t.Fatal(err)
			}
			rest()
		}
		later := j.tab(ada)
		later.Space(s.ID())
		rest()
		for i, want := range []string{"created 0, expired 1, expired 3", "created 0, expired 1, expired 3"} {
			if got := strings.Join(told[i], ", "); got != want {
				t.Errorf("tab %d was told %q, want %q", i, got, want)
			}
		}
		if info := later.Info(s.ID()); info.Expired != 3 {
			t.Errorf("a later tab knows that %d have expired", info.Expired)
		}
		if info := s.Info(); info.Expired != 3 || info.Position.Seq != 7 {
			t.Errorf("it is known that %d of %d have expired", info.Expired, info.Position.Seq)
		}
		if receipt, err := s.Expire(j.Context(), 2); err != nil {
			t.Fatal(err)
		} else if _, err := receipt.Synced(j.Context()); wire.CodeOf(err) != wire.CodeBadPayload {
			t.Errorf("less than before: %v", err)
		}
	})
}

// TestWhoMayNotReadJoinsByWriting: a link to a space that only members read is opened by somebody new, whose first event makes
// them one: it goes out, and they read from there on, with no other connection.
func TestWhoMayNotReadJoinsByWriting(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		leads := j.tab(j.device("ada"))
		s := j.makeChat(leads)
		for _, r := range []*wasmclient.Receipt{
			j.write(s, "join", moduletest.ChatJoin("Ada")), j.say(s, "hello"),
		} {
			if _, err := r.Synced(j.Context()); err != nil {
				t.Fatal(err)
			}
		}
		bob := j.tab(j.device("bob"))
		var told []string
		bob.OnSpaceLifecycle(func(l wasmclient.SpaceLifecycle) { told = append(told, l.What) })
		there := bob.Space(s.ID())
		time.Sleep(time.Second)
		if info := there.Info(); info.Code != wire.CodeForbidden {
			t.Fatalf("before he joins: %v", info.Code)
		}
		dials := bob.dials.Load()
		if _, err := j.write(there, "join", moduletest.ChatJoin("Bob")).Synced(j.Context()); err != nil {
			t.Fatal(err)
		}
		bob.holds(s.ID(), 3)
		time.Sleep(time.Second)
		if info := there.Info(); info.Code != 0 || info.Pending != 0 || bob.dials.Load() != dials {
			t.Errorf("when he has joined: %v, %d wait, %d more connections", info.Code, info.Pending, bob.dials.Load()-dials)
		}
		if got := strings.Join(told, ", "); got != "joined" {
			t.Errorf("he was told %q", got)
		}
	})
}

// TestJoinedByOthers: who is let into a space by somebody else is told so, with nothing asked for: live in each tab, or when they
// connect next; so they are when they are out and in again, and what they look at they read again at once, on the same connection.
func TestJoinedByOthers(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		members := moduletest.Members(nil)
		if err := j.site.log.PutBlob(j.Context(), digest.Of(members), members); err != nil {
			t.Fatal(err)
		}
		ada, device := j.tab(j.device("ada")), j.device("bob")
		tabs := []*tab{j.tab(device), j.tab(device)}
		told := map[*tab]*[]string{}
		listen := func(t *tab) {
			list := new([]string)
			told[t] = list
			t.OnSpaceLifecycle(func(l wasmclient.SpaceLifecycle) { *list = append(*list, l.What) })
		}
		rest := func() {
			time.Sleep(10 * time.Second)
			synctest.Wait()
		}
		wants := func(when, want string, tabs ...*tab) {
			t.Helper()
			rest()
			for i, tab := range tabs {
				if got := strings.Join(*told[tab], ", "); got != want {
					t.Errorf("%s: tab %d was told %q, want %q", when, i, got, want)
				}
			}
		}
		for _, tab := range tabs {
			listen(tab)
		}
		s, err := ada.CreateSpace(j.Context(), wasmclient.SpaceOptions{Module: digest.Of(members)})
		if err != nil {
			t.Fatal(err)
		}
		change := func(kind string, who ...string) {
			t.Helper()
			for _, who := range who {
				if _, err := j.write(s, kind, moduletest.MembersAdd(who)).Synced(j.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		rest()
		cy := j.tab(j.device("cy"))
		listen(cy)
		rest()
		if err := cy.Suspend(j.Context()); err != nil {
			t.Fatal(err)
		}
		change("add", "bob", "cy")
		wants("let in", "joined", tabs...)
		cy.Resume()
		wants("let in while away", "joined", cy)
		change("remove", "bob")
		wants("out, with nobody looking", "joined, left", tabs...)
		j.restart()
		change("add", "bob")
		wants("in again", "joined, left, joined", tabs...)

		there := tabs[0].Space(s.ID())
		rest()
		if info := there.Info(); info.Position.Seq != 4 || info.Code != 0 {
			t.Fatalf("what is there: %v, %v", info.Position.Seq, info.Code)
		}
		dials := tabs[0].dials.Load() + tabs[1].dials.Load()
		change("remove", "bob")
		wants("out, looking", "joined, left, joined, left", tabs...)
		if _, err := j.write(s, "note", moduletest.MembersNote("x")).Synced(j.Context()); err != nil {
			t.Fatal(err)
		}
		change("add", "bob")
		wants("in again, looking", "joined, left, joined, left, joined", tabs...)
		if info := there.Info(); info.Position.Seq != 7 || info.Code != 0 {
			t.Errorf("what is there at once: %v, %v", info.Position.Seq, info.Code)
		}
		for range 20 { // as fast as it goes
			change("remove", "bob")
			change("add", "bob")
		}
		rest()
		if info := there.Info(); info.Position.Seq != 47 || info.Code != 0 {
			t.Errorf("what is there after all: %v, %v", info.Position.Seq, info.Code)
		}
		if now := tabs[0].dials.Load() + tabs[1].dials.Load(); now != dials {
			t.Errorf("%d more connections", now-dials)
		}
		for i, tab := range tabs {
			list := *told[tab]
			if list[len(list)-1] != "joined" {
				t.Errorf("tab %d was told %q", i, list)
			}
			for n := range list {
				if want := []string{"joined", "left"}[n%2]; list[n] != want {
					t.Fatalf("tab %d was told %q", i, list)
				}
			}
		}
	})
}
