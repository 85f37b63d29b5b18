package syncserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"skerry/shared/digest"
	"skerry/shared/hub"
	"skerry/shared/module"
	"skerry/shared/module/program"
	"skerry/shared/space"
)

// CheckCheckpoints has the module of a space apply its log from the beginning, and gives found what is wrong with the checkpoints that are kept of
// it: one that is not what the log makes, or that has not all of its pages. Where records have expired it
// begins at the oldest checkpoint, since what made that is gone. It returns whether there are any. The error is why nothing can be known, as [module.ErrMissing]. It only reads, so it
// may look into a log that a server uses; it takes as long as the records take to apply.
func CheckCheckpoints(ctx context.Context, log Log, engine module.Engine, id space.ID, found func(what string)) (any bool, err error) {
	beginner, ok := engine.(program.Beginner)
	if !ok {
		return false, nil
	}
	for {
		value, err := log.Key(ctx, checkpointKey(id))
		if err != nil || len(value) == 0 {
			return false, err
		}
		var wrong []string
		err = checkKept(ctx, log, beginner, id, value, func(what string) { wrong = append(wrong, what) })
		if errors.Is(err, ErrDeleted) {
			return false, nil // meanwhile
		}
		if now, failed := log.Key(ctx, checkpointKey(id)); err == nil && failed == nil && len(wrong) > 0 && string(now) != string(value) {
			continue // a server has kept a newer one, and dropped pages of these
		}
		for _, what := range wrong {
			found(what)
		}
		return true, err
	}
}

// checkKept checks the checkpoints that the value of a key names.
func checkKept(ctx context.Context, log Log, engine program.Beginner, id space.ID, value []byte, found func(string)) error {
	list, rest := decodeKept(value)
	if len(rest) > 0 {
		found("the list of its checkpoints is cut short")
	}
	head, err := log.Head(ctx, id)
	if err != nil {
		return err
	}
	slices.SortFunc(list, func(a, b kept) int { return cmp.Compare(a.seq, b.seq) })
	list = slices.DeleteFunc(list, func(k kept) bool {
		switch err := checkWhole(ctx, log, id, k); {
		case err != nil:
			found(err.Error())
		case k.seq > head.Seq:
			found(fmt.Sprintf("there is a checkpoint of record %d, and the log ends at %d", k.seq, head.Seq))
		default:
			return false
		}
		return true
	})
	expired, err := log.Expired(ctx, id)
	if err != nil {
		return err
	}
	whole := len(list)
	list = slices.DeleteFunc(list, func(k kept) bool { return k.seq < expired }) // what they need is gone
	if len(list) == 0 {
		if expired > 0 && whole > 0 {
			found(fmt.Sprintf("records up to %d have expired, and no checkpoint is behind them", expired))
		}
		return nil
	}
	return replay(ctx, log, engine, id, expired, list, found)
}

// replay applies a log up to the last of its checkpoints, which are in ascending order, and compares each. If records have expired it begins at the
// first of them, of which it compares the chain alone.
func replay(ctx context.Context, log Log, engine program.Beginner, id space.ID, expired uint64, list []kept, found func(string)) error {
	genesis, _, err := log.Genesis(ctx, id)
	if err != nil {
		return err
	}
	modules, _, err := modulesOf(ctx, log, id)
	if err != nil {
		return err
	}
	origin := program.Origin{Upgraded: len(modules) > 0, History: historyOf(ctx, log, id), Expired: expired}
	if expired > 0 {
		if origin.Root, err = log.Page(ctx, list[0].root); err != nil {
			return err
		}
		origin.Page = func(name digest.Digest) ([]byte, error) { return log.Page(ctx, name) }
	}
	begun, err := engine.Begin(&genesis, origin)
	if err != nil {
		return err
	}
	defer begun.Close()
	instance, ok := begun.(program.Materializer)
	if !ok {
		return nil
	}
	at, from := space.Start(id), uint64(0)
	if expired > 0 {
		from = list[0].seq
	}
	return historyOf(ctx, log, id)(0, list[len(list)-1].seq, func(records []space.Record) error {
		for len(records) > 0 && len(list) > 0 {
			n := 0
			for n < len(records) && records[n].Seq <= list[0].seq {
				n++
			}
			if n > 0 {
				if records[0].Seq > from {
					if err := instance.Apply(records[:n]); err != nil {
						return fmt.Errorf("apply records %d to %d: %w", records[0].Seq, records[n-1].Seq, err)
					}
				}
				at.Seq, at.Chain = records[n-1].Seq, space.Fold(at.Chain, records[:n])
				records = records[n:]
			}
			for len(list) > 0 && at.Seq >= list[0].seq {
				if made := instance.Digest(id, at); made != list[0].root {
					found(fmt.Sprintf("the log makes the checkpoint %s of record %d, and there is %s", made, at.Seq, list[0].root))
				}
				list = list[1:]
			}
		}
		return nil
	})
}

// historyOf returns a reader of a log, for modules that make their tables of it.
func historyOf(ctx context.Context, log Log, id space.ID) func(uint64, uint64, func([]space.Record) error) error {
	return func(at, to uint64, f func([]space.Record) error) error {
		src := source{ctx, log, id}
		chain, err := hub.ChainAt(src, at)
		if err != nil {
			return err
		}
		for at < to {
			records, err := log.Read(ctx, id, at, 4096, 4<<20)
			if err != nil {
				return err
			}
			if len(records) == 0 {
				return fmt.Errorf("the log ends at %d, not at %d", at, to)
			}
			if err := hub.Verify(src, chain, records); err != nil {
				return err
			}
			chain = space.Fold(chain, records)
			if err := f(records); err != nil {
				return err
			}
			at = records[len(records)-1].Seq
		}
		return nil
	}
}
