package archive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// Item is what an archive holds: a [*Space], which the others that follow belong to, [*Records], [*Waiting], [*Refusal] or
// [*Lost].
type Item interface{ item() }

// Records is a part of a space's history, whole transactions, which follows on the part before.
type Records struct {
	Before   space.Position // where the records begin
	Records  []space.Record
	Position space.Position // after them, with the server's seal if it gave one
}

// Waiting is a transaction that waits for the server.
type Waiting struct{ Transaction space.Transaction }

func (*Space) item()   {}
func (*Records) item() {}
func (*Waiting) item() {}
func (*Refusal) item() {}
func (*Lost) item()    {}

// A Reader reads an archive. It is not safe for concurrent use.
type Reader struct {
	from     io.Reader
	header   Header
	digest   digest.Digest
	space    *Space
	told     bool // space was handed out
	position space.Position
	verdict  *wire.Pushed  // of the push that comes next
	refused  *wire.Refused // of the page that comes next
	ready    []Item
	err      error
}

// NewReader begins to read an archive. Its errors have the code bad_archive, or are those of from.
func NewReader(from io.Reader) (*Reader, error) {
	r := &Reader{from: from}
	line, err := r.line()
	if err != nil {
		return nil, err
	}
	fields := len(magic) + 1 + 2*digest.Size
	if rest, ok := strings.CutPrefix(line, magic[:len(magic)-1]); ok {
		version, _, _ := strings.Cut(rest, " ")
		if n, err := strconv.ParseUint(version, 10, 32); err == nil && n > 1 {
			return nil, wire.Errorf(wire.CodeUpgradeRequired, "an archive of version %d was made by a newer Skerry, which can read it", n)
		}
	}
	if len(line) < fields+2 || line[:len(magic)+1] != magic+" " || line[fields] != ' ' {
		return nil, bad("it does not begin as one")
	}
	server, err := digest.Parse(line[len(magic)+1 : fields])
	if err != nil {
		return nil, bad("its first line is malformed")
	}
	r.header.Server = server
	if r.header.Time, err = strconv.ParseUint(line[fields+1:], 10, 64); err != nil {
		return nil, bad("its first line is malformed")
	}
	r.digest = digest.Of([]byte(line + "\n"))
	return r, nil
}

// Header returns what the archive says of itself.
func (r *Reader) Header() Header { return r.header }

// Next returns the next item, and io.EOF after the last one, when all of the archive has proven whole. Until then an
// archive may still turn out to be cut short. Its other errors have the codes bad_archive and bad_chain, or are those of
// the underlying reader. Payloads belong to the caller.
func (r *Reader) Next() (Item, error) {
	for r.err == nil && len(r.ready) == 0 {
		r.err = r.read()
	}
	if len(r.ready) == 0 {
		return nil, r.err
	}
	item := r.ready[0]
	r.ready = r.ready[1:]
	return item, nil
}

// read reads one message into ready.
func (r *Reader) read() error {
	var size [4]byte
	if err := r.full(size[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n == 0 {
		return r.end()
	}
	if n > wire.MaxServerMessage {
		return bad("a message of %d bytes is more than %d", n, wire.MaxServerMessage)
	}
	message, err := r.message(int(n))
	if err != nil {
		return err
	}
	r.digest = follow(r.digest, message)
	frame, err := wire.Decode(message)
	if err != nil {
		return bad("%v", err)
	}
	return r.take(frame)
}

func (r *Reader) take(frame wire.Frame) error {
	if subscribe, begins := frame.(*wire.Subscribe); begins {
		r.tell()
		if len(subscribe.Subscriptions) != 1 {
			return bad("a space begins with one position, not %d", len(subscribe.Subscriptions))
		}
		pair := subscribe.Subscriptions[0]
		if pair.Position.Seq == 0 && pair.Position.Chain != pair.Space {
			return bad("the space %s begins at the chain of another one", pair.Space)
		}
		r.space, r.told = &Space{ID: pair.Space, Start: pair.Position}, false
		r.position, r.verdict, r.refused = pair.Position, nil, nil
		return nil
	}
	if r.space == nil {
		return bad("it does not begin with a space")
	}
	switch f := frame.(type) {
	case *wire.Spaces:
		if len(f.Rows) != 1 {
			return bad("a space has one row, not %d", len(f.Rows))
		}
		r.space.Created, r.space.Module = true, f.Rows[0].Module
		return r.genesis(&f.Rows[0].Genesis, f.Rows[0].GenesisSignature)
	case *wire.Events:
		return r.records(f)
	case *wire.Push:
		return r.push(f)
	case *wire.Pushed:
		r.verdict = f
		return r.belongs(f.Space)
	case *wire.Refused:
		r.refused = f
	case *wire.Page:
		return r.lost(f)
	}
	return nil // of a later version: what it does not change it adds
}

// tell hands the space out: nothing more is said of it itself.
func (r *Reader) tell() {
	if r.space != nil && !r.told {
		r.told = true
		r.ready = append(r.ready, r.space)
	}
}

// genesis fills in what the space is made from.
func (r *Reader) genesis(g *space.Genesis, signature []byte) error {
	if r.told {
		return bad("the genesis of the space %s comes late", r.space.ID)
	}
	if g.ID() != r.space.ID {
		return bad("the genesis of the space %s is another one's", r.space.ID)
	}
	r.space.Genesis, r.space.GenesisSignature = g, signature
	r.tell()
	return nil
}

func (r *Reader) records(f *wire.Events) error {
	if err := r.belongs(f.Space); err != nil {
		return err
	}
	r.tell()
	if len(f.Records) == 0 {
		return bad("a part of a history without records")
	}
	for i := range f.Records {
		if f.Records[i].Seq != r.position.Seq+1+uint64(i) {
			return wire.Errorf(wire.CodeBadChain, "archive: record %d of the space %s does not follow on %d", f.Records[i].Seq, f.Space, r.position.Seq+uint64(i))
		}
	}
	last := &f.Records[len(f.Records)-1]
	if f.Records[0].Index != 0 || !last.Last() || f.Position.Seq != last.Seq || f.Position.Chain != space.Fold(r.position.Chain, f.Records) {
		return wire.Errorf(wire.CodeBadChain, "archive: records %d to %d of the space %s do not hash to their position", f.Records[0].Seq, last.Seq, f.Space)
	}
	r.ready = append(r.ready, &Records{Before: r.position, Records: f.Records, Position: f.Position})
	r.position = f.Position
	return nil
}

func (r *Reader) push(f *wire.Push) error {
	if err := r.belongs(f.Space); err != nil {
		return err
	}
	if f.Genesis != nil {
		if err := r.genesis(f.Genesis, f.GenesisSignature); err != nil {
			return err
		}
	}
	r.tell()
	verdict := r.verdict
	r.verdict = nil
	if verdict != nil && (verdict.N != f.N || len(verdict.Verdicts) != len(f.Transactions)) {
		return bad("a verdict without its transaction")
	}
	for i := range f.Transactions {
		if len(f.Transactions[i].Events) == 0 {
			return bad("a transaction without events")
		}
		if verdict == nil {
			r.ready = append(r.ready, &Waiting{f.Transactions[i]})
			continue
		}
		v := &verdict.Verdicts[i]
		r.ready = append(r.ready, &Refusal{Transaction: f.Transactions[i], Code: v.Code, Reason: v.Reason})
	}
	return nil
}

func (r *Reader) lost(f *wire.Page) error {
	refused := r.refused
	r.refused = nil
	if err := r.belongs(f.Space); err != nil {
		return err
	}
	r.tell()
	if refused == nil || refused.Ref != f.Ref {
		return bad("a lost transaction without the reason")
	}
	if f.Position.Chain != space.Fold(space.Start(f.Space).Chain, f.Records) {
		return wire.Errorf(wire.CodeBadChain, "archive: a lost transaction of the space %s does not hash to its position", f.Space)
	}
	for i := range f.Records {
		if record := &f.Records[i]; int(record.Index) != i || int(record.Count) != len(f.Records) {
			return bad("a lost transaction is not one whole transaction")
		}
	}
	if len(f.Records) == 0 {
		return bad("a lost transaction without events")
	}
	r.ready = append(r.ready, &Lost{
		Transaction: space.TransactionOf(f.Records), ReceivedAt: f.Records[0].ReceivedAt, Code: refused.Code, Reason: refused.Reason,
	})
	return nil
}

func (r *Reader) belongs(id space.ID) error {
	if id != r.space.ID {
		return bad("something of the space %s lies in the space %s", id, r.space.ID)
	}
	return nil
}

// end reads what follows the last message.
func (r *Reader) end() error {
	var found digest.Digest
	if err := r.full(found[:]); err != nil {
		return err
	}
	if found != digest.Of(r.digest[:]) {
		return bad("its digest does not match: it was damaged")
	}
	r.tell()
	return io.EOF
}

// line reads the first line, without its line feed.
func (r *Reader) line() (string, error) {
	var line []byte
	for len(line) < 256 {
		var b [1]byte
		if err := r.full(b[:]); err != nil {
			return "", err
		}
		if b[0] == '\n' {
			return string(line), nil
		}
		line = append(line, b[0])
	}
	return "", bad("it does not begin as one")
}

// message reads n bytes, allocating no more than came.
func (r *Reader) message(n int) ([]byte, error) {
	message := make([]byte, 0, min(n, 256<<10))
	for len(message) < n {
		part := min(n-len(message), 256<<10)
		start := len(message)
		message = append(message, make([]byte, part)...)
		if err := r.full(message[start:]); err != nil {
			return nil, err
		}
	}
	return message, nil
}

func (r *Reader) full(b []byte) error {
	_, err := io.ReadFull(r.from, b)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return bad("it was cut short")
	case err != nil:
		return fmt.Errorf("read archive: %w", err)
	}
	return nil
}

func bad(format string, args ...any) error {
	return wire.Errorf(wire.CodeBadArchive, "not a whole archive: "+format, args...)
}
