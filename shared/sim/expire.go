package sim

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"skerry/shared/hub"
	"skerry/shared/replica"
	"skerry/shared/space"
)

// In a world that expires the server forgets, now and then, what the beginning of a log said that it has a checkpoint behind: at once and
// while it sends that to somebody. Replicas that have less begin at the checkpoint; what they wrote and is sent again is known for ever.

// expireSome has some of a log expire that a checkpoint stands for.
func (w *World) expireSome(id space.ID, st *storedSpace) {
	if st.place <= st.expired {
		return
	}
	upto := w.between(st.expired+1, st.place)
	for upto > st.expired && !st.records[upto-1].Last() {
		upto--
	}
	if upto > st.expired {
		st.expired = upto
		w.expired++
		w.logf("records of %s have expired up to %d", short(id), upto)
		w.server.tellRow(id, st)
	}
}

// left returns what the log has of records.
func (st *storedSpace) left(records []space.Record) []space.Record {
	if len(records) == 0 || records[0].Seq > st.expired {
		return records
	}
	left := make([]space.Record, len(records))
	for i := range records {
		if left[i] = records[i]; records[i].Seq <= st.expired {
			left[i] = records[i].Tombstone()
		}
	}
	return left
}

// expiredIn returns up to where records of a space have expired.
func (s *server) expiredIn(id space.ID) uint64 {
	if st := s.stored[id]; st != nil {
		return st.expired
	}
	return 0
}

// tellRow tells those who are subscribed to a space of its checkpoint, and what has expired, as a server does.
func (s *server) tellRow(id space.ID, st *storedSpace) {
	var conns []*serverConn
	for _, c := range s.sessions {
		if !c.closed {
			conns = append(conns, c)
		}
	}
	slices.SortFunc(conns, func(a, b *serverConn) int { return cmp.Compare(a.id, b.id) })
	for _, c := range conns {
		s.stepConn(c, hub.Kept{Row: s.row(id), Seq: st.place})
	}
}

// weighDrop says how far a device may drop what has expired, as a shell does.
func (t *tab) weighDrop(ask replica.WeighDropEffect) {
	d := t.device
	before := uint64(math.MaxUint64)
	if st := d.world.server.stored[ask.Space]; st != nil && !d.world.calm && d.world.chance(3) {
		before = st.records[d.world.random.Uint64N(min(ask.Last, st.head.Seq))].ReceivedAt // to here it was received long ago
	}
	weighed := replica.WeighDrop(ask, before, func(after uint64) ([]space.Record, error) {
		if bad := d.bad[ask.Space]; bad > after {
			return nil, errDisk
		}
		return d.store.Read(ask.Space, after, 1+d.world.random.IntN(20), 1<<20), nil
	}, func() (*replica.Checkpoint, error) { return d.store.Checkpoint(ask.Space), nil })
	t.answer(weighed, replica.DropWeighed{Ref: ask.Ref, Space: ask.Space, Err: errDisk})
}

// checkDrop looks at what a device has dropped: nothing that had not expired.
func (d *device) checkDrop(part *replica.SpaceCommit) {
	st := d.world.server.stored[part.Space]
	if st == nil || part.Drop.Seq > st.expired || part.Drop.Chain != space.Fold(part.Space, st.records[:part.Drop.Seq]) {
		d.world.failf("%s: drops records of %s up to %d, which have not expired", d.name, short(part.Space), part.Drop.Seq)
		return
	}
	d.world.logf("%s drops records of %s up to %d", d.name, short(part.Space), part.Drop.Seq)
	d.world.dropped++
}

// expiredHere says what a device has of what has expired and should have dropped, or nothing.
func (d *device) expiredHere(s *replica.Summary, st *storedSpace) string {
	upto := min(st.expired, s.Info.Position.Seq-1)
	for upto > 0 && !st.records[upto-1].Last() {
		upto--
	}
	records := d.store.Read(s.Space, 0, 1, 1<<20)
	if len(records) == 0 || records[0].Seq > upto || records[0].Seq+uint64(records[0].Count) > upto+1 {
		return ""
	}
	return fmt.Sprintf("%s has records of %s from %d on, those up to %d have expired", d.name, short(s.Space), records[0].Seq, st.expired)
}
