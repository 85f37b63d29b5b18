package hub

import (
	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// ConnID names one connection within the server process. The shell counts them; zero is none.
type ConnID uint64

// Config is what both halves need to know. The zero values mean the defaults; Seal and CheckSeal must be set.
// One Config is shared by all spaces and connections and not changed after the first use.
type Config struct {
	Server [32]byte // the server's public key, told in the challenge
	Limits wire.Limits
	API    wire.APIRange // what is spoken; zero: what this build speaks

	// Seal makes the seal of a durable position; CheckSeal reports whether a seal is one of this server's.
	Seal      func(id space.ID, seq uint64, chain digest.Digest) digest.Digest
	CheckSeal func(id space.ID, position *space.Position) bool

	// SetupRequired reports whether the server has no administrator yet: then every push is deferred with setup_required. nil: never.
	SetupRequired func() bool

	// Admit charges one new transaction to the limits on events and bytes, after dedupe and before the module
	// sees it, and returns how long to wait if one of them is exceeded (then it charged none). nil admits all.
	// A transaction is charged once, also when it has to be judged again. Forgive takes the charge back where nothing was decided after all and the client
	// will offer the transaction again. nil: it stays.
	Admit   func(now uint64, caller *Caller, author string, events, bytes int) (retryAfterMS uint64)
	Forgive func(caller *Caller, author string, events, bytes int)

	// Room says why an author may not have so many bytes more in the log, and after how many milliseconds to ask again; "" if they may. It is
	// asked each time that a transaction is judged, after dedupe and before Admit. bytes ([space.Record.Size]) are those of the transaction and of what this
	// space has accepted of the author in earlier ones, as far as no [Append] of it was asked for in an earlier step. Deleting a space
	// always has room. nil: always.
	Room func(author string, bytes int) (reason string, retryAfterMS uint64)

	RecoveryWindow uint64 // how long a space waits for its lost tail, in ms; 10 minutes
	RestoredUntil  uint64 // until when every space does, after the log was restored, in ms since 1970; 0: it was not
	FullRetry      uint64 // how long after the log was full an append is tried again, in ms; 5 s

	HeldRecords int // at most so many are caught up with while a space is held for an upgrade, 100 ms of work; 10,000

	AppendRecords int // at most so many records in one append; 4096
	AppendBytes   int // at most so many bytes in one append, but at least one transaction; 1 MiB
	ReadRecords   int // at most so many records in one events message; 1024
	ReadBytes     int // at most so many bytes in one events message, but at least one transaction; 256 KiB

	SendBuffer int // no record or blob is read while so many bytes wait in the transport; 256 KiB
	Unsent     int // a connection with more bytes than that waiting is closed as slow_reader; 16 MiB
	Requests   int // fetch and blob requests that wait on one connection, more are refused; 16

	UploadBytes uint64 // the largest blob that a client may upload, and what one connection's upload may take; 4 MiB

	HandshakeTimeout uint64 // from the challenge to the hello, in ms; 10 s
	IdleTimeout      uint64 // without a byte from the client, in ms; 60 s
}

// Complete returns c with defaults in place of zero values. It panics if the seal functions are missing: without
// them no position could ever be proven again.
func (c Config) Complete() *Config {
	if c.Seal == nil || c.CheckSeal == nil {
		panic("hub: Config needs Seal and CheckSeal")
	}
	if c.Limits == (wire.Limits{}) {
		c.Limits = wire.DefaultLimits
	}
	c.API = c.API.OrBuild()
	defaultTo(&c.RecoveryWindow, 10*60*1000)
	defaultTo(&c.FullRetry, 5000)
	defaultTo(&c.HeldRecords, 10_000)
	defaultTo(&c.AppendRecords, 4096)
	defaultTo(&c.AppendBytes, 1<<20)
	defaultTo(&c.ReadRecords, 1024)
	defaultTo(&c.ReadBytes, 256<<10)
	defaultTo(&c.SendBuffer, 256<<10)
	defaultTo(&c.Unsent, 16<<20)
	defaultTo(&c.Requests, wire.MaxRequests)
	defaultTo(&c.UploadBytes, wire.MaxUpload)
	defaultTo(&c.HandshakeTimeout, 10_000)
	defaultTo(&c.IdleTimeout, 60_000)
	return &c
}

func defaultTo[T int | uint64](value *T, standard T) {
	if *value == 0 {
		*value = standard
	}
}

// Caller is who is behind a connection. It is shared by everything that the connection sends, never changed.
type Caller struct {
	Conn       ConnID
	Identities []string // proven on this connection
	Address    string   // the client's network address, for rate limits
}

// proves reports whether the connection has proven the identity.
func (c *Caller) proves(identity string) bool {
	for _, proven := range c.Identities {
		if proven == identity {
			return true
		}
	}
	return false
}

// deferral reports whether a code means that nothing was decided and the same may be sent again.
func deferral(code wire.Code) bool { return code >= wire.CodeBehind && code < wire.CodeIDReused }
