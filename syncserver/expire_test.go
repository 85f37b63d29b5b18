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
