package idbstore

import (
	"encoding/binary"
	"fmt"
	"slices"

	"skerry/shared/digest"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/wasmclient"
)

// The formats of values. Every value begins with this byte; a value that begins with another one was written by a
// newer version, which has raised min_reader first.
const format = 1

var errCorrupt = fmt.Errorf("idbstore: a value in the database: %w", wasmclient.ErrDamaged)

func appendNumber(n uint64) []byte { return binary.AppendUvarint([]byte{format}, n) }

// decodeNumber reads a number of meta; one that is not there is zero.
func decodeNumber(b []byte) (uint64, error) {
	if b == nil {
		return 0, nil
	}
	r := decoder{rest: b}
	r.format()
	n := r.uint()
	return n, r.end()
}

func appendText(text []byte) []byte { return append([]byte{format}, text...) }

func decodeText(b []byte) ([]byte, error) {
	if b == nil {
		return nil, nil
	}
	if len(b) == 0 || b[0] != format {
		return nil, errCorrupt
	}
	return b[1:], nil
}

// spaceRow is the value of a space: what the core sees of it, and where its newest segments are.
type spaceRow struct {
	info replica.SpaceInfo
	tail []segment
}

func appendSpaceRow(b []byte, row *spaceRow) []byte {
	b = append(b, format, boolByte(row.info.Created))
	var genesis []byte
	if row.info.Genesis != nil {
		genesis = wire.AppendGenesis(nil, row.info.Genesis)
	}
	b = appendField(b, genesis)
	b = appendField(b, row.info.GenesisSignature)
	b = appendField(b, wire.AppendPosition(nil, &row.info.Position))
	b = append(b, row.info.Module[:]...)
	b = binary.AppendUvarint(b, uint64(len(row.tail)))
	for _, s := range row.tail {
		b = append(b, s.level)
		b = binary.AppendUvarint(b, s.first)
		b = binary.AppendUvarint(b, s.last-s.first)
		b = binary.AppendUvarint(b, uint64(s.bytes))
	}
	return binary.AppendUvarint(b, row.info.Head)
}

func decodeSpaceRow(b []byte) (spaceRow, error) {
	r := decoder{rest: b}
	row, err := r.spaceRow()
	if err == nil {
		err = r.end()
	}
	if err != nil {
		return spaceRow{}, err
	}
	return row, nil
}

// spaceRow reads a row that others may follow.
func (r *decoder) spaceRow() (spaceRow, error) {
	r.format()
	var row spaceRow
	row.info.Created = r.byte() != 0
	genesis := r.field()
	if signature := r.field(); len(signature) > 0 {
		row.info.GenesisSignature = signature
	}
	position := r.field()
	copy(row.info.Module[:], r.bytes(digest.Size))
	n := r.uint()
	if n > uint64(len(r.rest)) {
		r.fail()
		n = 0
	}
	if n > 0 {
		row.tail = make([]segment, n)
		for i := range row.tail {
			s := &row.tail[i]
			s.level = r.byte()
			s.first = r.uint()
			s.last = s.first + r.uint()
			s.bytes = int(r.uint())
		}
	}
	row.info.Head = r.uint()
	if r.failed {
		return spaceRow{}, errCorrupt
	}
	var err error
	if row.info.Position, err = wire.DecodePosition(position); err != nil {
		return spaceRow{}, errCorrupt
	}
	if len(genesis) > 0 {
		g, err := wire.DecodeGenesis(genesis)
		if err != nil {
			return spaceRow{}, errCorrupt
		}
		row.info.Genesis = &g
	}
	return row, nil
}

// appendOutboxRow appends the bytes of a row. The space, the id and the key are beside them in the database, the
// author and the size in the transaction.
func appendOutboxRow(b []byte, row *replica.OutboxRow) []byte {
	b = append(b, format, byte(row.State))
	var stamp []byte
	if row.Stamp != (space.ULID{}) {
		stamp = row.Stamp[:]
	}
	b = appendField(b, stamp)
	b = binary.AppendUvarint(b, row.AppendedAt)
	b = binary.AppendUvarint(b, uint64(row.Code))
	b = appendField(b, []byte(row.Reason))
	b = binary.AppendUvarint(b, row.RetryAt)
	var position []byte
	if row.Position != (space.Position{}) {
		position = wire.AppendPosition(nil, &row.Position)
	}
	b = appendField(b, position)
	return wire.AppendTransaction(slices.Grow(b, roomOf(&row.Transaction)), &row.Transaction)
}

// roomOf returns what a transaction takes at most, so that a large one is not copied again and again as it grows.
func roomOf(t *space.Transaction) int { return t.Size() + 32*len(t.Events) + 64 }

// decodeOutboxRow reads a row with the key that it has in the database. Payloads alias b.
func decodeOutboxRow(b []byte, key uint64) (replica.OutboxRow, error) {
	r := decoder{rest: b}
	r.format()
	row := replica.OutboxRow{Entry: replica.Entry{Key: key}}
	row.State = replica.OutboxState(r.byte())
	copy(row.Stamp[:], r.field())
	row.AppendedAt = r.uint()
	row.Code = wire.Code(r.uint())
	row.Reason = string(r.field())
	row.RetryAt = r.uint()
	position := r.field()
	transaction, err := r.transaction()
	if err != nil {
		return replica.OutboxRow{}, err
	}
	if len(position) > 0 {
		if row.Position, err = wire.DecodePosition(position); err != nil {
			return replica.OutboxRow{}, errCorrupt
		}
	}
	row.Transaction = transaction
	row.ID, row.Author, row.Size = transaction.ID(), transaction.Author, transaction.Size()
	return row, nil
}

func appendRejectedRow(b []byte, row *replica.RejectedRow) []byte {
	b = append(b, format)
	b = binary.AppendUvarint(b, row.AppendedAt)
	b = binary.AppendUvarint(b, uint64(row.Code))
	b = appendField(b, []byte(row.Reason))
	b = appendField(b, []byte(row.By))
	return wire.AppendTransaction(b, &row.Transaction)
}

// decodeRejectedRow reads what appendRejectedRow wrote. Payloads alias b.
func decodeRejectedRow(b []byte) (replica.RejectedRow, error) {
	r := decoder{rest: b}
	r.format()
	row := replica.RejectedRow{AppendedAt: r.uint(), Code: wire.Code(r.uint()), Reason: string(r.field()), By: string(r.field())}
	transaction, err := r.transaction()
	row.Transaction, row.ID = transaction, transaction.ID()
	return row, err
}

// appendLostRow appends the bytes of a row of the lost store, which are laid out as those of the rejected.
func appendLostRow(b []byte, row *replica.LostRow) []byte {
	return appendRejectedRow(b, &replica.RejectedRow{
		Transaction: row.Transaction, AppendedAt: row.ReceivedAt, Code: row.Code, Reason: row.Reason, By: row.By,
	})
}

// lostRow returns the row of the lost store that was decoded as one of the rejected.
func lostRow(row *replica.RejectedRow) replica.LostRow {
	return replica.LostRow{
		ID: row.ID, Transaction: row.Transaction, ReceivedAt: row.AppendedAt, Code: row.Code, Reason: row.Reason, By: row.By,
	}
}

func appendSegment(b []byte, chainBefore digest.Digest, records []byte) []byte {
	b = append(b, format)
	b = append(b, chainBefore[:]...)
	return append(b, records...)
}

// decodeSegment returns the encoded records of a segment, which alias b, and the chain before the first.
func decodeSegment(b []byte) (chainBefore digest.Digest, records []byte, err error) {
	r := decoder{rest: b}
	r.format()
	copy(chainBefore[:], r.bytes(digest.Size))
	if r.failed {
		return digest.Digest{}, nil, errCorrupt
	}
	return chainBefore, r.rest, nil
}

// appendCheckpoint appends the row of a checkpoint, which names its root and then its pages.
func appendCheckpoint(b []byte, names []digest.Digest) []byte {
	b = append(b, format)
	for i := range names {
		b = append(b, names[i][:]...)
	}
	return b
}

// decodeCheckpoint returns what a row names, root first: nothing if it is damaged.
func decodeCheckpoint(b []byte) []digest.Digest {
	if len(b)%digest.Size != 1 || b[0] != format {
		return nil
	}
	names := make([]digest.Digest, len(b)/digest.Size)
	for i := range names {
		copy(names[i][:], b[1+i*digest.Size:])
	}
	return names
}

func appendField(b, field []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(field)))
	return append(b, field...)
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// decoder reads values. After a failure everything that it returns is zero.
type decoder struct {
	rest   []byte
	failed bool
}

func (r *decoder) fail() { r.failed, r.rest = true, nil }

func (r *decoder) format() {
	if r.byte() != format {
		r.fail()
	}
}

func (r *decoder) byte() byte {
	if b := r.bytes(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (r *decoder) bytes(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.fail()
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *decoder) uint() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *decoder) field() []byte {
	n := r.uint()
	if n > uint64(len(r.rest)) {
		r.fail()
		return nil
	}
	return r.bytes(int(n))
}

func (r *decoder) transaction() (space.Transaction, error) {
	if r.failed {
		return space.Transaction{}, errCorrupt
	}
	t, err := wire.DecodeTransaction(r.rest)
	if err != nil {
		return space.Transaction{}, errCorrupt
	}
	return t, nil
}

func (r *decoder) end() error {
	if r.failed || len(r.rest) != 0 {
		return errCorrupt
	}
	return nil
}
