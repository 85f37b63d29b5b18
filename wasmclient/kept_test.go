//go:build !js

package wasmclient_test

import (
	"slices"
	"testing"
	"time"

	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
	"skerry/wasmclient"
)

var allMessages = wasmclient.Query{Table: "messages", Limit: 5000}

// logOnly gives a device the log up to record n, and no tables.
func (j *judged) logOnly(d *device, id space.ID, n int) {
	j.Helper()
	tab := d.tab()
	tab.Space(id)
	tab.holds(id, n)
	tab.Close(j.Context())
}

// keepsWrong makes tables of what a device has of the log, by the wrong engine and offline, until a checkpoint of them is kept.
func (j *judged) keepsWrong(d *device, id space.ID) {
	j.Helper()
	tab := j.tab(d, j.wrong, offline)
	if texts := j.texts(tab.Space(id), allMessages); !slices.Contains(texts, "message 7OO .") {
		j.Fatal("the engine is not wrong")
	}
	for d.kept(id) == nil {
		time.Sleep(time.Millisecond)
	}
	tab.Close(j.Context())
}

// TestWhatIsKeptIsCompared: a checkpoint that a device kept while nobody could tell it that its tables are not the server's is
// found out when the server says what its are there, also where the log has not grown.
func TestWhatIsKeptIsCompared(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		first := j.tab(j.device("ada"))
		s := j.makeChat(first)
		j.fill(first, s, 1100)
		device := j.device("ada")
		j.logOnly(device, s.ID(), 1100)
		j.keepsWrong(device, s.ID())

		tab := j.tab(device)
		told := divergences(tab)
		there := tab.Space(s.ID())
		live, err := there.Live(j.Context(), allMessages, func() {})
		if err != nil {
			t.Fatal(err)
		}
		defer live.Close()
		time.Sleep(10 * time.Second)
		if all := told(); len(all) != 1 || all[0].Seq != 1000 || all[0].There != there.Info().Checkpoint.Root || all[0].Here == all[0].There {
			t.Errorf("told %+v", all)
		}
		j.wantsTables(tab, s.ID())
	})
}

// TestDivergedIsNotKept: what was found not to be the server's is not gone on from after a restart either, with no server.
func TestDivergedIsNotKept(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		first := j.tab(j.device("ada"))
		s := j.makeChat(first)
		j.fill(first, s, 1100)
		pages, err := j.site.log.Pages(j.Context(), s.ID())
		if err != nil {
			t.Fatal(err)
		}
		root := first.Space(s.ID()).Info().Checkpoint.Root
		pages = slices.DeleteFunc(pages, func(d digest.Digest) bool { return d == root })
		if err := j.site.log.DeletePages(j.Context(), s.ID(), pages[:1]); err != nil { // the server's cannot be had
			t.Fatal(err)
		}
		device := j.device("ada")
		j.logOnly(device, s.ID(), 1100)
		j.keepsWrong(device, s.ID())

		tab := j.tab(device)
		there := tab.Space(s.ID())
		for there.Info().Divergence == nil {
			if _, err := there.Query(j.Context(), messages); err != nil && wire.CodeOf(err) != wire.CodeModuleDiverged {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		tab.Close(j.Context())

		tab = j.tab(device, offline)
		j.wantsTables(tab, s.ID())
	})
}

// TestKeptIsOfAPlace: devices keep their tables at the places where the server keeps its own, so that both can be compared.
func TestKeptIsOfAPlace(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		first := j.tab(j.device("ada"))
		s := j.makeChat(first)
		j.texts(s, messages)
		for _, n := range []int{1100, 2100} {
			j.fill(first, s, n)
			j.texts(s, messages)
			time.Sleep(time.Second)
			kept := first.device.kept(s.ID())
			if kept == nil {
				t.Fatalf("none is kept at %d", n)
			}
			told := s.Info().Checkpoint
			if of, _, err := tables.ReadRoot(kept.Root); err != nil || of.Seq != kept.Seq || kept.Seq != told.Seq || digest.Of(kept.Root) != told.Root {
				t.Errorf("at %d: kept is that of record %d, and the server's of record %d, or they differ: %v", n, kept.Seq, told.Seq, err)
			}
		}
	})
}

// TestAQueryWaitsForTheServersTables: what is asked while the server's tables are being read in place of those that diverged
// waits for them.
func TestAQueryWaitsForTheServersTables(t *testing.T) {
	inJudgedBubble(t, func(j *judged) {
		first := j.tab(j.device("ada"))
		s := j.makeChat(first)
		j.fill(first, s, 1100)
		device := j.device("ada")
		j.logOnly(device, s.ID(), 1100)
		j.keepsWrong(device, s.ID())

		tab := j.tab(device)
		there := tab.Space(s.ID())
		tab.store.slowReads.Store(int64(time.Second))
		live, err := there.Live(j.Context(), allMessages, func() {})
		if err != nil {
			t.Fatal(err)
		}
		defer live.Close()
		for there.Info().Divergence == nil {
			time.Sleep(10 * time.Millisecond)
		}
		const asked = 300
		said := make(chan error, asked)
		for range asked {
			go func() {
				_, err := there.Query(j.Context(), allMessages)
				said <- err
			}()
			time.Sleep(10 * time.Millisecond)
		}
		for range asked {
			if err := <-said; err != nil {
				t.Fatalf("a query says %v", err)
			}
		}
		j.wantsTables(tab, s.ID())
	})
}
