package wasmclient

import (
	"context"
	"errors"
	"fmt"
	"time"

	"skerry/shared/replica"
	"skerry/shared/space"
)

// Check is what [Space.Check] found.
type Check struct {
	// Seq is up to where what is stored was found readable and whole, but for the records that are known not to be here.
	Seq uint64
	// Damage says what is wrong behind Seq, or, where Seq is where the replica stands, that the records up to there are
	// not those that its position was made of. Empty: all is well.
	Damage string
}

// Check reads all that is stored of the space, from its beginning and behind each hole, and folds the chain over it, which covers every byte
// of every record. What it finds wrong is no error; an error tells that the store could not be read at all. Damage that
// it finds is mended from then on: whichever client syncs fetches the records again as soon as it is online.
func (s *Space) Check(ctx context.Context) (found Check, err error) {
	err = s.client.read(ctx, func(store Store) (err error) {
		found, _, err = check(ctx, store, s.id)
		return err
	})
	if err != nil {
		return Check{}, fmt.Errorf("check: %w", err)
	}
	if found.Damage != "" {
		s.client.damaged(s.id, ErrDamaged)
	}
	return found, nil
}

// Damage that still reads as records shows by the chain alone. So the client that syncs looks through what it pulls by
// itself, one space after the other and each once in its life, when it has been there for a while.
const (
	checkAfter = time.Minute
	checkEvery = 5 * time.Second
)

// checkNext looks through a space that was not looked through yet.
func (c *Client) checkNext() {
	if c.core.Idle() && !c.suspended {
		for _, id := range c.core.Checkable() {
			if c.whole[id] {
				continue
			}
			c.whole[id] = true
			life := c.life.Load()
			c.work.Go(func() {
				found, _, err := check(c.ctx, c.config.Store, id)
				if err == nil && found.Damage != "" {
					err = ErrDamaged
				}
				c.post(func() {
					if c.life.Load() == life {
						c.noteDamage(id, err)
					}
					c.checks.Reset(checkEvery)
				})
			})
			return
		}
	}
	c.checks.Reset(checkAfter)
}

// check reads all that a store has of a space. Sound is a position up to which it is what the server sent, for sure.
func check(ctx context.Context, store Store, id space.ID) (found Check, sound space.Position, err error) {
	for {
		before, err := store.Refresh(ctx, id)
		if err != nil {
			return Check{}, space.Start(id), err
		}
		found, sound, err = checkAll(ctx, store, id, before)
		if err != nil || found.Damage == "" {
			return found, sound, err
		}
		if after, err := store.Refresh(ctx, id); err != nil || after.Info.Dropped == before.Info.Dropped {
			return found, sound, err
		} // else what is missing was dropped meanwhile
	}
}

// checkAll reads all that a store has of a space, as a snapshot tells what that is.
func checkAll(ctx context.Context, store Store, id space.ID, snapshot *replica.Snapshot) (found Check, sound space.Position, err error) {
	at := space.Start(id)
	for _, hole := range snapshot.Info.Holes {
		if found, err = checkTo(ctx, store, id, at, hole.After); err != nil || found.Damage != "" {
			return found, at, err
		}
		at = hole.Until
	}
	want := snapshot.Info.Position
	if found, err = checkTo(ctx, store, id, at, want); err != nil || found.Damage != "" {
		return found, at, err
	}
	return found, want, nil
}

// checkTo reads the records from one position to another.
func checkTo(ctx context.Context, store Store, id space.ID, at, want space.Position) (Check, error) {
	for at.Seq < want.Seq {
		records, err := store.Read(ctx, id, at.Seq, 500, 128<<10) // a few milliseconds in a page
		switch {
		case errors.Is(err, ErrDamaged):
			return Check{at.Seq, err.Error()}, nil
		case err != nil:
			return Check{}, err
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

// damaged has the records of a space mended if err says that some are damaged, and returns err.
func (c *Client) damaged(id space.ID, err error) error {
	if errors.Is(err, ErrDamaged) {
		c.post(func() { c.noteDamage(id, err) })
	}
	return err
}

func (c *Client) noteDamage(id space.ID, err error) {
	if errors.Is(err, ErrDamaged) {
		c.step(replica.Damaged{Space: id})
	}
}

// checkFor reads what is stored of a space for the core, which does not wait for it when the client closes.
func (c *Client) checkFor(id space.ID) replica.Checked {
	found, sound, err := check(c.ctx, c.config.Store, id)
	line := found.Damage
	if err != nil {
		line = err.Error()
	}
	c.post(func() { c.log("looked for damage in " + id.String() + ": " + line) })
	return replica.Checked{Space: id, Sound: sound, Damaged: found.Damage != "", Err: err}
}
