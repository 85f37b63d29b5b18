//go:build !js

package wasmclient_test

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"skerry/shared/digest"
	"skerry/shared/module/moduletest"
	"skerry/shared/wire"
	"skerry/wasmclient"
)

// TestDeletedSpace: when an owner deletes a space all who have it are told, in each tab, at once or when they connect next, and keep
// what they have; what waits to be sent ends among the rejected, on every device, and nothing is lost before somebody says so.
func TestDeletedSpace(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		members := moduletest.Members(nil)
		if err := j.site.log.PutBlob(j.Context(), digest.Of(members), members); err != nil {
			t.Fatal(err)
		}
		told := map[*tab]*[]string{}
		listen := func(t *tab) *tab {
			list := new([]string)
			told[t] = list
			t.OnSpaceLifecycle(func(l wasmclient.SpaceLifecycle) { *list = append(*list, l.What) })
			return t
		}
		rest := func() {
			time.Sleep(10 * time.Second)
			synctest.Wait()
		}
		wants := func(when, want string, tabs ...*tab) {
			t.Helper()
			for i, tab := range tabs {
				if got := strings.Join(*told[tab], ", "); got != want {
					t.Errorf("%s: tab %d was told %q, want %q", when, i, got, want)
				}
			}
		}
		adas, bobs, cys := j.device("ada"), j.device("bob"), j.device("cy")
		ada, bob, other := listen(j.tab(adas)), listen(j.tab(bobs)), listen(j.tab(bobs))
		s, err := ada.CreateSpace(j.Context(), wasmclient.SpaceOptions{Module: digest.Of(members)})
		if err != nil {
			t.Fatal(err)
		}
		id := s.ID()
		for _, who := range []string{"bob", "cy"} {
			if _, err := j.write(s, "add", moduletest.MembersAdd(who)).Synced(j.Context()); err != nil {
				t.Fatal(err)
			}
		}
		there := bob.Space(id)
		bob.holds(id, 2)
		cy := j.tab(cys)
		cy.Space(id)
		cy.holds(id, 2)
		if err := cy.Close(j.Context()); err != nil {
			t.Fatal(err)
		}
		away := listen(j.tab(j.device("cy")))
		away.Space(id)
		away.holds(id, 2)
		if err := away.Suspend(j.Context()); err != nil {
			t.Fatal(err)
		}
		cy = j.tab(cys, offline)
		waits := j.write(cy.Space(id), "note", moduletest.MembersNote("while away"))
		if err := waits.Durable(j.Context()); err != nil {
			t.Fatal(err)
		}
		if err := cy.Forget(j.Context(), id, true); wire.CodeOf(err) != wire.CodeBadArgument {
			t.Errorf("a space that was not deleted is forgotten: %v", err)
		}
		if err := cy.Close(j.Context()); err != nil {
			t.Fatal(err)
		}

		j.write(there, "note", moduletest.MembersNote("the last words"))
		bob.holds(id, 3)
		gone, err := s.Delete(j.Context())
		if err != nil {
			t.Fatal(err)
		}
		if at, err := gone.Synced(j.Context()); err != nil || at.Seq != 4 {
			t.Fatalf("deleted at %d, %v", at.Seq, err)
		}
		rest()
		wants("at once", "created, deleted", ada)
		wants("at once", "joined, deleted", bob, other)
		for _, tab := range []*tab{ada, bob, other} {
			if info := tab.Info(id); info.Code != wire.CodeDeleted || info.Position.Seq != 4 || info.Pending != 0 || info.Rejected != 0 {
				t.Errorf("what is known of it: %v at %d, %d wait, %d rejected", info.Code, info.Position.Seq, info.Pending, info.Rejected)
			}
		}
		late := j.write(there, "note", moduletest.MembersNote("too late"))
		cy = j.tab(cys)
		away.Resume()
		rest()
		wants("later", "deleted", away)
		for what, r := range map[string]*wasmclient.Receipt{"late": late} {
			if _, err := r.Synced(j.Context()); !strings.Contains(err.Error(), "deleted") {
				t.Errorf("%s: %v", what, err)
			}
		}
		rejected, err := cy.Space(id).Rejected(j.Context())
		if err != nil || len(rejected) != 1 || rejected[0].ID != waits.ID() || rejected[0].Code != wire.CodeDeleted {
			t.Errorf("what waited is %+v, %v", rejected, err)
		}
		if info := cy.Info(id); info.Position.Seq != 2 || info.Pending != 0 {
			t.Errorf("what is known of it: %v at %d, %d wait", info.Code, info.Position.Seq, info.Pending)
		}
		if err := cy.Space(id).Retry(j.Context(), waits.ID()); err != nil {
			t.Errorf("retry: %v", err)
		}
		rest()
		if info := cy.Info(id); info.Pending != 0 || info.Rejected != 1 {
			t.Errorf("retried: %d wait, %d are rejected", info.Pending, info.Rejected)
		}

		// It stays so with no server to ask, and what is here can be read and taken out.
		for _, tab := range []*tab{bob, other} {
			if err := tab.Close(j.Context()); err != nil {
				t.Fatal(err)
			}
		}
		alone := listen(j.tab(bobs, offline))
		if info := alone.Info(id); info.Code != wire.CodeDeleted || info.Rejected != 1 {
			t.Errorf("with no server: %v, %d rejected", info.Code, info.Rejected)
		}
		if records, err := alone.Space(id).Read(j.Context(), 0, 10, 1<<20); err != nil || len(records) != 4 {
			t.Errorf("%d records are here, %v", len(records), err)
		}
		var file bytes.Buffer
		if err := alone.Export(j.Context(), &file, id); err != nil || !bytes.Contains(file.Bytes(), []byte("the last words")) || !bytes.Contains(file.Bytes(), []byte("too late")) {
			t.Errorf("an export of %d bytes: %v", file.Len(), err)
		}
		if err := alone.Forget(j.Context(), id, false); wire.CodeOf(err) != wire.CodeBadArgument {
			t.Errorf("what was never sent is forgotten: %v", err)
		}
		if err := alone.Forget(j.Context(), id, true); err != nil {
			t.Fatal(err)
		}
		if err := alone.Close(j.Context()); err != nil {
			t.Fatal(err)
		}
		again := listen(j.tab(bobs))
		rest()
		wants("forgotten", "", alone, again)
		if ids := again.Spaces(); len(ids) != 0 {
			t.Errorf("bob has %v", ids)
		}
		if err := ada.Forget(j.Context(), id, false); err != nil {
			t.Errorf("the owner forgets: %v", err)
		}
	})
}

// TestDeletedBeforeAnybodyHeard: a device that made nothing durable of a server's word is told again, and one whose space the server
// does not know as its own pushes it in vain.
func TestDeletedBeforeAnybodyHeard(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		device := j.device("ada")
		ada, phone := j.tab(device), j.tab(j.device("ada"))
		s := j.makeChat(ada)
		if _, err := j.write(s, "join", moduletest.ChatJoin("Ada")).Synced(j.Context()); err != nil {
			t.Fatal(err)
		}
		phone.Space(s.ID())
		phone.holds(s.ID(), 1)
		if err := ada.Close(j.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := phone.Space(s.ID()).Delete(j.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		ada = j.tab(device, offline)
		var receipts []*wasmclient.Receipt
		for range 300 {
			receipts = append(receipts, j.say(ada.Space(s.ID()), "hello"))
		}
		again, err := ada.Space(s.ID()).Delete(j.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Durable(j.Context()); err != nil {
			t.Fatal(err)
		}
		if err := ada.Close(j.Context()); err != nil {
			t.Fatal(err)
		}
		ada = j.tab(device)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if info := ada.Info(s.ID()); info.Code != wire.CodeDeleted || info.Pending != 0 || info.Rejected != len(receipts)+1 {
			t.Errorf("%v: %d wait, %d are rejected", info.Code, info.Pending, info.Rejected)
		}
	})
}
