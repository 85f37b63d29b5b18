package syncserver

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"

	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// A frame of directory rows carries at most this many, and stops at the first row that brings it over this size.
const (
	directoryRows  = 500
	directoryBytes = 128 << 10
)

// directory is which spaces each identity created or wrote to. It is kept in the log as one append-only list of
// changes per identity, dir/<identity>/<number> with contiguous numbers from 1, so that a number names the same
// change for ever and a cursor never passes one that is not visible yet. A second key, in/<identity>/<space>, says
// that a space is listed. A crash between the two lists the space once more, which readers do not notice.
type directory struct {
	log    Log
	server [32]byte
	notify func(identity string) // a change of the identity's list is visible

	mu     sync.Mutex
	counts map[string]uint64 // the last number known to be taken, by identity; forgotten when there are many
}

const directoryCounts = 10_000

func newDirectory(log Log, server [32]byte, notify func(string)) *directory {
	return &directory{log: log, server: server, notify: notify, counts: map[string]uint64{}}
}

func changePrefix(identity string) string { return "dir/" + hex.EncodeToString([]byte(identity)) + "/" }

func changeKey(identity string, n uint64) string {
	return changePrefix(identity) + fmt.Sprintf("%016x", n)
}

func listedKey(identity string, id space.ID) string {
	return "in/" + hex.EncodeToString([]byte(identity)) + "/" + id.String()
}

// change is one row of a list as it is stored: the space and its state.
func change(id space.ID, state wire.SpaceState) []byte { return append(id[:], byte(state)) }

func parseChange(value []byte) (id space.ID, state wire.SpaceState, ok bool) {
	if len(value) != len(id)+1 {
		return id, 0, false
	}
	return space.ID(value[:len(id)]), wire.SpaceState(value[len(id)]), true
}

// register lists a space for an identity unless it is listed. When it returns without error, that is durable.
func (d *directory) register(ctx context.Context, identity string, id space.ID) error {
	marker := listedKey(identity, id)
	if listed, err := d.log.Key(ctx, marker); err != nil || listed != nil {
		return err
	}
	n, err := d.last(ctx, identity)
	if err != nil {
		return err
	}
	for taken := false; !taken; {
		n++
		if taken, err = d.log.CompareAndSet(ctx, changeKey(identity, n), nil, change(id, wire.SpacePresent)); err != nil {
			return err
		}
	}
	d.remember(identity, n)
	d.notify(identity)
	if _, err := d.log.CompareAndSet(ctx, marker, nil, binary.BigEndian.AppendUint64(nil, n)); err != nil {
		return err
	}
	return nil
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
			want := directoryRows - len(rows)
			changes, err := d.log.Scan(ctx, changePrefix(identity), after, want+1)
			if err != nil {
				return nil, false, err
			}
			for j, kv := range changes {
				if j == want || size >= directoryBytes {
					return rows, true, nil
				}
				id, state, ok := parseChange(kv.Value)
				if ok {
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
			if len(changes) <= want {
				break
			}
		}
	}
	return rows, false, nil
}

// row returns a space's row, with its head as a hint.
func (d *directory) row(ctx context.Context, id space.ID, state wire.SpaceState) (wire.SpaceRow, error) {
	genesis, signature, err := d.log.Genesis(ctx, id)
	if err != nil {
		return wire.SpaceRow{}, fmt.Errorf("read the genesis of %s: %w", id, err)
	}
	head, err := d.log.Head(ctx, id)
	if err != nil {
		return wire.SpaceRow{}, fmt.Errorf("read the head of %s: %w", id, err)
	}
	return wire.SpaceRow{
		Genesis: genesis, GenesisSignature: signature, Module: genesis.Module, Head: head.Seq, State: state,
	}, nil
}
