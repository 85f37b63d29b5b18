package wasmclient

import (
	"context"
	"fmt"
	"slices"
	"time"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/module/program"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
)

// The same log gives the same tables everywhere, or else one of the engines is wrong, or what one of them went on from. So
// tables are compared with the server's wherever the server says what its are: at the places of its checkpoints, and behind
// an upgrade, where its word is a record of the log. Where they differ, those made here are not gone on with: the server's
// take their place, since it is by them that everything is judged. Log and outbox are what they were.

// placesKept is how many places are remembered, beside the one that the server has told of: it tells of one some time
// after the records.
const placesKept = 2

// Divergence says where a module made other tables here than on the server.
type Divergence struct {
	Seq         uint64        // the last record that is in them
	Module      digest.Digest // that made them
	Engine      string        // that ran it here
	Here, There digest.Digest // of the checkpoints; zero where applying record Seq failed
	Reason      string        // for people
}

// differs is the error with which a view finds a divergence.
type differs struct{ Divergence }

func (d *differs) Error() string { return d.Reason }

// Unwrap gives the error its code.
func (d *differs) Unwrap() error {
	return &wire.CodeError{Code: wire.CodeModuleDiverged, Reason: d.Reason}
}

// mark is the tables at a place of the log, until the server says what its are there.
type mark struct {
	of  tables.Checkpoint
	set *tables.Set
}

// engineName returns what the engine calls itself.
func (c *Client) engineName() string {
	if named, ok := c.config.Engine.(interface{ Name() string }); ok {
		return named.Name()
	}
	return "the engine"
}

// remember follows the chain over records that were just applied, and keeps the tables at the place that was passed last, if
// one was. The caller holds v.mu.
func (v *view) remember(records []space.Record, told *replica.ServerCheckpoint) {
	c := v.instance.Checkpoint()
	for i := range records {
		v.chain = space.Chain(v.chain, &records[i])
		if c != nil && records[i].Seq == c.Seq {
			of := tables.Checkpoint{Space: v.id, Seq: c.Seq, Chain: v.chain, Module: c.Module, ABI: c.ABI}
			v.marks = append(v.marks, mark{of, c.Tables})
		}
	}
	if len(v.marks) > placesKept {
		drop := 0
		if v.marks[0].of.Seq == told.Seq {
			drop = 1
		}
		v.marks = slices.Delete(v.marks, drop, drop+1)
	}
}

// compare compares the tables with the server's, if those at the place that it told of are here. Its error is a [*differs].
func (v *view) compare(told *replica.ServerCheckpoint) error {
	v.mu.Lock()
	var at mark
	for _, m := range v.marks {
		if m.of.Seq == told.Seq {
			at = m
		}
	}
	v.mu.Unlock()
	if at.set == nil || v.unproven || told.Root == v.compared || told.Root == v.distrust || told.Root == v.root {
		return nil
	}
	here, err := rootOf(v.ctx, at.set, &at.of)
	if err != nil {
		return err
	}
	if here != told.Root {
		return v.differ(told.Seq, at.of.Module, here, told.Root)
	}
	v.compared = told.Root
	v.client.call(v.ctx, func() { v.client.agrees(v.id, told.Seq) })
	return nil
}

// rootOf returns the digest of a checkpoint, worked out a while at a time.
func rootOf(ctx context.Context, set *tables.Set, of *tables.Checkpoint) (digest.Digest, error) {
	began := time.Now()
	root, err := set.AppendCheckpoint(nil, of, func(digest.Digest, func() ([]byte, error)) error { return rest(ctx, &began, viewStep) })
	return digest.Of(root), err
}

// witness compares the tables with what the server said in the log: of those before the record.
func (v *view) witness(record *space.Record) error {
	there, ok := module.Witnessed(record.Payload)
	if !ok {
		return nil // of a version that says it otherwise
	}
	here := v.instance.Digest(v.id, space.Position{Seq: record.Seq - 1, Chain: v.chain})
	if here != there {
		d := digest.Digest{}
		if p := v.instance.Program(); p != nil {
			d = p.Digest
		}
		return v.differ(record.Seq-1, d, here, there)
	}
	return nil
}

// differ returns the error for a divergence of digests.
func (v *view) differ(seq uint64, of, here, there digest.Digest) error {
	engine := v.client.engineName()
	return &differs{Divergence{Seq: seq, Module: of, Engine: engine, Here: here, There: there, Reason: fmt.Sprintf(
		"the tables after record %d are %v here, by module %v in %s, and %v on the server", seq, here, of, engine, there)}}
}

// cannotApply makes of an error of applying records the divergence that it is, if it is one.
func (v *view) cannotApply(err error) error {
	if wire.CodeOf(err) != wire.CodeModuleDiverged {
		return err
	}
	d := Divergence{Seq: v.instance.Applied() + 1, Engine: v.client.engineName()}
	if p := v.instance.Program(); p != nil {
		d.Module = p.Digest
	}
	d.Reason = fmt.Sprintf("by module %v in %s: %v", d.Module, d.Engine, err)
	return &differs{d}
}

// diverges notes that the tables, which are given up, were not the server's: only a checkpoint of the server, of record d.Seq or
// a later one, is gone on from, also after a restart.
func (v *view) diverges(d *Divergence) {
	v.needs = d.Seq
	v.kept = 0
	kept, err := v.keptCheckpoint()
	if err == nil && kept != nil && digest.Of(kept.Root) != d.There {
		err = v.client.config.Store.DropCheckpoint(v.ctx, v.id)
	}
	if err != nil {
		v.client.log("dropping the checkpoint of " + v.id.String() + " failed: " + err.Error())
	}
	v.client.call(v.ctx, func() { v.client.disagrees(v.id, d) })
}

// disagrees notes a divergence, and tells of it.
func (c *Client) disagrees(id space.ID, d *Divergence) {
	if known := c.diverged[id]; known != nil && *known == *d {
		return
	}
	c.diverged[id] = d
	c.log("module_diverged: " + d.Reason)
	for _, f := range c.listeners {
		f(Change{Space: id, Divergence: d})
	}
	c.changed()
}

// agrees notes that the tables are the server's at a later place than that where they were not.
func (c *Client) agrees(id space.ID, seq uint64) {
	if d := c.diverged[id]; d == nil || d.Seq >= seq {
		return
	}
	delete(c.diverged, id)
	for _, f := range c.listeners {
		f(Change{Space: id})
	}
	c.changed()
}

// divergedReason says of a divergence what is done about it.
func divergedReason(d *Divergence) string {
	return d.Reason + "; the server's tables are taken instead, and log and outbox are what they were"
}

// rebuild makes an instance of the server's checkpoint, in place of tables that were not the server's.
func (v *view) rebuild(info *SpaceInfo, told replica.ServerCheckpoint) (*program.Instance, error) {
	switch {
	case told.Seq < v.needs:
		return nil, v.noTables("the server has no checkpoint of them yet")
	case told.Root == v.distrust:
		return nil, v.noTables("the server's checkpoint is of another log")
	}
	if told.State == replica.CheckpointStored {
		kept, err := v.keptCheckpoint()
		if err != nil {
			return nil, err
		}
		if kept != nil && digest.Of(kept.Root) == told.Root {
			instance, err := v.resumeFrom(kept, info)
			switch {
			case err == nil:
				v.needs = 0
			case wire.CodeOf(err) != wire.CodeModuleMissing:
				err = v.noTables("the server's cannot be used: " + err.Error())
			}
			return instance, err
		}
	}
	if v.want(told) == replica.CheckpointFetching {
		v.comes = true
		return nil, v.noTables("the server's are on their way")
	}
	return nil, v.noTables("the server's cannot be had now")
}

// noTables returns why there are no tables after a divergence.
func (v *view) noTables(why string) error {
	return wire.Errorf(wire.CodeModuleDiverged, "the module makes other tables of the log up to record %d here than on the server, and %s", v.needs, why)
}
