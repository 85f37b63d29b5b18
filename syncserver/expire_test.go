package syncserver_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/module/builtin"
	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/memlog"
)

// expires makes the transaction by which the first records of a space expire.
func expires(author string, upto uint64) space.Transaction {
	t := privateEvent(author, module.TypeExpire)
	t.Events[0].Payload = module.Expire(upto)
	return t
}

// expiredTo waits for the row that says up to where a space has expired.
func (p *peer) expiredTo(id space.ID, upto uint64) *wire.SpaceRow {
	p.t.Helper()
	for {
		for _, row := range await[*wire.Spaces](p).Rows {
			if row.Genesis.ID() == id && row.Expired >= upto {
				return &row
			}
		}
	}
}

// gone subscribes at a place that has expired, and returns the row that comes before the end.
func (p *peer) gone(id space.ID, at space.Position) *wire.SpaceRow {
	p.t.Helper()
	p.subscribe(id, at)
	var row *wire.SpaceRow
	for {
		switch f := p.receive().(type) {
		case *wire.Spaces:
			for i := range f.Rows {
				if f.Rows[i].Genesis.ID() == id {
					row = &f.Rows[i]
				}
			}
		case *wire.Events:
			if f.Space == id {
				p.t.Fatalf("records from %d on came to who was at %d", f.Records[0].Seq, at.Seq)
			}
		case *wire.Ended:
			if f.Space != id {
				continue
			}
			if f.Code != wire.CodeResumeGone || row == nil {
				p.t.Fatalf("ended with %v, behind the row %+v", f.Code, row)
			}
			return row
		}
	}
}

// TestExpire: who may have records expire does; who reads is sent the record and the server's word of the tables, and told of a
// checkpoint to begin at. Who is behind is told to begin there. What has expired is known for ever, and does not come back.
func TestExpire(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		for _, name := range []string{"members", "personal", "broadcast", "open"} {
			t.Run(name, func(t *testing.T) { testExpire(t, open, name) })
		}
	})
}

func testExpire(t *testing.T, open func() syncserver.Log, name string) {
	log := open()
	ctx := context.Background()
	r := start(t, log, runsModules(t, log, nil), tokens)
	ann, bob, eve := r.dial("ann"), r.dial("bob"), r.dial("eve")
	d, _ := builtin.ByName(name)
	id := ann.createOf(upload(t, log, builtin.Bytes(d)))
	write := func(by string, n int) (all []space.Transaction) {
		for i := range n {
			one := privateEvent(by, "note", "text", fmt.Sprint("payload of ", by, i))
			if i == 0 {
				one.Events = append(one.Events, privateEvent(by, "note").Events...)
			}
			all = append(all, one)
		}
		return all
	}
	if name == "members" {
		ann.wrote(id, "grant", "identity", "bob", "role", "writer")
	}
	old := write("ann", 30)
	var at []space.Position
	for _, one := range old {
		at = append(at, ann.append(id, one))
	}
	upto, head := at[20].Seq, at[29].Seq
	reader := ann
	if name == "members" || name == "broadcast" || name == "open" {
		reader = bob
	}
	reader.subscribe(id, space.Start(id))
	_, live := reader.follow(id, space.Start(id), head)

	for who, want := range map[*peer]wire.Code{bob: wire.CodeForbidden, eve: wire.CodeForbidden} {
		v := who.verdict(id, expires(who.identity, upto))
		if v.Kind != wire.Rejected || v.Code != want && v.Code <= wire.CodeModuleOwn && v.Code != wire.CodeRefused {
			t.Errorf("%s's expiry: %+v", who.identity, v)
		}
	}
	for _, upto := range []uint64{0, at[0].Seq - 1, head + 1, head + 2, 1 << 40} { // the second is within the first transaction
		if v := ann.verdict(id, expires("ann", upto)); v.Kind != wire.Rejected || v.Code != wire.CodeBadPayload {
			t.Errorf("an expiry up to %d of %d: %+v", upto, head, v)
		}
	}
	two := expires("ann", upto)
	two.Events = append(two.Events, expires("ann", upto+1).Events...)
	if v := ann.verdict(id, two); v.Kind != wire.Rejected || v.Code != wire.CodeBadTransaction {
		t.Errorf("two at once: %+v", v)
	}

	first := expires("ann", upto)
	if v := ann.verdict(id, first); v.Kind != wire.Accepted || v.Position.Seq != head+1 {
		t.Fatalf("the expiry: %+v", v)
	}
	records, live := reader.follow(id, live, head+2)
	said, ok := module.Witnessed(records[1].Payload)
	if records[0].Type != module.TypeExpire || records[1].Type != module.TypeCheckpoint || !ok {
		t.Fatalf("the records are %+v", records)
	}
	row := reader.expiredTo(id, upto)
	if row.Expired != upto || row.CheckpointSeq != head+1 || row.Checkpoint != said {
		t.Errorf("the row is %+v; the server said %v", row, said)
	}
	if of, _, err := tables.ReadRoot(reader.fetchBlob(row.Checkpoint)); err != nil || of.Chain != space.Chain(at[29].Chain, &records[0]) {
		t.Errorf("the checkpoint is of %+v, %v", of, err)
	}
	if gone, err := log.Expired(ctx, id); err != nil || gone != upto {
		t.Fatalf("the log has expired up to %d, %v", gone, err)
	}

	check := func(r *rig, horizon uint64) {
		t.Helper()
		log := r.log
		ann, eve := r.dial("ann"), r.dial("eve")
		for _, from := range []space.Position{space.Start(id), at[0], at[5]} {
			if row := ann.gone(id, from); row.Expired != horizon || row.CheckpointSeq < horizon {
				t.Errorf("who was at %d is told %+v", from.Seq, row)
			}
		}
		if name == "personal" || name == "members" {
			eve.subscribe(id, space.Start(id))
			if code := eve.ended(id); code != wire.CodeForbidden {
				t.Errorf("a stranger is told %v", code)
			}
		}
		row := ann.gone(id, space.Start(id))
		of, _, err := tables.ReadRoot(ann.fetchBlob(row.Checkpoint))
		if err != nil {
			t.Fatal(err)
		}
		ann.subscribe(id, space.Position{Seq: of.Seq, Chain: of.Chain})
		end, err := log.Head(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if _, now := ann.follow(id, space.Position{Seq: of.Seq, Chain: of.Chain}, end.Seq); now.Chain != end.Chain {
			t.Errorf("who begins at the checkpoint comes to another history")
		}
		for _, f := range []wire.Fetch{{After: 0}, {After: horizon - 1}, {Before: 3}, {Before: horizon + 1}} {
			f.Ref, f.Space = 9, id
			ann.send(&f)
			if refused := await[*wire.Refused](ann); refused.Ref != 9 || refused.Code != wire.CodeResumeGone {
				t.Errorf("%+v is answered by %+v", f, refused)
			}
		}
		for _, f := range []wire.Fetch{{After: horizon}, {Before: end.Seq + 1}} {
			f.Ref, f.Space = 9, id
			ann.send(&f)
			page := await[*wire.Page](ann)
			if page.Records[0].Seq != horizon+1 || space.Fold(page.ChainBefore, page.Records) != page.Position.Chain {
				t.Errorf("%+v is answered by records from %d on", f, page.Records[0].Seq)
			}
			for i := range page.Records {
				if page.Records[i].Expired {
					t.Errorf("record %d is sent, and has expired", page.Records[i].Seq)
				}
			}
		}
		// What is known is known for ever, whole and as it was.
		for n, v := range ann.pushed(wire.Push{Space: id, Resume: true, Transactions: old}).Verdicts {
			want := at[n]
			if v.Kind != wire.Duplicate || v.Position.Seq != want.Seq || v.Position.Chain != want.Chain {
				t.Fatalf("transaction %d again: %+v", n, v)
			}
		}
		other := old[0]
		other.Events = append([]space.Event(nil), other.Events...)
		other.Events[0].Payload = []byte{0x80, 0x80}
		if v := ann.verdict(id, other); v.Kind != wire.Rejected || v.Code != wire.CodeIDReused {
			t.Errorf("with another payload: %+v", v)
		}
		for _, less := range []uint64{horizon, at[0].Seq} {
			if v := ann.verdict(id, expires("ann", less)); v.Kind != wire.Rejected || v.Code != wire.CodeBadPayload {
				t.Errorf("an expiry up to %d after one up to %d: %+v", less, horizon, v)
			}
		}
		if v := ann.verdict(id, first); v.Kind != wire.Duplicate || v.Position.Seq != head+1 {
			t.Errorf("the expiry again: %+v", v)
		}
		end, _ = log.Head(ctx, id)
		if v := ann.verdict(id, write("ann", 1)[0]); v.Kind != wire.Accepted || v.Position.Seq <= end.Seq {
			t.Errorf("a new one: %+v behind %d", v, end.Seq)
		}
	}
	check(r, upto)
	r.stop()
	log = open()
	r = start(t, log, runsModules(t, log, nil), tokens)
	check(r, upto)
	ann = r.dial("ann")
	ann.subscribe(id, live)
	if v := ann.verdict(id, expires("ann", head+2)); v.Kind != wire.Accepted { // the first one too
		t.Fatalf("the next expiry: %+v", v)
	}
	ann.expiredTo(id, head+2)
	first = space.Transaction{} // it has expired itself
	r.stop()
	log = open()
	r = start(t, log, runsModules(t, log, nil), tokens)
	first = expires("ann", upto)
	ann = r.dial("ann")
	if v := ann.verdict(id, first); v.Code != wire.CodeBadPayload {
		t.Errorf("an old expiry, new: %+v", v)
	}
	if name != "open" {
		if err := opensAlike(ctx, log, id); err != nil {
			t.Error(err)
		}
		if wrong := wrongCheckpoints(t, log, id); len(wrong) > 0 {
			t.Errorf("nothing is wrong, and found is %q", wrong)
		}
	}
	usage, err := log.Usage(ctx, "ann")
	if err != nil || usage.Bytes == 0 {
		t.Errorf("ann's usage is %+v, %v", usage, err)
	}
	r.stop()
}

// opensAlike says what is wrong with the newest checkpoint of a space as a beginning: nothing if it is at or behind what has expired.
func opensAlike(ctx context.Context, log syncserver.Log, id space.ID) error {
	gone, err := log.Expired(ctx, id)
	if err != nil {
		return err
	}
	value, err := log.Key(ctx, "checkpoint/"+id.String())
	if err != nil || len(value) < 40 {
		return fmt.Errorf("there is no checkpoint: %v", err)
	}
	root, err := log.Page(ctx, digest.Digest(value[8:40]))
	if err != nil {
		return err
	}
	of, pages, err := tables.ReadRoot(root)
	if err != nil || of.Seq < gone {
		return fmt.Errorf("the checkpoint of record %d, where %d have expired: %v", of.Seq, gone, err)
	}
	for _, name := range pages {
		if page, err := log.Page(ctx, name); err != nil || digest.Of(page) != name {
			return fmt.Errorf("page %v: %v", name, err)
		}
	}
	return nil
}

// cut is a log that changes nothing more after so many changes, as if the power were gone.
type cut struct {
	syncserver.Log
	mu    sync.Mutex
	armed bool
	left  int
	made  int
}

func (c *cut) change() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.armed {
		return nil
	}
	if c.left == 0 {
		return errBroken
	}
	c.left, c.made = c.left-1, c.made+1
	return nil
}

func (c *cut) arm(most int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed, c.left, c.made = true, most, 0
}

func (c *cut) Append(ctx context.Context, id space.ID, previous space.Head, records []space.Record, next space.Head) error {
	if err := c.change(); err != nil {
		return err
	}
	return c.Log.Append(ctx, id, previous, records, next)
}

func (c *cut) CompareAndSet(ctx context.Context, key string, old, value []byte) (bool, error) {
	if err := c.change(); err != nil {
		return false, err
	}
	return c.Log.CompareAndSet(ctx, key, old, value)
}

func (c *cut) PutPages(ctx context.Context, id space.ID, pages []syncserver.Page) error {
	if err := c.change(); err != nil {
		return err
	}
	return c.Log.PutPages(ctx, id, pages)
}

func (c *cut) DeletePages(ctx context.Context, id space.ID, names []digest.Digest) error {
	if err := c.change(); err != nil {
		return err
	}
	return c.Log.DeletePages(ctx, id, names)
}

func (c *cut) Expire(ctx context.Context, id space.ID, upto uint64) error {
	if err := c.change(); err != nil {
		return err
	}
	return c.Log.Expire(ctx, id, upto)
}

// TestExpireCutShort cuts the power at every change that an expiry makes. Whenever payloads are gone, there is a checkpoint that needs
// none of them; and the server that is started next does what is left, if the expiry is in the log.
func TestExpireCutShort(t *testing.T) {
	for _, name := range []string{"chat", "open"} {
		whole := false
		for most := 0; !whole; most++ {
			t.Run(fmt.Sprint(name, " ", most), func(t *testing.T) {
				inner := memlog.New()
				log := &cut{Log: inner}
				r := start(t, log, runsModules(t, log, nil))
				ann := r.dial("ann")
				content := module.OpenBytes
				if name == "chat" {
					content = moduletest.Chat()
				}
				id := ann.createOf(upload(t, log, content))
				var all []space.Transaction
				for range 21 {
					all = append(all, ann.of("message", moduletest.ChatMessage("room", strings.Repeat("text ", 10))))
				}
				fresh := all[20]
				all = all[:20]
				ann.append(id, all...)
				ctx := t.Context()
				gone := func(log syncserver.Log) uint64 {
					upto, err := log.Expired(ctx, id)
					if err != nil {
						t.Fatal(err)
					}
					return upto
				}
				log.arm(most)
				ann.push(wire.Push{Space: id, Resume: true, Transactions: []space.Transaction{expires("ann", 15)}})
				r.until("the cut, or the end", func() bool {
					log.mu.Lock()
					cut := log.left == 0
					log.mu.Unlock()
					note, err := inner.Key(ctx, "expiring/"+id.String())
					whole = err == nil && note == nil && gone(inner) == 15
					return cut || whole
				})
				r.stop()
				head, err := inner.Head(ctx, id)
				if err != nil {
					t.Fatal(err)
				}
				if gone(inner) > 0 {
					if err := opensAlike(ctx, inner, id); err != nil {
						t.Fatal(err)
					}
				}
				r = start(t, inner, runsModules(t, inner, nil))
				ann = r.dial("ann")
				if head.Seq == 22 {
					r.until("what was left", func() bool {
						note, err := inner.Key(ctx, "expiring/"+id.String())
						return err == nil && note == nil && gone(inner) == 15
					})
				}
				if row := head.Seq == 22; row {
					ann.gone(id, space.Start(id))
				}
				if v := ann.verdict(id, all[3]); v.Kind != wire.Duplicate || v.Position.Seq != 4 {
					t.Errorf("an old one again: %+v", v)
				}
				if v := ann.verdict(id, fresh); v.Kind != wire.Accepted || v.Position.Seq != head.Seq+1 {
					t.Errorf("a new one: %+v", v)
				}
				r.stop()
			})
			if most > 60 {
				t.Fatal("it does not end")
			}
		}
	}
}

// TestExpireAndModules: a module that needs the whole log cannot take over a space of which records have expired, also not from a server
// that begins behind them; others can, and the space knows which module it has when the record that says so has expired itself.
func TestExpireAndModules(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		log := open()
		r := start(t, log, runsModules(t, log, nil))
		ann := r.dial("ann")
		id := ann.createOf(upload(t, log, moduletest.Members(nil)))
		carries := upload(t, log, membersAs("1.1.0", nil))
		replays := upload(t, log, membersAs("3.0.0", func(m *program.Manifest) { m.Upgrade = program.Replay }))
		ann.append(id, ann.of("add", moduletest.MembersAdd("bob")), ann.of("note", moduletest.MembersNote("a")))
		to := func(name digest.Digest) space.Transaction {
			return ann.of(module.TypeModule, module.Upgrade(name, nil))
		}
		if v := ann.verdict(id, to(carries)); v.Kind != wire.Accepted || v.Position.Seq != 3 {
			t.Fatalf("the first upgrade: %+v", v)
		}
		ann.subscribe(id, space.Start(id))
		if v := ann.verdict(id, expires("ann", 4)); v.Kind != wire.Accepted {
			t.Fatalf("the expiry: %+v", v)
		}
		ann.expiredTo(id, 4)
		for range 2 {
			row := ann.gone(id, space.Start(id))
			if row.Module != carries {
				t.Errorf("the space has module %v, not %v", row.Module, carries)
			}
			v := ann.verdict(id, to(replays))
			if v.Kind != wire.Rejected || v.Code != wire.CodeBadUpgrade || !strings.Contains(v.Reason, "up to 4 have expired") {
				t.Errorf("a module that needs the whole log: %+v", v)
			}
			if v := ann.verdict(id, ann.of("note", moduletest.MembersNote("b"))); v.Kind != wire.Accepted {
				t.Errorf("the space does not go on: %+v", v)
			}
			r.stop()
			log = open()
			r = start(t, log, runsModules(t, log, nil))
			ann = r.dial("ann")
		}
		if v := ann.verdict(id, to(carries)); v.Kind != wire.Accepted {
			t.Errorf("a module that takes the tables: %+v", v)
		}
		r.stop()
	})
}

// TestExpiredAndDamaged: if nothing is left of a space's tables but what is damaged, it is not made again of the rest of its log: who
// writes waits, and what is damaged stays for whoever can mend it.
func TestExpiredAndDamaged(t *testing.T) {
	log := memlog.New()
	r := start(t, log, runsModules(t, log, nil))
	ann := r.dial("ann")
	id := ann.createOf(upload(t, log, moduletest.Members(nil)))
	ann.append(id, ann.of("add", moduletest.MembersAdd("bob")), ann.of("note", moduletest.MembersNote("a")))
	ann.subscribe(id, space.Start(id))
	ann.verdict(id, expires("ann", 2))
	row := ann.expiredTo(id, 2)
	r.stop()
	ctx := t.Context()
	root, err := log.Page(ctx, row.Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	_, pages, err := tables.ReadRoot(root)
	if err != nil || len(pages) == 0 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	page, err := log.Page(ctx, pages[0])
	if err != nil {
		t.Fatal(err)
	}
	damaged := append([]byte(nil), page...)
	damaged[len(damaged)/2] ^= 1
	put := func(content []byte) {
		if err := log.PutPages(ctx, id, []syncserver.Page{{Name: pages[0], Bytes: content}}); err != nil {
			t.Fatal(err)
		}
	}
	put(damaged)
	r = start(t, log, runsModules(t, log, nil))
	ann = r.dial("ann")
	note := ann.of("note", moduletest.MembersNote("b"))
	for range 3 {
		if v := ann.verdict(id, note); v.Kind != wire.Deferred || v.Code != wire.CodeOverloaded {
			t.Fatalf("a note: %+v", v)
		}
	}
	r.stop()
	if content, err := log.Page(ctx, row.Checkpoint); err != nil || digest.Of(content) != row.Checkpoint {
		t.Fatalf("the checkpoint was thrown away: %v", err)
	}
	put(page)
	r = start(t, log, runsModules(t, log, nil))
	if v := r.dial("ann").verdict(id, note); v.Kind != wire.Accepted {
		t.Errorf("mended: %+v", v)
	}
}

// TestExpireOverHTTP: who asks for what has expired is told that it is gone; who names no position gets what is kept.
func TestExpireOverHTTP(t *testing.T) {
	log := memlog.New()
	r := start(t, log, runsModules(t, log, nil), tokens)
	ann := r.dial("ann")
	id := ann.create()
	ann.append(id, notes("ann", 10)...)
	var first, all ranged
	r.fetch("ann", eventsPath(id)+"?limit=3", &first)
	r.fetch("ann", eventsPath(id), &all)
	if len(first.Events) != 3 || len(all.Events) != 10 {
		t.Fatalf("%d and %d events", len(first.Events), len(all.Events))
	}
	ann.subscribe(id, space.Start(id))
	ann.verdict(id, expires("ann", 7))
	ann.expiredTo(id, 7)
	for _, header := range [][]string{{}, {"Accept", "text/event-stream"}} {
		var problem struct{ Code, Reason string }
		response := r.fetch("ann", eventsPath(id)+"?after="+first.Position, &problem, header...)
		if response.StatusCode != 410 || problem.Code != "resume_gone" || !strings.Contains(problem.Reason, "without") {
			t.Errorf("an old position: %d %+v", response.StatusCode, problem)
		}
	}
	var kept ranged
	r.fetch("ann", eventsPath(id), &kept)
	if len(kept.Events) != 5 || kept.Events[0].Seq != 8 || kept.Events[3].Type != module.TypeExpire {
		t.Errorf("what is kept: %+v", kept.Events)
	}
	var behind ranged
	r.fetch("ann", eventsPath(id)+"?after="+all.Position, &behind)
	if len(behind.Events) != 2 || behind.Events[0].Seq != 11 {
		t.Errorf("behind what was read before: %+v", behind.Events)
	}
	stream, response := r.stream("ann", eventsPath(id))
	defer response.Body.Close()
	if e := stream.record(); e.Seq != 8 {
		t.Errorf("a stream begins with record %d", e.Seq)
	}
}

// TestOvertakenReader: what a subscriber was about to be sent expires. It is told where to begin, and never sent a part of it.
func TestOvertakenReader(t *testing.T) {
	log := memlog.New()
	r := start(t, log, runsModules(t, log, nil))
	ann, slow := r.dial("ann"), r.dialWith(func() *wire.Hello { h := hello("slow"); h.Credit = 1; return h }())
	id := ann.create()
	for range 30 {
		ann.append(id, notes("ann", 100)...)
	}
	slow.subscribe(id, space.Start(id))
	events := await[*wire.Events](slow) // for which it has paid
	at := slow.check(space.Start(id), events)
	if at.Seq >= 2900 {
		t.Fatalf("it was sent %d records at once", at.Seq)
	}
	ann.subscribe(id, space.Start(id))
	ann.verdict(id, expires("ann", 2900))
	ann.expiredTo(id, 2900)
	slow.send(&wire.Credit{Bytes: 1 << 20})
	for {
		switch f := slow.receive().(type) {
		case *wire.Events:
			at = slow.check(at, f)
			for i := range f.Records {
				if f.Records[i].Expired {
					t.Fatalf("record %d was sent, and has expired", f.Records[i].Seq)
				}
			}
			continue
		case *wire.Spaces:
			continue
		case *wire.Ended:
			if f.Code != wire.CodeResumeGone {
				t.Errorf("ended with %v", f.Code)
			}
		default:
			continue
		}
		break
	}
}
