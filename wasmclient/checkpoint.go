package wasmclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"skerry/shared/digest"
	"skerry/shared/module/program"
	"skerry/shared/replica"
	"skerry/shared/tables"
	"skerry/shared/wire"
)

// A checkpoint of a view's tables is kept on the device, so that the log need not be applied from its beginning when the
// space is opened next. What is kept is only believed as far as its digests and the log agree. It is of a place where the
// server has one too, so that they can be compared whenever the server tells.

// keepBytes is how many bytes of tables a record is worth: large tables are written less often.
const keepBytes = 256

// keepMost is how many bytes of tables a device makes a checkpoint of at most: it has all its pages in memory, beside the tables.
const keepMost = 32 << 20

// keptCheckpoint reads the checkpoint that the store has, nil where it has none.
func (v *view) keptCheckpoint() (kept *replica.Checkpoint, err error) {
	err = v.client.read(v.ctx, func(store Store) (err error) {
		kept, err = store.Checkpoint(v.ctx, v.id)
		return err
	})
	return kept, err
}

// resume makes an instance of the checkpoint that is kept, or returns nil where it is of no use.
func (v *view) resume(kept *replica.Checkpoint, info *SpaceInfo) (*program.Instance, error) {
	if kept == nil {
		return nil, nil
	}
	instance, err := v.resumeFrom(kept, info)
	if wire.CodeOf(err) == wire.CodeModuleMissing {
		return nil, err // it comes
	}
	if err != nil {
		v.client.log("the checkpoint of " + v.id.String() + " is of no use: " + err.Error())
		v.useless = digest.Of(kept.Root)
		return nil, nil
	}
	return instance, nil
}

// trust reports whether the chain from the checkpoint leads to where the log is. It may not where a tab kept a checkpoint of
// a log that was taken back, and grew again to be another one, or where the server's is of another log than it sends.
func (v *view) trust() bool {
	position := v.client.Info(v.id).Position
	if !v.unproven || v.instance.Applied() != position.Seq {
		return true // there is more to come, and another pass
	}
	v.unproven = false
	return v.chain == position.Chain
}

func (v *view) resumeFrom(kept *replica.Checkpoint, info *SpaceInfo) (*program.Instance, error) {
	root := digest.Of(kept.Root)
	of, names, err := tables.ReadRoot(kept.Root)
	switch {
	case err != nil:
		return nil, err
	case of.Space != v.id || root == v.distrust || of.Seq == info.Position.Seq && of.Chain != info.Position.Chain:
		return nil, fmt.Errorf("it is of record %d of %v, or of another log", of.Seq, of.Space)
	}
	loaded, err := v.borrow(of.Module)
	if err != nil {
		return nil, err
	}
	var schemas []tables.Schema
	if loaded.Program != nil {
		schemas = loaded.Program.Manifest.Tables
	}
	from := &pages{client: v.client, space: v.id, names: names, here: map[digest.Digest][]byte{}, next: pagesFirst}
	set, of, err := tables.ReadCheckpoint(kept.Root, schemas, from.page)
	if err != nil {
		if loaded.Release != nil {
			loaded.Release()
		}
		return nil, err
	}
	v.chain, v.unproven, v.root, v.kept = of.Chain, true, root, of.Seq
	v.marks = []mark{{*of, set.Copy()}}
	if of.Seq > info.Position.Seq {
		v.ahead = of.Seq
	}
	return program.Continue(loaded, info.Genesis, set, of.Seq), nil
}

// keep writes a checkpoint where that is worth it: when as much was applied since the last as it would take to read one.
// Whether it succeeds changes nothing but the time that opening takes.
func (v *view) keep() {
	v.mu.Lock()
	var at mark
	if n := len(v.marks); n > 0 {
		at = v.marks[n-1]
	}
	v.mu.Unlock()
	if at.set == nil || v.unproven || !keeps(v.kept, at.of.Seq, at.set.Bytes()) {
		return
	}
	c, err := pack(v.ctx, at.set, &at.of)
	if err == nil {
		err = v.client.config.Store.PutCheckpoint(v.ctx, v.id, c)
	}
	if err != nil {
		v.client.log("keeping a checkpoint of " + v.id.String() + " failed: " + err.Error())
	}
	if errors.Is(err, ErrDamaged) {
		v.supply(v.ctx, fmt.Errorf("%w: %w", tables.ErrPage, err)) // or it would fail each time
	}
	v.kept = at.of.Seq // or tried: the next is due when as much was applied again
}

// keeps reports whether a checkpoint of record seq, of tables of so many bytes, is worth to be kept after one of record kept.
func keeps(kept, seq uint64, bytes int) bool {
	return tables.IsDue(kept, seq, uint64(bytes/keepBytes)) && bytes <= keepMost
}

// pack makes a checkpoint of tables that nobody changes any more, a while at a time. Pages that were not read yet are those that
// the store has.
func pack(ctx context.Context, set *tables.Set, of *tables.Checkpoint) (*replica.Checkpoint, error) {
	c := &replica.Checkpoint{Seq: of.Seq, Pages: map[digest.Digest][]byte{}}
	began := time.Now()
	var err error
	c.Root, err = set.AppendCheckpoint(nil, of, func(d digest.Digest, content func() ([]byte, error)) error {
		page, err := content()
		if _, lacks := errors.AsType[*lacking](err); err != nil && !lacks {
			return err
		}
		if c.Pages[d] == nil {
			c.Pages[d] = bytes.Clone(page)
		}
		return rest(ctx, &began, viewStep)
	})
	return c, err
}

// rest lets the page's messages come through in the middle of work that began then, if it has taken so long.
func rest(ctx context.Context, began *time.Time, after time.Duration) error {
	if time.Since(*began) >= after {
		if !sleep(ctx, time.Millisecond) {
			return ctx.Err()
		}
		*began = time.Now()
	}
	return nil
}
