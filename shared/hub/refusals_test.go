package hub_test

import (
	"reflect"
	"strings"
	"testing"

	"skerry/shared/hub"
	"skerry/shared/module"
	"skerry/shared/space"
	"skerry/shared/wire"
)

func TestLimitsOnBothSides(t *testing.T) {
	limits := wire.DefaultLimits
	limits.Payload, limits.TransactionBytes, limits.TransactionEvents = 100, 1000, 4
	long := func(n uint64) string { return strings.Repeat("x", int(n)) }
	padded := func(n int) space.Transaction { // a transaction of n bytes
		x := tx(1, 2, 3, 4)
		for i := range x.Events {
			x.Events[i].Payload = make([]byte, 100)
			x.Events[i].Type = long(123)
		}
		x.Events[0].Type = long(uint64(123 + n - x.Size()))
		return x
	}
	for name, c := range map[string]struct {
		at, over space.Transaction
		reason   string
	}{
		"type":           {typed(long(128), 1), typed(long(129), 1), "type: 129 bytes, at most 128"},
		"payload":        {payload(100), payload(101), "payload: 101 bytes, at most 100"},
		"events":         {tx(1, 2, 3, 4), tx(1, 2, 3, 4, 5), "transaction: 5 events, at most 4"},
		"bytes":          {padded(1000), padded(1001), "transaction: 1001 bytes, at most 1000"},
		"author":         {by(long(256), tx(1)), by(long(257), tx(1)), "author: 257 bytes, at most 256"},
		"client_version": {version(long(64)), version(long(65)), "client_version: 65 bytes, at most 64"},
		"api":            {api(long(32)), api(long(33)), "api: 33 bytes, at most 32"},
	} {
		t.Run(name, func(t *testing.T) {
			w := openedWorld(t, func(c *hub.Config) { c.Limits = limits })
			w.caller(1).Identities = append(w.caller(1).Identities, long(256), long(257))
			w.push(1, c.over)
			w.settle()
			if v := w.replies[0].Pushed.Verdicts[0]; v.Code != wire.CodeTooLarge || v.Reason != c.reason {
				t.Errorf("over the limit: %v %q, want %q", v.Code, v.Reason, c.reason)
			}
			w.told()
			w.push(1, c.at)
			w.settle()
			if v := w.replies[0].Pushed.Verdicts[0]; v.Kind != wire.Accepted {
				t.Errorf("at the limit: %v %q", v.Code, v.Reason)
			}
		})
	}
}

func payload(n int) space.Transaction {
	x := tx(1)
	x.Events[0].Payload = make([]byte, n)
	return x
}

func version(v string) space.Transaction {
	x := tx(1)
	x.ClientVersion = v
	return x
}

func api(v string) space.Transaction {
	x := tx(1)
	x.API = v
	return x
}

func TestWhatIsInTheLogIsADuplicateWhateverTheLimitsAre(t *testing.T) {
	w := openedWorld(t)
	w.log.other(payload(200))
	w.step(hub.HeadRead{Head: w.log.head})
	w.settle()
	tight := openedWorld(t, func(c *hub.Config) { c.Limits = wire.DefaultLimits; c.Limits.Payload = 10 })
	tight.log = w.log
	tight.step(hub.HeadRead{Head: w.log.head})
	tight.settle()
	tight.push(1, payload(200))
	tight.settle()
	tight.wants("1/1: duplicate@1")
}

func TestWhatIsNoTransaction(t *testing.T) {
	zero := tx(1)
	zero.Events[0].ID = space.ULID{}
	w := openedWorld(t)
	w.push(1, tx(), zero, typed("", 1), typed("$expire", 1), by("", tx(1)), tx(1))
	w.settle()
	w.wants("1/1: bad_transaction bad_transaction bad_transaction reserved_type auth_required behind")
	if len(w.log.records) != 0 {
		t.Error("something was stored")
	}
}

func TestTheLastSequenceNumber(t *testing.T) {
	w := newWorld(t)
	w.step(hub.Ask{Conn: 99})
	w.module.applied = space.MaxSeq - 2
	head := space.Head{Seq: space.MaxSeq - 2, Chain: spaceID}
	w.step(hub.Opened{Ref: answer(w, &w.open, "open").Ref, Instance: w.module, Head: head})
	w.push(1, tx(1, 2, 3), tx(4, 5), tx(6))
	w.found()
	if next := w.append.Next.Seq; next != space.MaxSeq {
		t.Errorf("the append ends at %d", next)
	}
	w.log.head = w.append.Next
	w.step(hub.Appended{Outcome: hub.Stored})
	w.wants("1/1: space_full accepted@4294967295 space_full")
}

func TestAFullLogDefers(t *testing.T) {
	w := openedWorld(t)
	w.push(1, tx(1))
	w.settle()
	w.push(1, tx(2))
	w.found()
	w.push(2, tx(1), tx(3)) // judged while the append fails
	answer(w, &w.append, "append")
	w.step(hub.Appended{Outcome: hub.Full})
	w.settle()
	w.wants("1/1: accepted@1", "1/2: server_full", "2/1: duplicate@1 server_full")
	w.push(3, tx(4))
	w.settle()
	if v := w.replies[0].Pushed.Verdicts[0]; v.Code != wire.CodeServerFull || v.RetryAfterMS != 5000 {
		t.Fatalf("verdict %v", v)
	}
	w.told()
	w.now += 5000
	w.offer(3, &wire.Push{Resume: true, Transactions: []space.Transaction{tx(4)}})
	w.settle()
	w.wants("3/2: accepted@2")
}

func TestRateLimitsAreChargedOnce(t *testing.T) {
	var charged []int
	wait := uint64(0)
	w := openedWorld(t, func(c *hub.Config) {
		c.Admit = func(_ uint64, caller *hub.Caller, author string, events, bytes int) uint64 {
			if wait == 0 {
				charged = append(charged, events)
			}
			return wait
		}
	})
	w.push(1, tx(1, 2), tx(3))
	w.found()
	w.log.other(tx(9))
	w.settle() // judged twice
	w.push(1, tx(3))
	w.settle() // a duplicate is free
	w.wants("1/1: accepted@3 accepted@4", "1/2: duplicate@4")
	wait = 77
	w.push(1, tx(4), tx(5))
	w.settle()
	if v := w.replies[0].Pushed.Verdicts[0]; v.Code != wire.CodeRateLimited || v.RetryAfterMS != 77 {
		t.Errorf("verdict %v", v)
	}
	w.wants("1/3: rate_limited behind")
	if len(charged) != 2 {
		t.Errorf("charged %v", charged)
	}
}

func TestRecovering(t *testing.T) {
	w := openedWorld(t)
	w.push(1, tx(1))
	w.settle()
	w.told()
	w.step(hub.Ahead{Position: space.Position{Seq: 1}}) // not ahead
	w.push(1, tx(2))
	w.settle()
	w.wants("1/2: accepted@2")

	w.push(1, tx(3))
	w.found()
	w.push(2, tx(4))
	w.found() // judged on top, not on its way yet
	w.step(hub.Ahead{Position: space.Position{Seq: 10}})
	w.settle()
	w.wants("1/3: accepted@3", "2/1: recovering")
	w.now += 1000
	w.push(3, tx(5), tx(6))
	w.settle()
	if v := w.replies[0].Pushed.Verdicts[0]; v.RetryAfterMS != 599_000 {
		t.Errorf("retry after %d", v.RetryAfterMS)
	}
	w.wants("3/1: recovering recovering")
	if w.s.Idle() {
		t.Error("a recovering space is idle")
	}
	w.now += 599_000
	w.step(hub.Ahead{Position: space.Position{Seq: 10}}) // the window does not begin again
	w.offer(3, &wire.Push{Resume: true, Transactions: []space.Transaction{tx(5)}})
	w.settle()
	w.wants("3/2: accepted@4")
}

func TestDisconnectedPushesAreFinishedOrDropped(t *testing.T) {
	w := openedWorld(t)
	w.push(1, tx(1))
	w.found()
	w.push(1, tx(2))
	w.push(2, tx(3))
	w.push(1, tx(4))
	w.step(hub.Disconnected{Conn: 1})
	w.step(hub.Disconnected{Conn: 5}) // never pushed here
	if len(w.finished) != 1 || w.finished[0] != 5 {
		t.Fatalf("finished %v", w.finished)
	}
	w.settle()
	w.wants("2/1: accepted@2")
	if len(w.log.records) != 2 || len(w.finished) != 2 {
		t.Errorf("%d records, finished %v", len(w.log.records), w.finished)
	}
	w.step(hub.Disconnected{Conn: 2})
	if !w.s.Idle() {
		t.Error("the space is not idle")
	}
}

func TestDisconnectBeforeTheSecondAttempt(t *testing.T) {
	w := openedWorld(t)
	w.push(1, tx(1))
	w.found()
	w.step(hub.Disconnected{Conn: 1})
	w.log.other(tx(9))
	w.settle()
	if len(w.finished) != 1 || len(w.log.records) != 1 {
		t.Errorf("finished %v, %d records", w.finished, len(w.log.records))
	}
}

func TestTheLogCannotBeAsked(t *testing.T) {
	w := openedWorld(t)
	w.push(1, tx(1))
	w.step(hub.Found{Ref: answer(w, &w.lookup, "lookup").Ref, Code: wire.CodeInternal})
	w.wants("1/1: overloaded")
	w.offer(1, &wire.Push{Resume: true, Transactions: []space.Transaction{tx(1)}})
	w.settle()
	w.push(2, tx(1), tx(2))
	w.found()
	w.step(hub.History{Ref: answer(w, &w.read, "read").Ref, Code: wire.CodeInternal})
	w.wants("1/2: accepted@1", "2/1: overloaded behind")
}

// unopened returns a space that the log may not hold.
func genesisPush(transactions ...space.Transaction) *wire.Push {
	g := genesis
	return &wire.Push{Genesis: &g, Transactions: transactions}
}

func (w *world) answerAbsent() {
	w.t.Helper()
	w.step(hub.Opened{Ref: answer(w, &w.open, "open").Ref})
}

func TestGenesis(t *testing.T) {
	w := newWorld(t)
	w.push(1, tx(1), tx(2))
	w.answerAbsent()
	w.wants("1/1: unknown_space unknown_space")
	w.push(1, tx(3))
	w.answerAbsent()
	w.wants("1/2: behind")
	p := genesisPush(tx(1), tx(2))
	p.Resume = true
	w.offer(1, p)
	w.offer(2, genesisPush(tx(3))) // a race
	w.answerAbsent()
	c := answer(w, &w.create, "create")
	if len(c.Charges) != 3 || c.Charges[0] != "create/identity/ann" || c.Charges[1] != "create/address/here" {
		t.Errorf("create %+v", c)
	}
	w.step(hub.Opened{Ref: c.Ref, Instance: w.module, Head: w.log.head, Created: true})
	w.settle()
	if p := w.replies[0].Pushed.Genesis.Position; p.Chain != spaceID || p.Seal != space.Seal(secret, spaceID, 0, spaceID) {
		t.Errorf("position %v", p)
	}
	w.wants("1/3: genesis accepted@0; accepted@1 accepted@2", "2/1: genesis duplicate@0; accepted@3")
	w.offer(3, genesisPush())
	w.settle()
	w.wants("3/1: genesis duplicate@0;")
}

// A signature is stored and sent to every reader, so it has a limit; a creator that has no key has none.
func TestGenesisSignature(t *testing.T) {
	for name, c := range map[string]struct {
		creator string
		bytes   int
		told    string // "": it is created
	}{
		"largest":   {"did:key:z6Mk", wire.MaxSignature, "bad_genesis"}, // no known key makes one as large
		"too large": {"did:key:z6Mk", wire.MaxSignature + 1, "too_large"},
		"of nobody": {"ann", 64, "bad_genesis"},
		"none":      {"ann", 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.caller(1).Identities = []string{c.creator}
			g := genesis
			g.Creator = c.creator
			w.s = hub.NewSpace(testConfig(), g.ID())
			w.offer(1, &wire.Push{Genesis: &g, GenesisSignature: make([]byte, c.bytes), Transactions: []space.Transaction{by(c.creator, tx(1))}})
			w.answerAbsent()
			if c.told != "" {
				w.wants("1/1: genesis " + c.told + "; unknown_space")
				return
			}
			if create := answer(w, &w.create, "create"); len(create.Signature) != c.bytes {
				t.Errorf("created with a signature of %d bytes", len(create.Signature))
			}
		})
	}
}

func TestGenesisThatAnotherServerCreatedMeanwhile(t *testing.T) {
	w := newWorld(t)
	w.offer(1, genesisPush(tx(1)))
	w.answerAbsent()
	w.log.other(tx(1))
	w.step(hub.Opened{Ref: answer(w, &w.create, "create").Ref, Instance: w.module, Head: w.log.head})
	w.settle()
	w.wants("1/1: genesis duplicate@0; duplicate@1")
}

func TestRefusedGenesis(t *testing.T) {
	limits := wire.DefaultLimits
	limits.Params = 10
	large := genesis
	large.Params = make([]byte, 11)
	stranger := genesis
	stranger.Creator = "eve"
	other := genesis
	other.Stamp = space.ULID{2}
	config := func(c *hub.Config) { c.Limits = limits }
	long := genesis
	long.Creator = strings.Repeat("x", 257)
	for name, c := range map[string]struct {
		genesis space.Genesis
		change  func(*hub.Config)
		told    string
	}{
		"other":    {other, config, "bad_genesis"},
		"stranger": {stranger, config, "auth_required"},
		"creator":  {long, config, "too_large"},
		"large":    {large, config, "too_large"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.change)
			id := spaceID
			if name != "other" {
				id = c.genesis.ID()
			}
			w.s = hub.NewSpace(testConfig(c.change), id)
			w.offer(1, &wire.Push{Genesis: &c.genesis, Transactions: []space.Transaction{tx(1), tx(2)}})
			w.push(1, tx(3))
			w.answerAbsent()
			if w.create != nil {
				t.Fatal("created")
			}
			w.wants("1/1: genesis "+c.told+"; unknown_space unknown_space", "1/2: behind")
		})
	}
}

func TestAGenesisOfAnotherSpaceForOneThatExists(t *testing.T) {
	w := openedWorld(t)
	p := genesisPush(tx(1))
	p.Genesis.Stamp = space.ULID{2}
	w.offer(1, p)
	w.settle()
	w.wants("1/1: genesis bad_genesis; unknown_space")

	w.push(2, tx(1)) // and judged again, because of what it rests on
	w.found()
	p.Resume = true
	w.offer(1, p)
	w.found()
	w.log.other(tx(9))
	w.settle()
	w.wants("2/1: accepted@2", "1/2: genesis bad_genesis; unknown_space")
}

func TestCreateIsDenied(t *testing.T) {
	for _, code := range []wire.Code{wire.CodeRateLimited, wire.CodeModuleMissing, wire.CodeServerFull, wire.CodeBadModule} {
		w := newWorld(t)
		w.offer(1, genesisPush(tx(1)))
		w.offer(1, genesisPush(tx(2)))
		w.offer(2, genesisPush(tx(3)))
		w.answerAbsent()
		w.step(hub.Opened{Ref: answer(w, &w.create, "create").Ref, Code: code, RetryAfterMS: 5})
		if v := w.replies[0].Pushed.Genesis; v.RetryAfterMS != 5 || (v.Kind == wire.Rejected) != (code == wire.CodeBadModule) {
			t.Errorf("genesis verdict %v", v)
		}
		w.step(hub.Opened{Ref: answer(w, &w.create, "create").Ref, Instance: w.module, Head: w.log.head, Created: true})
		w.settle()
		w.wants("1/1: genesis "+code.String()+"; unknown_space", "1/2: genesis behind; behind",
			"2/1: genesis accepted@0; accepted@1")
	}
}

func TestTheModuleOfASpaceIsMissing(t *testing.T) {
	w := newWorld(t)
	w.push(1, tx(1), tx(2))
	w.step(hub.Ask{Conn: 2, Ref: 5})
	w.step(hub.Opened{Ref: answer(w, &w.open, "open").Ref, Code: wire.CodeModuleMissing})
	w.wants("1/1: module_missing module_missing")
	if len(w.answers) != 1 || !reflect.DeepEqual(w.answers[0], hub.Answer{Conn: 2, Ref: 5, Exists: true, Code: wire.CodeModuleMissing}) {
		t.Errorf("answers %v", w.answers)
	}
}

func TestAsks(t *testing.T) {
	w := newWorld(t)
	w.step(hub.Ask{Conn: 1, Ref: 1})
	w.answerAbsent()
	w.step(hub.Ask{Conn: 1, Ref: 2, Identities: []string{"ann"}})
	w.answerOpen()
	w.module.stranger = "eve"
	w.step(hub.Ask{Conn: 1, Ref: 3, Identities: []string{"eve"}})
	w.step(hub.Ask{Conn: 1, Ref: 4, Identities: []string{"eve", "bob"}})
	want := []hub.Answer{
		{Conn: 1, Ref: 1}, {Conn: 1, Ref: 2, Exists: true, MayRead: true},
		{Conn: 1, Ref: 3, Exists: true}, {Conn: 1, Ref: 4, Exists: true, MayRead: true},
	}
	for i := range want {
		if !reflect.DeepEqual(w.answers[i], want[i]) {
			t.Errorf("answer %v, want %v", w.answers[i], want[i])
		}
	}
}

func TestAnInstanceIsBroughtToTheHeadFirst(t *testing.T) {
	w := newWorld(t)
	w.log.other(typed("once", 1))
	w.log.other(tx(2, 3))
	w.push(1, typed("once", 4))
	w.answerOpen()
	w.wants()
	w.settle()
	w.wants("1/1: forbidden")
	if w.module.applied != 3 {
		t.Errorf("applied %d", w.module.applied)
	}
}

func TestALogThatLostItsTailIsJudgedFromTheStart(t *testing.T) {
	w := openedWorld(t)
	w.push(1, typed("once", 1))
	w.settle()
	w.told()
	w.push(1, typed("once", 2))
	w.log = newLog() // restored from a backup
	w.settle()
	w.wants("1/2: forbidden") // by the tables of a history that is gone: nobody noticed yet
	w.push(1, tx(3))
	w.found()
	w.stored() // fails
	w.module = &rules{}
	w.settle()
	w.push(1, typed("once", 2))
	w.settle()
	w.wants("1/3: accepted@1", "1/4: accepted@2")
}

func TestOpenModule(t *testing.T) {
	w := newWorld(t)
	w.step(hub.Ask{Conn: 9})
	instance, err := module.Native.New(&genesis)
	if err != nil {
		t.Fatal(err)
	}
	w.step(hub.Opened{Ref: answer(w, &w.open, "open").Ref, Instance: instance, Head: w.log.head})
	w.push(1, typed("anything", 1), by("bob", tx(2)))
	w.settle()
	w.wants("1/1: accepted@1 accepted@2")
}
