package wasmclient

import (
	"context"
	"fmt"

	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// Lost returns the transactions of others that this replica held as records, that the server had lost, and that it refused to take
// back, oldest first. They are in no log any more. They stay here, for somebody to look at or to export, until they are discarded.
func (s *Space) Lost(ctx context.Context) ([]replica.LostRow, error) {
	var rows []replica.LostRow
	err := s.client.read(ctx, func(store Store) (err error) {
		rows, err = store.Lost(ctx, s.id)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read lost transactions: %w", err)
	}
	return rows, nil
}

// DiscardLost gives up a transaction that [Space.Lost] returned, and returns when that is durable. What is not there is not_found.
func (s *Space) DiscardLost(ctx context.Context, id space.ULID) error {
	rows, err := s.Lost(ctx)
	if err != nil {
		return err
	}
	for i := range rows {
		if rows[i].ID == id {
			return s.do(ctx, "discard lost", func(ref uint64) replica.Input { return replica.DiscardLost{Ref: ref, Space: s.id, ID: id} })
		}
	}
	return fmt.Errorf("discard lost: %w", wire.Errorf(wire.CodeNotFound, "no lost transaction %s", id))
}
