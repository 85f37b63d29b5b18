package hub

import (
	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// ConnInput is what happened to a connection: one of the types below, by value.
type ConnInput interface{ connInput() }

// Begin is the first input: the socket is open. Nonce is 32 fresh random bytes.
type Begin struct{ Nonce [32]byte }

// Enter is the first input instead of Begin, for a connection that needs no handshake because its shell has proven who it is in
// another way: a subscription over plain HTTP. No session is registered for it. API is the highest of [Config.API].
type Enter struct{ Identities []string }

// Received is a whole decoded message of Size bytes, parts joined.
type Received struct {
	Frame wire.Frame
	Size  int
}

// Alive tells that bytes came which are no whole message yet (a part of one).
type Alive struct{}

// Malformed tells that joining or decoding a message failed; the connection is closed with the error's code.
type Malformed struct{ Err error }

// Fail closes the connection with an error ([CloseConn], or superseded by a newer connection).
type Fail struct {
	Code   wire.Code
	Reason string
}

// Shutdown says bye and closes: the server stops or restarts.
type Shutdown struct{ RetryAfterMS uint64 }

// Gone tells that the socket is closed.
type Gone struct{}

// Proved answers [ConnEffects.Prove] with the identities that the proofs are of. Code not 0: one of them is none, and the
// connection is refused with the code, or the newer proof alone is.
type Proved struct {
	Proven []Proven
	Code   wire.Code
	Reason string
}

// Proven is an identity that the client has proven.
type Proven struct {
	Identity string
	Claims   []byte // what its issuer says of it, a msgpack map; nil for a key, of which nobody says anything
	Expires  uint64 // when it must have been proven again, in ms since 1970; 0: never
	// Devices are the keys of linked devices between the identity and whoever has proven it, the latter last; none: it was the
	// identity's own. MayLink tells that they may link devices to it, and unlink them.
	Devices []string
	MayLink bool
}

// Registered answers [ConnEffects.Register]. Code 0: the connection may go on, and an older one of the same session
// has been closed and nothing of it is left in any space ([Effects.Finished]). Otherwise the connection is refused.
type Registered struct {
	Code   wire.Code
	Reason string
}

// Verdicts is a space's reply to a push.
type Verdicts struct{ Reply Reply }

// Located answers [ConnEffects.Locate] with the frame to send, or a code to refuse with.
type Located struct {
	Ref     uint64
	Located *wire.Located
	Code    wire.Code
	Reason  string
}

// Woken tells that a space that the connection watches has the durable head Seq.
type Woken struct {
	Space space.ID
	Seq   uint64
}

// Checked answers [ConnEffects.Check]. Head is read linearizably, after the connection was registered to be
// woken. Chain is the chain at the position's number, if that is not past the head.
type Checked struct {
	Space   space.ID
	Ref     uint64
	Exists  bool
	MayRead bool
	Head    space.Head
	Chain   digest.Digest
	Seq     uint64         // of the head by which it may be read ([Answer])
	Expired uint64         // records up to it have expired: nobody is sent them, and Row says where to begin
	Row     *wire.SpaceRow // if NeedRow, or if there is a checkpoint: who has all of it compares
	Code    wire.Code      // not 0: the check failed, and ends the subscription with this
}

// Left tells that the connection's identities may not read a watched space any more: record Seq is the last that it may be
// sent. Code says why: left, or that it could not be found out.
type Left struct {
	Space space.ID
	Seq   uint64
	Code  wire.Code
}

// Kept brings the row of a watched space that has another checkpoint, or another module. It is sent when the subscription has
// come to record Seq, and not to who may not read that far.
type Kept struct {
	Row *wire.SpaceRow
	Seq uint64
}

// EventsRead answers [ConnEffects.Read]. Message is an encoded events message, shared by all readers of the same
// place and never changed, or empty if there is nothing after the position. [EventsMessage] makes one.
type EventsRead struct {
	Space    space.ID
	Ref      uint64
	Message  []byte
	Position space.Position // after the last record, sealed
	Head     uint64         // the log's head when it was read
	Code     wire.Code      // not 0: reading failed, and ends the subscription with this; resume_gone: it is checked again first
}

// PageRead answers [ConnEffects.Page] with an encoded page message ([PageMessage]), or a code to refuse with.
type PageRead struct {
	Ref     uint64
	Message []byte
	Code    wire.Code
	Reason  string
}

// BlobRead answers [ConnEffects.Blob] with bytes from the offset on, or a code to refuse with.
type BlobRead struct {
	Ref    uint64
	Total  uint64
	Offset uint64
	Bytes  []byte
	Code   wire.Code
	Reason string
}

// BlobStored answers [ConnEffects.Store]: whether the bytes are stored, or a code to refuse them with.
type BlobStored struct {
	Stored bool
	Code   wire.Code
	Reason string
}

// DirectoryRead answers [ConnEffects.Directory] with rows, or a code to refuse with.
type DirectoryRead struct {
	Ref    uint64
	Spaces *wire.Spaces
	Code   wire.Code
	Reason string
}

// SpacesChanged brings rows of the connection's directory that changed.
type SpacesChanged struct {
	Rows  []wire.SpaceRow
	Since []byte
}

// Written tells that the transport took so many bytes of what [ConnEffects.Send] gave it.
type Written struct{ Bytes int }

func (Begin) connInput()         {}
func (Enter) connInput()         {}
func (Received) connInput()      {}
func (Alive) connInput()         {}
func (Malformed) connInput()     {}
func (Fail) connInput()          {}
func (Shutdown) connInput()      {}
func (Gone) connInput()          {}
func (Proved) connInput()        {}
func (Registered) connInput()    {}
func (Verdicts) connInput()      {}
func (Taken) connInput()         {}
func (Located) connInput()       {}
func (Woken) connInput()         {}
func (Checked) connInput()       {}
func (Left) connInput()          {}
func (Kept) connInput()          {}
func (EventsRead) connInput()    {}
func (PageRead) connInput()      {}
func (BlobRead) connInput()      {}
func (BlobStored) connInput()    {}
func (DirectoryRead) connInput() {}
func (SpacesChanged) connInput() {}
func (Written) connInput()       {}
func (Tick) connInput()          {}

// ConnEffects is what the shell has to do for a connection. Watch and Unwatch come before everything else, the
// rest may run concurrently; each request is answered by one input, whatever happens. The slices are valid until
// the next Step of the same connection; the messages in Send are never changed.
type ConnEffects struct {
	Watch   []space.ID // wake this connection ([Woken]) when the head of these moves
	Unwatch []space.ID // no longer

	Send      [][]byte          // whole messages, in order; the shell splits them ([wire.Split]) by Limits.Frame
	Prove     *Prove            // answered by Proved
	Register  *Register         // answered by Registered
	Renewed   *Proven           // a newer proof counts from now on; not answered
	Directory []*wire.Directory // answered by DirectoryRead
	Push      []Offer           // to the space that each names; answered by Verdicts
	Check     []CheckPosition   // answered by Checked
	Ahead     []AheadOf         // tell the space
	Tails     []TailOf          // to the space that each names; answered by Taken
	Locate    []*wire.Locate    // answered by Located
	Read      *ReadEvents       // answered by EventsRead
	Page      *wire.Fetch       // answered by PageRead, if the identities may read the space
	Blob      *ReadBlob         // answered by BlobRead
	Store     *StoreBlob        // answered by BlobStored
	Relay     []Relayed         // to every connection that watches the space; what it cannot take at once may be dropped
	Lost      bool              // the client was not sent what another said, since records come first

	// Close: flush Send and close the socket; Step does nothing any more. Code is what the log should say.
	// Leave holds the spaces that pushes went to: tell each that the connection is gone ([Disconnected]).
	Close bool
	Code  wire.Code
	Leave []space.ID

	WakeAt uint64 // when a Tick is wanted; 0: not
}

// Prove asks whether a client has proven what it says it is. Nonce is the connection's own; proofs of keys sign it, beside the
// server's key and the host that was dialled, both of which the shell knows.
type Prove struct {
	Nonce  [32]byte
	Proofs []wire.Proof
}

// Register asks the registry of sessions. An equal or newer epoch of the same session and identities ends the
// older connection, whose pushes are finished or dropped before [Registered] comes; an older epoch is refused
// with superseded, and so is a connection_id that is connected.
type Register struct {
	Connection wire.ConnectionID
	Session    wire.SessionID
	Epoch      uint64
	Identities []string
	Proven     []Proven // the same, with what else is known of them; not changed
}

// CheckPosition asks whether a space can be read from a position on. [Ask] tells what only the space knows.
type CheckPosition struct {
	Space   space.ID
	Ref     uint64
	Seq     uint64
	Chain   digest.Digest // there, as the client has it
	NeedRow bool          // the directory row is wanted too; it also is of who may read a space and is at a place that has expired
}

// AheadOf tells that a position past the head of a space carries a valid seal.
type AheadOf struct {
	Space    space.ID
	Position space.Position
}

// TailOf is a [Tail] of a space.
type TailOf struct {
	Space space.ID
	Tail
}

// ReadEvents asks for the records after a place whose chain is known. All readers of one (Space, After) get the
// same message.
type ReadEvents struct {
	Space      space.ID
	Ref        uint64
	After      uint64
	Chain      digest.Digest
	MaxRecords int
	MaxBytes   int
	Until      uint64 // no record past this one; 0: any
}

// StoreBlob asks to check bytes that a client uploaded, by their digest and as what they claim to be, and to store them.
// Without bytes it asks only whether they are stored already.
type StoreBlob struct {
	Digest digest.Digest
	Bytes  []byte
}

// ReadBlob asks for up to MaxBytes of a blob.
type ReadBlob struct {
	Ref      uint64
	Digest   digest.Digest
	Offset   uint64
	MaxBytes int
}
