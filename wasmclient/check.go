package wasmclient

import (
	"context"
	"errors"
	"fmt"

	"skerry/shared/replica"
	"skerry/shared/space"
)

// Check is what [Space.Check] found.
type Check struct {
	// Seq is up to where what is stored was found readable and without a hole.
	Seq uint64
	// Damage says what is wrong behind Seq, or, where Seq is where the replica stands, that the records up to there are
	// not those that its position was made of. Empty: all is well.
	Damage string
}

// Check reads all that is stored of the space, from its beginning, and folds the chain over it, which covers every byte
// of every record. What it finds wrong is no error; an error tells that the store could not be read at all.
func (s *Space) Check(ctx context.Context) (Check, error) {
	var snapshot *replica.Snapshot
	err := s.client.read(ctx, func(store Store) (err error) {
		snapshot, err = store.Refresh(ctx, s.id)
		return err
	})
	if err != nil {
		return Check{}, fmt.Errorf("check: %w", err)
	}
	want := snapshot.Info.Position
	at := space.Start(s.id)
	for at.Seq < want.Seq {
		records, err := s.Read(ctx, at.Seq, 1000, 256<<10)
		switch {
		case errors.Is(err, ErrDamaged):
			return Check{at.Seq, err.Error()}, nil
		case err != nil:
			return Check{}, fmt.Errorf("check: %w", err)
		case len(records) == 0 || records[0].Seq != at.Seq+1:
			return Check{at.Seq, "records are missing"}, nil
		}
		records = records[:min(uint64(len(records)), want.Seq-at.Seq)]
		at.Chain = space.Fold(at.Chain, records)
		at.Seq += uint64(len(records))
	}
	if at.Chain != want.Chain {
		return Check{at.Seq, "the records are not those that the position was made of"}, nil
	}
	return Check{Seq: at.Seq}, nil
}
