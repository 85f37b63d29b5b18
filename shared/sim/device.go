package sim

import (
	"fmt"
	"maps"
	"slices"

	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// device is one store with the tabs over it.
type device struct {
	world       *World
	name        string
	locks       bool // the platform has Web Locks
	mute        bool // its tabs cannot tell each other anything
	flaky       int  // one in so many operations of its disk fails while there is trouble; 0: none
	skew        int64
	partitioned bool
	bootAfter   uint64 // see replica.Config

	store   *replica.Model // as the tabs see it
	flushed *replica.Model // as it would be found after a loss of power
	seen    map[space.ID]uint64
	// bad are the first records that cannot be read, and badFlushed what of that a loss of power brings back.
	bad, badFlushed map[space.ID]uint64
	keys            map[space.ID]map[space.ULID]uint64 // outbox keys of transactions that were appended once
	again           map[space.ID]map[space.ULID]bool   // appended more than once: they have no single place in the outbox

	tabs   []*tab
	holder *tab
	queue  []*tab
}

func newDevice(w *World, i int) *device {
	d := &device{
		world: w, name: fmt.Sprintf("d%d", i), locks: !w.chance(6), seen: make(map[space.ID]uint64),
		bad: make(map[space.ID]uint64), badFlushed: make(map[space.ID]uint64),
		skew: int64(w.random.IntN(10*86_400_000)) - 5*86_400_000,
		keys: make(map[space.ID]map[space.ULID]uint64), again: make(map[space.ID]map[space.ULID]bool),
	}
	var session wire.SessionID
	seeded{w.random}.Read(session[:])
	identity := d.name
	if w.chance(3) {
		identity = "shared" // a second device of the same person
	}
	if w.chance(2) {
		d.flaky = 5 << w.random.IntN(8)
	}
	d.store = replica.NewModel(identity, session)
	d.flushed = d.store.Clone()
	for j := range 1 + w.random.IntN(w.options.Tabs) {
		d.tabs = append(d.tabs, &tab{device: d, index: j, looks: make(map[space.ID]bool)})
	}
	d.mute = w.chance(8)
	if w.options.Boots {
		d.bootAfter = w.between(1, 12)
	}
	return d
}

func (d *device) start() {
	for _, t := range d.tabs {
		d.world.after(d.world.random.Uint64N(3000), t.start)
	}
}

func (d *device) clock() uint64 { return uint64(int64(d.world.now) + 1_800_000_000_000 + d.skew) }

// grant gives the lock to whoever waits first, if it is free.
func (d *device) grant() {
	if d.holder != nil || len(d.queue) == 0 {
		return
	}
	t := d.queue[0]
	d.queue = d.queue[1:]
	d.holder = t
	life := t.life
	d.world.after(d.world.between(5, 80), func() {
		if t.life == life && d.holder == t && t.core != nil {
			loaded := d.store.RaiseEpoch()
			d.flush()
			d.world.logf("%s leads epoch %d", t, loaded.Meta.Epoch)
			t.step(replica.Led{Loaded: loaded})
		}
	})
}

func (d *device) release(t *tab) {
	d.queue = slices.DeleteFunc(d.queue, func(other *tab) bool { return other == t })
	if d.holder == t {
		d.holder = nil
		d.grant()
	}
}

// steal takes the lock from its holder, which learns of it when it runs again.
func (d *device) steal() {
	if d.holder == nil || len(d.queue) == 0 {
		return
	}
	old := d.holder
	d.world.logf("%s loses the lock", old)
	d.holder = nil
	d.grant()
	life := old.life
	d.world.after(d.world.between(1, 500), func() {
		if old.life == life && old.core != nil {
			old.step(replica.Following{})
			d.world.after(30_000, func() {
				if old.life == life && old.core != nil {
					old.contend()
				}
			})
		}
	})
}

// losePower crashes every tab and takes the store back to what was flushed.
func (d *device) losePower() {
	d.world.logf("%s loses power", d.name)
	for _, t := range d.tabs {
		t.crash()
		t.unacknowledged = nil // the page is gone too
		t.looks = make(map[space.ID]bool)
	}
	d.store, d.bad = d.flushed.Clone(), maps.Clone(d.badFlushed)
	for id, seq := range d.seen {
		d.seen[id] = min(seq, d.store.Refresh(id).Info.Position.Seq)
	}
}

func (d *device) flush() { d.flushed, d.badFlushed = d.store.Clone(), maps.Clone(d.bad) }

// note looks at what a commit made of the store.
func (d *device) note(before *replica.Model, c *replica.Commit, result *replica.CommitResult) {
	keys := result.Keys
	for i := range c.Spaces {
		part := &c.Spaces[i]
		if d.keys[part.Space] == nil {
			d.keys[part.Space] = make(map[space.ULID]uint64)
			d.again[part.Space] = make(map[space.ULID]bool)
		}
		for j := range part.Append {
			id := part.Append[j].ID
			if key := keys[j]; key != 0 {
				if d.keys[part.Space][id] != 0 {
					d.again[part.Space][id] = true
				}
				d.keys[part.Space][id] = key
			}
		}
		for _, id := range part.Retry {
			d.again[part.Space][id] = true
		}
		keys = keys[len(part.Append)+len(part.Retry):]
		if part.Drop != nil {
			d.checkDrop(part)
		}
		seq := d.store.Refresh(part.Space).Info.Position.Seq
		if part.Fork != nil {
			d.seen[part.Space] = seq
			continue
		}
		if bad := d.bad[part.Space]; part.Cut && seq < bad {
			d.world.logf("%s cuts %s back to %d, below %d", d.name, short(part.Space), seq, bad)
			delete(d.bad, part.Space)
		} else if part.Cut && d.locks && !(d.world.restored != nil && unjumps(before, part)) {
			d.world.failf("%s: %s is cut to %d, and nothing below %d was bad", d.name, short(part.Space), seq, bad)
		} else if !part.Cut && seq < d.seen[part.Space] {
			d.world.failf("%s: the position in %s goes back from %d to %d", d.name, short(part.Space), d.seen[part.Space], seq)
		}
		d.seen[part.Space] = seq
	}
}

// unjumps reports whether a cut takes a space back to where it was before a checkpoint that the server lost, with nothing behind that.
func unjumps(before *replica.Model, part *replica.SpaceCommit) bool {
	holes := before.Refresh(part.Space).Info.Holes
	n := len(holes)
	return n > 0 && holes[n-1].Until.Seq == part.Expect.Seq && holes[n-1].After.Seq == part.Position.Seq
}

// rot makes a record of some space unreadable, which a tab finds out sooner or later.
func (d *device) rot() {
	w := d.world
	for _, summary := range d.store.Load().Spaces {
		if n := summary.Info.Position.Seq; n > summary.Info.Base(summary.Space).Seq && d.bad[summary.Space] == 0 && w.chance(3) {
			seq := w.between(summary.Info.Base(summary.Space).Seq+1, n)
			w.logf("%s: record %d of %s goes bad", d.name, seq, short(summary.Space))
			d.bad[summary.Space], d.badFlushed[summary.Space] = seq, seq
			d.findLater(summary.Space)
		}
	}
}

// findLater lets tabs read what is bad, until it is mended.
func (d *device) findLater(id space.ID) {
	w := d.world
	w.after(w.between(1, 20_000), func() {
		if d.bad[id] == 0 && (w.calm || d.badFlushed[id] == 0) {
			return
		}
		if t := d.tabs[w.random.IntN(len(d.tabs))]; d.bad[id] != 0 {
			t.step(replica.Damaged{Space: id})
		}
		d.findLater(id)
	})
}

// check looks how far the records of a space are whole, as a shell does.
func (d *device) check(id space.ID) replica.Checked {
	at := d.store.Refresh(id).Info.Position
	checked := replica.Checked{Space: id, Sound: at}
	if bad := d.bad[id]; bad != 0 && bad <= at.Seq {
		info := d.store.Refresh(id).Info
		base := info.Base(id)
		checked.Damaged, checked.Sound = true, base
		if bad <= base.Seq { // in what was left out since, or is below it
			checked.Sound = space.Start(id)
			return checked
		}
		records := d.store.Read(id, base.Seq, 1<<30, 1<<30)
		for i := range records {
			if r := &records[i]; r.Seq < bad && r.Last() && d.world.chance(2) {
				checked.Sound = space.Position{Seq: r.Seq, Chain: space.Fold(base.Chain, records[:i+1])}
			}
		}
	}
	return checked
}
