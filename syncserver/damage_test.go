package syncserver_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/memlog"
)

// rotten is a log of which one record, or one chain value, is not any more what was stored.
type rotten struct {
	syncserver.Log
	on    atomic.Bool
	spoil func(*space.Record)
	chain uint64 // where the stored chain is wrong; 0: nowhere
	head  bool   // the head's is
}

func (r *rotten) Read(ctx context.Context, id space.ID, after uint64, maxRecords, maxBytes int) ([]space.Record, error) {
	records, err := r.Log.Read(ctx, id, after, maxRecords, maxBytes)
	records = slices.Clone(records)
	for i := range records {
		if r.spoil != nil && r.on.Load() {
			r.spoil(&records[i])
		}
	}
	return records, err
}

func (r *rotten) ChainBefore(ctx context.Context, id space.ID, seq uint64) (space.Position, error) {
	at, err := r.Log.ChainBefore(ctx, id, seq)
	if at.Seq == r.chain && r.chain > 0 && r.on.Load() {
		at.Chain[7] ^= 1
	}
	return at, err
}

func (r *rotten) Head(ctx context.Context, id space.ID) (space.Head, error) {
	head, err := r.Log.Head(ctx, id)
	if r.head && head.Seq > 0 && r.on.Load() {
		head.Chain[7] ^= 1
	}
	return head, err
}

// Append follows on the head that the log says it has, as one does that keeps it once.
func (r *rotten) Append(ctx context.Context, id space.ID, previous space.Head, records []space.Record, next space.Head) error {
	if r.head && r.on.Load() {
		previous.Chain[7] ^= 1
	}
	return r.Log.Append(ctx, id, previous, records, next)
}

// both runs a test with a space that nobody uses when its log goes bad, and with one that somebody does.
func both(t *testing.T, name string, test func(t *testing.T, hot bool)) {
	t.Run(name, func(t *testing.T) { test(t, false) })
	t.Run(name+", in use", func(t *testing.T) { test(t, true) })
}

// TestARottenLog changes each field of a record, a stored chain and the head, as a disk does. Nobody is sent any of it, by whichever way, nor told that their history is another one, nor that a
// transaction that is in the log has other content; it is counted; and when the log is mended all goes on.
func TestARottenLog(t *testing.T) {
	at := func(seq uint64, change func(*space.Record)) func(*rotten) {
		return func(r *rotten) {
			r.spoil = func(record *space.Record) {
				if record.Seq == seq {
					change(record)
				}
			}
		}
	}
	for name, rot := range map[string]func(*rotten){
		"payload":        at(5, func(r *space.Record) { r.Payload = []byte{0x01} }),
		"id":             at(5, func(r *space.Record) { r.ID[15] ^= 1 }),
		"author":         at(5, func(r *space.Record) { r.Author = "malice" }),
		"type":           at(5, func(r *space.Record) { r.Type += "x" }),
		"received_at":    at(5, func(r *space.Record) { r.ReceivedAt++ }),
		"schema":         at(5, func(r *space.Record) { r.Schema[0] ^= 1 }),
		"api":            at(5, func(r *space.Record) { r.API = "9.9.9" }),
		"client_version": at(5, func(r *space.Record) { r.ClientVersion = "6.6.6" }),
		"the last":       at(9, func(r *space.Record) { r.Payload = []byte{0x01} }),
		"a chain":        func(r *rotten) { r.chain = 6 },
		"the last chain": func(r *rotten) { r.chain = 9 },
		"the head":       func(r *rotten) { r.head = true },
	} {
		both(t, name, func(t *testing.T, hot bool) {
			log := memlog.New()
			first := start(t, log)
			alice := first.dial("alice")
			id := alice.create()
			var sent []space.Transaction
			for range 3 { // appends that end at 3, 6 and 9
				tx := alice.transaction(3)
				sent = append(sent, tx)
				alice.append(id, tx)
			}
			alice.subscribe(id, space.Start(id))
			right, end := alice.follow(id, space.Start(id), 9)
			first.stop()

			bad := &rotten{Log: log}
			rot(bad)
			r := start(t, bad) // nothing of the log is in memory any more
			if hot {           // but that it was right
				reader := r.dial("alice")
				reader.subscribe(id, end)
				await[*wire.CaughtUp](reader)
			}
			bad.on.Store(true)
			for seq := range uint64(10) {
				p := r.dial("alice")
				from := space.Position{Seq: seq, Chain: space.Fold(id, right[:seq])}
				if seq > 0 && !right[seq-1].Last() {
					continue
				}
				p.subscribe(id, from)
				for done := false; !done; {
					switch f := p.receive().(type) {
					case *wire.Events: // what is before the damage
						for i := range f.Records {
							if space.Chain(from.Chain, &f.Records[i]) != space.Chain(from.Chain, &right[f.Records[i].Seq-1]) {
								t.Errorf("from %d on record %d was sent as %+v", seq, f.Records[i].Seq, f.Records[i])
							}
						}
					case *wire.Ended:
						if done = true; f.Code != wire.CodeInternal {
							t.Errorf("at %d the subscription ended with %v", seq, f.Code)
						}
					case *wire.CaughtUp:
						done = true // all behind the damage is right
					}
				}
				p.send(&wire.Fetch{Ref: 1, Space: id, After: seq})
				for done := false; !done; {
					switch f := p.receive().(type) {
					case *wire.Page:
						done = true
						if f.Position.Chain != space.Fold(id, right[:f.Position.Seq]) || space.Fold(f.ChainBefore, f.Records) != f.Position.Chain {
							t.Errorf("a page after %d is not what was stored: %+v", seq, f.Position)
						}
					case *wire.Refused:
						if done = true; f.Code != wire.CodeOverloaded {
							t.Errorf("a page was refused with %v", f.Code)
						}
					}
				}
				p.close()
			}
			p := r.dial("alice")
			for _, tx := range sent { // as a replica does that lost the verdict
				v := p.verdict(id, tx)
				if v.Kind != wire.Duplicate && (v.Kind != wire.Deferred || v.Code != wire.CodeOverloaded) {
					t.Errorf("what is in the log already: %+v", v)
				}
				if v.Kind == wire.Duplicate && v.Position.Chain != space.Fold(id, right[:v.Position.Seq]) {
					t.Errorf("a duplicate at another chain: %+v", v)
				}
			}
			if strings.Contains(r.metrics(), "skerry_log_damaged_total 0") {
				t.Error("nothing was counted")
			}
			if !hot || !bad.head { // else it waits for the head to be mended
				if v := p.verdict(id, p.transaction(1)); v.Kind == wire.Rejected {
					t.Errorf("what is new: %+v", v)
				}
			}
			r.stop()

			r = start(t, log)
			p = r.dial("alice")
			at := p.append(id, p.transaction(1))
			p.subscribe(id, end)
			p.follow(id, end, at.Seq)
			all, err := log.Read(t.Context(), id, 0, 100, 1<<20)
			if head, _ := log.Head(t.Context(), id); err != nil || space.Fold(id, all) != head.Chain {
				t.Errorf("what was written follows on what went bad: %v", err)
			}
		})
	}
}
