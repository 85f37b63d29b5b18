package sim

import (
	"skerry/shared/digest"
	"skerry/shared/hub"
	"skerry/shared/module"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
)

// In a world that boots the server keeps a checkpoint of each space now and then, of no tables, and replicas begin there that are a few records
// behind. What they leave out they fetch when somebody reads it, and at the end all of it.

// keepPlaces has the server keep a checkpoint of the end of some logs, now and then.
func (w *World) keepPlaces() {
	w.after(w.between(200, 4000), func() {
		if w.calm {
			return
		}
		for _, id := range sortedIDs(w.server.stored) {
			st := w.server.stored[id]
			if st.head.Seq > 0 && w.chance(3) {
				w.server.keepPlace(id, st)
				if w.options.Expires {
					w.server.tellRow(id, st)
				}
			}
			if w.options.Expires && w.chance(4) {
				w.expireSome(id, st)
			}
		}
		w.keepPlaces()
	})
}

func (s *server) keepPlace(id space.ID, st *storedSpace) {
	set, err := tables.New(nil)
	if err != nil {
		panic(err)
	}
	root, err := set.AppendCheckpoint(nil, &tables.Checkpoint{Space: id, Seq: st.head.Seq, Chain: st.head.Chain, Module: module.Open}, nil)
	if err != nil {
		panic(err)
	}
	st.place, st.placeRoot = st.head.Seq, digest.Of(root)
	s.blobs[st.placeRoot] = root
	s.world.logf("server keeps %s at %d", short(id), st.place)
}

// page answers a fetch.
func (s *server) page(c *serverConn, f *wire.Fetch) {
	s.later(func() {
		read := hub.PageRead{Ref: f.Ref, Code: wire.CodeUnknownSpace}
		if st := s.stored[f.Space]; st != nil {
			message, err := hub.PageMessage(s.config, st.source(), s.space(f.Space).head, f)
			if read.Message, read.Code = message, 0; err != nil {
				read.Code = wire.CodeOf(err)
			}
		}
		s.stepConn(c, read)
	})
}

// storeCheckpoint keeps what the core fetched.
func (t *tab) storeCheckpoint(ask replica.StoreCheckpointEffect) {
	kept := replica.CheckpointKept{Space: ask.Space, Root: ask.Root}
	if fault := t.device.fault(); fault == "before" {
		kept.Err = errDisk
	} else if t.device.store.PutCheckpoint(ask.Space, ask.Checkpoint); fault != "" {
		kept.Err = errDisk
	}
	t.report(t.life, kept)
}

// readHistory reads something that the device does not have, if there is anything.
func (t *tab) readHistory() {
	w := t.device.world
	for _, summary := range t.device.store.Load().Spaces {
		if holes := summary.Info.Holes; len(holes) > 0 && w.chance(2) {
			h := holes[w.random.IntN(len(holes))]
			t.step(replica.WantHistory{Space: summary.Space, Seq: w.between(h.After.Seq+1, h.Until.Seq)})
		}
	}
}

// readAll has every device read what it does not have, and reports whether there was any.
func (w *World) readAll() (more bool) {
	for _, d := range w.devices {
		for _, summary := range d.store.Load().Spaces {
			holes := summary.Info.Holes
			for len(holes) > 0 && holes[0].Until.Seq <= w.server.expiredIn(summary.Space) {
				holes = holes[1:] // nobody has that any more
			}
			if len(holes) > 0 && !summary.Info.Deleted {
				more = true
				for _, t := range d.tabs {
					t.step(replica.WantHistory{Space: summary.Space, Seq: holes[0].Until.Seq})
				}
			}
		}
	}
	return more
}

// records returns what a device has of a space, whatever is missing in between.
func (d *device) records(id space.ID, after uint64) (all []space.Record) {
	return recordsOf(d.store, id, after)
}

func recordsOf(store *replica.Model, id space.ID, after uint64) (all []space.Record) {
	for {
		records := store.Read(id, after, 1<<30, 1<<30)
		if len(records) == 0 {
			return all
		}
		all, after = append(all, records...), records[len(records)-1].Seq
	}
}

// checkHoles checks that what is missing of a space is what the store says, and that it has the chains on both sides.
func (d *device) checkHoles(id space.ID, st *storedSpace, info *replica.SpaceInfo) {
	w := d.world
	records, next := d.records(id, 0), uint64(1)
	for i := range records {
		for hole := info.HoleAt(next); hole != nil && next != records[i].Seq; hole = info.HoleAt(next) {
			next = hole.Until.Seq + 1
		}
		if records[i].Seq != next || info.HoleAt(next) != nil || space.Chain(digest.Digest{}, &records[i]) != space.Chain(digest.Digest{}, &st.records[next-1]) {
			w.failf("%s: record %d of %s is another one than the log's, or missing, or there though it is said to be missing", d.name, next, short(id))
			return
		}
		next++
	}
	for _, h := range info.Holes {
		if h.After.Chain != space.Fold(id, st.records[:h.After.Seq]) || h.Until.Chain != space.Fold(id, st.records[:h.Until.Seq]) {
			w.failf("%s: the hole %d to %d of %s has other chains than the log", d.name, h.After.Seq+1, h.Until.Seq, short(id))
		}
	}
	w.booted += len(info.Holes)
}
