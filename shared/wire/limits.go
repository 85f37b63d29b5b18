package wire

import "strings"

// Subprotocol is the WebSocket subprotocol of the wire contract.
const Subprotocol = "skerry.v1"

// Limits is what a server admits. Everything that a client sends has a limit; what is in a log already is
// delivered whatever the limits are now. Sizes are in bytes.
type Limits struct {
	Type              uint64 // an event's type
	Identity          uint64 // an author's or creator's name
	ClientVersion     uint64
	API               uint64
	Params            uint64 // of a genesis
	Payload           uint64 // of one event
	TransactionEvents uint64 // events in one transaction
	TransactionBytes  uint64 // one transaction, see [space.Transaction.Size]
	Message           uint64 // one message, its parts together
	Frame             uint64 // one WebSocket message towards a client; bigger ones are sent as parts
	PushWindow        uint64 // pushed and unanswered on one connection
	SubscribePairs    uint64 // in one frame
	Subscriptions     uint64 // on one connection
}

// DefaultLimits are the limits of a server that was not configured otherwise.
var DefaultLimits = Limits{
	Type: 128, Identity: 256, ClientVersion: 64, API: 32,
	Params: 64 << 10, Payload: 256 << 10, TransactionEvents: 1024, TransactionBytes: 1 << 20,
	Message: 4 << 20, Frame: 32 << 10, PushWindow: 4 << 20, SubscribePairs: 256, Subscriptions: 20_000,
}

// What bounds a server and is no part of [Limits], since nobody has a reason to configure it.
const (
	MaxProofs       = 16       // identities of one connection
	MaxTransactions = 32 << 10 // in one push, so that its verdicts fit into one message that clients take
	MaxSignature    = 512      // bytes of a genesis' signature: that of the largest did:key
	MaxDirectories  = 4        // directory requests under way on one connection
	MaxRequests     = 16       // fetch and blob requests that wait on one connection
	MaxUpload       = 4 << 20  // bytes of a module
	MaxAbsent       = 2000     // spaces without being there that one connection has pushed to
	MaxReason       = 256      // bytes of the reason of a verdict, a refusal or an error

	MaxEphemeral   = 16 << 10          // bytes of one ephemeral
	EphemeralRate  = 64 << 10          // bytes of ephemerals a second that one connection may send, each counted with
	EphemeralCost  = 256               // more,
	EphemeralBurst = 4 * EphemeralRate // and so many at once after a silence
)

// MaxServerMessage is the largest message that a client takes from a server, in bytes. It is not configurable, so
// that what is in a log can always be delivered, and bounds what a broken server can make a client allocate.
const MaxServerMessage = 16 << 20

// Reason returns text as a reason may be sent: valid UTF-8, cut to [MaxReason] bytes at a character's boundary.
// Whatever made the text (a module, say), the other side can read the frame.
func Reason(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= MaxReason {
		return text
	}
	cut := MaxReason
	for cut > 0 && text[cut]&0xc0 == 0x80 {
		cut--
	}
	return text[:cut]
}
