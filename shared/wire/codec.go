package wire

import (
	"skerry/shared/digest"
	"skerry/shared/msgpack"
	"skerry/shared/space"
)

// ErrMalformed tells that bytes are not msgpack, or not the msgpack that the frame calls for.
var ErrMalformed = msgpack.ErrMalformed

// The least bytes that useful elements of the protocol's arrays take, with every element left out that may be:
// an array of n elements that takes less is malformed. They bound what decoding allocates.
const (
	minEvent       = 20 // id and a type
	minTransaction = 24 // one event
	minRecord      = 24 // id, four numbers, author and type
	minVerdict     = 4  // kind, nil, code
	minRow         = 54 // a genesis
	minDigest      = 34
	minProof       = 3 // a name
)

// Append appends the message of f to b.
func Append(b []byte, f Frame) []byte { return f.appendTo(b) }

// Decode reads one message. Its errors are [*CodeError] values with CodeBadFrame or CodeUnknownFrame.
func Decode(message []byte) (Frame, error) {
	r := msgpack.Reader{Rest: message}
	f := r.Fields()
	if !f.Next() {
		return nil, Errorf(CodeBadFrame, "a message is a msgpack array that begins with the frame's number")
	}
	number := Number(r.Uint())
	if r.Err != nil {
		return nil, Errorf(CodeBadFrame, "a message is a msgpack array that begins with the frame's number")
	}
	frame := newFrame(number)
	if frame == nil {
		return nil, Errorf(CodeUnknownFrame, "frame %d is unknown", number)
	}
	frame.decode(&f)
	f.Finish()
	if r.Err != nil || len(r.Rest) != 0 {
		return nil, Errorf(CodeBadFrame, "frame %d is malformed", number)
	}
	return frame, nil
}

func newFrame(number Number) Frame {
	switch number {
	case NumberChallenge:
		return new(Challenge)
	case NumberHello:
		return new(Hello)
	case NumberWelcome:
		return new(Welcome)
	case NumberDirectory:
		return new(Directory)
	case NumberSpaces:
		return new(Spaces)
	case NumberPush:
		return new(Push)
	case NumberPushed:
		return new(Pushed)
	case NumberSubscribe:
		return new(Subscribe)
	case NumberUnsubscribe:
		return new(Unsubscribe)
	case NumberEvents:
		return new(Events)
	case NumberCaughtUp:
		return new(CaughtUp)
	case NumberEnded:
		return new(Ended)
	case NumberFetch:
		return new(Fetch)
	case NumberPage:
		return new(Page)
	case NumberBlob:
		return new(Blob)
	case NumberBlobPart:
		return new(BlobPart)
	case NumberBlobPut:
		return new(BlobPut)
	case NumberCredit:
		return new(Credit)
	case NumberPing:
		return new(Ping)
	case NumberPong:
		return new(Pong)
	case NumberAuthRefresh:
		return new(AuthRefresh)
	case NumberEphemeral:
		return new(Ephemeral)
	case NumberRefused:
		return new(Refused)
	case NumberError:
		return new(Error)
	case NumberBye:
		return new(Bye)
	case NumberPart:
		return new(Part)
	case NumberLocate:
		return new(Locate)
	case NumberAdopt:
		return new(Adopt)
	case NumberReclaim:
		return new(Reclaim)
	case NumberLocated:
		return new(Located)
	case NumberAdopted:
		return new(Adopted)
	case NumberReclaimed:
		return new(Reclaimed)
	}
	return nil
}

// AppendRecord appends one record's array to b: the encoding of records in frames and in a replica's segments.
func AppendRecord(b []byte, r *space.Record) []byte {
	if r.Expired {
		return append(appendRecord(b, r, 12), 0xc3)
	}
	return appendRecord(b, r, 11)
}

func appendRecord(b []byte, r *space.Record, elements int) []byte {
	b = msgpack.AppendArray(b, elements)
	b = msgpack.AppendBinary(b, r.ID[:])
	b = msgpack.AppendUint(b, r.Seq)
	b = msgpack.AppendUint(b, r.ReceivedAt)
	b = msgpack.AppendUint(b, uint64(r.Index))
	b = msgpack.AppendUint(b, uint64(r.Count))
	b = msgpack.AppendString(b, r.Author)
	b = msgpack.AppendString(b, r.Type)
	b = msgpack.AppendBinary(b, r.Schema[:])
	b = msgpack.AppendBinary(b, r.Payload)
	b = msgpack.AppendString(b, r.API)
	return msgpack.AppendString(b, r.ClientVersion)
}

// DecodeRecords reads records that [AppendRecord] wrote one after the other, to the end of b; none from no bytes.
// Payloads alias b. Its error is [ErrMalformed], as that of the other functions that read structures.
func DecodeRecords(b []byte) ([]space.Record, error) {
	n, err := countRecords(b)
	if n == 0 || err != nil {
		return nil, err
	}
	r := msgpack.Reader{Rest: b}
	records := make([]space.Record, n)
	var texts interner
	for i := range records {
		decodeRecord(&r, &records[i], &texts)
	}
	if r.Err != nil {
		return nil, r.Err
	}
	return records, nil
}

// countRecords passes over records to the end of b, so that they are allocated once and only for what is there.
func countRecords(b []byte) (n int, err error) {
	r := msgpack.Reader{Rest: b}
	for len(r.Rest) > 0 {
		before := len(r.Rest)
		r.Skip(0)
		if r.Err != nil || before-len(r.Rest) < minRecord {
			return 0, ErrMalformed
		}
		n++
	}
	return n, nil
}

// interner keeps the last few strings read, so that a run of records by one author holds each of its texts once.
type interner struct{ author, kind, api, version string }

func interned(r *msgpack.Reader, last *string) string {
	s := textLike(r, *last)
	*last = s
	return s
}

// textLike reads a string and returns last itself when it is equal, which allocates nothing.
func textLike(r *msgpack.Reader, last string) string {
	if n := len(last); n > 0 && n < 32 && len(r.Rest) > n && r.Rest[0] == 0xa0|byte(n) && string(r.Rest[1:n+1]) == last {
		r.Rest = r.Rest[n+1:]
		return last
	}
	if n := len(last); n >= 32 && n < 256 && len(r.Rest) > n+1 && r.Rest[0] == 0xd9 && int(r.Rest[1]) == n && string(r.Rest[2:n+2]) == last {
		r.Rest = r.Rest[n+2:]
		return last
	}
	return r.Text()
}

func decodeRecord(r *msgpack.Reader, record *space.Record, texts *interner) {
	f := r.Fields()
	if f.Next() {
		r.Fixed(record.ID[:])
	}
	if f.Next() {
		record.Seq = r.Uint()
	}
	if f.Next() {
		record.ReceivedAt = r.Uint()
	}
	if f.Next() {
		record.Index = r.Uint32()
	}
	if f.Next() {
		record.Count = r.Uint32()
	}
	if f.Next() {
		record.Author = interned(r, &texts.author)
	}
	if f.Next() {
		record.Type = interned(r, &texts.kind)
	}
	if f.Next() {
		r.Fixed(record.Schema[:])
	}
	if f.Next() {
		record.Payload = r.Binary()
	}
	if f.Next() {
		record.API = interned(r, &texts.api)
	}
	if f.Next() {
		record.ClientVersion = interned(r, &texts.version)
	}
	if f.Next() {
		if record.Expired = r.Bool(); record.Expired && len(record.Payload) != digest.Size {
			r.Fail()
		}
	}
	f.Finish()
}

// AppendTransaction appends one transaction's array to b: the encoding of transactions in pushes and in a
// replica's outbox.
func AppendTransaction(b []byte, t *space.Transaction) []byte {
	b = msgpack.AppendArray(b, 4)
	b = msgpack.AppendString(b, t.Author)
	b = msgpack.AppendString(b, t.API)
	b = msgpack.AppendString(b, t.ClientVersion)
	b = msgpack.AppendArray(b, len(t.Events))
	for i := range t.Events {
		e := &t.Events[i]
		b = msgpack.AppendArray(b, 4)
		b = msgpack.AppendBinary(b, e.ID[:])
		b = msgpack.AppendString(b, e.Type)
		b = msgpack.AppendBinary(b, e.Schema[:])
		b = msgpack.AppendBinary(b, e.Payload)
	}
	return b
}

// DecodeTransaction reads what [AppendTransaction] wrote. Payloads alias b.
func DecodeTransaction(b []byte) (space.Transaction, error) {
	r := msgpack.Reader{Rest: b}
	var t space.Transaction
	decodeTransaction(&r, &t, new(interner))
	if r.Err == nil && len(r.Rest) != 0 {
		r.Fail()
	}
	return t, r.Err
}

func decodeTransaction(r *msgpack.Reader, t *space.Transaction, texts *interner) {
	f := r.Fields()
	if f.Next() {
		t.Author = interned(r, &texts.author)
	}
	if f.Next() {
		t.API = interned(r, &texts.api)
	}
	if f.Next() {
		t.ClientVersion = interned(r, &texts.version)
	}
	if f.Next() {
		n := r.ArrayOf(minEvent)
		before := len(r.Rest)
		t.Events = make([]space.Event, 0, n)
		for range n {
			var e space.Event
			g := r.Fields()
			if g.Next() {
				r.Fixed(e.ID[:])
			}
			if g.Next() {
				e.Type = interned(r, &texts.kind)
			}
			if g.Next() {
				r.Fixed(e.Schema[:])
			}
			if g.Next() {
				e.Payload = r.Binary()
			}
			g.Finish()
			if r.Err != nil {
				return
			}
			t.Events = append(t.Events, e)
		}
		// Events are the only arrays within arrays: without this, every transaction of a message could claim the
		// same bytes behind it.
		if before-len(r.Rest) < (n-1)*minEvent {
			r.Fail()
		}
	}
	f.Finish()
}

// AppendGenesis appends a genesis as the array that frames and stores carry; its hashed form is
// [space.Genesis.Append].
func AppendGenesis(b []byte, g *space.Genesis) []byte {
	b = msgpack.AppendArray(b, 4)
	b = msgpack.AppendBinary(b, g.Stamp[:])
	b = msgpack.AppendString(b, g.Creator)
	b = msgpack.AppendBinary(b, g.Module[:])
	return msgpack.AppendBinary(b, g.Params)
}

// DecodeGenesis reads what [AppendGenesis] wrote. Params alias b.
func DecodeGenesis(b []byte) (space.Genesis, error) {
	r := msgpack.Reader{Rest: b}
	var g space.Genesis
	decodeGenesis(&r, &g)
	if r.Err == nil && len(r.Rest) != 0 {
		r.Fail()
	}
	return g, r.Err
}

func decodeGenesis(r *msgpack.Reader, g *space.Genesis) {
	f := r.Fields()
	if f.Next() {
		r.Fixed(g.Stamp[:])
	}
	if f.Next() {
		g.Creator = r.Text()
	}
	if f.Next() {
		r.Fixed(g.Module[:])
	}
	if f.Next() {
		g.Params = r.Binary()
	}
	f.Finish()
}

func appendPosition(b []byte, p *space.Position) []byte {
	b = msgpack.AppendArray(b, 3)
	b = msgpack.AppendUint(b, p.Seq)
	b = msgpack.AppendBinary(b, p.Chain[:])
	return msgpack.AppendBinary(b, p.Seal[:])
}

func decodePosition(r *msgpack.Reader, p *space.Position) {
	f := r.Fields()
	if f.Next() {
		p.Seq = r.Uint()
	}
	if f.Next() {
		r.Fixed(p.Chain[:])
	}
	if f.Next() {
		r.Fixed(p.Seal[:])
	}
	f.Finish()
}

// AppendPosition appends a position's array to b: opaque bytes for pages and programs to keep.
func AppendPosition(b []byte, p *space.Position) []byte { return appendPosition(b, p) }

// DecodePosition reads what [AppendPosition] wrote. Its error is [ErrMalformed].
func DecodePosition(b []byte) (space.Position, error) {
	r := msgpack.Reader{Rest: b}
	var p space.Position
	decodePosition(&r, &p)
	if r.Err == nil && len(r.Rest) != 0 {
		r.Fail()
	}
	return p, r.Err
}
