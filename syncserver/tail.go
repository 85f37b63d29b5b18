package syncserver

import (
	"sort"

	"skerry/shared/digest"
	"skerry/shared/hub"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// A tail holds at most tailBytes of a space, encoded, and tailFew while all tails of the server hold more than
// tailBudget; more only if one transaction is bigger. It remembers tailFrames messages.
const (
	tailBytes  = 256 << 10
	tailFew    = 16 << 10
	tailBudget = 64 << 20
	tailFrames = 4
)

// tail is the newest committed records of one space, encoded once for all of its readers. It is not safe for
// concurrent use.
type tail struct {
	encoded []byte         // records, one AppendRecord after the other
	ends    []tailEnd      // of the transactions in encoded, ascending
	before  space.Position // where the first transaction begins
	frames  []tailFrame    // the newest messages made from it
}

// tailEnd is where a transaction ends: in the log, and in tail.encoded.
type tailEnd struct {
	seq    uint64
	chain  digest.Digest
	offset int
}

// tailFrame is one Events message ready to be sent.
type tailFrame struct {
	after    uint64
	position space.Position
	message  []byte
}

// newTail returns a tail that begins at a position.
func newTail(at space.Position) *tail { return &tail{before: at} }

// head returns where the tail ends.
func (t *tail) head() (seq uint64, chain digest.Digest) {
	if len(t.ends) == 0 {
		return t.before.Seq, t.before.Chain
	}
	end := t.ends[len(t.ends)-1]
	return end.seq, end.chain
}

// size returns about how much memory the tail's records take.
func (t *tail) size() int64 {
	if t == nil {
		return 0
	}
	return int64(cap(t.encoded) + cap(t.ends)*48)
}

// add appends committed records, which follow on the tail's head and end with a whole transaction, and then keeps the
// newest of all within limit.
func (t *tail) add(records []space.Record, limit int) {
	_, chain := t.head()
	for i := range records {
		r := &records[i]
		chain = space.Chain(chain, r)
		t.encoded = wire.AppendRecord(t.encoded, r)
		if r.Last() {
			t.ends = append(t.ends, tailEnd{r.Seq, chain, len(t.encoded)})
		}
	}
	if len(t.encoded) > limit {
		t.trim(limit / 2)
	}
}

// trim drops the oldest transactions until no more than keep bytes are left. That is half of the room, so that it runs
// rarely.
func (t *tail) trim(keep int) {
	size := len(t.encoded)
	drop := 0
	for drop < len(t.ends)-1 && (drop == 0 || size-t.ends[drop-1].offset > keep) {
		drop++
	}
	if drop == 0 {
		return
	}
	last := t.ends[drop-1]
	t.before = space.Position{Seq: last.seq, Chain: last.chain}
	// Fresh arrays: nothing that was handed out changes, and what was dropped is freed.
	t.encoded = append(make([]byte, 0, 2*(size-last.offset)), t.encoded[last.offset:]...)
	ends := make([]tailEnd, 0, len(t.ends))
	for _, end := range t.ends[drop:] {
		end.offset -= last.offset
		ends = append(ends, end)
	}
	t.ends, t.frames = ends, nil
}

// endsAt reports whether the tail ends at a head.
func (t *tail) endsAt(head space.Head) bool {
	seq, chain := t.head()
	return seq == head.Seq && chain == head.Chain
}

// chainAt returns the chain at a number that ends a transaction in the tail, or where the tail begins.
func (t *tail) chainAt(seq uint64) (digest.Digest, bool) {
	if seq == t.before.Seq {
		return t.before.Chain, true
	}
	i := t.find(seq)
	if i < len(t.ends) && t.ends[i].seq == seq {
		return t.ends[i].chain, true
	}
	return digest.Digest{}, false
}

// find returns the index of the first transaction that ends at or after seq.
func (t *tail) find(seq uint64) int {
	return sort.Search(len(t.ends), func(i int) bool { return t.ends[i].seq >= seq })
}

// read answers a request for the records after a place, up to read.Until and no further; ok is false if the place is not in the tail. Equal places
// get the same message.
func (t *tail) read(config *hub.Config, read *hub.ReadEvents) (result hub.EventsRead, ok bool) {
	chain, ok := t.chainAt(read.After)
	if !ok || chain != read.Chain {
		return result, false
	}
	head, _ := t.head()
	result = hub.EventsRead{Space: read.Space, Ref: read.Ref, Head: head}
	if read.After == head {
		return result, read.Until <= head // else the log has more: an append was stored whose answer was lost
	}
	if read.Until <= read.After {
		result.Head = read.After
		return result, true
	}
	first, start := 0, 0
	if read.After > t.before.Seq {
		i := t.find(read.After)
		first, start = i+1, t.ends[i].offset
	}
	last := first
	for last+1 < len(t.ends) && t.ends[last+1].seq <= read.Until && t.ends[last+1].offset-start <= read.MaxBytes && t.ends[last+1].seq-read.After <= uint64(read.MaxRecords) {
		last++
	}
	end := t.ends[last]
	for _, f := range t.frames {
		if f.after == read.After && f.position.Seq == end.seq {
			result.Message, result.Position = f.message, f.position
			return result, true
		}
	}
	seal := config.Seal(read.Space, end.seq, end.chain)
	result.Position = space.Position{Seq: end.seq, Chain: end.chain, Seal: seal}
	records := t.encoded[start:end.offset]
	result.Message = wire.AppendEvents(make([]byte, 0, len(records)+160), read.Space, int(end.seq-read.After), records, result.Position)
	if len(t.frames) == tailFrames {
		t.frames = append(t.frames[:0], t.frames[1:]...)
	}
	t.frames = append(t.frames, tailFrame{read.After, result.Position, result.Message})
	return result, true
}
