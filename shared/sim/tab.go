package sim

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"skerry/shared/digest"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// tab is one core with its shell.
type tab struct {
	device *device
	index  int
	life   int // counts restarts; 0 before the first
	core   *replica.Replica
	frozen bool
	inbox  []replica.Input
	wake   uint64
	link   *link
	ids    *space.IDSource

	nextRef uint64
	waiting map[uint64]*pendingAppend
	// unacknowledged are appends whose outcome the page has not heard of: it sends them again to the worker's
	// successor.
	unacknowledged []*pendingAppend
	// looks are the spaces that the page looks at, which it tells the worker's successor too.
	looks map[space.ID]bool
}

type pendingAppend struct {
	space       space.ID
	transaction *space.Transaction
	insert      *replica.SpaceInfo
	discards    space.ULID
	refused     bool // by the preview
	again       bool // appended before
}

func (t *tab) String() string { return fmt.Sprintf("%s.%d", t.device.name, t.index) }

// start opens the tab over the store.
func (t *tab) start() {
	if t.core != nil {
		return
	}
	w := t.device.world
	t.life++
	t.frozen, t.inbox, t.wake, t.link = false, nil, 0, nil
	t.waiting = make(map[uint64]*pendingAppend)
	random := seeded{rand.New(rand.NewPCG(w.random.Uint64(), 1))}
	t.ids = space.NewIDSource(random)
	loaded := t.device.store.Load()
	if !t.device.locks {
		random.Read(loaded.Meta.Session[:])
	}
	t.core = replica.New(replica.Config{
		Sync: true, ClientVersion: "1.2.3", Rand: random, Credit: 2000, UploadPiece: 700, PullAll: t.device.mute, BootAfter: t.device.bootAfter,
	}, loaded)
	w.logf("%s starts", t)
	t.contend()
	t.poll(t.life)
	for _, a := range t.unacknowledged {
		t.append(a)
	}
	for _, id := range sortedIDs(t.looks) {
		t.open(id)
	}
	t.find()
}

// find asks what became of some of the transactions that this device was told are durable, in whichever tab; the checks
// of notices hold the answers to what is true.
func (t *tab) find() {
	w := t.device.world
	for _, id := range sortedIDs(w.durable) {
		ids := slices.SortedFunc(maps.Keys(w.durable[id]), space.ULID.Compare)
		for _, event := range ids {
			if w.durable[id][event].device == t.device && w.chance(4) {
				t.step(replica.Watch{Space: id, ID: event})
			}
		}
	}
}

// open looks at a space from now on.
func (t *tab) open(id space.ID) {
	t.looks[id] = true
	t.step(replica.Open{Ref: t.ref(&pendingAppend{space: id}), Space: id})
}

// close looks at a space no more.
func (t *tab) close(id space.ID) {
	delete(t.looks, id)
	t.step(replica.Close{Space: id})
}

func (t *tab) poll(life int) {
	t.device.world.after(5000, func() {
		if t.life == life && t.core != nil {
			t.step(replica.Poll{})
			t.poll(life)
		}
	})
}

// contend asks for the lead.
func (t *tab) contend() {
	d := t.device
	if !d.locks {
		life := t.life
		d.world.after(20, func() {
			if t.life == life && t.core != nil {
				loaded := d.store.Load()
				loaded.Meta.Session = t.core.Meta().Session
				t.step(replica.Led{Loaded: loaded})
			}
		})
		return
	}
	if d.holder == t || slices.Contains(d.queue, t) {
		return
	}
	d.queue = append(d.queue, t)
	d.grant()
}

// crash ends the tab at once. Commits that it has begun may or may not happen.
func (t *tab) crash() {
	if t.core == nil {
		return
	}
	t.device.world.logf("%s crashes", t)
	for _, ref := range sortedRefs(t.waiting) {
		if a := t.waiting[ref]; a.transaction != nil && !slices.Contains(t.unacknowledged, a) {
			t.unacknowledged = append(t.unacknowledged, a)
		}
	}
	t.life++
	t.core = nil
	if t.link != nil {
		t.link.cut()
		t.link = nil
	}
	t.device.release(t)
}

func sortedRefs(m map[uint64]*pendingAppend) []uint64 {
	var refs []uint64
	for ref := range m {
		refs = append(refs, ref)
	}
	slices.Sort(refs)
	return refs
}

func (t *tab) freeze() {
	if t.core != nil && !t.frozen {
		t.device.world.logf("%s freezes", t)
		t.frozen = true
	}
}

func (t *tab) thaw() {
	if t.core == nil || !t.frozen {
		return
	}
	t.device.world.logf("%s thaws", t)
	t.frozen = false
	inbox := t.inbox
	t.inbox = nil
	for _, in := range inbox {
		t.step(in)
	}
}

// step gives the core one input and does what it says.
func (t *tab) step(in replica.Input) {
	if t.core == nil {
		return
	}
	if t.frozen {
		t.inbox = append(t.inbox, in)
		return
	}
	w, life := t.device.world, t.life
	effects := t.core.Step(w.now, in)
	later := func(do func()) {
		w.after(w.random.Uint64N(40), func() {
			if t.life == life {
				do()
			}
		})
	}
	for _, commit := range effects.Commits {
		known := t.knownTo(commit.Commit)
		w.after(w.random.Uint64N(40), func() { t.runCommit(life, commit, known) })
	}
	if effects.Survey {
		after := effects.SurveyAfter
		later(func() { t.answer(replica.Surveyed{Changes: t.device.store.Changes(after)}, replica.Surveyed{}) })
	}
	for _, id := range effects.Refresh {
		later(func() {
			t.answer(replica.Refreshed{Space: id, Snapshot: t.device.store.Refresh(id)}, replica.Refreshed{Space: id})
		})
	}
	for _, read := range effects.ReadRows {
		later(func() {
			in := replica.RowsRead{Space: read.Space, After: read.After}
			failed := in
			in.Rows, failed.Err = t.device.store.Outbox(read.Space, read.After, read.MaxBytes), errDisk
			t.answer(in, failed)
		})
	}
	for _, read := range effects.ReadIDs {
		later(func() {
			in := replica.IDsRead{Space: read.Space, After: read.After}
			failed := in
			failed.Err = errDisk
			if bad := t.device.bad[read.Space]; bad > read.After {
				t.answer(failed, failed)
				t.step(replica.Damaged{Space: read.Space})
				return
			}
			for _, r := range t.device.records(read.Space, read.After) {
				in.Records = append(in.Records, replica.RecordIDOf(&r))
			}
			t.answer(in, failed)
		})
	}
	for _, m := range effects.ReadModules {
		later(func() {
			t.answer(replica.ModuleRead{Digest: m, Bytes: t.device.store.Module(m)}, replica.ModuleRead{Digest: m, Err: errDisk})
		})
	}
	for _, m := range effects.StoreModules {
		later(func() { t.storeModule(m.Digest, m.Bytes) })
	}
	for _, trace := range effects.Trace {
		later(func() {
			traced := replica.Trace(trace, func(after uint64) ([]space.Record, error) {
				if bad := t.device.bad[trace.Space]; bad > after {
					return nil, errDisk
				}
				return t.device.store.Read(trace.Space, after, 1+w.random.IntN(20), 1<<20), nil
			})
			t.answer(traced, replica.Traced{Space: trace.Space, Err: errDisk})
		})
	}
	for _, read := range effects.ReadRecords {
		later(func() {
			in := replica.RecordsRead{Space: read.Space, After: read.After}
			failed := in
			failed.Err = errDisk
			if bad := t.device.bad[read.Space]; bad > read.After {
				t.answer(failed, failed)
				return
			}
			in.Records = t.device.store.Read(read.Space, read.After, int(read.Last-read.After), 1<<30)
			t.answer(in, failed)
		})
	}
	for _, weigh := range effects.WeighDrop {
		later(func() { t.weighDrop(weigh) })
	}
	for _, ask := range effects.StoreCheckpoints {
		later(func() { t.storeCheckpoint(ask) })
	}
	for _, id := range effects.Check {
		later(func() {
			t.answer(t.device.check(id), replica.Checked{Space: id, Err: errDisk})
		})
	}
	if effects.Hangup != "" && t.link != nil {
		w.logf("%s hangs up: %s", t, effects.Hangup)
		if strings.Contains(effects.Hangup, "do not hash") {
			w.failf("%s: honest records do not hash: %s", t, effects.Hangup)
		}
		t.link.cut()
		t.link = nil
	}
	if effects.Dial {
		t.dial()
	}
	for _, message := range effects.Send {
		if t.link != nil {
			t.link.toServer(message)
		}
	}
	if effects.StepDown {
		w.logf("%s steps down", t)
		t.device.release(t)
		w.after(1000, func() {
			if t.life == life && t.core != nil {
				t.contend()
			}
		})
	}
	for _, hint := range effects.Hints {
		t.tellOthers(hint)
	}
	if len(effects.Looking) > 0 {
		t.tellOthers(replica.Looking{Spaces: effects.Looking})
	}
	if effects.WhoLooks {
		t.tellOthers(replica.WhoLooks{})
	}
	for _, n := range effects.Notices {
		t.notice(n)
	}
	if effects.WakeAt != 0 && (t.wake == 0 || effects.WakeAt < t.wake) {
		t.wake = effects.WakeAt
		w.after(effects.WakeAt-min(effects.WakeAt, w.now), func() {
			if t.life == life {
				t.wake = 0
				t.step(replica.Tick{})
			}
		})
	}
}

// tellOthers tells the device's other tabs something, which may be lost.
func (t *tab) tellOthers(in replica.Input) {
	w := t.device.world
	for _, other := range t.device.tabs {
		if other != t && !t.device.mute && !w.chance(3) {
			w.after(w.between(1, 20), func() { other.step(in) })
		}
	}
}

// runCommit applies a commit to the store, as long after it was asked for as the tab is frozen in the middle of it. The server's log had the known when it was
// asked for.
func (t *tab) runCommit(life int, c replica.CommitEffect, known map[space.ID]map[space.ULID]int) {
	d := t.device
	w := d.world
	if t.life != life && w.chance(2) {
		return // the tab is gone before its transaction
	}
	if t.life == life && t.frozen && w.chance(2) {
		w.after(500, func() { t.runCommit(life, c, known) })
		return
	}
	fault := d.fault()
	if fault != "" {
		w.logf("%s: the disk fails %s a commit", t, fault)
	}
	if fault == "before" {
		t.report(life, replica.Committed{ID: c.ID, Err: errDisk, Full: w.chance(2)})
		return
	}
	before := d.store
	if w.restored != nil {
		before = d.store.Clone()
	}
	result, err := d.store.Commit(c.Commit)
	if err != nil {
		w.failf("%s: the store refuses a commit: %v", t, err)
		return
	}
	if !result.Stale {
		if w.restored != nil {
			d.checkFork(before, c.Commit, known)
		}
		d.note(before, c.Commit, result)
		if c.Commit.Strict {
			d.flush()
		}
	} else {
		w.logf("%s commits stale", t)
	}
	if fault == "after" {
		t.report(life, replica.Committed{ID: c.ID, Err: errDisk})
		return
	}
	t.report(life, replica.Committed{ID: c.ID, Result: result})
}

// notice keeps count of what the core told the app.
func (t *tab) notice(n replica.Notice) {
	w := t.device.world
	switch n := n.(type) {
	case replica.Durable:
		a := t.waiting[n.Ref]
		delete(t.waiting, n.Ref)
		if a == nil {
			return
		}
		t.unacknowledged = slices.DeleteFunc(t.unacknowledged, func(other *pendingAppend) bool { return other == a })
		if a.transaction != nil {
			w.promise(t, a)
		} else if p := w.durable[a.space][a.discards]; p != nil {
			p.discarded = true
		}
	case replica.Failed:
		a := t.waiting[n.Ref]
		delete(t.waiting, n.Ref)
		if n.Reason != errDisk.Error() {
			w.failf("%s: an append failed with %s: %s", t, n.Code, n.Reason)
		}
		t.unacknowledged = slices.DeleteFunc(t.unacknowledged, func(other *pendingAppend) bool { return other == a })
		if a != nil && a.insert != nil {
			t.append(a) // what is written into the space needs it
		}
	case replica.Decided:
		p := w.durable[n.Space][n.ID]
		w.logf("%s %s %s outcome %d %s", t, short(n.Space), n.ID, n.Outcome, n.Code)
		switch n.Outcome {
		case replica.Synced:
			st := w.server.stored[n.Space]
			if st == nil && w.restored != nil {
				break
			} else if st == nil {
				w.failf("%s: told synced, but the server has no such space", n.ID)
			} else if _, ok := st.known[n.ID]; !ok && !w.wasStored(n.Space, n.ID) {
				w.failf("%s: told synced, but it is not in the log", n.ID)
			}
			if p != nil {
				p.synced = true
			}
		case replica.Refused:
			if st := w.server.stored[n.Space]; n.Code == wire.CodeDeleted && st != nil {
				if _, deleted := st.deleted(); deleted {
					break
				}
			}
			if n.Code == wire.CodeDeleted && w.restored != nil && w.restored.deleted[n.Space] {
				break // and the server has lost it
			}
			if n.Code == wire.CodeUnproven && w.restored != nil {
				break // it was kept in front of a hole that the server had lost
			}
			if p != nil && !p.refused {
				w.failf("%s: refused with %s: %s", n.ID, n.Code, n.Reason)
			}
		case replica.Discarded:
			if n.Code == wire.CodeNotHere && w.options.Boots {
				break // nobody here can tell
			}
			if w.options.Boots && w.wasStored(n.Space, n.ID) {
				break // the server lost it, and its author had left it out: somebody else may bring it yet
			}
			if p != nil && !p.discarded && !w.asked[n.ID] && (w.restored == nil || !w.mayLackTwice(n.Space, n.ID)) {
				w.failf("%s: told discarded, which nobody asked for", n.ID)
			}
		}
	}
}

// promise notes that an author was told that a transaction is durable.
func (w *World) promise(t *tab, a *pendingAppend) {
	if w.durable[a.space] == nil {
		w.durable[a.space] = make(map[space.ULID]*promise)
	}
	id := a.transaction.ID()
	if w.durable[a.space][id] == nil {
		w.durable[a.space][id] = &promise{
			device: t.device, space: a.space, events: len(a.transaction.Events), refused: a.refused || w.mayRefuse(a.space, a.transaction.Author, a.transaction.Events[0].Type),
		}
	}
	w.logf("%s durable %s %s key %d", t, short(a.space), id, t.device.keys[a.space][id])
}

func (t *tab) ref(a *pendingAppend) uint64 {
	t.nextRef++
	t.waiting[t.nextRef] = a
	return t.nextRef
}

func (t *tab) append(a *pendingAppend) {
	in := replica.Append{Ref: t.ref(a), Space: a.space, Insert: a.insert, Transaction: a.transaction, AppendedAt: t.device.clock()}
	if a.refused && !a.again {
		in.Refused = &replica.Refusal{Code: wire.CodeRefused, Reason: "by the preview"}
	}
	a.again = true
	t.step(in)
}

// createSpace makes a space, offline or not.
func (t *tab) createSpace() {
	w := t.device.world
	stamp, err := t.ids.New(t.device.clock())
	if err != nil {
		panic(err)
	}
	genesis := space.Genesis{Stamp: stamp, Creator: t.core.Meta().Identity, Module: t.chooseModule(), Params: []byte{0x80}}
	id := genesis.ID()
	w.spaces = append(w.spaces, id)
	w.made[id] = genesis
	w.logf("%s makes %s", t, short(id))
	t.append(&pendingAppend{space: id, insert: &replica.SpaceInfo{Genesis: &genesis, Position: space.Start(id), Module: genesis.Module}})
	t.open(id)
}

// write appends a transaction of one to five events.
func (t *tab) write(id space.ID) {
	w := t.device.world
	transaction := &space.Transaction{Author: t.core.Meta().Identity, API: wire.APIHigh, ClientVersion: "1.2.3"}
	for range 1 + w.random.IntN(5) {
		event, err := t.ids.New(t.device.clock())
		if err != nil {
			panic(err)
		}
		payload := digest.Of(event[:])
		transaction.Events = append(transaction.Events, space.Event{ID: event, Type: "message", Payload: payload[:w.random.IntN(32)]})
	}
	if w.chance(30) {
		transaction.Events[0].Type = "$reserved"
	} else if w.options.Engine != nil {
		t.means(id, transaction)
	}
	t.append(&pendingAppend{space: id, transaction: transaction, refused: w.chance(25)})
}
