package sim

import (
	"skerry/shared/digest"
	"skerry/shared/hub"
	"skerry/shared/module"
	"skerry/shared/space"
)

// storedSpace is what the server's log holds of one space. All of it is durable.
type storedSpace struct {
	genesis   space.Genesis
	signature []byte
	records   []space.Record
	ends      []space.Position // where each append ended
	head      space.Head
	known     map[space.ULID]int // index in records
	kept      []checkpoint       // of its tables
	told      bool               // the directory says that it was deleted
	freed     bool               // nobody is sent any of it
	place     uint64             // of the newest checkpoint that the directory tells of; 0: of none
	placeRoot digest.Digest
	expired   uint64 // records up to it are sent to nobody; they stay here, to be compared with
}

// deleted returns the id of the record that deleted the space, if one did.
func (st *storedSpace) deleted() (id space.ULID, ok bool) {
	if n := len(st.records); n > 0 && st.records[n-1].Type == module.TypeDelete {
		return st.records[n-1].ID, true
	}
	return id, false
}

func (st *storedSpace) append(w *World, id space.ID, ask *hub.Append) hub.Outcome {
	if st.head != ask.Previous {
		return hub.Stale
	}
	for i := range ask.Records {
		if _, ok := st.known[ask.Records[i].ID]; ok {
			w.failf("%s: the hub appends the id %s again", short(id), ask.Records[i].ID)
			return hub.Stale
		}
	}
	chain := st.head.Chain
	for i := range ask.Records {
		r := &ask.Records[i]
		if r.Seq != st.head.Seq+1+uint64(i) || r.ReceivedAt < st.head.ReceivedAt {
			w.failf("%s: record %d follows on %d, received at %d after %d", short(id), r.Seq, st.head.Seq, r.ReceivedAt, st.head.ReceivedAt)
		}
		chain = space.Chain(chain, r)
		st.known[r.ID] = len(st.records)
		st.records = append(st.records, *r)
	}
	if chain != ask.Next.Chain || ask.Next.Seq != st.head.Seq+uint64(len(ask.Records)) {
		w.failf("%s: the hub proposes a head that its records do not lead to", short(id))
	}
	w.noteStored(id, ask.Records)
	st.head = ask.Next
	st.ends = append(st.ends, st.head.Position())
	w.logf("log %s: %d records to %d", short(id), len(ask.Records), st.head.Seq)
	return hub.Stored
}

// source reads the stored records as the hub's helpers want it.
func (st *storedSpace) source() storedSource { return storedSource{st} }

type storedSource struct{ *storedSpace }

func (s storedSource) Read(after uint64, maxRecords, maxBytes int) ([]space.Record, error) {
	bytes, to := 0, int(after)
	for i := int(after); i < len(s.records); {
		count := int(s.records[i].Count - s.records[i].Index) // who reads backwards may begin within a transaction
		for j := i; j < i+count; j++ {
			bytes += s.records[j].Size()
		}
		if i > int(after) && (i+count-int(after) > maxRecords || bytes > maxBytes) {
			break
		}
		i += count
		to = i
	}
	return s.left(s.records[after:to]), nil
}

func (s storedSource) ChainBefore(seq uint64) (space.Position, error) {
	best := space.Position{Chain: s.genesis.ID()}
	for _, end := range s.ends {
		if end.Seq <= seq {
			best = end
		}
	}
	return best, nil
}
