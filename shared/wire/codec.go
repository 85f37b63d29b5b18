package wire

import (
	"skerry/shared/space"
)

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
	r := reader{rest: message}
	f := r.fields()
	if !f.next() {
		return nil, Errorf(CodeBadFrame, "a message is a msgpack array that begins with the frame's number")
	}
	number := Number(r.uint())
	if r.err != nil {
		return nil, Errorf(CodeBadFrame, "a message is a msgpack array that begins with the frame's number")
	}
	frame := newFrame(number)
	if frame == nil {
		return nil, Errorf(CodeUnknownFrame, "frame %d is unknown", number)
	}
	frame.decode(&f)
	f.finish()
	if r.err != nil || len(r.rest) != 0 {
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
	case NumberLocate, NumberAdopt, NumberReclaim:
		return &Reserved{N: number}
	}
	return nil
}

// AppendRecord appends one record's array to b: the encoding of records in frames and in a replica's segments.
func AppendRecord(b []byte, r *space.Record) []byte {
	b = appendArray(b, 11)
	b = appendBinary(b, r.ID[:])
	b = appendUint(b, r.Seq)
	b = appendUint(b, r.ReceivedAt)
	b = appendUint(b, uint64(r.Index))
	b = appendUint(b, uint64(r.Count))
	b = appendString(b, r.Author)
	b = appendString(b, r.Type)
	b = appendBinary(b, r.Schema[:])
	b = appendBinary(b, r.Payload)
	b = appendString(b, r.API)
	return appendString(b, r.ClientVersion)
}

// DecodeRecords reads records that [AppendRecord] wrote one after the other, to the end of b; none from no bytes.
// Payloads alias b. Its error is [ErrMalformed], as that of the other functions that read structures.
func DecodeRecords(b []byte) ([]space.Record, error) {
	n, err := countRecords(b)
	if n == 0 || err != nil {
		return nil, err
	}
	r := reader{rest: b}
	records := make([]space.Record, n)
	var texts interner
	for i := range records {
		decodeRecord(&r, &records[i], &texts)
	}
	if r.err != nil {
		return nil, r.err
	}
	return records, nil
}

// countRecords passes over records to the end of b, so that they are allocated once and only for what is there.
func countRecords(b []byte) (n int, err error) {
	r := reader{rest: b}
	for len(r.rest) > 0 {
		before := len(r.rest)
		r.skip(0)
		if r.err != nil || before-len(r.rest) < minRecord {
			return 0, ErrMalformed
		}
		n++
	}
	return n, nil
}

// interner keeps the last few strings read, so that a run of records by one author holds each of its texts once.
type interner struct{ author, kind, api, version string }

func (r *reader) interned(last *string) string {
	s := r.stringLike(*last)
	*last = s
	return s
}

// stringLike reads a string and returns last itself when it is equal, which allocates nothing.
func (r *reader) stringLike(last string) string {
	if n := len(last); n > 0 && n < 32 && len(r.rest) > n && r.rest[0] == 0xa0|byte(n) && string(r.rest[1:n+1]) == last {
		r.rest = r.rest[n+1:]
		return last
	}
	if n := len(last); n >= 32 && n < 256 && len(r.rest) > n+1 && r.rest[0] == 0xd9 && int(r.rest[1]) == n && string(r.rest[2:n+2]) == last {
		r.rest = r.rest[n+2:]
		return last
	}
	return r.string()
}

func decodeRecord(r *reader, record *space.Record, texts *interner) {
	f := r.fields()
	if f.next() {
		r.fixed(record.ID[:])
	}
	if f.next() {
		record.Seq = r.uint()
	}
	if f.next() {
		record.ReceivedAt = r.uint()
	}
	if f.next() {
		record.Index = r.uint32()
	}
	if f.next() {
		record.Count = r.uint32()
	}
	if f.next() {
		record.Author = r.interned(&texts.author)
	}
	if f.next() {
		record.Type = r.interned(&texts.kind)
	}
	if f.next() {
		r.fixed(record.Schema[:])
	}
	if f.next() {
		record.Payload = r.binary()
	}
	if f.next() {
		record.API = r.interned(&texts.api)
	}
	if f.next() {
		record.ClientVersion = r.interned(&texts.version)
	}
	f.finish()
}

// AppendTransaction appends one transaction's array to b: the encoding of transactions in pushes and in a
// replica's outbox.
func AppendTransaction(b []byte, t *space.Transaction) []byte {
	b = appendArray(b, 4)
	b = appendString(b, t.Author)
	b = appendString(b, t.API)
	b = appendString(b, t.ClientVersion)
	b = appendArray(b, len(t.Events))
	for i := range t.Events {
		e := &t.Events[i]
		b = appendArray(b, 4)
		b = appendBinary(b, e.ID[:])
		b = appendString(b, e.Type)
		b = appendBinary(b, e.Schema[:])
		b = appendBinary(b, e.Payload)
	}
	return b
}

// DecodeTransaction reads what [AppendTransaction] wrote. Payloads alias b.
func DecodeTransaction(b []byte) (space.Transaction, error) {
	r := reader{rest: b}
	var t space.Transaction
	decodeTransaction(&r, &t, new(interner))
	if r.err == nil && len(r.rest) != 0 {
		r.fail()
	}
	return t, r.err
}

func decodeTransaction(r *reader, t *space.Transaction, texts *interner) {
	f := r.fields()
	if f.next() {
		t.Author = r.interned(&texts.author)
	}
	if f.next() {
		t.API = r.interned(&texts.api)
	}
	if f.next() {
		t.ClientVersion = r.interned(&texts.version)
	}
	if f.next() {
		n := r.arrayOf(minEvent)
		before := len(r.rest)
		t.Events = make([]space.Event, 0, n)
		for range n {
			var e space.Event
			g := r.fields()
			if g.next() {
				r.fixed(e.ID[:])
			}
			if g.next() {
				e.Type = r.interned(&texts.kind)
			}
			if g.next() {
				r.fixed(e.Schema[:])
			}
			if g.next() {
				e.Payload = r.binary()
			}
			g.finish()
			if r.err != nil {
				return
			}
			t.Events = append(t.Events, e)
		}
		// Events are the only arrays within arrays: without this, every transaction of a message could claim the
		// same bytes behind it.
		if before-len(r.rest) < (n-1)*minEvent {
			r.fail()
		}
	}
	f.finish()
}

// AppendGenesis appends a genesis as the array that frames and stores carry; its hashed form is
// [space.Genesis.Append].
func AppendGenesis(b []byte, g *space.Genesis) []byte {
	b = appendArray(b, 4)
	b = appendBinary(b, g.Stamp[:])
	b = appendString(b, g.Creator)
	b = appendBinary(b, g.Module[:])
	return appendBinary(b, g.Params)
}

// DecodeGenesis reads what [AppendGenesis] wrote. Params alias b.
func DecodeGenesis(b []byte) (space.Genesis, error) {
	r := reader{rest: b}
	var g space.Genesis
	decodeGenesis(&r, &g)
	if r.err == nil && len(r.rest) != 0 {
		r.fail()
	}
	return g, r.err
}

func decodeGenesis(r *reader, g *space.Genesis) {
	f := r.fields()
	if f.next() {
		r.fixed(g.Stamp[:])
	}
	if f.next() {
		g.Creator = r.string()
	}
	if f.next() {
		r.fixed(g.Module[:])
	}
	if f.next() {
		g.Params = r.binary()
	}
	f.finish()
}

func appendPosition(b []byte, p *space.Position) []byte {
	b = appendArray(b, 3)
	b = appendUint(b, p.Seq)
	b = appendBinary(b, p.Chain[:])
	return appendBinary(b, p.Seal[:])
}

func decodePosition(r *reader, p *space.Position) {
	f := r.fields()
	if f.next() {
		p.Seq = r.uint()
	}
	if f.next() {
		r.fixed(p.Chain[:])
	}
	if f.next() {
		r.fixed(p.Seal[:])
	}
	f.finish()
}

// AppendPosition appends a position's array to b: opaque bytes for pages and programs to keep.
func AppendPosition(b []byte, p *space.Position) []byte { return appendPosition(b, p) }

// DecodePosition reads what [AppendPosition] wrote. Its error is [ErrMalformed].
func DecodePosition(b []byte) (space.Position, error) {
	r := reader{rest: b}
	var p space.Position
	decodePosition(&r, &p)
	if r.err == nil && len(r.rest) != 0 {
		r.fail()
	}
	return p, r.err
}
