package wasmclient

import (
	"time"

	"skerry/shared/digest"
	"skerry/shared/replica"
	"skerry/shared/tables"
)

// A device that has little of a long log need not wait for all of it to show what it means: it takes the tables from the
// server's checkpoint. The log comes meanwhile, from where it is, as it always does; nothing of it is left out. When it
// arrives where the checkpoint is, the chain shows whether that was of this log, and the tables go on from there. If it was
// not, or cannot be had, the tables are made of the log.

// bootAfter is how many records a checkpoint of the server is ahead of what is here, at least, to be fetched.
const bootAfter = 3 * tables.PlaceEvery

// bootWait is how long to wait for word of the server's checkpoint where most of the log is not here, from when the tab began to
// lead that is to tell.
const bootWait = 20 * time.Second

// askAgain is how long to wait before a tab that follows asks again for the same checkpoint.
const askAgain = 5 * time.Second

// isFar reports whether the server's checkpoint is worth to be fetched by somebody who has the log, or tables, up to record at.
func (v *view) isFar(told *replica.ServerCheckpoint, at uint64) bool {
	return told.Seq >= at+bootAfter && told.Root != v.distrust && told.Root != v.useless && told.Root != v.root
}

// boot sees that the server's checkpoint comes to the store, where it is far ahead of the log and of what is kept. Its error is
// errBooting while it is on its way.
func (v *view) boot(info *SpaceInfo, told replica.ServerCheckpoint, kept *replica.Checkpoint) error {
	at := info.Position.Seq
	if kept != nil && digest.Of(kept.Root) != v.distrust {
		at = max(at, kept.Seq)
	}
	if told.State == replica.CheckpointAwaited && info.Head >= at+bootAfter {
		if v.anew.Swap(false) || v.awaits.IsZero() {
			v.awaits = time.Now()
		}
		if time.Since(v.awaits) < bootWait {
			return errBooting
		}
	}
	if !v.isFar(&told, at) {
		return nil
	}
	if told.State == replica.CheckpointStored {
		if v.missed == told.Root {
			v.useless = told.Root // it does not stay
			return nil
		}
		v.missed = told.Root
	}
	if v.want(told) == replica.CheckpointFetching {
		return errBooting
	}
	return nil
}

// want asks for a checkpoint of the server that is not in the store, and returns how it stands.
func (v *view) want(told replica.ServerCheckpoint) replica.CheckpointState {
	if told.Root == v.askedFor && time.Since(v.asked) < askAgain || told.State == replica.CheckpointFetching {
		return told.State
	}
	v.askedFor, v.asked = told.Root, time.Now()
	if told.State == replica.CheckpointStored {
		return v.client.checkpointOf(v.id, missingCheckpoint).State
	}
	return v.client.checkpointOf(v.id, wantCheckpoint).State
}

// complete sees that there are tables of a space part of whose log is not here: of the server's checkpoint, or, where none is to be had, of
// the whole log, which is fetched for that. Its error tells what is waited for; nil is that nothing is missing any more.
func (v *view) complete(info *SpaceInfo, told replica.ServerCheckpoint) error {
	if told.State == replica.CheckpointAwaited {
		if v.anew.Swap(false) || v.awaits.IsZero() {
			v.awaits = time.Now()
		}
		if time.Since(v.awaits) < bootWait {
			return errBooting
		}
	}
	if told.Seq >= info.Oldest-1 && told.Seq > 0 && told.Root != v.distrust && told.Root != v.useless && v.want(told) == replica.CheckpointFetching {
		return errBooting
	}
	hole := info.Holes[len(info.Holes)-1]
	if err := v.client.fetchHistory(v.ctx, v.id, hole.Until.Seq); err != nil {
		return err
	}
	v.signal() // there may be more, or a checkpoint now
	return errBooting
}
