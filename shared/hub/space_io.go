package hub

import (
	"slices"

	"skerry/shared/module"
	"skerry/shared/module/program"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// Input is what happened to a space: one of the types below, by value.
type Input interface{ input() }

// Offer is a push that a connection routed here ([ConnEffects.Push]).
type Offer struct {
	Caller *Caller
	Push   *wire.Push
	Size   int // of its message; comes back in the Reply
}

// Record asks to write a transaction of the server's own, whose events may be of types that clients cannot write; answered in
// [Effects.Recorded]. It is judged like others, in its turn.
type Record struct {
	Ref         uint64
	Transaction space.Transaction
	Claims      [][]byte // what the module sees with each event, if it is to see any

	// Beside is handed to the log together with the records, to be stored in the same step ([Append.Beside]); with a transaction
	// that is refused, or is there already, it is dropped.
	Beside any

	// Caller is who has proven the transaction's author, if it is not the server's own: then it is judged, charged and limited as
	// what comes over their connection. Claims and Beside are the server's own alone.
	Caller *Caller
}

// Try asks how a transaction of the server's own would be judged, by all that is judged so far; answered in [Effects.Recorded]. Nothing
// of it stays, so it needs no room in the log, and none of its ids is looked for there.
type Try struct {
	Ref         uint64 // of the same numbers as those of Record
	Transaction space.Transaction
	Claims      [][]byte

	at uint64
}

// Disconnected tells that a connection is gone. Its judged pushes are finished, the others dropped; when none is
// left the space says so in [Effects.Finished]. Nothing more may come from this connection.
type Disconnected struct{ Conn ConnID }

// Ask asks whether the space exists and may be read; the answer is in [Effects.Answers].
type Ask struct {
	Conn       ConnID
	Ref        uint64 // comes back in the answer
	Identities []string
	Audience   bool // who takes part is asked too
}

// Ahead tells that a replica presented a position with a valid seal past the head: the server lost records.
type Ahead struct{ Position space.Position }

// Opened answers [Effects.Open] and [Effects.Create]. Instance is nil when the space does not exist (Open) or was
// not created (Create); then Code says why, and a Code of zero or unknown_space that there is no such space.
type Opened struct {
	Ref          uint64
	Instance     module.Instance // brought to any point at or before Head; the space owns it from now on
	Head         space.Head
	Created      bool       // by this very call
	Bare         bool       // the record at Head is one that [Bare] tells of
	Code         wire.Code  // deleted: Head and Last say by which record
	Last         space.ULID // the id of that record
	Reason       string
	RetryAfterMS uint64
}

// Known is what the log holds under an event id. Seq is 0 when it holds nothing.
type Known struct {
	Seq          uint64
	Index, Count uint32
	Author       string
}

// Found answers [Effects.Lookup] with an entry per id, in their order.
type Found struct {
	Ref   uint64
	Known []Known
	Code  wire.Code // not 0: the log could not be asked
}

// History answers [Effects.Read]: records that follow on Base without a hole and reach To at least. Base is any
// position whose chain is known, before From. [ReadHistory] makes one.
type History struct {
	Ref     uint64
	Base    space.Position
	Records []space.Record
	Code    wire.Code // not 0: the log could not be read
	Err     error     // why, for whoever runs the server
}

// Outcome is how an append ended.
type Outcome int

// The outcomes of an append.
const (
	Stored  Outcome = iota + 1 // durable
	Stale                      // nothing stored: the log ends elsewhere, or knows an id
	Full                       // nothing stored: the log's storage is full
	Unclear                    // the call failed and may have stored the records
	Missing                    // nothing stored: a module is not there that the records name ([Append.Adopts])
)

// Appended answers [Effects.Append].
type Appended struct{ Outcome Outcome }

// HeadRead answers [Effects.LoadHead] with a linearizable read of the log's head. With Ref 0 it is a hint that
// another server appended, ignored where it brings nothing new.
type HeadRead struct {
	Ref  uint64
	Head space.Head
	Code wire.Code  // deleted: the record at Head deletes the space; any other but 0: the log could not be read
	Last space.ULID // the id of the record that deletes the space
}

// Prepared answers [Effects.Prepare]. Failed tells that Run did not return.
type Prepared struct {
	Ref    uint64
	Work   *program.Upgrade
	Failed bool
}

// Spoiled tells that the shell found the instance's tables to lack something, with the error ([tables.ErrPage]).
type Spoiled struct{ Err error }

// Tick tells that time has passed, at the latest when [Effects.WakeAt] has come.
type Tick struct{}

func (Offer) input()        {}
func (Record) input()       {}
func (Tail) input()         {}
func (Try) input()          {}
func (Disconnected) input() {}
func (Ask) input()          {}
func (Ahead) input()        {}
func (Opened) input()       {}
func (Found) input()        {}
func (History) input()      {}
func (Appended) input()     {}
func (HeadRead) input()     {}
func (Prepared) input()     {}
func (Spoiled) input()      {}
func (Tick) input()         {}

// Effects is what the shell has to do for a space. Requests (Open, Create, Lookup, Read, Append, LoadHead, Prepare) may run
// concurrently; each is answered by one input, whatever happens. There is never more than one Append under way,
// and the effects of one Step never depend on each other's order. The slices in it are valid until the next Step
// of the same space, except those of Lookup and Append, which are until the answer.
type Effects struct {
	Open     *OpenSpace
	Create   *CreateSpace
	Lookup   *Lookup
	Read     *ReadSpan
	Append   *Append
	LoadHead *LoadHead
	Prepare  *Prepare

	Replies  []Reply     // verdicts, final and durable: give each to its connection
	Recorded []Recorded  // verdicts on Record, final and durable, and on Try
	Taken    []Taken     // to Tail: give each to its connection
	Answers  []Answer    // to Ask
	Close    []CloseConn // connections to close with an error
	Finished []ConnID    // disconnected ones of which nothing is left here
	Moved    bool        // Head is new and durable: wake the subscribers
	Head     space.Head  // the durable head, as far as this space knows it
	Loaded   bool        // the module's instance is here, and Head is what its tables contain
	Turned   bool        // who may read may be others at Head than before: ask for each subscriber ([Space.MayRead]) before more is read
	TurnedAt uint64      // the last record for who may not read any more; 0: the last that may have been read before
	Deleted  bool        // a record, perhaps behind Head, deleted the space: nobody reads past Head, and what is stored is to be freed
	Failed   error       // the log could not be applied; the space is deferred
	Lost     error       // why the instance that was there cannot be used any more ([tables.ErrPage]); Open asks for another one

	// Checkpoint is the tables at a place that has become durable, to be kept or not; nothing waits for it.
	Checkpoint *program.Checkpoint

	WakeAt uint64 // when a Tick is wanted; 0: not
}

// OpenSpace asks for the space's instance and the head of its log; answered by [Opened].
type OpenSpace struct{ Ref uint64 }

// CreateSpace asks to create the space. The shell does, in this order, and stops at the first that fails: get the
// module's instance (module_missing), and if the log does not hold the space yet, charge one to every key
// of Charges in one step (rate_limited with the wait), then Log.Create. Answered by [Opened].
type CreateSpace struct {
	Ref       uint64
	Genesis   *space.Genesis
	Signature []byte
	Charges   []string // rate-limit keys: of the creator, the address and the server
	Lost      bool     // this server had the space once: nobody is charged, and no limit holds
}

// Lookup asks what the log holds under event ids; answered by [Found].
type Lookup struct {
	Ref     uint64
	IDs     []space.ULID
	Authors []string // whose transactions they are of: each of them is in [Config.Room] soon
}

// ReadSpan asks for the records From to To; answered by [History].
type ReadSpan struct {
	Ref      uint64
	From, To uint64
}

// Append asks to append records and make Next the log's head if it is Previous; answered by [Appended]. The records
// are never changed, so once they are stored the shell may keep them for readers.
type Append struct {
	Previous space.Head
	Records  []space.Record
	Next     space.Head
	Adopts   bool             // the records are not new, but were lost: no limit holds
	Deletes  bool             // the last record deletes the space: what People are told, and that it is so, has to be durable before anything is freed
	Beside   []any            // of each [Record] among them, in their order: to be stored in the same step
	People   []program.Person // who may be one of those who take part by these records, or no longer: [Ask] when Next is the head
}

// Moves reports whether an identity is one of the people.
func (a *Append) Moves(identity string) bool {
	return slices.ContainsFunc(a.People, func(p program.Person) bool { return p.Identity == identity })
}

// LoadHead asks for the log's head, read linearizably; answered by [HeadRead].
type LoadHead struct{ Ref uint64 }

// Prepare asks to run [program.Upgrade.Run], which may take seconds and more; answered by [Prepared]. Until then the work is
// the shell's. There is never more than one under way, except for a space that was forgotten in between.
type Prepare struct {
	Ref  uint64
	Work *program.Upgrade
}

// Recorded is the answer to one [Record] or [Try].
type Recorded struct {
	Ref     uint64
	Verdict wire.Verdict
}

// Reply is the answer to one push.
type Reply struct {
	Conn   ConnID
	Pushed *wire.Pushed
	Size   int // of the push's message, for the connection's window
}

// Taken is the answer to one [Tail].
type Taken struct {
	Conn  ConnID
	Frame wire.Frame // for the client
	Size  int        // of the tail's message, for the connection's window
}

// Answer is the answer to one [Ask].
type Answer struct {
	Conn    ConnID
	Ref     uint64
	Exists  bool
	MayRead bool
	Seq     uint64    // of the durable head by which that holds
	Code    wire.Code // not 0: neither is known, because of this

	People       []program.Person // who takes part, if that was asked
	RecoveringMS uint64           // for how long pushes are put off still, since records were lost
}

// CloseConn asks to close a connection with an error ([Fail]).
type CloseConn struct {
	Conn   ConnID
	Code   wire.Code
	Reason string
}
