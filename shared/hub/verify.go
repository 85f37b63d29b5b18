package hub

import (
	"errors"
	"fmt"

	"skerry/shared/digest"
	"skerry/shared/space"
)

// A disk may give other bytes back than were written, and a log that stands on it cannot tell. The chain can: it was stored where each append ended,
// and what was read has to hash to it. Without that a record that went bad would be sent under a seal that says that it is right, and whoever holds the
// right one would be told that this server's history is another.

// ErrDamaged tells that a log has other records than were made durable, or another chain. What was read must not be used.
var ErrDamaged = errors.New("what the log has is not what was made durable")

func damaged(from, to uint64) error {
	return fmt.Errorf("records %d to %d: %w", from, to, ErrDamaged)
}

// Verify checks that records, which follow in a log on where the chain had a value, hash to what was stored. Where they end inside of what was appended at once
// it reads on to the end of that. It returns [ErrDamaged] if they do not, and the source's errors.
func Verify(src Source, chain digest.Digest, records []space.Record) error {
	if len(records) == 0 {
		return nil
	}
	first, last := records[0].Seq, records[len(records)-1].Seq
	for proven := false; !proven; {
		end := records[len(records)-1].Seq
		stored, err := src.ChainBefore(end)
		if err != nil {
			return err
		}
		for i := range records {
			chain = space.Chain(chain, &records[i])
			if records[i].Seq == stored.Seq && chain != stored.Chain {
				return damaged(first, stored.Seq)
			}
		}
		if proven = stored.Seq >= last; proven {
			break
		}
		if records, err = src.Read(end, readAtOnce, 1<<20); err != nil {
			return err
		}
		if len(records) == 0 || records[0].Seq != end+1 {
			return damaged(first, end)
		}
	}
	return nil
}

// ProvenAt returns the chain at a number that is not past the head, as the records of the append that it lies in or ends say it, which hash to what was stored
// behind them and before: no single wrong answer of the source passes for it. It returns [ErrDamaged] or the source's errors.
func ProvenAt(src Source, id space.ID, seq uint64) (digest.Digest, error) {
	if seq == 0 {
		return space.Start(id).Chain, nil
	}
	before, err := src.ChainBefore(seq - 1)
	if err != nil {
		return digest.Digest{}, err
	}
	return chainBehind(src, &before, seq)
}

// verified returns the records behind a place whose chain is stored, up to a number or further, which hash to what was stored.
func verified(src Source, base *space.Position, to uint64) ([]space.Record, error) {
	records, err := between(src, base.Seq, to)
	if err == nil {
		err = Verify(src, base.Chain, records)
	}
	return records, err
}

// chainBehind returns the chain at a number behind a place whose chain is stored.
func chainBehind(src Source, base *space.Position, seq uint64) (digest.Digest, error) {
	records, err := verified(src, base, seq)
	if err != nil {
		return digest.Digest{}, err
	}
	return space.Fold(base.Chain, records[:seq-base.Seq]), nil
}
