package wasmclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"
	"unicode/utf8"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// Space is one space of a client's replica. It is a handle, and keeps the space open until it is closed; further ones
// for the same ID do the same. Its methods are safe for concurrent use.
type Space struct {
	client *Client
	id     space.ID
	closed atomic.Bool
}

// SpaceInfo is what a replica knows of a space.
type SpaceInfo struct {
	ID       space.ID
	Genesis  *space.Genesis // nil while only the ID is known
	Created  bool           // the server has it
	Pinned   bool           // it is kept up to date also while nobody looks at it
	Module   digest.Digest  // the module that judges now, as far as is known here; zero while unknown. Genesis has the first one
	Name     string         // what that calls itself, once it was loaded here; Version is its semver
	Version  string
	Position space.Position // how far the replica has it
	Oldest   uint64         // from this record on all up to Position are here; 1 if nothing is missing, see Holes
	Holes    []replica.Hole // what of the log up to Position is not here: it is fetched when somebody reads it
	Head     uint64         // where the server's log ended when it last told; a hint, never below Position
	CaughtUp bool           // nothing was behind when the server last said so
	Pending  int            // transactions in the outbox
	Rejected int            // transactions in the rejected store
	Lost     int            // transactions in the lost store
	Expired  uint64         // records up to this number have expired at the server, as it last told; 0: none
	Damaged  uint64         // not 0: of the records up to this number some cannot be read until they were fetched again
	Branch   uint64         // counts how often the log went on without records that were here: those behind the place where it did are others since
	RetryAt  uint64         // when a deferred space tries again, milliseconds since 1970; 0: not waiting
	Code     wire.Code      // why it does not get on; zero if it does
	Reason   string         // for people
	// Checkpoint is what the server has told of the space's tables. While it is Fetching the tables are to begin with it.
	Checkpoint replica.ServerCheckpoint
	// Divergence, when not nil, tells that the module made other tables here than on the server. It was told with
	// [Change] too. The tables are the server's since, and it is nil again when they were found to be at a later place.
	Divergence *Divergence
}

// ID returns the space's ID.
func (s *Space) ID() space.ID { return s.id }

// Info returns what the replica knows of the space now.
func (s *Space) Info() SpaceInfo { return s.client.Info(s.id) }

// Close says that nobody looks at the space by this handle any more. When no handle is open, nor one of another client
// that shares the store, the space is pulled for a minute still and then no more, unless it is pinned or has
// transactions in the outbox. What is here stays. A closed handle still reads and appends. Closing twice is harmless,
// and who looks at few spaces need not close any.
func (s *Space) Close() {
	if s.closed.CompareAndSwap(false, true) {
		s.client.post(func() { s.client.closed(s.id) })
	}
}

// Pin keeps the space up to date from now on whether somebody looks at it or not, or ends that. It returns when that is
// durable on this device; it holds for all who share the store, until it is changed.
func (s *Space) Pin(ctx context.Context, pinned bool) error {
	return s.do(ctx, "pin", func(ref uint64) replica.Input { return replica.Pin{Ref: ref, Space: s.id, Pinned: pinned} })
}

func (c *Client) info(id space.ID) SpaceInfo {
	status := c.core.Space(id)
	info := SpaceInfo{
		ID: id, Genesis: status.Info.Genesis, Created: status.Info.Created, Pinned: status.Info.Pinned, Module: status.Info.CurrentModule(),
		Position: status.Info.Position, Oldest: status.Info.Base(id).Seq + 1, Holes: status.Info.Holes, Head: max(status.Info.Head, status.Info.Position.Seq),
		CaughtUp: status.CaughtUp, Pending: status.Pending, Rejected: status.Rejected, Lost: status.Lost, Expired: max(c.expired[id], status.Info.Dropped), Damaged: status.Info.Damaged, Branch: status.Info.Branch,
		RetryAt: c.wall(status.RetryAt), Code: status.Code, Reason: status.Reason,
	}
	if m := c.named[info.Module]; m != nil {
		info.Name, info.Version = m.Name, m.Version
	}
	if c.report.has(id) {
		info.CaughtUp = true
	}
	if c.access[id] == replica.AccessLost && (info.Code == 0 || info.Code == wire.CodeForbidden) {
		info.Code, info.Reason = wire.CodeLeft, "this identity may not read it any more"
	}
	info.Checkpoint, info.Divergence = c.toldOf(id), c.diverged[id]
	if d := info.Divergence; d != nil && info.Code == 0 {
		info.Code, info.Reason = wire.CodeModuleDiverged, divergedReason(d)
	}
	return info
}

// AppendEvents appends one transaction of events whose payloads are encoded already. Events without an id get one;
// ids that the caller made are kept, and appending the same transaction again is harmless. It returns as soon as the
// transaction is on its way to the store; the receipt tells the rest. The order of calls is the order of the log. The
// caller changes neither the events nor their payloads afterwards.
//
// Where the space's tables are here, or can be made of what is here in a moment, its module is asked first: what it refuses
// is stored among the rejected transactions at once, and what it allows is in the tables before anything is stored. Events
// that come with ids may have been appended before, and are not asked about.
func (s *Space) AppendEvents(ctx context.Context, events []space.Event) (*Receipt, error) {
	receipt := newReceipt(Follower{})
	again := slices.ContainsFunc(events, func(e space.Event) bool { return e.ID != (space.ULID{}) })
	if err := s.append(ctx, events, receipt, again); err != nil {
		return nil, err
	}
	return receipt, nil
}

// Upgrade appends the transaction that takes the space over to another module, which params, of msgpack, are given to if it
// migrates. The module that judges the space decides who may, or, where it does not say, the creator may. Like any
// transaction it waits in the outbox until the server can be reached; a module that the server lacks is sent to it from
// this device, so put it first ([Client.PutModule]).
func (s *Space) Upgrade(ctx context.Context, to digest.Digest, params []byte) (*Receipt, error) {
	return s.AppendEvents(ctx, []space.Event{UpgradeEvent(to, params)})
}

// Delete appends the transaction that deletes the space for everybody. Who may upgrade it may. When it is synced the server
// frees what it has; whoever has the space is told ([SpaceDeleted]) and keeps what is on their device until they have it
// forgotten ([Client.Forget]). What is written to it later is rejected with the code deleted.
func (s *Space) Delete(ctx context.Context) (*Receipt, error) {
	return s.AppendEvents(ctx, []space.Event{{Type: module.TypeDelete, Payload: []byte{0x80}}})
}

// Expire appends the transaction by which the records up to a number, which ends a transaction, expire: the server frees what they say, and tells
// whoever reads the space ([SpaceExpired]). Who may delete it may. The tables stay as they are.
func (s *Space) Expire(ctx context.Context, upto uint64) (*Receipt, error) {
	return s.AppendEvents(ctx, []space.Event{{Type: module.TypeExpire, Payload: module.Expire(upto)}})
}

// Forget removes a space that was deleted from this device, for all who share the store. It fails with the code bad_argument while
// some of it was never sent, unless force says that it may be lost, and for a space that was not deleted. Export it before, if
// it is to be kept ([Client.Export]).
func (c *Client) Forget(ctx context.Context, id space.ID, force bool) error {
	s := Space{client: c, id: id}
	return s.do(ctx, "forget", func(ref uint64) replica.Input { return replica.Forget{Ref: ref, Space: id, Force: force} })
}

// UpgradeEvent returns the event of [Space.Upgrade].
func UpgradeEvent(to digest.Digest, params []byte) space.Event {
	return space.Event{Type: module.TypeModule, Payload: module.Upgrade(to, params)}
}

// AppendFollowed is [Space.AppendEvents] with a follower in place of a receipt, and the caller says whether the events may
// have been appended before. When it fails the follower is told nothing.
func (s *Space) AppendFollowed(ctx context.Context, events []space.Event, follower Follower, again bool) error {
	return s.append(ctx, events, newReceipt(follower), again)
}

func (s *Space) append(ctx context.Context, events []space.Event, receipt *Receipt, again bool) error {
	c := s.client
	var transaction *space.Transaction
	var at uint64
	var info SpaceInfo
	var judge *view
	result := make(chan error, 1)
	err := c.call(ctx, func() {
		var err error
		if !again && len(events) == 1 && events[0].Type == module.TypeExpire {
			events = slices.Clone(events) // it is given once, and what is given again has to be what it was
			at := c.core.Space(s.id).Info.Position
			events[0].Payload = module.ExpireSeen(events[0].Payload, &at)
		}
		if transaction, at, err = c.prepare(events); err == nil {
			if judge, info = c.judged(s.id), c.info(s.id); judge == nil {
				c.append(s.id, transaction, at, receipt, nil, nil)
			}
		}
		result <- err
	})
	if err == nil {
		err = wait(ctx, result)
	}
	if err == nil && judge != nil {
		if !again {
			judge.await(ctx)
		}
		// What is shown before it is handed over is handed over in any case: ctx ends no more than the waiting.
		refusal := judge.preview(transaction, at, &info, again)
		err = c.call(context.WithoutCancel(ctx), func() { c.append(s.id, transaction, at, receipt, judge, refusal) })
	}
	if err != nil {
		return fmt.Errorf("append: %w", err)
	}
	return nil
}

// Receipt finds the receipt of a transaction again, by the id of its first event, in whichever tab or session it was
// appended. Durable tells soon: nil if the transaction is on this device, waiting, refused or in the log's copy here; an
// error with the code discarded if there is no trace of it.
func (s *Space) Receipt(ctx context.Context, id space.ULID) (*Receipt, error) {
	receipt := newReceipt(Follower{})
	if err := s.seek(ctx, id, receipt); err != nil {
		return nil, err
	}
	return receipt, nil
}

// Follow is [Space.Receipt] with a follower in place of a receipt.
func (s *Space) Follow(ctx context.Context, id space.ULID, follower Follower) error {
	return s.seek(ctx, id, newReceipt(follower))
}

func (s *Space) seek(ctx context.Context, id space.ULID, receipt *Receipt) error {
	receipt.id, receipt.sought = id, true
	err := s.client.call(ctx, func() {
		s.client.follow(s.id, receipt)
		s.client.step(replica.Watch{Space: s.id, ID: id})
	})
	if err != nil {
		return fmt.Errorf("find receipt: %w", err)
	}
	return nil
}

// follow makes a receipt be told what becomes of its transaction.
func (c *Client) follow(id space.ID, receipt *Receipt) {
	if c.receipts[id] == nil {
		c.receipts[id] = make(map[space.ULID][]*Receipt)
	}
	c.receipts[id][receipt.id] = append(c.receipts[id][receipt.id], receipt)
}

// prepare makes a transaction of events, and says when that was.
func (c *Client) prepare(events []space.Event) (*space.Transaction, uint64, error) {
	if c.closing {
		return nil, 0, errClosed
	}
	transaction := &space.Transaction{
		Author: c.identity, API: c.config.API.High, ClientVersion: c.config.ClientVersion, Events: events,
	}
	now := wallClock()
	if slices.ContainsFunc(events, func(e space.Event) bool { return e.ID == (space.ULID{}) }) {
		transaction.Events = slices.Clone(events) // the caller's stay as they are
	}
	for i := range events {
		if events[i].ID == (space.ULID{}) {
			minted, err := c.ids.New(now)
			if err != nil {
				return nil, 0, err
			}
			transaction.Events[i].ID = minted
		}
	}
	return transaction, now, checkTransaction(transaction)
}

// append gives a transaction to the core: to be sent, or, if the space's module refuses it here already, to be kept among
// those that were refused.
func (c *Client) append(id space.ID, transaction *space.Transaction, at uint64, receipt *Receipt, judge *view, refusal *replica.Refusal) {
	receipt.id = transaction.ID()
	c.follow(id, receipt)
	ref := c.ref(func(err error) {
		if judge != nil && refusal == nil {
			judge.stored(receipt.id, err)
		}
		receipt.stored(err)
		if err != nil {
			c.forget(id, receipt)
		}
	})
	c.step(replica.Append{Ref: ref, Space: id, Transaction: transaction, AppendedAt: at, Refused: refusal})
}

// forget drops a receipt that will not be decided, if it is not already.
func (c *Client) forget(id space.ID, receipt *Receipt) {
	byID := c.receipts[id]
	receipts, ok := byID[receipt.id]
	if !ok {
		return // another one of the same transaction was decided, and this one with it
	}
	receipts = slices.DeleteFunc(receipts, func(other *Receipt) bool { return other == receipt })
	if byID[receipt.id] = receipts; len(receipts) > 0 {
		return
	}
	if delete(byID, receipt.id); len(byID) == 0 {
		delete(c.receipts, id)
	}
}

// checkTransaction refuses what no server would take, so that it never enters the outbox.
func checkTransaction(t *space.Transaction) error {
	limits := &wire.DefaultLimits
	if len(t.Events) == 0 {
		return wire.Errorf(wire.CodeBadTransaction, "a transaction has at least one event")
	}
	if n := uint64(len(t.Events)); n > limits.TransactionEvents {
		return wire.Errorf(wire.CodeTooLarge, "a transaction of %d events is over the limit of %d", n, limits.TransactionEvents)
	}
	if n := uint64(t.Size()); n > limits.TransactionBytes {
		return wire.Errorf(wire.CodeTooLarge, "a transaction of %d bytes is over the limit of %d", n, limits.TransactionBytes)
	}
	if id, twice := repeated(t.Events); twice {
		return wire.Errorf(wire.CodeBadTransaction, "two events of one transaction have the id %s", id)
	}
	for i := range t.Events {
		e := &t.Events[i]
		switch {
		case e.Type == "" || !utf8.ValidString(e.Type):
			return wire.Errorf(wire.CodeBadTransaction, "event %d has no type, or one that is not UTF-8", i)
		case reserved(e.Type) && len(t.Events) > 1:
			return wire.Errorf(wire.CodeBadTransaction, "%s is a transaction of its own", e.Type)
		case e.Type[0] == '$' && !reserved(e.Type):
			return wire.Errorf(wire.CodeReservedType, "types beginning with $ are the server's: %q", e.Type)
		case uint64(len(e.Type)) > limits.Type:
			return wire.Errorf(wire.CodeTooLarge, "a type of %d bytes is over the limit of %d", len(e.Type), limits.Type)
		case uint64(len(e.Payload)) > limits.Payload:
			return wire.Errorf(wire.CodeTooLarge, "a payload of %d bytes is over the limit of %d", len(e.Payload), limits.Payload)
		}
	}
	return nil
}

// repeated returns an id that two events have. Ids that rise, as those that are minted one after the other, need no
// looking up.
func repeated(events []space.Event) (id space.ULID, twice bool) {
	rising := 1
	for rising < len(events) && events[rising-1].ID.Compare(events[rising].ID) < 0 {
		rising++
	}
	if rising >= len(events) {
		return space.ULID{}, false
	}
	seen := make(map[space.ULID]struct{}, len(events))
	for i := range events {
		if _, twice := seen[events[i].ID]; twice {
			return events[i].ID, true
		}
		seen[events[i].ID] = struct{}{}
	}
	return space.ULID{}, false
}

// Read returns committed records with numbers above after: up to limit of them and about maxBytes bytes. Where the next
// one is damaged it fails with [ErrDamaged], and the server is asked for it again. Where the next one is not on this device, as the space was
// begun at a checkpoint, all that is missing there is fetched first, the newest of it first: each record is proven by the one behind it.
// It fails with the code not_here while that cannot be. What has expired on the server is passed over.
func (s *Space) Read(ctx context.Context, after uint64, limit, maxBytes int) ([]space.Record, error) {
	var g reading
	for {
		records, err := s.readHere(ctx, after, limit, maxBytes)
		if err != nil {
			return nil, err
		}
		if again, err := g.follows(ctx, s, after, firstOf(records)); err != nil {
			return nil, err
		} else if !again {
			return records, nil
		}
	}
}

// firstOf returns the number of the first record; 0 where there is none.
func firstOf(records []space.Record) uint64 {
	if len(records) == 0 {
		return 0
	}
	return records[0].Seq
}

// readHere is Read of what is on this device: it may begin behind a hole.
func (s *Space) readHere(ctx context.Context, after uint64, limit, maxBytes int) (records []space.Record, err error) {
	err = s.client.read(ctx, func(store Store) (err error) {
		records, err = store.Read(ctx, s.id, after, limit, maxBytes)
		return err
	})
	return records, s.client.damaged(s.id, err)
}

// ReadEncoded is [Space.Read] for records in wire encoding, one after the other; it returns also how many they are and
// the number of the last, or after if there are none. The caller does not change the bytes.
func (s *Space) ReadEncoded(ctx context.Context, after uint64, limit, maxBytes int) (records []byte, count int, last uint64, err error) {
	if store, ok := s.client.config.Store.(EncodedReader); ok {
		var g reading
		for {
			err = s.client.read(ctx, func(Store) (err error) {
				records, count, last, err = store.ReadEncoded(ctx, s.id, after, limit, maxBytes)
				return err
			})
			if err != nil {
				return nil, 0, after, s.client.damaged(s.id, err)
			}
			first := uint64(0)
			if count > 0 {
				first = last + 1 - uint64(count)
			}
			if again, err := g.follows(ctx, s, after, first); err != nil {
				return nil, 0, after, err
			} else if !again {
				return records, count, last, nil
			}
		}
	}
	decoded, err := s.Read(ctx, after, limit, maxBytes)
	last = after
	for i := range decoded {
		records, last = wire.AppendRecord(records, &decoded[i]), decoded[i].Seq
	}
	return records, len(decoded), last, err
}

// ReadBefore returns the newest committed records with numbers below before, ascending. It fails like [Space.Read], and
// also while those just below before are being fetched again. Where those are not on this device, a page of them is fetched first.
func (s *Space) ReadBefore(ctx context.Context, before uint64, limit, maxBytes int) (records []space.Record, err error) {
	var g reading
	for again := true; err == nil && again; {
		err = s.client.read(ctx, func(store Store) (err error) {
			records, err = store.ReadBefore(ctx, s.id, before, limit, maxBytes)
			return err
		})
		last := uint64(0)
		if n := len(records); n > 0 {
			last = records[n-1].Seq
		}
		if err == nil {
			if again, err = g.leads(ctx, s, before, last); err != nil {
				return nil, err
			}
		}
	}
	if n := len(records); err == nil && before > 1 && (n == 0 || records[n-1].Seq+1 < before) {
		if info := s.Info(); before <= max(info.Position.Seq, info.Damaged)+1 && !holed(info.Holes, before-1) {
			return nil, fmt.Errorf("records below %d are not here: %w", before, ErrDamaged)
		}
	}
	return records, s.client.damaged(s.id, err)
}

// EventsOptions selects what [Space.Events] yields.
type EventsOptions struct {
	After uint64 // records with numbers above this
	Limit int    // at most so many; 0: all
	Live  bool   // wait for more at the end instead of stopping
}

// Events yields committed records in order, each once. With Live it ends when ctx does or the client closes, and waits
// where a record is damaged until it is here again. An error is yielded once, at the end.
func (s *Space) Events(ctx context.Context, options EventsOptions) iter.Seq2[space.Record, error] {
	return func(yield func(space.Record, error) bool) {
		changed := make(chan struct{}, 1)
		if options.Live {
			stop := s.client.OnChange(func(change Change) {
				if change.Space == s.id {
					select {
					case changed <- struct{}{}:
					default:
					}
				}
			})
			defer stop()
		}
		after, left := options.After, options.Limit
		for {
			records, err := s.Read(ctx, after, 256, 256<<10)
			if err != nil && !(options.Live && errors.Is(err, ErrDamaged)) {
				yield(space.Record{}, fmt.Errorf("read events: %w", err))
				return
			}
			for i := range records {
				if !yield(records[i], nil) {
					return
				}
				after = records[i].Seq
				if left--; left == 0 {
					return
				}
			}
			if len(records) > 0 {
				continue
			}
			if !options.Live {
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			case <-s.client.ctx.Done():
				yield(space.Record{}, errClosed)
				return
			}
		}
	}
}

// Pending returns transactions in the outbox, in the order in which they were appended: up to limit of them, which is at
// least 1, the oldest, or with newest the newest.
func (s *Space) Pending(ctx context.Context, limit int, newest bool) ([]replica.OutboxRow, error) {
	var rows []replica.OutboxRow
	var after uint64
	if newest {
		if err := s.client.call(ctx, func() { after = s.client.core.Before(s.id, limit) }); err != nil {
			return nil, fmt.Errorf("read the outbox: %w", err)
		}
	}
	for {
		var page []replica.OutboxRow
		err := s.client.read(ctx, func(store Store) (err error) {
			page, err = store.Outbox(ctx, s.id, after, min(limit, 1<<10)<<10)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read the outbox: %w", err)
		}
		for _, row := range page {
			if after = row.Key; row.State != replica.Withdrawn {
				rows = append(rows, row)
			}
		}
		more := len(rows) - limit
		switch {
		case more >= 0 && !newest:
			return rows[:limit], nil
		case more > 0:
			rows = append(rows[:0], rows[more:]...)
		}
		if len(page) == 0 {
			return rows, nil
		}
	}
}

// Rejected returns the transactions that were refused, oldest first.
func (s *Space) Rejected(ctx context.Context) ([]replica.RejectedRow, error) {
	var rows []replica.RejectedRow
	err := s.client.read(ctx, func(store Store) (err error) {
		rows, err = store.Rejected(ctx, s.id)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read rejected transactions: %w", err)
	}
	return rows, nil
}

// Retry sends a rejected transaction again, same bytes and ids, after everything that waits now.
// What is not rejected is not_found.
func (s *Space) Retry(ctx context.Context, id space.ULID) error {
	rows, err := s.Rejected(ctx)
	if err != nil {
		return err
	}
	for i := range rows {
		if bytes.Equal(rows[i].ID[:], id[:]) {
			return s.do(ctx, "retry", func(ref uint64) replica.Input { return replica.Retry{Ref: ref, Space: s.id, ID: id} })
		}
	}
	return fmt.Errorf("retry: %w", wire.Errorf(wire.CodeNotFound, "no rejected transaction %s", id))
}

// Discard gives up a transaction that waits or was rejected. One that the server has already cannot be taken back:
// its records come, and its receipt says synced.
func (s *Space) Discard(ctx context.Context, id space.ULID) error {
	return s.do(ctx, "discard", func(ref uint64) replica.Input { return replica.Discard{Ref: ref, Space: s.id, ID: id} })
}

// do gives the core an input and waits until what it asks for is stored.
func (s *Space) do(ctx context.Context, verb string, input func(ref uint64) replica.Input) error {
	finished := make(chan error, 1)
	err := s.client.call(ctx, func() {
		s.client.step(input(s.client.ref(func(err error) { finished <- err })))
	})
	if err == nil {
		err = wait(ctx, finished)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	return nil
}

// reserved reports whether a type is one of Skerry's own that clients write.
func reserved(name string) bool {
	return name == module.TypeModule || name == module.TypeDelete || name == module.TypeExpire
}
