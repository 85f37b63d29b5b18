package archive

import (
	"encoding/binary"
	"fmt"
	"io"
	"strconv"

	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/shared/wire"
)

const magic = "skerry archive 1"

// Header is what an archive says of itself.
type Header struct {
	Server [32]byte // the key of the server that the replica syncs with; zero if it never met one
	Time   uint64   // when the archive was made, milliseconds since 1970
}

// Space begins a space in an archive.
type Space struct {
	ID               space.ID
	Genesis          *space.Genesis // nil while only the ID is known
	GenesisSignature []byte
	Created          bool           // the server has it
	Module           digest.Digest  // the module that judges now; zero: the genesis says
	Start            space.Position // where the history in the archive begins
}

// Refusal is a transaction that was refused, and why.
type Refusal struct {
	Transaction space.Transaction
	Code        wire.Code
	Reason      string
}

// Lost is a transaction of somebody else that was in the log, that the server lost, and that it refused to take back.
type Lost struct {
	Transaction space.Transaction
	ReceivedAt  uint64 // milliseconds since 1970
	Code        wire.Code
	Reason      string
}

// A Writer writes an archive. Its methods are called in this order: for each space Space, Records any number of times,
// Waiting, Refused and Lost; at last Close. The first error sticks. It is not safe for concurrent use.
type Writer struct {
	to     io.Writer
	digest digest.Digest
	space  Space
	pushes uint64
	buffer []byte
	err    error
}

// NewWriter begins an archive.
func NewWriter(to io.Writer, header Header) *Writer {
	line := magic + " " + digest.Digest(header.Server).String() + " " + strconv.FormatUint(header.Time, 10) + "\n"
	w := &Writer{to: to, digest: digest.Of([]byte(line))}
	w.write([]byte(line))
	return w
}

// Space begins a space.
func (w *Writer) Space(s Space) error {
	w.space, w.pushes = s, 0
	w.frame(&wire.Subscribe{Subscriptions: []wire.Subscription{{Space: s.ID, Position: s.Start}}})
	if s.Genesis == nil {
		return w.err
	}
	if s.Created {
		w.frame(&wire.Spaces{Rows: []wire.SpaceRow{{Genesis: *s.Genesis, GenesisSignature: s.GenesisSignature, Module: s.Module}}})
		return w.err
	}
	w.pushes++
	w.frame(&wire.Push{Space: s.ID, N: w.pushes, Genesis: s.Genesis, GenesisSignature: s.GenesisSignature})
	return w.err
}

// Records writes records of the space, whole transactions that follow on what was written before, and the position
// after them. They should not be many more than 256 KiB.
func (w *Writer) Records(records []space.Record, position space.Position) error {
	w.frame(&wire.Events{Space: w.space.ID, Records: records, Position: position})
	return w.err
}

// Waiting writes a transaction of the space that waits for the server.
func (w *Writer) Waiting(t space.Transaction) error {
	w.pushes++
	w.frame(&wire.Push{Space: w.space.ID, N: w.pushes, Transactions: []space.Transaction{t}})
	return w.err
}

// Refused writes a transaction of the space that was refused.
func (w *Writer) Refused(r Refusal) error {
	w.pushes++
	w.frame(&wire.Pushed{Space: w.space.ID, N: w.pushes, Verdicts: []wire.Verdict{{Kind: wire.Rejected, Code: r.Code, Reason: r.Reason}}})
	w.frame(&wire.Push{Space: w.space.ID, N: w.pushes, Transactions: []space.Transaction{r.Transaction}})
	return w.err
}

// Lost writes a lost transaction of the space.
func (w *Writer) Lost(l Lost) error {
	w.pushes++
	w.frame(&wire.Refused{Ref: w.pushes, Code: l.Code, Reason: l.Reason})
	records := l.Transaction.Records(1, l.ReceivedAt)
	start := space.Start(w.space.ID)
	w.frame(&wire.Page{
		Ref: w.pushes, Space: w.space.ID, ChainBefore: start.Chain, Records: records,
		Position: space.Position{Seq: uint64(len(records)), Chain: space.Fold(start.Chain, records)},
	})
	return w.err
}

// Close ends the archive. What is not closed is no archive. It does not close the underlying writer.
func (w *Writer) Close() error {
	w.write(make([]byte, 4))
	end := digest.Of(w.digest[:])
	w.write(end[:])
	return w.err
}

func (w *Writer) frame(f wire.Frame) {
	w.buffer = wire.Append(append(w.buffer[:0], 0, 0, 0, 0), f)
	binary.BigEndian.PutUint32(w.buffer, uint32(len(w.buffer)-4))
	w.digest = follow(w.digest, w.buffer[4:])
	w.write(w.buffer)
}

func (w *Writer) write(b []byte) {
	if w.err != nil {
		return
	}
	if _, err := w.to.Write(b); err != nil {
		w.err = fmt.Errorf("write archive: %w", err)
	}
}

// follow returns the digest of a message.
func follow(previous digest.Digest, message []byte) digest.Digest {
	content := digest.Of(message)
	return digest.Of(append(append(make([]byte, 0, 2*digest.Size), previous[:]...), content[:]...))
}
