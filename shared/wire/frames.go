package wire

import (
	"skerry/shared/digest"
	"skerry/shared/msgpack"
	"skerry/shared/space"
)

// Number is a frame's number, the first element of its message. Numbers are append-only.
type Number uint64

// The frames. Which side sends one is in its type's documentation.
const (
	NumberChallenge   Number = 1
	NumberHello       Number = 2
	NumberWelcome     Number = 3
	NumberDirectory   Number = 4
	NumberSpaces      Number = 5
	NumberPush        Number = 6
	NumberPushed      Number = 7
	NumberSubscribe   Number = 8
	NumberUnsubscribe Number = 9
	NumberEvents      Number = 10
	NumberCaughtUp    Number = 11
	NumberEnded       Number = 12
	NumberFetch       Number = 13
	NumberPage        Number = 14
	NumberBlob        Number = 15
	NumberBlobPart    Number = 16
	NumberBlobPut     Number = 17
	NumberCredit      Number = 18
	NumberPing        Number = 19
	NumberPong        Number = 20
	NumberAuthRefresh Number = 21
	NumberEphemeral   Number = 22
	NumberRefused     Number = 23
	NumberError       Number = 24
	NumberBye         Number = 25
	NumberPart        Number = 26
	NumberLocate      Number = 27
	NumberAdopt       Number = 28
	NumberReclaim     Number = 29
	NumberLocated     Number = 30
	NumberAdopted     Number = 31
	NumberReclaimed   Number = 32
)

// Frame is one message of the protocol: a pointer to one of the frame types of this package.
type Frame interface {
	// Number returns the frame's number.
	Number() Number
	// appendTo appends the frame's array, number first.
	appendTo(b []byte) []byte
	// decode reads the elements after the number.
	decode(f *msgpack.Fields)
}

// SessionID names a replica's presence at the server over all of its connections; it is kept in the store.
type SessionID [16]byte

// ConnectionID names one socket; a new random one for every connection, never zero.
type ConnectionID [16]byte

// Challenge is the first frame of a connection, sent by the server.
type Challenge struct {
	Nonce   [32]byte // what proofs sign, new for every connection
	Server  [32]byte // the server's Ed25519 public key, which replicas pin
	APILow  string   // the lowest version of the wire contract that the server speaks
	APIHigh string   // the highest
	Time    uint64   // the server's clock, milliseconds since 1970, for display only
}

// Proof is one identity with what proves it.
type Proof struct {
	Identity string
	Proof    []byte
}

// Hello answers the challenge, sent by the client.
type Hello struct {
	API           string
	ClientVersion string
	ConnectionID  ConnectionID
	Session       SessionID
	Epoch         uint64 // of the tab that leads the replica's sync; a newer one ends an older one's connection
	Credit        uint64 // the first bytes of events, pages and blobs that the server may send
	Proofs        []Proof
}

// Welcome ends the handshake, sent by the server.
type Welcome struct {
	Identities []string // the proven ones
	Limits     Limits
	API        string // the chosen version
}

// Directory asks for the spaces of the connection's identities, sent by the client.
type Directory struct {
	Ref   uint64
	Since []byte // a Spaces.Since of the same server, or empty for everything
}

// SpaceState tells what a directory row says of its space.
type SpaceState uint64

// The states of a space in a directory.
const (
	SpacePresent SpaceState = 0
	SpaceLeft    SpaceState = 1
	SpaceDeleted SpaceState = 2
)

// SpaceRow is one space in a directory.
type SpaceRow struct {
	Genesis          space.Genesis
	GenesisSignature []byte
	Module           digest.Digest // the module that judges now
	Head             uint64        // a hint
	CheckpointSeq    uint64        // 0: none
	Checkpoint       digest.Digest
	State            SpaceState
	Expired          uint64 // records up to it have expired: a replica that has not come so far begins at the checkpoint; 0: none
}

// Spaces answers [Directory], and with ref 0 tells of rows that changed; sent by the server.
type Spaces struct {
	Ref   uint64
	Rows  []SpaceRow
	Since []byte
	More  bool // ask again with Since
	Full  bool // the rows begin from nothing: what is not in them is gone
}

// Push offers transactions of one space to the server.
type Push struct {
	Space            space.ID
	N                uint64 // counts pushes to this space on this connection, from 1
	Resume           bool   // clears an earlier deferral before this push is judged
	Genesis          *space.Genesis
	GenesisSignature []byte
	Transactions     []space.Transaction
}

// VerdictKind is what the server decided.
type VerdictKind uint64

// The kinds of verdict.
const (
	Accepted  VerdictKind = 1
	Duplicate VerdictKind = 2
	Rejected  VerdictKind = 3
	Deferred  VerdictKind = 4
)

// Verdict is the server's answer to one transaction or genesis.
type Verdict struct {
	Kind         VerdictKind
	Position     space.Position // of the last record, when accepted or duplicate
	Code         Code           // when rejected or deferred
	Reason       string         // for people
	RetryAfterMS uint64         // when deferred: how long to wait; 0 leaves it to the client
}

// Pushed answers [Push], sent by the server: one verdict per transaction, in order.
type Pushed struct {
	Space    space.ID
	N        uint64
	Genesis  *Verdict // set when the push carried a genesis
	Verdicts []Verdict
}

// Subscription is one space and the position to continue from.
type Subscription struct {
	Space    space.ID
	Position space.Position
}

// Subscribe asks for records from a position on, sent by the client.
type Subscribe struct{ Subscriptions []Subscription }

// Unsubscribe ends subscriptions, sent by the client.
type Unsubscribe struct{ Spaces []space.ID }

// Events carries records of a subscription, whole transactions, sent by the server.
type Events struct {
	Space    space.ID
	Records  []space.Record
	Position space.Position // after the last record
}

// CaughtUp tells that a subscription has reached the head, sent by the server.
type CaughtUp struct {
	Space    space.ID
	Position space.Position
}

// Ended tells that a subscription is over and why, sent by the server.
type Ended struct {
	Space  space.ID
	Code   Code
	Reason string
}

// Fetch asks for one page of records, sent by the client. After selects forwards, Before (above zero) backwards.
type Fetch struct {
	Ref        uint64
	Space      space.ID
	After      uint64 // numbers above this
	Before     uint64 // numbers below this; 0: forwards from After
	MaxRecords uint64
	MaxBytes   uint64
}

// Page answers [Fetch] with ascending records, whole transactions; sent by the server.
type Page struct {
	Ref         uint64
	Space       space.ID
	ChainBefore digest.Digest // before the first record
	Records     []space.Record
	Position    space.Position // after the last record
}

// Blob asks for bytes by their digest, from an offset on; sent by the client.
type Blob struct {
	Ref    uint64
	Digest digest.Digest
	Offset uint64
}

// BlobPart answers [Blob], sent by the server.
type BlobPart struct {
	Ref    uint64
	Total  uint64
	Offset uint64
	Bytes  []byte
}

// BlobPut uploads bytes under their digest, sent by the client.
type BlobPut struct {
	Ref    uint64
	Digest digest.Digest
	Total  uint64
	Offset uint64
	Bytes  []byte
}

// Credit allows the server to send more bytes of events, pages and blobs; sent by the client.
type Credit struct{ Bytes uint64 }

// Ping asks for a [Pong], sent by the client after a silence.
type Ping struct{}

// Pong answers [Ping], sent by the server.
type Pong struct{}

// AuthRefresh renews a proof within a connection, sent by the client.
type AuthRefresh struct {
	Ref   uint64
	Proof Proof
}

// Ephemeral carries bytes to a space's subscribers of this moment; it is never stored. Both sides send it.
type Ephemeral struct {
	Space space.ID
	Bytes []byte
}

// Refused answers one request that carried a ref, sent by the server.
type Refused struct {
	Ref    uint64
	Code   Code
	Reason string
}

// Error tells why the server closes the connection, which it does after this frame.
type Error struct {
	Code   Code
	Reason string
}

// Bye asks the client to come back later; the server closes the connection after it.
type Bye struct {
	Code         Code
	RetryAfterMS uint64
}

// Part is one piece of a message that is bigger than a frame. Both sides send it.
type Part struct {
	Total uint64
	Bytes []byte
}
