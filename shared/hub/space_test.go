package hub_test

import (
	"errors"
	"fmt"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/hub"
	"skerry/shared/module"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
)

var secret = [32]byte{7}

func testConfig(change ...func(*hub.Config)) *hub.Config {
	c := hub.Config{
		Seal: func(id space.ID, seq uint64, chain digest.Digest) digest.Digest {
			return space.Seal(secret, id, seq, chain)
		},
		CheckSeal: func(id space.ID, p *space.Position) bool { return space.Seal(secret, id, p.Seq, p.Chain) == p.Seal },
	}
	for _, f := range change {
		f(&c)
	}
	return c.Complete()
}

var (
	genesis = space.Genesis{Stamp: space.ULID{1}, Creator: "ann", Module: module.Open}
	spaceID = genesis.ID()
)

// rules is a module for tests: types refused by name, and a type that is allowed once in a space's life.
type rules struct {
	calls     int
	proposed  []uint64 // numbers of proposals that used "once"
	used      bool     // by a committed record
	applied   uint64
	stranger  string // may not read
	committed uint64
	spoiled   bool // its tables lack a page
	claims    [][]byte
}

// page is the error of tables that lack a page.
func (r *rules) page() error {
	if r.spoiled {
		return fmt.Errorf("%w: gone", tables.ErrPage)
	}
	return nil
}

func (r *rules) Applied() uint64 { return r.applied }
func (r *rules) Apply(records []space.Record) error {
	if records[0].Seq != r.applied+1 {
		return errors.New("a hole")
	}
	if r.spoiled {
		return r.page()
	}
	for i := range records {
		r.used = r.used || records[i].Type == "once"
		r.applied = records[i].Seq
	}
	return nil
}
func (r *rules) Judge(caller module.Caller, records []space.Record) (module.Verdict, error) {
	r.calls++
	r.claims = nil
	for i := range records {
		if claims := caller.ClaimsOf(i); claims != nil {
			r.claims = append(r.claims, claims)
		}
	}
	if r.spoiled {
		return module.Verdict{}, r.page()
	}
	for i := range records {
		switch records[i].Type {
		case "bad":
			return module.Verdict{Code: wire.CodeForbidden, Reason: "bad is bad"}, nil
		case "unknown":
			return module.Verdict{Code: wire.CodeUnknownType}, nil
		case "fault":
			return module.Verdict{}, errors.New("out of memory")
		case "once":
			if r.used || len(r.proposed) > 0 {
				return module.Verdict{Code: wire.CodeForbidden, Reason: "once"}, nil
			}
			r.proposed = append(r.proposed, records[i].Seq)
		}
	}
	return module.Verdict{}, nil
}
func (r *rules) Commit(seq uint64) {
	r.committed, r.applied = seq, seq
	for len(r.proposed) > 0 && r.proposed[0] <= seq {
		r.used, r.proposed = true, r.proposed[1:]
	}
}
func (r *rules) Rollback()                             { r.proposed = nil }
func (r *rules) MayRead(identity string) (bool, error) { return identity != r.stranger, r.page() }
func (r *rules) Close()                                {}

// fakeLog is a log in memory: what the shell's Log is to a space.
type fakeLog struct {
	head    space.Head
	records []space.Record
	at      map[space.ULID]uint64
	beside  []any
}

func newLog() *fakeLog {
	return &fakeLog{head: space.Head{Chain: spaceID}, at: make(map[space.ULID]uint64)}
}

func (l *fakeLog) append(a *hub.Append) hub.Outcome {
	if a.Previous != l.head {
		return hub.Stale
	}
	for i := range a.Records {
		if l.at[a.Records[i].ID] != 0 {
			return hub.Stale
		}
	}
	if space.Fold(a.Previous.Chain, a.Records) != a.Next.Chain || a.Next.Seq != a.Previous.Seq+uint64(len(a.Records)) {
		panic("an append whose next head does not follow")
	}
	for i := range a.Records {
		if a.Records[i].Seq != uint64(len(l.records))+1 {
			panic("an append with a hole")
		}
		l.records = append(l.records, a.Records[i])
		l.at[a.Records[i].ID] = a.Records[i].Seq
	}
	l.head = a.Next
	l.beside = append(l.beside, a.Beside...)
	return hub.Stored
}

// last returns the newest record.
func (l *fakeLog) last() (last space.Record) {
	if n := len(l.records); n > 0 {
		last = l.records[n-1]
	}
	return last
}

func (l *fakeLog) known(ids []space.ULID) []hub.Known {
	known := make([]hub.Known, len(ids))
	for i, id := range ids {
		if seq := l.at[id]; seq != 0 {
			r := &l.records[seq-1]
			known[i] = hub.Known{Seq: seq, Index: r.Index, Count: r.Count, Author: r.Author}
		}
	}
	return known
}

func (l *fakeLog) Read(after uint64, maxRecords, maxBytes int) ([]space.Record, error) {
	end := after
	if after >= uint64(len(l.records)) {
		return nil, nil
	}
	for end < uint64(len(l.records)) && (int(end-after) < maxRecords || l.records[end].Index > 0) {
		tx, size := end, 0
		for ok := true; ok; ok = !l.records[tx-1].Last() {
			size += l.records[tx].Size()
			tx++
		}
		maxBytes -= size
		if end > after && (int(tx-after) > maxRecords || maxBytes < 0) {
			break
		}
		end = tx
	}
	return l.records[after:end:end], nil
}

func (l *fakeLog) ChainBefore(seq uint64) (space.Position, error) {
	if seq = min(seq, l.head.Seq); seq < l.head.Seq {
		seq -= seq % 5 // stored here and there only, and where the last append ended
	}
	return space.Position{Seq: seq, Chain: space.Fold(spaceID, l.records[:seq])}, nil
}

// other appends a transaction as another server would.
func (l *fakeLog) other(t space.Transaction) {
	records := t.Records(l.head.Seq+1, l.head.ReceivedAt)
	next := space.Head{Seq: l.head.Seq + uint64(len(records)), Chain: space.Fold(l.head.Chain, records), ReceivedAt: l.head.ReceivedAt}
	if l.append(&hub.Append{Previous: l.head, Records: records, Next: next}) != hub.Stored {
		panic("the other server's append failed")
	}
}

// world is one space with its log. Requests stay open until the story answers them.
type world struct {
	t       *testing.T
	s       *hub.Space
	log     *fakeLog
	module  *rules
	begin   func() module.Instance // nil for module
	now     uint64
	callers map[hub.ConnID]*hub.Caller
	n       map[hub.ConnID]uint64

	open     *hub.OpenSpace
	create   *hub.CreateSpace
	lookup   *hub.Lookup
	asked    []hub.Known // what the log held when the lookup was made
	read     *hub.ReadSpan
	append   *hub.Append
	loadHead *hub.LoadHead
	prepare  *hub.Prepare

	replies  []hub.Reply
	recorded []hub.Recorded
	answers  []hub.Answer
	closed   []hub.CloseConn
	finished []hub.ConnID
	lost     int
	moved    int
	deleted  int    // how often that was said
	readTo   uint64 // what may be read then
	wakeAt   uint64
}

// newWorld returns a space that is not opened yet.
func newWorld(t *testing.T, change ...func(*hub.Config)) *world {
	return &world{
		t: t, s: hub.NewSpace(testConfig(change...), spaceID), log: newLog(), module: &rules{}, now: 1000,
		callers: make(map[hub.ConnID]*hub.Caller), n: make(map[hub.ConnID]uint64),
	}
}

// opened returns a space that is open and empty.
func openedWorld(t *testing.T, change ...func(*hub.Config)) *world {
	w := newWorld(t, change...)
	w.step(hub.Ask{Conn: 99, Ref: 1, Identities: []string{"ann"}})
	w.answerOpen()
	w.answers = nil
	return w
}

func (w *world) step(in hub.Input) {
	w.t.Helper()
	e := w.s.Step(w.now, in)
	if e.Lost != nil { // the next instance makes its tables of the log
		if e.Open == nil || !w.module.spoiled {
			w.t.Fatalf("an instance is given up, and none asked for: %v", e.Lost)
		}
		w.lost++
		w.module = &rules{stranger: w.module.stranger}
	}
	take(w.t, &w.open, e.Open)
	take(w.t, &w.create, e.Create)
	if e.Append != nil && w.append != nil {
		w.t.Fatal("two appends at once")
	}
	take(w.t, &w.append, e.Append)
	take(w.t, &w.loadHead, e.LoadHead)
	if e.Prepare != nil && w.prepare != nil {
		w.t.Fatal("two preparations at once")
	}
	take(w.t, &w.prepare, e.Prepare)
	if e.Lookup != nil {
		w.lookup, w.asked = e.Lookup, w.log.known(e.Lookup.IDs)
	}
	if e.Read != nil {
		w.read = e.Read
	}
	for _, reply := range e.Replies {
		for _, v := range reply.Pushed.Verdicts {
			if (v.Kind == wire.Accepted || v.Kind == wire.Duplicate) && v.Position.Seq > w.log.head.Seq {
				w.t.Fatalf("a verdict tells of %d before it is durable", v.Position.Seq)
			}
		}
	}
	for _, r := range e.Recorded {
		if r.Verdict.Position.Seq > w.log.head.Seq {
			w.t.Fatalf("a verdict tells of %d before it is durable", r.Verdict.Position.Seq)
		}
	}
	w.replies = append(w.replies, e.Replies...)
	w.recorded = append(w.recorded, e.Recorded...)
	w.answers = append(w.answers, e.Answers...)
	w.closed = append(w.closed, e.Close...)
	w.finished = append(w.finished, e.Finished...)
	w.wakeAt = e.WakeAt
	if e.Deleted {
		w.deleted++
		w.readTo = e.Head.Seq
		if e.Turned || e.Loaded || w.log.last().Type != module.TypeDelete || e.Head.Seq > w.log.head.Seq {
			w.t.Fatalf("the space was deleted, and %+v is to be done", e)
		}
	}
	if e.Moved {
		w.moved++
		if e.Head.Seq > w.log.head.Seq {
			w.t.Fatal("a head is shown before it is durable")
		}
	}
}

func take[T any](t *testing.T, into **T, request *T) {
	t.Helper()
	if request != nil {
		*into = request
	}
}

func answer[T any](w *world, request **T, what string) *T {
	w.t.Helper()
	r := *request
	if r == nil {
		w.t.Fatalf("no %s is under way", what)
	}
	*request = nil
	return r
}

func (w *world) answerOpen() {
	w.t.Helper()
	if last := w.log.last(); last.Type == module.TypeDelete {
		w.step(hub.Opened{Ref: answer(w, &w.open, "open").Ref, Code: wire.CodeDeleted, Head: w.log.head, Last: last.ID})
		return
	}
	var instance module.Instance = w.module
	if w.begin != nil {
		instance = w.begin()
	}
	w.step(hub.Opened{Ref: answer(w, &w.open, "open").Ref, Instance: instance, Head: w.log.head, Bare: w.bare()})
}

func (w *world) bare() bool {
	last := w.log.last()
	return hub.Bare(&last)
}

func (w *world) found() {
	w.t.Helper()
	l := answer(w, &w.lookup, "lookup")
	w.step(hub.Found{Ref: l.Ref, Known: w.log.known(l.IDs)})
}

func (w *world) history() {
	w.t.Helper()
	w.step(hub.ReadHistory(w.log, answer(w, &w.read, "read")))
}

// stored lets the append under way reach the log and be acknowledged.
func (w *world) stored() {
	w.t.Helper()
	w.step(hub.Appended{Outcome: w.log.append(answer(w, &w.append, "append"))})
}

func (w *world) headRead() {
	w.t.Helper()
	read := hub.HeadRead{Ref: answer(w, &w.loadHead, "head read").Ref, Head: w.log.head}
	if last := w.log.last(); last.Type == module.TypeDelete {
		read.Code, read.Last = wire.CodeDeleted, last.ID
	}
	w.step(read)
}

// prepared lets the preparation under way come to its end.
func (w *world) prepared() {
	w.t.Helper()
	p := answer(w, &w.prepare, "preparation")
	p.Work.Run()
	w.step(hub.Prepared{Ref: p.Ref, Work: p.Work})
}

// settle answers every request, in an order that lets appends wait, until there is none.
func (w *world) settle() {
	w.t.Helper()
	for range 10_000 {
		switch {
		case w.open != nil:
			w.answerOpen()
		case w.lookup != nil:
			w.found()
		case w.read != nil:
			w.history()
		case w.loadHead != nil:
			w.headRead()
		case w.append != nil:
			w.stored()
		case w.prepare != nil:
			w.prepared()
		default:
			return
		}
	}
	w.t.Fatal("the space does not come to rest")
}

func (w *world) caller(conn hub.ConnID) *hub.Caller {
	if w.callers[conn] == nil {
		w.callers[conn] = &hub.Caller{Conn: conn, Identities: []string{"ann", "bob"}, Address: "here"}
	}
	return w.callers[conn]
}

// push sends the next push of a connection.
func (w *world) push(conn hub.ConnID, transactions ...space.Transaction) {
	w.t.Helper()
	w.offer(conn, &wire.Push{Transactions: transactions})
}

func (w *world) offer(conn hub.ConnID, p *wire.Push) {
	w.t.Helper()
	w.n[conn]++
	p.Space, p.N = spaceID, w.n[conn]
	w.step(hub.Offer{Caller: w.caller(conn), Push: p, Size: 100})
}

// told returns the replies so far as text, one push a string, and forgets them.
func (w *world) told() []string {
	var lines []string
	for _, r := range w.replies {
		line := fmt.Sprintf("%d/%d:", r.Conn, r.Pushed.N)
		if r.Pushed.Genesis != nil {
			line += " genesis " + text(r.Pushed.Genesis) + ";"
		}
		for i := range r.Pushed.Verdicts {
			line += " " + text(&r.Pushed.Verdicts[i])
		}
		lines = append(lines, line)
	}
	w.replies = nil
	return lines
}

func text(v *wire.Verdict) string {
	switch v.Kind {
	case wire.Accepted:
		return fmt.Sprintf("accepted@%d", v.Position.Seq)
	case wire.Duplicate:
		return fmt.Sprintf("duplicate@%d", v.Position.Seq)
	}
	return v.Code.String()
}

func (w *world) wants(lines ...string) {
	w.t.Helper()
	told := w.told()
	if fmt.Sprint(told) != fmt.Sprint(lines) {
		w.t.Fatalf("told\n%q, want\n%q", told, lines)
	}
}

// tx makes a transaction by ann: an event per id, with the type "t" or, after a colon, another.
func tx(ids ...byte) space.Transaction { return typed("t", ids...) }

func typed(kind string, ids ...byte) space.Transaction {
	t := space.Transaction{Author: "ann", API: "1.0.0", ClientVersion: "1"}
	for _, id := range ids {
		t.Events = append(t.Events, space.Event{ID: space.ULID{1, id}, Type: kind, Payload: []byte{id}})
	}
	return t
}

func by(author string, t space.Transaction) space.Transaction {
	t.Author = author
	return t
}
