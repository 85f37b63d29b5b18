package storetest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"skerry/shared/digest"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/wasmclient"
)

// handle is an open store whose failures end the test.
type handle struct {
	wasmclient.Store
	s *suite
}

func (h handle) commit(c replica.Commit) *replica.CommitResult {
	h.s.Helper()
	result, err := h.Commit(h.s.ctx, &c)
	if err != nil {
		h.s.Fatalf("commit: %v", err)
	}
	if result.Stale {
		h.s.Fatalf("commit: stale at epoch %d", result.Epoch)
	}
	if len(result.Versions) != len(c.Spaces) {
		h.s.Fatalf("commit: %d versions for %d spaces", len(result.Versions), len(c.Spaces))
	}
	return result
}

// change commits parts with nothing else.
func (h handle) change(parts ...replica.SpaceCommit) *replica.CommitResult {
	h.s.Helper()
	return h.commit(replica.Commit{Spaces: parts})
}

// stale commits what must come back stale.
func (h handle) stale(c replica.Commit) *replica.CommitResult {
	h.s.Helper()
	result, err := h.Commit(h.s.ctx, &c)
	if err != nil {
		h.s.Fatalf("commit: %v", err)
	}
	if !result.Stale || result.Versions != nil || result.Keys != nil {
		h.s.Fatalf("commit: got %+v, want stale", result)
	}
	return result
}

func (h handle) load() *replica.Loaded {
	h.s.Helper()
	return try(h.Load(h.s.ctx)).or(h.s, "load")
}

func (h handle) refresh(id space.ID) *replica.Snapshot {
	h.s.Helper()
	return try(h.Refresh(h.s.ctx, id)).or(h.s, "refresh")
}

func (h handle) outbox(id space.ID) []replica.OutboxRow {
	h.s.Helper()
	return try(h.Outbox(h.s.ctx, id, 0, 1<<30)).or(h.s, "outbox")
}

func (h handle) rejected(id space.ID) []replica.RejectedRow {
	h.s.Helper()
	return try(h.Rejected(h.s.ctx, id)).or(h.s, "rejected")
}

func (h handle) read(id space.ID, after uint64, limit, maxBytes int) []space.Record {
	h.s.Helper()
	records := try(h.Read(h.s.ctx, id, after, limit, maxBytes)).or(h.s, "read")
	if reader, ok := h.Store.(wasmclient.EncodedReader); ok {
		encoded, n, last, err := reader.ReadEncoded(h.s.ctx, id, after, limit, maxBytes)
		want := after
		if len(records) > 0 {
			want = records[len(records)-1].Seq
		}
		if err != nil || n != len(records) || last != want || !bytes.Equal(encoded, encode(records)) {
			h.s.Fatalf("after %d, limit %d, %d bytes: read encoded are %d records to number %d, %v; want %d to %d, or their bytes differ",
				after, limit, maxBytes, n, last, err, len(records), want)
		}
	}
	return records
}

func (h handle) readBefore(id space.ID, before uint64, limit, maxBytes int) []space.Record {
	h.s.Helper()
	return try(h.ReadBefore(h.s.ctx, id, before, limit, maxBytes)).or(h.s, "read before")
}

// outcome is what a call returned; or ends the test if it failed.
type outcome[T any] struct {
	value T
	err   error
}

func try[T any](value T, err error) outcome[T] { return outcome[T]{value, err} }

func (o outcome[T]) or(s *suite, verb string) T {
	s.Helper()
	if o.err != nil {
		s.Fatalf("%s: %v", verb, o.err)
	}
	return o.value
}

// everything is all that can be read of a store, as text: equal texts are equal stores. Keys of the outbox are
// left out, since only their order is promised.
func (h handle) everything() string {
	h.s.Helper()
	return describe(h.s, h.Store)
}

func describe(s *suite, store wasmclient.Store) string {
	s.Helper()
	var b strings.Builder
	loaded := try(store.Load(s.ctx)).or(s, "load")
	fmt.Fprintf(&b, "%q %x epoch %d server %x since %q\n", loaded.Meta.Identity, loaded.Meta.Session, loaded.Meta.Epoch, loaded.Meta.Server, loaded.Meta.Since)
	for _, summary := range loaded.Spaces {
		fmt.Fprintf(&b, "space %v version %d outbox %d rejected %d lost %d: %s\n", summary.Space, summary.Version, summary.Outbox, summary.Rejected, summary.Lost, infoText(&summary.Info))
		describeSpace(s, &b, store, summary.Space)
	}
	return b.String()
}

func describeSpace(s *suite, b *strings.Builder, store wasmclient.Store, id space.ID) {
	s.Helper()
	snapshot := try(store.Refresh(s.ctx, id)).or(s, "refresh")
	fmt.Fprintf(b, " known %v version %d epoch %d lost %d: %s\n", snapshot.Known, snapshot.Version, snapshot.Epoch, snapshot.Lost, infoText(&snapshot.Info))
	for i := range snapshot.Outbox {
		fmt.Fprintf(b, " entry %s\n", entryText(&snapshot.Outbox[i]))
	}
	for _, row := range snapshot.Rejected {
		fmt.Fprintf(b, " refused %v at %d: %d %q by %q\n", row.ID, row.AppendedAt, row.Code, row.Reason, row.By)
	}
	rows := try(store.Outbox(s.ctx, id, 0, 1<<30)).or(s, "outbox")
	for i := range rows {
		fmt.Fprintf(b, " row %s %x\n", entryText(&rows[i].Entry), transactionDigest(&rows[i].Transaction))
	}
	for _, row := range try(store.Rejected(s.ctx, id)).or(s, "rejected") {
		fmt.Fprintf(b, " rejected %v at %d: %d %q by %q %x\n", row.ID, row.AppendedAt, row.Code, row.Reason, row.By, transactionDigest(&row.Transaction))
	}
	for _, row := range try(store.Lost(s.ctx, id)).or(s, "lost") {
		fmt.Fprintf(b, " lost %v at %d: %d %q by %q %x\n", row.ID, row.ReceivedAt, row.Code, row.Reason, row.By, transactionDigest(&row.Transaction))
	}
	if c := try(Checkpoint(s.ctx, store, id)).or(s, "read a checkpoint"); c != nil {
		fmt.Fprintf(b, " checkpoint %s\n", checkpointText(c))
	}
	// Where a page ends is the store's choice; where a stretch of records does is not.
	first, after := uint64(0), uint64(0)
	var stretch []byte
	for {
		records := try(store.Read(s.ctx, id, after, 1000, 1<<20)).or(s, "read")
		if len(stretch) > 0 && (len(records) == 0 || records[0].Seq != after+1) {
			fmt.Fprintf(b, " records %d to %d %v\n", first, after, digest.Of(stretch))
			stretch = stretch[:0]
		}
		if len(records) == 0 {
			return
		}
		if len(stretch) == 0 {
			first = records[0].Seq
		}
		after = records[len(records)-1].Seq
		stretch = append(stretch, encode(records)...)
	}
}

func infoText(info *replica.SpaceInfo) string {
	genesis := []byte("none")
	if info.Genesis != nil {
		genesis = wire.AppendGenesis(nil, info.Genesis)
	}
	return fmt.Sprintf("genesis %x signature %x created %v pinned %v deleted %v damaged %d module %v %v holes %v dropped %d", genesis, info.GenesisSignature, info.Created, info.Pinned, info.Deleted, info.Damaged, info.Module, info.Position, info.Holes, info.Dropped)
}

func entryText(e *replica.Entry) string {
	return fmt.Sprintf("%v %q size %d state %d %v at %d: %d %q retry %d", e.ID, e.Author, e.Size, e.State, e.Position, e.AppendedAt, e.Code, e.Reason, e.RetryAt)
}

func transactionDigest(t *space.Transaction) digest.Digest {
	return digest.Of(wire.AppendTransaction(nil, t))
}

func recordsDigest(records []space.Record) digest.Digest {
	return digest.Of(encode(records))
}

func encode(records []space.Record) []byte {
	var b []byte
	for i := range records {
		b = wire.AppendRecord(b, &records[i])
	}
	return b
}

// feed is the log of one space, from which the suite takes runs of records.
type feed struct {
	id       space.ID
	info     replica.SpaceInfo
	position space.Position
	records  []space.Record // all that were made
	made     uint64         // transactions, for their ids
}

func newFeed(n uint64) *feed {
	genesis := &space.Genesis{Stamp: ulid(n, 0), Creator: "did:key:creator", Module: digest.Of([]byte("module")), Params: []byte{0x80}}
	return &feed{
		id:       genesis.ID(),
		info:     replica.SpaceInfo{Genesis: genesis, GenesisSignature: []byte("signature"), Position: space.Start(genesis.ID())},
		position: space.Start(genesis.ID()),
	}
}

func ulid(high, low uint64) (id space.ULID) {
	binary.BigEndian.PutUint64(id[:8], high+1)
	binary.BigEndian.PutUint64(id[8:], low)
	return id
}

// transaction makes the next transaction of the space, of as many events as there are sizes of payloads.
func (f *feed) transaction(sizes ...int) space.Transaction {
	f.made++
	t := space.Transaction{Author: "did:key:author", API: wire.APIHigh, ClientVersion: "test"}
	for i, size := range sizes {
		payload := make([]byte, size)
		for j := range payload {
			payload[j] = byte(f.made + uint64(i+j))
		}
		t.Events = append(t.Events, space.Event{
			ID: ulid(f.made, uint64(i)), Type: "message.post", Schema: space.Schema{1, byte(i)}, Payload: payload,
		})
	}
	return t
}

// row makes an outbox row of the next transaction.
func (f *feed) row(sizes ...int) replica.OutboxRow { return rowOf(f.transaction(sizes...)) }

func rowOf(t space.Transaction) replica.OutboxRow {
	return replica.OutboxRow{Entry: replica.Entry{ID: t.ID(), AppendedAt: 1000 + uint64(len(t.Events))}, Transaction: t}
}

// append makes a commit that appends rows.
func (f *feed) append(rows ...replica.OutboxRow) replica.SpaceCommit {
	return replica.SpaceCommit{Space: f.id, Append: rows}
}

// insert makes a commit that inserts the space.
func (f *feed) insert() replica.SpaceCommit {
	info := f.info
	return replica.SpaceCommit{Space: f.id, Insert: &info}
}

// run makes the commit that stores transactions as the next run of records, and settles them.
func (f *feed) run(transactions ...space.Transaction) replica.SpaceCommit {
	before := f.position
	part := replica.SpaceCommit{Space: f.id, Expect: &before, First: before.Seq + 1}
	var records []space.Record
	for i := range transactions {
		next := before.Seq + uint64(len(records)) + 1
		records = append(records, transactions[i].Records(next, 5000+next)...)
		part.Settle = append(part.Settle, transactions[i].ID())
	}
	f.records = append(f.records, records...)
	f.position.Seq += uint64(len(records))
	f.position.Chain = space.Fold(before.Chain, records)
	f.position.Seal = digest.Of(f.position.Chain[:])
	after := f.position
	part.Records, part.Last, part.Position = encode(records), after.Seq, &after
	return part
}

// runOf makes the next run, of n transactions with one event each.
func (f *feed) runOf(n, size int) replica.SpaceCommit {
	transactions := make([]space.Transaction, n)
	for i := range transactions {
		transactions[i] = f.transaction(size)
	}
	return f.run(transactions...)
}

// wantRecords checks that got are records of the feed from number first on, n of them.
func (f *feed) wantRecords(s *suite, got []space.Record, first uint64, n int) {
	s.Helper()
	if len(got) != n {
		s.Fatalf("got %d records, want %d from number %d on", len(got), n, first)
	}
	if n > 0 && recordsDigest(got) != recordsDigest(f.records[first-1:first-1+uint64(n)]) {
		s.Fatalf("records %d to %d are not those of the space", first, first+uint64(n)-1)
	}
}

// skip makes the commit that goes on without the next n transactions of one event each.
func (f *feed) skip(n int) replica.SpaceCommit {
	part := f.runOf(n, 10)
	return replica.SpaceCommit{Space: f.id, Expect: part.Expect, Position: part.Position}
}

// page makes the commit that puts the records from number first on into the hole that ends with number last.
func (f *feed) page(first, last uint64) replica.SpaceCommit {
	before := space.Fold(space.Start(f.id).Chain, f.records[:first-1])
	return replica.SpaceCommit{Space: f.id, Page: &replica.Page{
		Until: space.Position{Seq: last, Chain: space.Fold(before, f.records[first-1:last])},
		First: first, Before: before, Records: encode(f.records[first-1 : last]),
	}}
}
