package wire

import "skerry/shared/msgpack"

// partOverhead is more than a part's frame takes beside its bytes.
const partOverhead = 16

// Split returns message as what travels: itself when it fits in a frame of the given size, else as consecutive
// parts. frame is in bytes; anything below 1 KiB is taken as 1 KiB.
func Split(message []byte, frame int) [][]byte {
	frame = max(frame, 1<<10)
	if len(message) <= frame {
		return [][]byte{message}
	}
	size := frame - partOverhead
	pieces := make([][]byte, 0, len(message)/size+1)
	for rest := message; len(rest) > 0; {
		n := min(size, len(rest))
		pieces = append(pieces, Append(make([]byte, 0, n+partOverhead), &Part{Total: uint64(len(message)), Bytes: rest[:n]}))
		rest = rest[n:]
	}
	return pieces
}

// Joiner puts messages together again that travelled as parts. Limit is the largest message it takes, in bytes: what
// it allocates grows with the parts that come, never with the total they claim. The zero Joiner takes none; it is not
// safe for concurrent use.
type Joiner struct {
	Limit   int
	message []byte
	total   int
}

// Add takes what came in one WebSocket message and returns the whole message once it is there, nil while parts
// are missing. The whole message is never a part itself, and may alias piece. Errors are [*CodeError] values and end
// the connection: the joiner is of no use after one.
func (j *Joiner) Add(piece []byte) ([]byte, error) {
	if len(piece) > j.Limit {
		return nil, Errorf(CodeMessageTooBig, "a message of %d bytes is over the limit of %d", len(piece), j.Limit)
	}
	if numberOf(piece) != NumberPart {
		if j.total > 0 {
			return nil, Errorf(CodeBadFrame, "another message came between the parts of one")
		}
		return piece, nil
	}
	frame, err := Decode(piece)
	part, _ := frame.(*Part)
	switch {
	case err != nil:
		return nil, err
	case len(part.Bytes) == 0:
		return nil, Errorf(CodeBadFrame, "a part is empty")
	case part.Total > uint64(j.Limit):
		return nil, Errorf(CodeMessageTooBig, "a message of %d bytes is over the limit of %d", part.Total, j.Limit)
	case j.total == 0:
		// The claim is within the limit but still only a claim: the buffer grows with what really comes.
		j.total = int(part.Total)
	case part.Total != uint64(j.total):
		return nil, Errorf(CodeBadFrame, "the parts of one message name different totals")
	}
	if len(j.message)+len(part.Bytes) > j.total {
		return nil, Errorf(CodeBadFrame, "the parts of a message are longer than its total")
	}
	j.message = append(j.message, part.Bytes...)
	if len(j.message) < j.total {
		return nil, nil
	}
	message := j.message
	j.message, j.total = nil, 0
	if numberOf(message) == NumberPart {
		return nil, Errorf(CodeBadFrame, "the parts of a message make up another part")
	}
	return message, nil
}

// numberOf returns the number that message begins with, 0 if it begins with none.
func numberOf(message []byte) Number {
	r := msgpack.Reader{Rest: message}
	f := r.Fields()
	if !f.Next() {
		return 0
	}
	return Number(r.Uint())
}
