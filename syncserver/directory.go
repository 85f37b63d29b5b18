package syncserver

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// A frame of directory rows carries at most this many, and stops at the first change that brings it over this size.
// directoryScan is how many changes are read at once.
const (
	directoryRows  = 500
	directoryBytes = 128 << 10
	directoryScan  = 100
)

// changeSpaces is how many spaces one change lists at most.
const changeSpaces = 100

// directory is which spaces each identity created, wrote to, or takes part in because others let it. It is kept in the log as one append-only list of
// changes per identity, dir/<identity>/<number> with contiguous numbers from 1, so that a number names the same
// change for ever and a cursor never passes one that is not visible yet. A change lists one or more spaces: those that
// came while the change before was being written, so that a thousand new spaces do not take a thousand commits one
// after the other. A second key, the mark in/<identity>/<space>, says that a space is listed, and is set a moment later. A crash
// between the two lists the space once more, which readers do not notice.
//
// Who takes part is asked of modules (people.go). Then the mark also says what is true since which record, and is set before the
// list: readers go by it, so that servers which list at once, in whatever order, do not tell what is not true any more.
type directory struct {
	log    Log
	server [32]byte
	notify func(identity string) // a change of the identity's list is visible
	spawn  func(func()) bool

	mu      sync.Mutex
	lists   map[string]*listing      // by identity, those being written
	counts  map[string]uint64        // the last number known to be taken, by identity; forgotten when there are many
	claimed map[string]chan struct{} // by key, the marks that are looked at or set; closed when that is done
}

// listing is what waits to be listed for one identity.
type listing struct{ waiting []listed }

// listed is a space to list, and who waits for that.
type listed struct {
	id    space.ID
	state wire.SpaceState
	mark  []byte // that is there, nil: none. It is replaced when the space is listed
	free  func() // gives up the claim of the mark
	done  chan error
}

// mark is what is known of a space and an identity.
type mark struct {
	n     uint64 // the change that lists it; 0: it is not listed yet
	seq   uint64 // the record behind which state holds; 0: they created it, or wrote to it
	state wire.SpaceState
}

// markSize is what a mark takes, but for one of seq 0, which is its number alone.
const markSize = 8 + 8 + 1

// markUntold is the number of a mark whose space need not be listed.
const markUntold = math.MaxUint64

func (m *mark) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, m.n)
	if m.seq == 0 {
		return b
	}
	return append(binary.BigEndian.AppendUint64(b, m.seq), byte(m.state))
}

func decodeMark(b []byte) (m mark) {
	if len(b) >= 8 {
		m.n = binary.BigEndian.Uint64(b)
	}
	if len(b) >= markSize {
		m.seq, m.state = binary.BigEndian.Uint64(b[8:]), wire.SpaceState(b[16])
	}
	return m
}

const directoryCounts = 10_000

func newDirectory(log Log, server [32]byte, notify func(string), spawn func(func()) bool) *directory {
	return &directory{
		log: log, server: server, notify: notify, spawn: spawn,
		lists: map[string]*listing{}, counts: map[string]uint64{}, claimed: map[string]chan struct{}{},
	}
}

func changePrefix(identity string) string { return "dir/" + hex.EncodeToString([]byte(identity)) + "/" }

func changeKey(identity string, n uint64) string {
	return changePrefix(identity) + fmt.Sprintf("%016x", n)
}

func listedKey(identity string, id space.ID) string {
	return "in/" + hex.EncodeToString([]byte(identity)) + "/" + id.String()
}

// A change is stored as the spaces that it lists, each with its state in one byte.
const changeSize = digest.Size + 1

func appendChange(b []byte, id space.ID, state wire.SpaceState) []byte {
	return append(append(b, id[:]...), byte(state))
}

// register lists a space for an identity unless it is listed. When it returns without error, that is durable.
func (d *directory) register(ctx context.Context, identity string, id space.ID) error {
	free, err := d.claim(ctx, listedKey(identity, id))
	if err != nil {
		return err
	}
	if mark, err := d.log.Key(ctx, listedKey(identity, id)); err != nil || mark != nil {
		free()
		return err
	}
	return d.list(ctx, identity, listed{id: id, state: wire.SpacePresent, free: free})
}

// claim waits until nobody else looks at a mark or sets it, and keeps others from that until free is called: else who writes to a
// space just when others let them in has it listed by both.
func (d *directory) claim(ctx context.Context, key string) (free func(), err error) {
	for {
		d.mu.Lock()
		claimed := d.claimed[key]
		if claimed == nil {
			claimed = make(chan struct{})
			d.claimed[key] = claimed
			d.mu.Unlock()
			return func() {
				d.mu.Lock()
				defer d.mu.Unlock()
				delete(d.claimed, key)
				close(claimed)
			}, nil
		}
		d.mu.Unlock()
		select {
		case <-claimed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// change notes that an identity takes part in a space behind record seq, or does not, and lists the space if that is news to
// the identity: also where nothing has changed, if it moved, that is, was out and is in again. Who asked to read in between was
// refused, and waits for news. When it returns without error, that is durable.
func (d *directory) change(ctx context.Context, identity string, id space.ID, seq uint64, state wire.SpaceState, moved bool) error {
	free, err := d.claim(ctx, listedKey(identity, id))
	if err != nil {
		return err
	}
	is, err := d.setState(ctx, identity, id, seq, state, moved)
	if err != nil || is.n > 0 {
		free()
		return err
	}
	return d.list(ctx, identity, listed{id: id, state: is.state, mark: is.encode(), free: free})
}

// setState sets what a mark says, unless it says what is so behind a later record, and returns the mark. Its n is 0 if the space is to be listed.
func (d *directory) setState(ctx context.Context, identity string, id space.ID, seq uint64, state wire.SpaceState, moved bool) (mark, error) {
	for {
		value, err := d.log.Key(ctx, listedKey(identity, id))
		if err != nil {
			return mark{}, err
		}
		is := decodeMark(value)
		if is.seq >= seq {
			return is, nil
		}
		switch {
		case value == nil && state != wire.SpacePresent:
			is.n = markUntold // nobody to tell; and if another server lists it since they wrote to it, that is not true any more
		case is.state != state, moved && state == wire.SpacePresent && is.seq > 0:
			is.n = 0
		}
		is.seq, is.state = seq, state
		if done, err := d.log.CompareAndSet(ctx, listedKey(identity, id), value, is.encode()); err != nil || done {
			return is, err
		}
	}
}

// list lists a space.
func (d *directory) list(ctx context.Context, identity string, l listed) error {
	l.done = make(chan error, 1)
	d.mu.Lock()
	list := d.lists[identity]
	if list == nil {
		list = new(listing)
		if !d.spawn(func() { d.write(ctx, identity, list) }) {
			d.mu.Unlock()
			l.free()
			return context.Canceled
		}
		d.lists[identity] = list
	}
	list.waiting = append(list.waiting, l)
	d.mu.Unlock()
	return <-l.done
}

// write writes what waits for one identity, change after change, until nothing waits.
func (d *directory) write(ctx context.Context, identity string, list *listing) {
	for {
		d.mu.Lock()
		batch := list.waiting[:min(len(list.waiting), changeSpaces)]
		list.waiting = list.waiting[len(batch):]
		if len(batch) == 0 {
			delete(d.lists, identity)
			d.mu.Unlock()
			return
		}
		d.mu.Unlock()
		n, err := uint64(0), errors.New("the log panicked")
		func() {
			defer func() {
				if failure := recover(); failure != nil {
					err = fmt.Errorf("%w: %v", err, failure)
				}
			}()
			n, err = d.writeChange(ctx, identity, batch)
		}()
		for _, l := range batch {
			l.done <- err
		}
		if err != nil || !d.spawn(func() { d.setMarks(ctx, identity, batch, n) }) {
			for _, l := range batch {
				l.free()
			}
		}
	}
}

// setMarks notes that spaces are listed.
func (d *directory) setMarks(ctx context.Context, identity string, batch []listed, n uint64) {
	for _, l := range batch {
		func() {
			defer l.free()
			m := decodeMark(l.mark)
			m.n = n
			d.log.CompareAndSet(ctx, listedKey(identity, l.id), l.mark, m.encode())
		}()
	}
}

// writeChange writes one change under the first number that is free, and returns the number.
func (d *directory) writeChange(ctx context.Context, identity string, batch []listed) (uint64, error) {
	n, err := d.last(ctx, identity)
	if err != nil {
		return 0, err
	}
	value := make([]byte, 0, len(batch)*changeSize)
	for _, l := range batch {
		value = appendChange(value, l.id, l.state)
	}
	for taken := false; !taken; {
		n++
		if taken, err = d.log.CompareAndSet(ctx, changeKey(identity, n), nil, value); err != nil {
			return 0, err
		}
	}
	d.remember(identity, n)
	d.notify(identity)
	return n, nil
}

// last returns a number at or below the last one of an identity's list: the last itself when it has to be looked
// for, which takes about as many reads as it has binary digits.
func (d *directory) last(ctx context.Context, identity string) (uint64, error) {
	d.mu.Lock()
	n, ok := d.counts[identity]
	d.mu.Unlock()
	if ok {
		return n, nil
	}
	taken := func(n uint64) (bool, error) {
		value, err := d.log.Key(ctx, changeKey(identity, n))
		return value != nil, err
	}
	low, high := uint64(0), uint64(1) // low is taken (0 counts as taken), high is not once the first loop is done
	for {
		ok, err := taken(high)
		if err != nil {
			return 0, err
		}
		if !ok {
			break
		}
		low, high = high, 2*high
	}
	for low+1 < high {
		middle := low + (high-low)/2
		ok, err := taken(middle)
		if err != nil {
			return 0, err
		}
		if ok {
			low = middle
		} else {
			high = middle
		}
	}
	return low, nil
}

func (d *directory) remember(identity string, n uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.counts) >= directoryCounts {
		clear(d.counts)
	}
	d.counts[identity] = max(d.counts[identity], n)
}

// A cursor is where a connection stands in the lists of its identities. To clients it is opaque bytes: the start of
// the server's key, and for each identity the start of its digest, the number, and the start of the space there,
// by which a list that was restored from a backup and went on differently is noticed.
type cursor []cursorEntry

type cursorEntry struct {
	identity [8]byte
	n        uint64
	space    [8]byte
}

const cursorEntrySize = 24

func short(identity string) [8]byte {
	sum := digest.Of([]byte(identity))
	return [8]byte(sum[:8])
}

func (d *directory) encode(c cursor) []byte {
	b := append([]byte{}, d.server[:8]...)
	for _, e := range c {
		b = append(b, e.identity[:]...)
		b = binary.BigEndian.AppendUint64(b, e.n)
		b = append(b, e.space[:]...)
	}
	return b
}

// begin returns the cursor for the given identities that since stands for, and whether it had to begin anew.
func (d *directory) begin(ctx context.Context, identities []string, since []byte) (c cursor, full bool, err error) {
	full = len(since) < 8 || !bytes.Equal(since[:8], d.server[:8]) || (len(since)-8)%cursorEntrySize != 0
	var known []cursorEntry
	for rest := since; !full && len(rest) > 8; rest = rest[:len(rest)-cursorEntrySize] {
		entry := rest[len(rest)-cursorEntrySize:]
		known = append(known, cursorEntry{[8]byte(entry[:8]), binary.BigEndian.Uint64(entry[8:16]), [8]byte(entry[16:])})
	}
	matched := 0
	for _, identity := range identities {
		e := cursorEntry{identity: short(identity)}
		if i := slices.IndexFunc(known, func(k cursorEntry) bool { return k.identity == e.identity }); i >= 0 {
			e = known[i]
			matched++
		}
		if e.n > 0 {
			value, err := d.log.Key(ctx, changeKey(identity, e.n))
			if err != nil {
				return nil, false, err
			}
			if len(value) < 8 || [8]byte(value[:8]) != e.space {
				full = true
			}
		}
		c = append(c, e)
	}
	if matched != len(known) {
		full = true
	}
	if full {
		for i := range c {
			c[i].n, c[i].space = 0, [8]byte{}
		}
	}
	return c, full, nil
}

// read returns the next rows after c, which it moves, and whether there are more.
func (d *directory) read(ctx context.Context, identities []string, c cursor) (rows []wire.SpaceRow, more bool, err error) {
	size := 0
	for i, identity := range identities {
		for {
			after := changePrefix(identity)
			if c[i].n > 0 {
				after = changeKey(identity, c[i].n)
			}
			changes, err := d.log.Scan(ctx, changePrefix(identity), after, directoryScan)
			if err != nil {
				return nil, false, err
			}
			for _, kv := range changes {
				if size >= directoryBytes || len(rows)+len(kv.Value)/changeSize > directoryRows {
					return rows, true, nil
				}
				for change := kv.Value; len(change) >= changeSize; change = change[changeSize:] {
					id, state := space.ID(change[:digest.Size]), wire.SpaceState(change[digest.Size])
					if value, err := d.log.Key(ctx, listedKey(identity, id)); err != nil {
						return nil, false, err
					} else if m := decodeMark(value); m.seq > 0 {
						state = m.state // the list may be behind
					}
					row, err := d.row(ctx, id, state)
					if err != nil {
						return nil, false, err
					}
					rows = append(rows, row)
					size += 128 + len(row.Genesis.Params) + len(row.Genesis.Creator)
				}
				c[i].n++
				copy(c[i].space[:], kv.Value)
			}
			if len(changes) < directoryScan {
				break
			}
		}
	}
	return rows, false, nil
}

// row returns a space's row, with its head as a hint. Of one that somebody has left, or that was deleted, it has only the genesis.
func (d *directory) row(ctx context.Context, id space.ID, state wire.SpaceState) (wire.SpaceRow, error) {
	genesis, signature, err := d.log.Genesis(ctx, id)
	if err != nil {
		return wire.SpaceRow{}, fmt.Errorf("read the genesis of %s: %w", id, err)
	}
	head, err := d.log.Head(ctx, id)
	if errors.Is(err, ErrDeleted) {
		state, err = wire.SpaceDeleted, nil
	}
	if err == nil && state != wire.SpacePresent {
		return wire.SpaceRow{Genesis: genesis, GenesisSignature: signature, State: state}, nil
	}
	if err != nil {
		return wire.SpaceRow{}, fmt.Errorf("read the head of %s: %w", id, err)
	}
	module, err := ModuleAt(ctx, d.log, id, &genesis)
	if errors.Is(err, ErrDeleted) {
		return d.row(ctx, id, wire.SpaceDeleted) // since
	}
	if err != nil {
		return wire.SpaceRow{}, fmt.Errorf("read the module of %s: %w", id, err)
	}
	return wire.SpaceRow{
		Genesis: genesis, GenesisSignature: signature, Module: module, Head: head.Seq, State: state,
	}, nil
}
