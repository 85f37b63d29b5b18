package sim

import "skerry/shared/space"

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
