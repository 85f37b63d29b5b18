package space

import (
	"encoding/binary"
	"math"

	"github.com/oklog/ulid/v2"

	"skerry/shared/digest"
)

// ULID identifies a space's stamp or an event: 48 bits of milliseconds and 80 bits of entropy, made by the
// client. Its time is for people; nothing in Skerry orders, resumes or refuses by it.
type ULID = ulid.ULID

// ID names a space: the digest of its genesis.
type ID = digest.Digest

// SchemaSize is the length of an event's schema identifier in bytes.
const SchemaSize = 8

// Schema is the start of the digest over an event type's declaration. Zero means that the type is undeclared.
type Schema [SchemaSize]byte

// Genesis is what a space is made from. Whoever holds it can compute the space's ID, with no network.
type Genesis struct {
	Stamp   ULID          // made by the creator; distinguishes spaces that are otherwise alike
	Creator string        // the creator's identity, for instance a did:key
	Module  digest.Digest // the module that judges the space from its first record on
	Params  []byte        // msgpack, given to the module
}

// Append appends the canonical encoding of g: the stamp as a little-endian u128, the creator and the params
// with compact lengths, the module's digest between them.
func (g *Genesis) Append(b []byte) []byte {
	for i := len(g.Stamp) - 1; i >= 0; i-- {
		b = append(b, g.Stamp[i])
	}
	b = appendCompactString(b, g.Creator)
	b = append(b, g.Module[:]...)
	b = AppendCompact(b, len(g.Params))
	return append(b, g.Params...)
}

// ID returns the space's identity: the digest of the canonical encoding.
func (g *Genesis) ID() ID {
	return digest.Of(g.Append(make([]byte, 0, 128+len(g.Creator)+len(g.Params))))
}

// Event is one event as its author made it. It is immutable.
type Event struct {
	ID      ULID
	Type    string
	Schema  Schema
	Payload []byte // msgpack; Skerry itself never looks inside
}

// Transaction is one or more events of one author that are accepted or rejected together. Its name is the id
// of its first event.
type Transaction struct {
	Author        string // the identity it was made under
	API           string // semver of the wire contract under which it was authored
	ClientVersion string // version of the app that authored it
	Events        []Event
}

// ID returns the transaction's name, the id of its first event; the zero ULID if it has none.
func (t *Transaction) ID() ULID {
	if len(t.Events) == 0 {
		return ULID{}
	}
	return t.Events[0].ID
}

// Size returns what t counts towards the limit on a transaction's bytes: every byte its author chose.
func (t *Transaction) Size() int {
	n := len(t.Author) + len(t.API) + len(t.ClientVersion)
	for i := range t.Events {
		n += len(ULID{}) + SchemaSize + len(t.Events[i].Type) + len(t.Events[i].Payload)
	}
	return n
}

// Stored returns how many bytes t takes in a log: the sum of [Record.Size] over its records.
func (t *Transaction) Stored() int {
	n := 0
	for i := range t.Events {
		r := Record{Event: t.Events[i], Author: t.Author, API: t.API, ClientVersion: t.ClientVersion}
		n += r.Size()
	}
	return n
}

// MaxSeq is the largest sequence number that a space can give; one more is refused as space_full.
const MaxSeq = math.MaxUint32

// Record is a committed event: the event and what the server's log adds to it.
type Record struct {
	Event
	Seq           uint64 // contiguous from 1 within a space
	ReceivedAt    uint64 // milliseconds since 1970, never decreasing, one for all records of a transaction
	Index, Count  uint32 // this event's 0-based place in its transaction, and how many events that has
	Author        string
	API           string
	ClientVersion string

	// Expired tells that r is a tombstone: its payload is gone, and Payload holds the digest of what that was. Everything else
	// stays, so that the chain can be computed over it and its id is known for ever.
	Expired bool
}

// Size returns how many bytes of r its author chose: what limits on bytes count. What has expired has no payload.
func (r *Record) Size() int {
	n := len(r.Type) + len(r.Author) + len(r.API) + len(r.ClientVersion) + 64
	if !r.Expired {
		n += len(r.Payload)
	}
	return n
}

// PayloadDigest returns the digest of the payload that r has, or had.
func (r *Record) PayloadDigest() (d digest.Digest) {
	if r.Expired {
		copy(d[:], r.Payload)
		return d
	}
	return digest.Of(r.Payload)
}

// Tombstone returns what is left of r when it expires. It shares nothing with r that changes.
func (r *Record) Tombstone() Record {
	if r.Expired {
		return *r
	}
	t, d := *r, digest.Of(r.Payload)
	t.Payload, t.Expired = d[:], true
	return t
}

// Last reports whether r ends its transaction.
func (r *Record) Last() bool { return r.Index+1 == r.Count }

// Records returns t as the records that a log would hold if its first event got the number first.
func (t *Transaction) Records(first, receivedAt uint64) []Record {
	records := make([]Record, len(t.Events))
	for i := range t.Events {
		records[i] = Record{
			Event: t.Events[i], Seq: first + uint64(i), ReceivedAt: receivedAt,
			Index: uint32(i), Count: uint32(len(t.Events)),
			Author: t.Author, API: t.API, ClientVersion: t.ClientVersion,
		}
	}
	return records
}

// TransactionOf returns the transaction whose records are given, which must be all of it, in order, and not expired.
func TransactionOf(records []Record) Transaction {
	if len(records) == 0 {
		return Transaction{}
	}
	first := &records[0]
	t := Transaction{Author: first.Author, API: first.API, ClientVersion: first.ClientVersion, Events: make([]Event, len(records))}
	for i := range records {
		t.Events[i] = records[i].Event
	}
	return t
}

// TransactionsOf returns the transactions whose records are given, each of them whole, in order.
func TransactionsOf(records []Record) (all []Transaction) {
	for len(records) > 0 {
		n := int(max(min(uint64(records[0].Count), uint64(len(records))), 1))
		all = append(all, TransactionOf(records[:n]))
		records = records[n:]
	}
	return all
}

// Position is where a replica stands in a space: after the record with number Seq, on the branch of history
// that Chain commits to. Seal proves to the server that issued it that it once made this position durable.
// Seq 0, Chain equal to the space's ID, is the start.
type Position struct {
	Seq   uint64
	Chain digest.Digest
	Seal  digest.Digest
}

// Start returns the position before the first record of the space.
func Start(id ID) Position { return Position{Chain: id} }

// Head is where a log ends: the last number, the chain there, and the time of the last record.
type Head struct {
	Seq        uint64
	Chain      digest.Digest
	ReceivedAt uint64
}

// Position returns h as a position without a seal.
func (h Head) Position() Position { return Position{Seq: h.Seq, Chain: h.Chain} }

const (
	transactionDomain = "skerry.tx.1"
	chainDomain       = "skerry.chain.1"
	genesisDomain     = "skerry.genesis.1"
	proofDomain       = "skerry.proof.1"
)

// TransactionDigest returns the digest that decides whether a transaction sent again is the one that is known:
// it covers the space and every byte that the author chose, and nothing that the server added.
func TransactionDigest(id ID, t *Transaction) digest.Digest {
	b := beginTransaction(id, t.Author, t.API, t.ClientVersion, len(t.Events))
	for i := range t.Events {
		b = appendEvent(b, &t.Events[i], digest.Of(t.Events[i].Payload))
	}
	return digest.Of(b)
}

// RecordsDigest returns the [TransactionDigest] of the transaction whose records are given, which must be all of it, in order.
// They may have expired.
func RecordsDigest(id ID, records []Record) digest.Digest {
	if len(records) == 0 {
		return TransactionDigest(id, &Transaction{})
	}
	first := &records[0]
	b := beginTransaction(id, first.Author, first.API, first.ClientVersion, len(records))
	for i := range records {
		b = appendEvent(b, &records[i].Event, records[i].PayloadDigest())
	}
	return digest.Of(b)
}

func beginTransaction(id ID, author, api, clientVersion string, events int) []byte {
	b := make([]byte, 0, 512)
	b = append(b, transactionDomain...)
	b = append(b, id[:]...)
	b = appendCompactString(b, author)
	b = appendCompactString(b, api)
	b = appendCompactString(b, clientVersion)
	return binary.LittleEndian.AppendUint32(b, uint32(events))
}

func appendEvent(b []byte, e *Event, payload digest.Digest) []byte {
	b = append(b, e.ID[:]...)
	b = append(b, e.Schema[:]...)
	b = append(b, payload[:]...)
	return appendCompactString(b, e.Type)
}

// Chain returns the chain value after r, given the value before it. The value before the first record is the
// space's ID. Equal chain values mean equal histories, every field of every record included.
func Chain(previous digest.Digest, r *Record) digest.Digest {
	var buffer [512]byte
	payload := r.PayloadDigest()
	b := append(buffer[:0], chainDomain...)
	b = append(b, previous[:]...)
	b = binary.LittleEndian.AppendUint64(b, r.Seq)
	b = binary.LittleEndian.AppendUint64(b, r.ReceivedAt)
	b = binary.LittleEndian.AppendUint32(b, r.Index)
	b = binary.LittleEndian.AppendUint32(b, r.Count)
	b = append(b, r.ID[:]...)
	b = append(b, r.Schema[:]...)
	b = append(b, payload[:]...)
	b = appendCompactString(b, r.Author)
	b = appendCompactString(b, r.Type)
	b = appendCompactString(b, r.API)
	b = appendCompactString(b, r.ClientVersion)
	return digest.Of(b)
}

// Fold returns the chain value after all of records, which follow on the record that previous belongs to.
func Fold(previous digest.Digest, records []Record) digest.Digest {
	for i := range records {
		previous = Chain(previous, &records[i])
	}
	return previous
}

// Seal returns the seal of a position: a keyed hash that only a holder of the server's secret can make or check.
func Seal(secret [digest.Size]byte, id ID, seq uint64, chain digest.Digest) digest.Digest {
	return SealWith(digest.NewKeyer(secret), id, seq, chain)
}

// SealWith returns the seal that [Seal] returns under the keyer's secret, without allocating.
func SealWith(keyer *digest.Keyer, id ID, seq uint64, chain digest.Digest) digest.Digest {
	var b [2*digest.Size + 8]byte
	copy(b[:], id[:])
	binary.LittleEndian.PutUint64(b[digest.Size:], seq)
	copy(b[digest.Size+8:], chain[:])
	return keyer.Of(b[:])
}

// GenesisMessage returns the bytes that a did:key creator signs to prove that it made the space.
func GenesisMessage(id ID) []byte { return append([]byte(genesisDomain), id[:]...) }

// ProofMessage returns the bytes that an identity signs to prove itself to one server on one connection: the
// server's nonce, the server's key and the host that was dialled, so that a signature is good nowhere else.
func ProofMessage(nonce, server [32]byte, host string) []byte {
	b := append([]byte(proofDomain), nonce[:]...)
	b = append(b, server[:]...)
	return appendCompactString(b, host)
}
