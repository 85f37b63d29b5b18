package storetest

import (
	"fmt"
	"slices"

	"skerry/shared/digest"
	"skerry/shared/replica"
	"skerry/shared/space"
)

func testVersions(s *suite) {
	h := s.open()
	a, b := newFeed(1), newFeed(2)
	if got := h.change(a.insert(), b.insert()).Versions; !slices.Equal(got, []uint64{1, 1}) {
		s.Fatalf("first versions are %v", got)
	}
	if got := h.change(b.append(b.row(1))).Versions; !slices.Equal(got, []uint64{2}) {
		s.Fatalf("the version after an append is %v", got)
	}
	if got := h.change(b.runOf(1, 1), a.runOf(1, 1)).Versions; !slices.Equal(got, []uint64{3, 2}) {
		s.Fatalf("versions are %v, want them in the order of the commit's spaces", got)
	}
	if got := h.change(replica.SpaceCommit{Space: a.id}).Versions; !slices.Equal(got, []uint64{3}) {
		s.Fatalf("the version after a commit that changes nothing is %v", got)
	}
	if va, vb := h.refresh(a.id).Version, h.refresh(b.id).Version; va != 3 || vb != 3 {
		s.Fatalf("versions read are %d and %d", va, vb)
	}
	for _, summary := range h.load().Spaces {
		if summary.Version != 3 {
			s.Fatalf("versions loaded are %+v", summary)
		}
	}
}

func testInsert(s *suite) {
	h := s.open()
	f := newFeed(1)
	known := f.info
	bare := replica.SpaceInfo{Position: space.Position{Seq: 9, Chain: digest.Of([]byte("c")), Seal: digest.Of([]byte("s"))}, Module: digest.Of([]byte("m"))}
	want := func(name string, info replica.SpaceInfo) {
		s.Helper()
		got := h.refresh(f.id)
		if !got.Known || infoText(&got.Info) != infoText(&info) {
			s.Fatalf("%s: the row is\n%s, want\n%s", name, infoText(&got.Info), infoText(&info))
		}
	}
	h.change(replica.SpaceCommit{Space: f.id, Insert: &bare})
	want("inserted", bare)
	h.change(replica.SpaceCommit{Space: f.id, Insert: &known}) // fills the genesis in and leaves the position
	filled := bare
	filled.Genesis, filled.GenesisSignature = known.Genesis, known.GenesisSignature
	want("filled", filled)
	other := replica.SpaceInfo{Genesis: newFeed(2).info.Genesis, GenesisSignature: []byte("x"), Created: true, Module: digest.Of([]byte("n"))}
	h.change(replica.SpaceCommit{Space: f.id, Insert: &other})
	filled.Created = true
	want("raised", filled)
	h.change(replica.SpaceCommit{Space: f.id, Insert: &known})
	want("not lowered", filled)

	zero := newFeed(3) // a row without a position is at its start
	h.change(replica.SpaceCommit{Space: zero.id, Insert: &replica.SpaceInfo{}})
	if got := h.refresh(zero.id); !got.Known || got.Info.Position != space.Start(zero.id) || got.Info.Genesis != nil {
		s.Fatalf("inserted with nothing: %+v", got)
	}
	implied := newFeed(4) // a commit that touches a space makes its row
	h.change(implied.append(implied.row(1)))
	if got := h.refresh(implied.id); !got.Known || got.Info.Position != space.Start(implied.id) || len(got.Outbox) != 1 {
		s.Fatalf("appended without a row: %+v", got)
	}
	if n := len(h.load().Spaces); n != 3 {
		s.Fatalf("%d spaces are loaded, want 3", n)
	}
}

func testSetCreatedAndModule(s *suite) {
	h := s.open()
	f := newFeed(1)
	yes, no := true, false
	part := f.insert()
	part.SetCreated = &yes // after Insert
	h.change(part)
	h.change(replica.SpaceCommit{Space: f.id, SetModule: digest.Of([]byte("new"))})
	if info := h.refresh(f.id).Info; !info.Created || info.Module != digest.Of([]byte("new")) {
		s.Fatalf("the row is %s", infoText(&info))
	}
	h.change(replica.SpaceCommit{Space: f.id, SetCreated: &no})
	if info := h.refresh(f.id).Info; info.Created || info.Module != digest.Of([]byte("new")) || info.Genesis == nil {
		s.Fatalf("the row is %s", infoText(&info))
	}
}

func testSpacesAscend(s *suite) {
	h := s.open()
	want := map[space.ID]int{}
	for n := range uint64(140) { // more than a store would fetch one by one
		f := newFeed(n)
		part := f.insert()
		for range n % 4 {
			part.Append = append(part.Append, f.row(1))
		}
		want[f.id] = len(part.Append)
		if pinned := n%3 == 0; pinned {
			part.SetPinned = &pinned
		}
		h.change(part)
	}
	loaded := h.load()
	if len(loaded.Spaces) != len(want) {
		s.Fatalf("%d spaces are loaded, want %d", len(loaded.Spaces), len(want))
	}
	for i, summary := range loaded.Spaces {
		if i > 0 && loaded.Spaces[i-1].Space.String() >= summary.Space.String() {
			s.Fatal("the spaces loaded do not ascend")
		}
		if summary.Outbox != want[summary.Space] {
			s.Fatalf("%d outbox rows are counted, want %d", summary.Outbox, want[summary.Space])
		}
		if one := h.refresh(summary.Space); summary.Version != one.Version || infoText(&summary.Info) != infoText(&one.Info) {
			s.Fatalf("loaded is version %d, %s, want %d, %s", summary.Version, infoText(&summary.Info), one.Version, infoText(&one.Info))
		}
	}
}

// wantOutbox checks ids and states of the outbox, both as entries and as rows.
func (s *suite) wantOutbox(h handle, id space.ID, want ...string) {
	s.Helper()
	var rows, entries []string
	last := uint64(0)
	for _, row := range h.outbox(id) {
		rows = append(rows, fmt.Sprint(row.ID, " ", row.State))
		if row.Key <= last {
			s.Fatalf("keys do not rise: %d after %d", row.Key, last)
		}
		last = row.Key
		if row.ID != row.Transaction.ID() || row.Author != row.Transaction.Author || row.Size != row.Transaction.Size() {
			s.Fatalf("a row says %+v of %+v", row.Entry, row.Transaction)
		}
	}
	for _, entry := range h.refresh(id).Outbox {
		entries = append(entries, fmt.Sprint(entry.ID, " ", entry.State))
	}
	if !slices.Equal(rows, want) || !slices.Equal(entries, want) {
		s.Fatalf("the outbox is\n%q, its entries\n%q, want\n%q", rows, entries, want)
	}
}

// in names a row in a state, for wantOutbox.
func in(state replica.OutboxState, id space.ULID) string { return fmt.Sprint(id, " ", state) }

func (s *suite) wantRejected(h handle, id space.ID, want ...space.ULID) {
	s.Helper()
	var rows, seen []space.ULID
	for _, row := range h.rejected(id) {
		rows = append(rows, row.ID)
		if row.ID != row.Transaction.ID() {
			s.Fatalf("the rejected row %v holds the transaction %v", row.ID, row.Transaction.ID())
		}
	}
	for _, row := range h.refresh(id).Rejected {
		seen = append(seen, row.ID)
	}
	slices.SortFunc(want, space.ULID.Compare)
	if !slices.Equal(rows, want) || !slices.Equal(seen, want) {
		s.Fatalf("rejected are %v, in the snapshot %v, want %v", rows, seen, want)
	}
}

func testAppend(s *suite) {
	h := s.open()
	f := newFeed(1)
	rows := []replica.OutboxRow{f.row(10), f.row(0), f.row(1, 2, 3)}
	rows[1].Transaction.ClientVersion = ""
	keys := h.change(f.append(rows...)).Keys
	if len(keys) != 3 || keys[0] == 0 || keys[0] >= keys[1] || keys[1] >= keys[2] {
		s.Fatalf("keys are %v", keys)
	}
	got := h.outbox(f.id)
	if len(got) != 3 {
		s.Fatalf("the outbox has %d rows, want 3", len(got))
	}
	for i := range got {
		want := rows[i]
		want.Key, want.Author, want.Size = keys[i], want.Transaction.Author, want.Transaction.Size()
		if got[i].Entry != want.Entry || transactionDigest(&got[i].Transaction) != transactionDigest(&want.Transaction) {
			s.Fatalf("row %d is %+v, want %+v", i, got[i], want)
		}
		if entry := h.refresh(f.id).Outbox[i]; entry != want.Entry {
			s.Fatalf("entry %d is %+v, want %+v", i, entry, want.Entry)
		}
	}
}

func testAppendTwice(s *suite) {
	a, b := s.open(), s.open()
	f := newFeed(1)
	first, second, third := f.row(1), f.row(2), f.row(3)
	a.change(f.append(first))
	a.change(replica.SpaceCommit{Space: f.id, Mark: []replica.Mark{{ID: first.ID, State: replica.Accepted}}})
	keys := b.change(f.append(second, first, third, second)).Keys
	if len(keys) != 4 || keys[0] == 0 || keys[1] != 0 || keys[2] <= keys[0] || keys[3] != 0 {
		s.Fatalf("keys are %v, want zeros for the rows that were there", keys)
	}
	if keys = a.change(f.append(first, second, third)).Keys; !slices.Equal(keys, []uint64{0, 0, 0}) {
		s.Fatalf("keys are %v, want zeros", keys)
	}
	s.wantOutbox(a, f.id, in(replica.Accepted, first.ID), in(replica.Waiting, second.ID), in(replica.Waiting, third.ID))

	many := newFeed(2) // some of many are there; and some of many are settled
	var rows []replica.OutboxRow
	for range 30 {
		rows = append(rows, many.row(1))
	}
	a.change(many.append(rows[3], rows[17]))
	for i, key := range b.change(many.append(rows...)).Keys {
		if (key == 0) != (i == 3 || i == 17) {
			s.Fatalf("row %d of many got key %d", i, key)
		}
	}
	if n := len(a.outbox(many.id)); n != 30 {
		s.Fatalf("the outbox has %d rows, want 30", n)
	}
	a.change(replica.SpaceCommit{Space: many.id, Settle: append(idsOf(rows[5:25]), ulid(1000, 1))})
	if n := len(b.outbox(many.id)); n != 10 {
		s.Fatalf("the outbox has %d rows, want 10", n)
	}
}

func testKeysRise(s *suite) {
	handles := []handle{s.open(), s.open()}
	feeds := []*feed{newFeed(1), newFeed(2)}
	last := uint64(0)
	for i := range 20 {
		var settle []space.ULID
		if rows := handles[0].outbox(feeds[i%2].id); len(rows) > 2 { // keys are not used again
			settle = idsOf(rows)
		}
		f := feeds[i/2%2]
		handles[0].change(replica.SpaceCommit{Space: feeds[i%2].id, Settle: settle})
		for _, key := range handles[i%2].change(f.append(f.row(1), f.row(2))).Keys {
			if key <= last {
				s.Fatalf("key %d is given after %d", key, last)
			}
			last = key
		}
	}
}

func testOutboxPaging(s *suite) {
	h := s.open()
	f, other := newFeed(1), newFeed(2)
	var want []replica.OutboxRow
	for i := range 30 {
		row := f.row(100)
		h.change(f.append(row), other.append(other.row(100)))
		want = append(want, row)
		if i%3 == 0 {
			h.change(other.append(other.row(5000)))
		}
	}
	all := h.outbox(f.id)
	if !slices.Equal(idsOf(all), idsOf(want)) {
		s.Fatalf("the outbox has %d rows in another order", len(all))
	}
	size := all[0].Size
	for _, page := range []struct{ bytes, rows int }{{0, 1}, {1, 1}, {size, 1}, {2*size - 1, 1}, {2 * size, 2}, {7 * size, 7}, {1 << 20, 30}} {
		after, i := uint64(0), 0
		for {
			rows := try(h.Outbox(s.ctx, f.id, after, page.bytes)).or(s, "outbox")
			if len(rows) == 0 {
				break
			}
			if n := min(page.rows, 30-i); len(rows) != n || !slices.Equal(idsOf(rows), idsOf(want[i:i+n])) {
				s.Fatalf("a page of %d bytes after row %d has %d rows, want %d", page.bytes, i, len(rows), n)
			}
			i += len(rows)
			after = rows[len(rows)-1].Key
		}
		if i != 30 {
			s.Fatalf("pages of %d bytes have %d rows, want 30", page.bytes, i)
		}
	}
}

func testMark(s *suite) {
	h := s.open()
	f := newFeed(1)
	rows := []replica.OutboxRow{f.row(1), f.row(2), f.row(3)}
	ids := idsOf(rows)
	h.change(f.append(rows...))
	mark := func(m replica.Mark) { s.Helper(); h.change(replica.SpaceCommit{Space: f.id, Mark: []replica.Mark{m}}) }
	one, two := space.Position{Seq: 5, Chain: digest.Of([]byte{1}), Seal: digest.Of([]byte{2})}, space.Position{Seq: 6}

	mark(replica.Mark{ID: ids[0], State: replica.Waiting, Code: 41, Reason: "too fast", RetryAt: 7777})
	if e := h.refresh(f.id).Outbox[0]; e.State != replica.Waiting || e.Code != 41 || e.Reason != "too fast" || e.RetryAt != 7777 {
		s.Fatalf("a deferral is noted as %+v", e)
	}
	mark(replica.Mark{ID: ids[0], State: replica.Accepted, Position: one})
	if e := h.refresh(f.id).Outbox[0]; e.State != replica.Accepted || e.Position != one || e.Code != 0 || e.Reason != "" || e.RetryAt != 0 {
		s.Fatalf("accepted is noted as %+v", e)
	}
	mark(replica.Mark{ID: ids[0], State: replica.Waiting, Code: 40, RetryAt: 1}) // never takes a row back
	if e := h.refresh(f.id).Outbox[0]; e.State != replica.Accepted || e.Position != one {
		s.Fatalf("a deferral took an accepted row back: %+v", e)
	}
	mark(replica.Mark{ID: ids[0], State: replica.Accepted, Position: two})
	if e := h.refresh(f.id).Outbox[0]; e.State != replica.Accepted || e.Position != two {
		s.Fatalf("accepted again is noted as %+v", e)
	}

	h.change(replica.SpaceCommit{Space: f.id, Withdraw: ids[1:2]})
	mark(replica.Mark{ID: ids[1], State: replica.Waiting, Code: 40})
	s.wantOutbox(h, f.id, in(replica.Accepted, ids[0]), in(replica.Withdrawn, ids[1]), in(replica.Waiting, ids[2]))
	mark(replica.Mark{ID: ids[1], State: replica.Accepted, Position: one}) // it had reached the log already
	s.wantOutbox(h, f.id, in(replica.Accepted, ids[0]), in(replica.Accepted, ids[1]), in(replica.Waiting, ids[2]))

	h.change(replica.SpaceCommit{Space: f.id, Settle: ids[2:]})
	mark(replica.Mark{ID: ids[2], State: replica.Accepted}) // gone stays gone
	s.wantOutbox(h, f.id, in(replica.Accepted, ids[0]), in(replica.Accepted, ids[1]))
	if got := h.outbox(f.id)[1]; transactionDigest(&got.Transaction) != transactionDigest(&rows[1].Transaction) || got.AppendedAt != rows[1].AppendedAt {
		s.Fatalf("marks changed the transaction to %+v", got)
	}
}

func testReject(s *suite) {
	h := s.open()
	f := newFeed(1)
	rows := []replica.OutboxRow{f.row(1), f.row(2, 3), f.row(4), f.row(5)}
	ids := idsOf(rows)
	h.change(f.append(rows...))
	h.change(replica.SpaceCommit{Space: f.id, Mark: []replica.Mark{{ID: ids[0], State: replica.Accepted}}, Withdraw: ids[2:3]})
	var rejections []replica.Rejection
	for _, id := range append(slices.Clone(ids[:3]), space.ULID{1}) {
		rejections = append(rejections, replica.Rejection{ID: id, Code: 81, Reason: "not a member", By: "preview"})
	}
	h.change(replica.SpaceCommit{Space: f.id, Reject: rejections})
	s.wantOutbox(h, f.id, in(replica.Accepted, ids[0]), in(replica.Waiting, ids[3]))
	s.wantRejected(h, f.id, ids[1], ids[2])
	got := h.rejected(f.id)[0]
	if got.AppendedAt != rows[1].AppendedAt || got.Code != 81 || got.Reason != "not a member" || got.By != "preview" ||
		transactionDigest(&got.Transaction) != transactionDigest(&rows[1].Transaction) {
		s.Fatalf("the rejected row is %+v", got)
	}
	h.change(replica.SpaceCommit{Space: f.id, Reject: rejections}) // rejected already: nothing moves
	s.wantRejected(h, f.id, ids[1], ids[2])
	h.change(replica.SpaceCommit{Space: f.id, Discard: []space.ULID{ids[1], ids[3], {9}}}) // of the rejected store only
	s.wantRejected(h, f.id, ids[2])
	s.wantOutbox(h, f.id, in(replica.Accepted, ids[0]), in(replica.Waiting, ids[3]))
	if n := len(h.rejected(newFeed(2).id)); n != 0 {
		s.Fatalf("another space has %d rejected rows", n)
	}
}

// testRefuse adds rows straight to the rejected store: those alone of which nothing was here.
func testRefuse(s *suite) {
	h := s.open()
	f, other := newFeed(1), newFeed(2)
	refused := func(row replica.OutboxRow) replica.RejectedRow {
		return replica.RejectedRow{
			ID: row.ID, Transaction: row.Transaction, AppendedAt: row.AppendedAt, Code: 86, Reason: "taken", By: "preview",
		}
	}
	fresh, waits, accepted, before := f.row(1, 2), f.row(3), f.row(4), f.row(5)
	h.change(f.append(waits, accepted, before))
	h.change(replica.SpaceCommit{
		Space: f.id, Mark: []replica.Mark{{ID: accepted.ID, State: replica.Accepted}},
		Reject: []replica.Rejection{{ID: before.ID, Code: 81, By: "server"}},
	})
	part := replica.SpaceCommit{Space: f.id}
	for _, row := range []replica.OutboxRow{fresh, waits, accepted, before, fresh} {
		part.Refuse = append(part.Refuse, refused(row))
	}
	part.Refuse[4].Code = 1 // the same id a second time
	for range 2 {           // as after an outcome that nobody heard of
		if keys := h.change(part).Keys; len(keys) != 0 {
			s.Fatalf("refused rows got the keys %v", keys)
		}
		s.wantOutbox(h, f.id, in(replica.Waiting, waits.ID), in(replica.Accepted, accepted.ID))
		s.wantRejected(h, f.id, fresh.ID, before.ID)
	}
	for _, row := range h.rejected(f.id) {
		switch {
		case row.ID == before.ID && row.By == "server" && row.Code == 81:
		case row.ID == fresh.ID && row.By == "preview" && row.Code == 86 && row.Reason == "taken" && row.AppendedAt == fresh.AppendedAt &&
			transactionDigest(&row.Transaction) == transactionDigest(&fresh.Transaction):
		default:
			s.Fatalf("a rejected row is %+v", row)
		}
	}
	h.change(replica.SpaceCommit{Space: other.id, Refuse: part.Refuse[:1]}) // ids are a space's own
	s.wantRejected(h, other.id, fresh.ID)

	// Within one commit what is appended is not refused, and what is refused may be sent all the same, or discarded.
	a, b, c := f.row(1), f.row(2), f.row(3)
	part = other.append(a)
	part.Refuse = []replica.RejectedRow{refused(a), refused(b), refused(c)}
	part.Retry, part.Discard = []space.ULID{b.ID}, []space.ULID{c.ID}
	if keys := h.change(part).Keys; len(keys) != 2 || keys[0] == 0 || keys[1] <= keys[0] {
		s.Fatalf("an appended and a retried row got the keys %v", keys)
	}
	s.wantOutbox(h, other.id, in(replica.Waiting, a.ID), in(replica.Waiting, b.ID))
	s.wantRejected(h, other.id, fresh.ID)
	for _, summary := range h.load().Spaces {
		if want := map[bool]int{true: 2, false: 1}[summary.Space == f.id]; summary.Rejected != want {
			s.Fatalf("%d rejected rows are counted, want %d", summary.Rejected, want)
		}
	}
}

func testRetry(s *suite) {
	h := s.open()
	f := newFeed(1)
	rows := []replica.OutboxRow{f.row(1), f.row(2), f.row(3)}
	ids := idsOf(rows)
	last := h.change(f.append(rows...)).Keys[2]
	h.change(replica.SpaceCommit{Space: f.id, Reject: []replica.Rejection{{ID: ids[0], Code: 81, Reason: "no", By: "server"}, {ID: ids[1], Code: 82}}})
	added := f.row(4)
	part := f.append(added)
	part.Retry = []space.ULID{ids[0], {9}, ids[0]}
	keys := h.change(part).Keys
	if len(keys) != 4 || keys[0] <= last || keys[1] <= keys[0] || keys[2] != 0 || keys[3] != 0 {
		s.Fatalf("keys are %v: want those of appended rows, then of retried ones, and zeros for rows not found", keys)
	}
	s.wantOutbox(h, f.id, in(replica.Waiting, ids[2]), in(replica.Waiting, added.ID), in(replica.Waiting, ids[0]))
	s.wantRejected(h, f.id, ids[1])
	got := h.outbox(f.id)[2]
	if got.AppendedAt != rows[0].AppendedAt || got.Code != 0 || got.Reason != "" || got.RetryAt != 0 ||
		transactionDigest(&got.Transaction) != transactionDigest(&rows[0].Transaction) {
		s.Fatalf("the retried row is %+v", got)
	}
}

// testAppendRejected appends again what was refused, as a page does that did not hear of the outcome: only Retry takes
// it out of the rejected.
func testAppendRejected(s *suite) {
	h := s.open()
	f, other := newFeed(1), newFeed(2)
	var rows []replica.OutboxRow
	for range 20 {
		rows = append(rows, f.row(1))
	}
	h.change(f.append(rows[0], rows[1]))
	h.change(replica.SpaceCommit{Space: f.id, Reject: []replica.Rejection{{ID: rows[0].ID, Code: 81}, {ID: rows[1].ID, Code: 82}}})
	if keys := h.change(f.append(rows[0])).Keys; !slices.Equal(keys, []uint64{0}) {
		s.Fatalf("the key of a rejected row is %v, want zero", keys)
	}
	if keys := h.change(other.append(rows[0])).Keys; keys[0] == 0 {
		s.Fatalf("what one space refused was not taken by another")
	}
	for i, key := range h.change(f.append(rows...)).Keys { // many are looked up in another way
		if (key == 0) != (i < 2) {
			s.Fatalf("row %d of many got key %d", i, key)
		}
	}
	s.wantRejected(h, f.id, rows[0].ID, rows[1].ID)
	for _, summary := range h.load().Spaces {
		if want := map[bool]int{true: 2}[summary.Space == f.id]; summary.Rejected != want {
			s.Fatalf("%d rejected rows are counted, want %d", summary.Rejected, want)
		}
	}
	if n := len(h.outbox(f.id)); n != 18 {
		s.Fatalf("the outbox has %d rows, want 18", n)
	}
	part := f.append(rows[0]) // a commit appends before it retries
	part.Retry = []space.ULID{rows[0].ID}
	if keys := h.change(part).Keys; len(keys) != 2 || keys[0] != 0 || keys[1] == 0 {
		s.Fatalf("keys are %v, want one for the retried row alone", keys)
	}
	s.wantRejected(h, f.id, rows[1].ID)
}

// testLostRows: what others wrote and the server lost stays until it is discarded, whatever else happens to the same ids, and
// keeps a space from being forgotten.
func testLostRows(s *suite) {
	h, other := s.open(), s.open()
	f, g := newFeed(1), newFeed(2)
	lost := func(n uint64, sizes ...int) replica.LostRow {
		t := f.transaction(sizes...)
		t.Author, t.ClientVersion = "did:key:ben", "2.4.4"
		return replica.LostRow{ID: t.ID(), Transaction: t, ReceivedAt: 5000 + n, Code: 81, Reason: "not a member any more", By: "server"}
	}
	a, b, c := lost(1, 10, 0), lost(2, 3), lost(3, 200000)
	want := func(h handle, id space.ID, rows ...replica.LostRow) {
		s.Helper()
		got := try(h.Lost(s.ctx, id)).or(s, "lost")
		if len(got) != len(rows) {
			s.Fatalf("%d rows are lost, want %d", len(got), len(rows))
		}
		for i, row := range rows {
			if g := got[i]; g.ID != row.ID || g.ReceivedAt != row.ReceivedAt || g.Code != row.Code || g.Reason != row.Reason || g.By != row.By ||
				transactionDigest(&g.Transaction) != transactionDigest(&row.Transaction) {
				s.Fatalf("a lost row is %+v, want %+v", g, row)
			}
		}
		if n := h.refresh(id).Lost; n != len(rows) {
			s.Fatalf("%d rows are counted, want %d", n, len(rows))
		}
		for _, summary := range h.load().Spaces {
			if summary.Space == id && summary.Lost != len(rows) {
				s.Fatalf("%d rows are loaded, want %d", summary.Lost, len(rows))
			}
		}
	}
	created := true
	h.change(replica.SpaceCommit{Space: f.id, Insert: &f.info, SetCreated: &created}, replica.SpaceCommit{Space: g.id, Insert: &g.info, SetCreated: &created})
	want(h, f.id)
	again := a
	again.Code, again.ReceivedAt = 1, 1
	row := rowOf(a.Transaction) // the same id in the outbox and among the rejected is another thing
	part := replica.SpaceCommit{Space: f.id, Append: []replica.OutboxRow{row}, Lost: []replica.LostRow{a, c, again, b}, DiscardLost: []space.ULID{{9}}}
	for range 2 { // as after an outcome that nobody heard of
		h.change(part)
		want(h, f.id, a, b, c)
	}
	h.change(replica.SpaceCommit{Space: f.id, Lost: []replica.LostRow{again}})
	h.change(replica.SpaceCommit{Space: f.id, Reject: []replica.Rejection{{ID: a.ID, Code: 82}}})
	h.change(replica.SpaceCommit{Space: f.id, Discard: []space.ULID{a.ID, b.ID}})
	want(other, f.id, a, b, c)
	want(other, g.id)
	forget, erase := replica.SpaceCommit{Space: f.id, Forget: true}, replica.Commit{Strict: true, Erase: true}
	h.stale(replica.Commit{Strict: true, Spaces: []replica.SpaceCommit{forget}})
	h.stale(erase)
	h.Close()
	other.Close()
	h = s.open()
	want(h, f.id, a, b, c)

	h.change(replica.SpaceCommit{Space: f.id, Lost: []replica.LostRow{a}, DiscardLost: []space.ULID{a.ID, c.ID, {9}}})
	want(h, f.id, b)
	h.change(replica.SpaceCommit{Space: g.id, Lost: []replica.LostRow{a}})
	forget.Force = true
	h.change(forget)
	want(h, f.id)
	want(h, g.id, a)
	h.change(replica.SpaceCommit{Space: g.id, DiscardLost: []space.ULID{a.ID}})
	h.commit(erase)
	if _, err := h.Commit(s.ctx, &replica.Commit{Spaces: []replica.SpaceCommit{{Space: f.id, Lost: []replica.LostRow{{ID: ulid(3, 3), Transaction: a.Transaction}}}}}); err == nil {
		s.Fatal("a row of another id than its transaction's was taken")
	}
}

func testWithdraw(s *suite) {
	h := s.open()
	f := newFeed(1)
	rows := []replica.OutboxRow{f.row(1), f.row(2), f.row(3)}
	ids := idsOf(rows)
	h.change(f.append(rows...))
	h.change(replica.SpaceCommit{Space: f.id, Mark: []replica.Mark{{ID: ids[0], State: replica.Accepted}}})
	h.change(replica.SpaceCommit{Space: f.id, DropWithdrawn: ids}) // none is
	s.wantOutbox(h, f.id, in(replica.Accepted, ids[0]), in(replica.Waiting, ids[1]), in(replica.Waiting, ids[2]))
	h.change(replica.SpaceCommit{Space: f.id, Withdraw: []space.ULID{ids[0], ids[1], {9}}})
	s.wantOutbox(h, f.id, in(replica.Accepted, ids[0]), in(replica.Withdrawn, ids[1]), in(replica.Waiting, ids[2]))
	h.change(replica.SpaceCommit{Space: f.id, DropWithdrawn: ids})
	s.wantOutbox(h, f.id, in(replica.Accepted, ids[0]), in(replica.Waiting, ids[2]))
	s.wantRejected(h, f.id)
}

func testSettle(s *suite) {
	h := s.open()
	f := newFeed(1)
	rows := []replica.OutboxRow{f.row(1), f.row(2, 2), f.row(3), f.row(4)}
	ids := idsOf(rows)
	h.change(f.append(rows...))
	h.change(replica.SpaceCommit{Space: f.id, Mark: []replica.Mark{{ID: ids[0], State: replica.Accepted}}, Withdraw: ids[1:2]})
	part := f.run(rows[0].Transaction, rows[1].Transaction, rows[2].Transaction, f.transaction(9))
	h.change(part) // settles rows in whatever state, and ids of others that have no row
	s.wantOutbox(h, f.id, in(replica.Waiting, ids[3]))
	f.wantRecords(s, h.read(f.id, 0, 100, 1<<20), 1, 5)
	h.change(replica.SpaceCommit{Space: f.id, Settle: ids})
	s.wantOutbox(h, f.id)
	if count := h.load().Spaces[0].Outbox; count != 0 {
		s.Fatalf("%d rows are counted, want none", count)
	}
}

func testFieldOrder(s *suite) {
	h := s.open()
	f := newFeed(1)
	a, b, c, d := f.row(1), f.row(2), f.row(3), f.row(4)
	part := f.insert()
	part.Append = []replica.OutboxRow{a, b, c, d}
	part.Withdraw = []space.ULID{a.ID, b.ID}                                       // what was appended by the same commit
	part.DropWithdrawn = []space.ULID{a.ID}                                        // what it withdrew
	part.Mark = []replica.Mark{{ID: b.ID, State: replica.Accepted}, {ID: a.ID}}    // a is gone
	part.Reject = []replica.Rejection{{ID: b.ID}, {ID: c.ID, Code: 1}, {ID: a.ID}} // b is accepted
	part.Settle = []space.ULID{d.ID}
	h.change(part)
	s.wantOutbox(h, f.id, in(replica.Accepted, b.ID))
	s.wantRejected(h, f.id, c.ID)
	h.change(f.append(d))
	h.change(replica.SpaceCommit{Space: f.id, Retry: []space.ULID{c.ID}, Withdraw: []space.ULID{c.ID}, Reject: []replica.Rejection{{ID: d.ID}}, Discard: []space.ULID{d.ID}})
	s.wantOutbox(h, f.id, in(replica.Accepted, b.ID), in(replica.Withdrawn, c.ID))
	s.wantRejected(h, f.id)
}

func testSameIDInTwoSpaces(s *suite) {
	h := s.open()
	a, b := newFeed(1), newFeed(2)
	row := a.row(1)
	keys := h.change(a.append(row), b.append(row)).Keys
	if len(keys) != 2 || keys[0] == 0 || keys[1] <= keys[0] {
		s.Fatalf("keys are %v", keys)
	}
	h.change(replica.SpaceCommit{Space: a.id, Reject: []replica.Rejection{{ID: row.ID}}})
	s.wantOutbox(h, a.id)
	s.wantOutbox(h, b.id, in(replica.Waiting, row.ID))
	h.change(replica.SpaceCommit{Space: b.id, Reject: []replica.Rejection{{ID: row.ID}}, Discard: nil})
	h.change(replica.SpaceCommit{Space: a.id, Discard: []space.ULID{row.ID}})
	s.wantRejected(h, a.id)
	s.wantRejected(h, b.id, row.ID)
}
