package logtest

import (
	"bytes"
	"maps"
	"slices"
	"time"

	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/syncserver"
)

// oracle is what a log must hold, written down by the test as it goes.
type oracle struct {
	*suite
	authors []*author
	records map[space.ID][]space.Record
	ends    map[space.ID][]space.Position
	keys    map[string][]byte
	blobs   map[digest.Digest][]byte
	buckets map[string]*bucket
	at      int64
}

// testModel does random things to the log and compares every answer with the oracle's.
func testModel(s *suite) {
	o := &oracle{
		suite: s, records: map[space.ID][]space.Record{}, ends: map[space.ID][]space.Position{},
		keys: map[string][]byte{}, blobs: map[digest.Digest][]byte{}, buckets: map[string]*bucket{},
	}
	o.create()
	steps := []func(){
		o.create, o.appendGood, o.appendGood, o.appendGood, o.appendStale, o.appendKnown, o.read, o.read, o.read,
		o.chainBefore, o.known, o.head, o.expire, o.spaces, o.compareAndSet, o.scan, o.blob, o.charge,
	}
	for range soak(1500, 30_000) {
		steps[s.rng.IntN(len(steps))]()
		if s.Opened.Reopen != nil && s.rng.IntN(300) == 0 {
			s.must("Close", s.log.Close())
			s.log = s.Opened.Reopen()
		}
	}
	for _, a := range o.authors {
		s.check(s.log, a, o.records[a.id])
	}
	CheckUsage(s.ctx, s.T, s.log)
}

// pick returns a random space.
func (o *oracle) pick() *author { return o.authors[o.rng.IntN(len(o.authors))] }

// create makes a new space now and then, and creates an old one again otherwise.
func (o *oracle) create() {
	if len(o.authors) == 0 || o.rng.IntN(8) == 0 {
		a := o.space()
		o.authors = append(o.authors, a)
		o.ends[a.id] = []space.Position{space.Start(a.id)}
		return
	}
	if created, err := o.log.Create(o.ctx, &o.pick().genesis, nil); err != nil || created {
		o.Fatalf("Create again = %v, %v", created, err)
	}
}

func (o *oracle) appendGood() {
	a := o.pick()
	var sizes []int
	for range 1 + o.rng.IntN(3) {
		sizes = append(sizes, 1+o.rng.IntN(20))
	}
	o.records[a.id] = append(o.records[a.id], o.append(a, sizes...)...)
	o.ends[a.id] = append(o.ends[a.id], a.head.Position())
}

// appendStale appends on a head that the log had before, or never had.
func (o *oracle) appendStale() {
	a := o.pick()
	ends := o.ends[a.id]
	old := ends[o.rng.IntN(len(ends))]
	head := space.Head{Seq: old.Seq, Chain: old.Chain, ReceivedAt: a.head.ReceivedAt + 1}
	records, next := Batch(o.rng, head, 1+o.rng.IntN(3))
	if actual := headError(o.log.Append(o.ctx, a.id, head, records, next)); actual == nil || *actual != a.head {
		o.Fatalf("an append on an old head: the log ends at %v, want %+v", actual, a.head)
	}
}

// appendKnown repeats stored ids, or one of its own, among new ones.
func (o *oracle) appendKnown() {
	a := o.pick()
	records, next := a.batch(1+o.rng.IntN(40), 2)
	var want []space.ULID
	stored := o.records[a.id]
	for i := range records {
		switch {
		case len(stored) > 0 && o.rng.IntN(10) == 0:
			r := &stored[o.rng.IntN(len(stored))]
			if slices.Contains(want, r.ID) {
				continue
			}
			records[i].ID = r.ID
			want = append(want, r.ID)
		case i == len(records)-1 && !slices.Contains(want, records[0].ID):
			records[i].ID = records[0].ID
			want = append(want, records[0].ID)
		}
	}
	if len(want) == 0 {
		return
	}
	got := knownError(o.log.Append(o.ctx, a.id, a.head, records, next))
	slices.SortFunc(got, space.ULID.Compare)
	slices.SortFunc(want, space.ULID.Compare)
	if !slices.Equal(slices.Compact(got), want) {
		o.Fatalf("known ids %v, want %v", got, want)
	}
}

func (o *oracle) read() {
	a := o.pick()
	after := o.rng.Uint64N(a.head.Seq + 2)
	maxRecords, maxBytes := 1+o.rng.IntN(60), 1+o.rng.IntN(1<<o.rng.IntN(16))
	got, err := o.log.Read(o.ctx, a.id, after, maxRecords, maxBytes)
	o.must("Read", err)
	o.same(got, page(o.records[a.id], after, maxRecords, maxBytes))
}

func (o *oracle) chainBefore() {
	a := o.pick()
	seq := o.rng.Uint64N(a.head.Seq + 2)
	want := space.Start(a.id)
	for _, end := range o.ends[a.id] {
		if end.Seq <= seq {
			want = end
		}
	}
	if got, err := o.log.ChainBefore(o.ctx, a.id, seq); err != nil || got != want {
		o.Fatalf("ChainBefore(%d) = %d, %v; want %d", seq, got.Seq, err, want.Seq)
	}
}

func (o *oracle) known() {
	a := o.pick()
	ids := []space.ULID{newULID(o.rng)}
	want := []syncserver.Known{{}}
	for range o.rng.IntN(10) {
		if len(o.records[a.id]) > 0 {
			r := &o.records[a.id][o.rng.IntN(len(o.records[a.id]))]
			ids = append(ids, r.ID)
			want = append(want, syncserver.Known{Seq: r.Seq, Index: r.Index, Count: r.Count, Author: r.Author})
		}
	}
	if got, err := o.log.Known(o.ctx, a.id, ids); err != nil || !slices.Equal(got, want) {
		o.Fatalf("Known = %+v, %v; want %+v", got, err, want)
	}
}

func (o *oracle) head() {
	a := o.pick()
	if got, err := o.log.Head(o.ctx, a.id); err != nil || got != a.head {
		o.Fatalf("Head = %+v, %v; want %+v", got, err, a.head)
	}
}

// expire expires some of a space, now and then less than before.
func (o *oracle) expire() {
	a := o.pick()
	ends := o.ends[a.id]
	upto := ends[o.rng.IntN(len(ends))].Seq
	if o.rng.IntN(4) > 0 {
		upto /= 2 // in the middle of a transaction, perhaps: that is the caller's affair
	}
	o.must("Expire", o.log.Expire(o.ctx, a.id, upto))
	o.records[a.id] = left(o.records[a.id], upto)
	if gone, err := o.log.Expired(o.ctx, a.id); err != nil || gone < upto {
		o.Fatalf("Expired = %d, %v, behind %d", gone, err, upto)
	}
}

func (o *oracle) spaces() {
	after := o.pick().id
	compare := func(a, b space.ID) int { return bytes.Compare(a[:], b[:]) }
	var want []space.ID
	for _, a := range o.authors {
		if compare(a.id, after) > 0 {
			want = append(want, a.id)
		}
	}
	slices.SortFunc(want, compare)
	made := map[digest.Digest]int{}
	for _, a := range o.authors {
		made[a.genesis.Module]++
	}
	if got, err := o.log.Modules(o.ctx); err != nil || !maps.Equal(got, made) {
		o.Fatalf("Modules = %v, %v; want %v", got, err, made)
	}
	limit := o.rng.IntN(10)
	if got, err := o.log.Spaces(o.ctx, after, limit); err != nil || !slices.Equal(got, want[:min(limit, len(want))]) {
		o.Fatalf("Spaces = %d of %d, %v", len(got), len(want), err)
	}
}

// value returns nil, an empty or a short value.
func (o *oracle) value() []byte {
	return [][]byte{nil, {}, []byte("1"), []byte("2")}[o.rng.IntN(4)]
}

func (o *oracle) compareAndSet() {
	key := string(randomBytes(o.rng, 1)[0]&3) + "/" + string('a'+rune(o.rng.IntN(5)))
	old, value := o.value(), o.value()
	if o.rng.IntN(2) == 0 {
		old = o.keys[key]
	}
	actual, present := o.keys[key]
	want := present == (old != nil) && bytes.Equal(actual, old)
	if ok, err := o.log.CompareAndSet(o.ctx, key, old, value); err != nil || ok != want {
		o.Fatalf("CompareAndSet = %v, %v; want %v", ok, err, want)
	}
	if want && value == nil {
		delete(o.keys, key)
	} else if want {
		o.keys[key] = value
	}
}

func (o *oracle) scan() {
	prefix := string(randomBytes(o.rng, 1)[0]&3) + "/"
	var want []syncserver.KeyValue
	for _, key := range slices.Sorted(maps.Keys(o.keys)) {
		if key[:2] == prefix {
			want = append(want, syncserver.KeyValue{Key: key, Value: o.keys[key]})
		}
	}
	got, err := o.log.Scan(o.ctx, prefix, "", 100)
	if err != nil || !slices.EqualFunc(got, want, func(a, b syncserver.KeyValue) bool {
		return a.Key == b.Key && bytes.Equal(a.Value, b.Value)
	}) {
		o.Fatalf("Scan(%q) = %q, %v; want %q", prefix, got, err, want)
	}
}

func (o *oracle) blob() {
	content := randomBytes(o.rng, o.rng.IntN(3))
	name := digest.Of(content)
	_, want := o.blobs[name]
	if has, err := o.log.HasBlob(o.ctx, name); err != nil || has != want {
		o.Fatalf("HasBlob = %v, %v; want %v", has, err, want)
	}
	o.must("PutBlob", o.log.PutBlob(o.ctx, name, content))
	o.blobs[name] = content
	if got, err := o.log.Blob(o.ctx, name); err != nil || !bytes.Equal(got, content) {
		o.Fatalf("Blob = %x, %v; want %x", got, err, content)
	}
}

// charge charges some of a few keys; a denial must leave all of them as they were.
func (o *oracle) charge() {
	o.at += o.rng.Int64N(int64(2 * time.Second))
	var charges []syncserver.Charge
	var want time.Duration
	before := map[string]bucket{}
	for _, key := range []string{"x", "y", "z"} {
		if o.rng.IntN(3) == 0 {
			continue
		}
		b := o.buckets[key]
		if b == nil {
			b = newBucket()
			o.buckets[key] = b
		}
		before[key] = *b
		c := syncserver.Charge{Key: key, Interval: time.Second, Burst: 4, Cost: o.rng.IntN(6)}
		charges = append(charges, c)
		want = max(want, b.charge(c, o.at))
	}
	if want > 0 {
		for key, b := range before {
			*o.buckets[key] = b
		}
	}
	o.limit(o.at, charges, want)
}
