package replica_test

import (
	"fmt"
	"strings"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// story is one tab over a store, with everything that its shell would do left to the test: commits and reads stay open
// until the story runs them, the server says what the story lets it say, and time stands still.
type story struct {
	t     *testing.T
	store *replica.Model
	core  *replica.Replica
	now   uint64

	commits []replica.CommitEffect
	refresh []space.ID
	rows    []replica.ReadRowsEffect
	ids     []replica.ReadIDsEffect
	checks  []space.ID // of what is stored
	weighs  []replica.WeighDropEffect
	seeks   []digest.Digest // modules that are being read
	traces  []replica.TraceEffect
	reads   []replica.ReadRecordsEffect
	keeps   []replica.StoreModuleEffect
	puts    []replica.StoreCheckpointEffect
	// uploadRef is that of the last piece of a module that was sent.
	uploadRef uint64
	survey    *uint64 // the change after which the store is being surveyed
	looking   []space.ID
	asks      bool // it asked what others look at
	dial      bool
	down      bool // it was told to step down
	hangup    string
	sent      []wire.Frame
	pushes    []*wire.Push // that were told and not answered
	notices   []replica.Notice
	wakeAt    uint64
	refs      uint64
	opened    []string // the spaces that somebody looks at in this tab

	logs map[space.ID]*serverLog
}

// serverLog is what the server of a story has of one space.
type serverLog struct {
	records []space.Record
	at      map[space.ULID]space.Position // by id of the transaction
	head    space.Position
}

// steady is a source of randomness that always gives the same, so that no delay is jittered.
type steady struct{}

func (steady) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

var serverKey = [32]byte{5}

// genesisOf makes the spaces of the stories: "a", "b" and so on.
func genesisOf(name string) space.Genesis {
	stamp := space.ULID{1}
	copy(stamp[1:], name)
	return space.Genesis{Stamp: stamp, Creator: "ann", Module: module.Open}
}

func idOf(name string) space.ID {
	genesis := genesisOf(name)
	return genesis.ID()
}

func nameOf(id space.ID) string {
	for c := 'a'; c <= 'z'; c++ {
		if idOf(string(c)) == id {
			return string(c)
		}
	}
	return "?"
}

// tx makes a transaction by ann of one event per number.
func tx(numbers ...byte) space.Transaction {
	t := space.Transaction{Author: "ann", API: wire.APIHigh, ClientVersion: "1"}
	for _, n := range numbers {
		t.Events = append(t.Events, space.Event{ID: space.ULID{1, n}, Type: "t", Payload: []byte{n}})
	}
	return t
}

func number(id space.ULID) byte { return id[1] }

func newStory(t *testing.T) *story {
	s := &story{t: t, store: replica.NewModel("ann", wire.SessionID{1}), now: 1000, logs: map[space.ID]*serverLog{}}
	s.reload()
	return s
}

// reload opens a new tab over the store in place of the old one, as after a crash.
func (s *story) reload() {
	s.core = replica.New(replica.Config{Sync: true, ClientVersion: "1", Rand: steady{}, Credit: 1000, UploadPiece: 1200}, s.store.Load())
	s.commits, s.refresh, s.rows, s.ids, s.sent, s.pushes, s.notices = nil, nil, nil, nil, nil, nil, nil
	s.traces, s.reads, s.seeks, s.keeps, s.puts, s.weighs = nil, nil, nil, nil, nil, nil
	s.checks, s.survey, s.looking, s.asks, s.dial, s.down, s.hangup = nil, nil, nil, false, false, false, ""
	for _, name := range s.opened {
		s.step(replica.Open{Space: idOf(name)})
	}
}

func (s *story) step(in replica.Input) {
	s.t.Helper()
	e := s.core.Step(s.now, in)
	s.commits = append(s.commits, e.Commits...)
	s.refresh = append(s.refresh, e.Refresh...)
	s.rows = append(s.rows, e.ReadRows...)
	s.ids = append(s.ids, e.ReadIDs...)
	s.checks = append(s.checks, e.Check...)
	s.traces = append(s.traces, e.Trace...)
	s.reads = append(s.reads, e.ReadRecords...)
	s.weighs = append(s.weighs, e.WeighDrop...)
	s.seeks = append(s.seeks, e.ReadModules...)
	s.keeps = append(s.keeps, e.StoreModules...)
	s.puts = append(s.puts, e.StoreCheckpoints...)
	if e.Survey {
		s.survey = &e.SurveyAfter
	}
	s.looking = append(s.looking, e.Looking...)
	s.asks = s.asks || e.WhoLooks
	s.dial = s.dial || e.Dial
	s.down = s.down || e.StepDown
	if e.Hangup != "" {
		s.hangup = e.Hangup
	}
	for _, message := range e.Send {
		f, err := wire.Decode(message)
		if err != nil {
			s.t.Fatal(err)
		}
		s.sent = append(s.sent, f)
	}
	for _, n := range e.Notices {
		if n != (replica.Durable{}) { // of opening a space, which no story asks about
			s.notices = append(s.notices, n)
		}
	}
	s.wakeAt = e.WakeAt
}

// commit runs the oldest commit that is under way and reports its outcome.
func (s *story) commit() *replica.Commit {
	s.t.Helper()
	c := s.store1()
	result, err := s.store.Commit(c.Commit)
	if err != nil {
		s.t.Fatalf("the store refuses a commit: %v", err)
	}
	s.step(replica.Committed{ID: c.ID, Result: result})
	return c.Commit
}

// store1 takes the oldest commit that is under way, without running it.
func (s *story) store1() replica.CommitEffect {
	s.t.Helper()
	if len(s.commits) == 0 {
		s.t.Fatal("no commit is under way")
	}
	c := s.commits[0]
	s.commits = s.commits[1:]
	return c
}

func (s *story) readRows() {
	s.t.Helper()
	if len(s.rows) == 0 {
		s.t.Fatal("no rows are being read")
	}
	read := s.rows[0]
	s.rows = s.rows[1:]
	s.step(replica.RowsRead{Space: read.Space, After: read.After, Rows: s.store.Outbox(read.Space, read.After, read.MaxBytes)})
}

func (s *story) refreshed() {
	s.t.Helper()
	if len(s.refresh) == 0 {
		s.t.Fatal("no space is being read")
	}
	id := s.refresh[0]
	s.refresh = s.refresh[1:]
	s.step(replica.Refreshed{Space: id, Snapshot: s.store.Refresh(id)})
}

// settle does everything that a shell would do with its store, until nothing is left.
func (s *story) settle() {
	s.t.Helper()
	for range 10_000 {
		switch {
		case len(s.commits) > 0:
			s.commit()
		case len(s.refresh) > 0:
			s.refreshed()
		case len(s.rows) > 0:
			s.readRows()
		case len(s.ids) > 0:
			read := s.ids[0]
			s.ids = s.ids[1:]
			in := replica.IDsRead{Space: read.Space, After: read.After}
			for _, r := range s.store.Read(read.Space, read.After, 1<<20, 1<<20) {
				in.Records = append(in.Records, replica.RecordIDOf(&r))
			}
			s.step(in)
		case len(s.traces) > 0:
			trace := s.traces[0]
			s.traces = s.traces[1:]
			s.step(replica.Trace(trace, func(after uint64) ([]space.Record, error) { return s.store.Read(trace.Space, after, 1<<20, 1<<20), nil }))
		case len(s.reads) > 0:
			read := s.reads[0]
			s.reads = s.reads[1:]
			s.step(replica.RecordsRead{Space: read.Space, After: read.After, Records: s.store.Read(read.Space, read.After, int(read.Last-read.After), 1<<20)})
		case len(s.seeks) > 0:
			d := s.seeks[0]
			s.seeks = s.seeks[1:]
			s.step(replica.ModuleRead{Digest: d, Bytes: s.store.Module(d)})
		case len(s.keeps) > 0:
			keep := s.keeps[0]
			s.keeps = s.keeps[1:]
			if !s.store.PutModule(keep.Digest, keep.Bytes) {
				s.t.Fatal("bytes were to be stored as a module that they are not")
			}
			s.step(replica.ModuleStored{Digest: keep.Digest})
		case s.survey != nil:
			after := *s.survey
			s.survey = nil
			s.step(replica.Surveyed{Changes: s.store.Changes(after)})
		default:
			return
		}
	}
	s.t.Fatal("the tab does not come to rest")
}

// receive lets a frame of the server come.
func (s *story) receive(f wire.Frame) {
	s.t.Helper()
	s.step(replica.Received{Frame: f, Size: len(wire.Append(nil, f))})
}

// lead makes the tab sync: it takes the lock and raises the epoch.
func (s *story) lead() {
	s.t.Helper()
	s.step(replica.Led{Loaded: s.store.RaiseEpoch()})
}

// greet opens the socket that was asked for and answers up to the welcome.
func (s *story) greet() {
	s.t.Helper()
	if !s.dial {
		s.t.Fatal("no socket was asked for")
	}
	s.dial = false
	s.step(replica.Connected{})
	s.receive(challenge(serverKey))
	s.receive(&wire.Welcome{Identities: []string{"ann"}, Limits: wire.DefaultLimits, API: wire.APIHigh})
}

func challenge(key [32]byte) *wire.Challenge {
	return &wire.Challenge{Nonce: [32]byte{1}, Server: key, APILow: wire.APILow, APIHigh: wire.APIHigh}
}

// online brings a tab from nothing to a working connection, with its store at rest.
func (s *story) online() {
	s.t.Helper()
	s.lead()
	s.settle()
	s.greet()
	s.settle()
}

// reconnect loses the connection and makes the next one.
func (s *story) reconnect() {
	s.t.Helper()
	s.step(replica.Disconnected{Reason: "cut"})
	s.now = s.wakeAt
	s.step(replica.Tick{})
	s.told()
	s.pushes = nil
	s.greet()
}

// tick lets time pass until the tab wants to be woken.
func (s *story) tick() {
	s.t.Helper()
	if s.wakeAt == 0 {
		s.t.Fatal("the tab does not want to be woken")
	}
	s.now = s.wakeAt
	s.step(replica.Tick{})
}

func (s *story) ref() uint64 {
	s.refs++
	return s.refs
}

// open lets somebody look at a space in this tab, and in those opened in its place.
func (s *story) open(name string) {
	s.t.Helper()
	s.opened = append(s.opened, name)
	s.step(replica.Open{Space: idOf(name)})
}

// create makes a space on this device and looks at it.
func (s *story) create(name string) {
	s.t.Helper()
	genesis := genesisOf(name)
	s.step(replica.Append{Ref: s.ref(), Space: idOf(name), Insert: &replica.SpaceInfo{
		Genesis: &genesis, Position: space.Start(idOf(name)), Module: module.Open,
	}})
	s.open(name)
}

// write appends transactions on this device.
func (s *story) write(name string, transactions ...space.Transaction) {
	s.t.Helper()
	for i := range transactions {
		s.step(replica.Append{Ref: s.ref(), Space: idOf(name), Transaction: &transactions[i], AppendedAt: s.now})
	}
}

// otherTab appends a transaction as another tab does: past this one, straight to the store.
func (s *story) otherTab(name string, t space.Transaction) {
	s.t.Helper()
	row := replica.OutboxRow{Entry: replica.Entry{ID: t.ID(), AppendedAt: 1}, Transaction: t}
	result, err := s.store.Commit(&replica.Commit{Strict: true, Spaces: []replica.SpaceCommit{{Space: idOf(name), Append: []replica.OutboxRow{row}}}})
	if err != nil || result.Stale {
		s.t.Fatal("the other tab's append failed", err)
	}
}

// synced is a story with space "a" created at the server and online.
func synced(t *testing.T) *story {
	t.Helper()
	s := newStory(t)
	s.create("a")
	s.online()
	s.receive(&wire.Pushed{Space: idOf("a"), N: 1, Genesis: &wire.Verdict{Kind: wire.Accepted, Position: space.Start(idOf("a"))}})
	s.settle()
	s.reconnect() // so that its pushes count from 1
	s.caughtUp("a")
	s.settle()
	s.told()
	s.hangup, s.notices = "", nil
	return s
}

func (s *story) serverLog(name string) *serverLog {
	l := s.logs[idOf(name)]
	if l == nil {
		l = &serverLog{head: space.Start(idOf(name)), at: map[space.ULID]space.Position{}}
		s.logs[idOf(name)] = l
	}
	return l
}

// stores puts a transaction into the server's log.
func (s *story) stores(name string, t space.Transaction) space.Position {
	l := s.serverLog(name)
	records := t.Records(l.head.Seq+1, 7)
	l.records = append(l.records, records...)
	l.head = space.Position{Seq: l.head.Seq + uint64(len(records)), Chain: space.Fold(l.head.Chain, records), Seal: space.ID{9}}
	l.at[t.ID()] = l.head
	return l.head
}

// events returns the frame that brings the server's records of a space from one number to another.
func (s *story) events(name string, from, to uint64) *wire.Events {
	l := s.serverLog(name)
	return &wire.Events{
		Space: idOf(name), Records: l.records[from-1 : to],
		Position: space.Position{Seq: to, Chain: space.Fold(idOf(name), l.records[:to]), Seal: space.ID{9}},
	}
}

func (s *story) caughtUp(name string) {
	s.t.Helper()
	s.receive(&wire.CaughtUp{Space: idOf(name), Position: s.serverLog(name).head})
}

// answer answers the pushes that were sent and not answered, as an honest server that refuses nothing.
func (s *story) answer() {
	s.t.Helper()
	s.told()
	pushes := s.pushes
	s.pushes = nil
	for _, p := range pushes {
		pushed := &wire.Pushed{Space: p.Space, N: p.N}
		if p.Genesis != nil {
			pushed.Genesis = &wire.Verdict{Kind: wire.Accepted, Position: space.Start(p.Space)}
		}
		l := s.serverLog(nameOf(p.Space))
		for i := range p.Transactions {
			v := wire.Verdict{Kind: wire.Duplicate}
			id := p.Transactions[i].ID()
			if _, known := l.at[id]; !known {
				v.Kind = wire.Accepted
				s.stores(nameOf(p.Space), p.Transactions[i])
			}
			v.Position = l.at[id]
			pushed.Verdicts = append(pushed.Verdicts, v)
		}
		s.receive(pushed)
	}
}

// verdicts answers a push with verdicts.
func (s *story) verdicts(name string, n uint64, verdicts ...wire.Verdict) {
	s.t.Helper()
	s.receive(&wire.Pushed{Space: idOf(name), N: n, Verdicts: verdicts})
}

func deferred(code wire.Code, retry uint64) wire.Verdict {
	return wire.Verdict{Kind: wire.Deferred, Code: code, RetryAfterMS: retry}
}

// told returns what was sent since the last call as text, one frame an entry.
func (s *story) told() string {
	var out []string
	for _, f := range s.sent {
		out = append(out, text(f))
		switch f := f.(type) {
		case *wire.Push:
			s.pushes = append(s.pushes, f)
		case *wire.BlobPut:
			s.uploadRef = f.Ref
		}
	}
	s.sent = nil
	return strings.Join(out, ", ")
}

func text(f wire.Frame) string {
	switch f := f.(type) {
	case *wire.Hello:
		return "hello"
	case *wire.Directory:
		return "directory " + string(f.Since)
	case *wire.Subscribe:
		line := "subscribe"
		for i := range f.Subscriptions {
			line += fmt.Sprintf(" %s@%d", nameOf(f.Subscriptions[i].Space), f.Subscriptions[i].Position.Seq)
		}
		return line
	case *wire.Unsubscribe:
		line := "unsubscribe"
		for _, id := range f.Spaces {
			line += " " + nameOf(id)
		}
		return line
	case *wire.Push:
		line := fmt.Sprintf("push %s/%d", nameOf(f.Space), f.N)
		if f.Resume {
			line += " resume"
		}
		if f.Genesis != nil {
			line += " genesis"
		}
		for i := range f.Transactions {
			line += fmt.Sprintf(" %d", number(f.Transactions[i].ID()))
		}
		return line
	case *wire.Locate:
		return fmt.Sprintf("locate %s@%d", nameOf(f.Space), f.Position.Seq)
	case *wire.Credit:
		return fmt.Sprintf("credit %d", f.Bytes)
	case *wire.Ping:
		return "ping"
	case *wire.Blob:
		return fmt.Sprintf("blob %s from %d", f.Digest.String()[:4], f.Offset)
	case *wire.BlobPut:
		return fmt.Sprintf("put %s %d+%d/%d", f.Digest.String()[:4], f.Offset, len(f.Bytes), f.Total)
	}
	return fmt.Sprintf("frame %d", f.Number())
}

func (s *story) wants(want string) {
	s.t.Helper()
	if got := s.told(); got != want {
		s.t.Fatalf("sent %q, want %q", got, want)
	}
}

// outbox returns the numbers of the rows in the store's outbox, with the state of those that do not wait.
func (s *story) outbox(name string) string {
	var out []string
	for _, row := range s.store.Outbox(idOf(name), 0, 1<<20) {
		line := fmt.Sprint(number(row.ID))
		switch row.State {
		case replica.Accepted:
			line += " accepted"
		case replica.Withdrawn:
			line += " withdrawn"
		}
		out = append(out, line)
	}
	return strings.Join(out, ", ")
}

func (s *story) wantsOutbox(name, want string) {
	s.t.Helper()
	if got := s.outbox(name); got != want {
		s.t.Fatalf("the outbox of %s holds %q, want %q", name, got, want)
	}
}

// wantsRecords checks that the store has the server's records of a space up to a number, and stands there.
func (s *story) wantsRecords(name string, n uint64) {
	s.t.Helper()
	records := s.store.Read(idOf(name), 0, 1<<20, 1<<20)
	position := s.store.Refresh(idOf(name)).Info.Position
	if uint64(len(records)) != n || position.Seq != n || position.Chain != space.Fold(idOf(name), records) {
		s.t.Fatalf("%s has %d records and stands at %d, want %d", name, len(records), position.Seq, n)
	}
}

// decided returns the outcomes that were told since the last call.
func (s *story) decided() string {
	var out []string
	for _, n := range s.notices {
		if d, ok := n.(replica.Decided); ok {
			out = append(out, fmt.Sprintf("%d %s", number(d.ID), map[replica.Outcome]string{
				replica.Synced: "synced", replica.Refused: "refused", replica.Discarded: "discarded",
			}[d.Outcome]))
		}
	}
	s.notices = nil
	return strings.Join(out, ", ")
}

// eventID is the id of an event, and of the transaction that begins with it.
func eventID(n byte) space.ULID { return space.ULID{1, n} }
