package hub

import (
	"fmt"

	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// Source is one space's log, as far as the answers to reading effects need it. The functions below only compute;
// when a Source blocks, they block.
type Source interface {
	// Read returns records with numbers above after as the server's Log does: ascending, without holes, whole
	// transactions, at least one where there is any.
	Read(after uint64, maxRecords, maxBytes int) ([]space.Record, error)
	// ChainBefore returns the newest chain value that is stored at or before seq.
	ChainBefore(seq uint64) (space.Position, error)
}

// readAtOnce bounds the records that a Source is asked for at once.
const readAtOnce = 4096

// between returns the records from after+1 to at least to, whole transactions if after ends one.
func between(src Source, after, to uint64) ([]space.Record, error) {
	var records []space.Record
	for at := after; at < to; {
		more, err := src.Read(at, int(min(to-at, readAtOnce)), 4<<20)
		if err != nil {
			return nil, err
		}
		if len(more) == 0 {
			return nil, fmt.Errorf("read records %d to %d: the log ends at %d", after+1, to, at)
		}
		at = more[len(more)-1].Seq
		if records == nil {
			records = more
		} else {
			records = append(records, more...)
		}
	}
	return records, nil
}

// ReadHistory makes the answer to [Effects.Read].
func ReadHistory(src Source, ask *ReadSpan) History {
	base, err := src.ChainBefore(ask.From - 1)
	if err != nil {
		return History{Ref: ask.Ref, Code: wire.CodeOverloaded, Err: err}
	}
	records, err := verified(src, &base, ask.To)
	if err != nil {
		return History{Ref: ask.Ref, Code: wire.CodeOverloaded, Err: err}
	}
	return History{Ref: ask.Ref, Base: base, Records: records}
}

// ChainAt returns the chain at a number that is not past the head. Where it is not stored, the records that it is made from are verified.
func ChainAt(src Source, seq uint64) (digest.Digest, error) {
	base, err := src.ChainBefore(seq)
	if err != nil || base.Seq == seq {
		return base.Chain, err
	}
	return chainBehind(src, &base, seq)
}

// EventsMessage encodes the records that follow on chain, for [EventsRead]. The records must be durable. It
// returns no message if there are no records.
func EventsMessage(config *Config, id space.ID, chain digest.Digest, records []space.Record) ([]byte, space.Position) {
	if len(records) == 0 {
		return nil, space.Position{}
	}
	events := wire.Events{Space: id, Records: records, Position: after(config, id, chain, records)}
	return wire.Append(make([]byte, 0, encodedSize(records)), &events), events.Position
}

// after returns the sealed position after records that follow on chain.
func after(config *Config, id space.ID, chain digest.Digest, records []space.Record) space.Position {
	position := space.Position{Seq: records[len(records)-1].Seq, Chain: space.Fold(chain, records)}
	position.Seal = config.Seal(id, position.Seq, position.Chain)
	return position
}

// encodedSize is about what an encoding of records takes, and never less.
func encodedSize(records []space.Record) int {
	n := 256
	for i := range records {
		n += records[i].Size() + 16
	}
	return n
}

// PageMessage makes the encoded page that answers a fetch of a client who may read the space: whole transactions,
// within the client's limits and ours but at least one, always ascending. head is the log's head. Where there is nothing but what has
// expired, the error is a [*wire.CodeError] with CodeResumeGone.
func PageMessage(config *Config, src Source, head uint64, f *wire.Fetch) ([]byte, error) {
	maxRecords := atMost(f.MaxRecords, config.ReadRecords)
	maxBytes := atMost(f.MaxBytes, config.ReadBytes)
	page := wire.Page{Ref: f.Ref, Space: f.Space}
	var err error
	at := min(f.After, head)
	if f.Before > 0 {
		page.Records, err = backwards(src, min(f.Before, head+1), maxRecords, maxBytes)
		at = 0
	} else if at < head {
		page.Records, err = src.Read(at, maxRecords, maxBytes)
	}
	if err != nil {
		return nil, err
	}
	gone := 0
	for gone < len(page.Records) && page.Records[gone].Expired {
		gone++
	}
	if gone > 0 && (f.Before == 0 || gone == len(page.Records)) {
		return nil, wire.Errorf(wire.CodeResumeGone, "records up to %d have expired", page.Records[gone-1].Seq)
	}
	page.Records = page.Records[gone:]
	if len(page.Records) > 0 {
		at = page.Records[0].Seq - 1
	}
	// Nothing is sealed that was not seen to be right.
	if page.ChainBefore, err = ProvenAt(src, f.Space, at); err == nil {
		err = Verify(src, page.ChainBefore, page.Records)
	}
	if err != nil {
		return nil, err
	}
	if len(page.Records) > 0 {
		page.Position = after(config, f.Space, page.ChainBefore, page.Records)
	} else {
		page.Position = space.Position{Seq: at, Chain: page.ChainBefore, Seal: config.Seal(f.Space, at, page.ChainBefore)}
	}
	return wire.Append(make([]byte, 0, encodedSize(page.Records)), &page), nil
}

// atMost takes a client's wish within our limit; 0 is no wish.
func atMost(wish uint64, most int) int {
	if wish == 0 || wish > uint64(most) {
		return most
	}
	return int(wish)
}

// backwards returns the newest whole transactions that end before a number.
func backwards(src Source, before uint64, maxRecords, maxBytes int) ([]space.Record, error) {
	for before > 1 {
		from := before - 1 - min(before-1, uint64(maxRecords))
		records, err := between(src, from, before-1)
		if err != nil {
			return nil, err
		}
		records = records[:before-1-from]
		last := &records[len(records)-1]
		if !last.Last() { // before lies inside a transaction: end in front of it
			before = last.Seq - uint64(last.Index)
			continue
		}
		if int(last.Count) > len(records) { // at least one, whatever the limits are
			return between(src, last.Seq-uint64(last.Count), last.Seq)
		}
		return suffix(records, maxBytes), nil
	}
	return nil, nil
}

// suffix returns the longest run of whole transactions at the end of records that fits in maxBytes, at least one.
func suffix(records []space.Record, maxBytes int) []space.Record {
	start, bytes := len(records), 0
	for start > 0 {
		next := start - int(records[start-1].Count)
		if next < 0 {
			break
		}
		for i := next; i < start; i++ {
			bytes += records[i].Size()
		}
		if bytes > maxBytes && start < len(records) {
			break
		}
		start = next
	}
	return records[start:]
}
