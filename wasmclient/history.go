package wasmclient

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"skerry/shared/digest"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// A space that was begun at the server's checkpoint does not have all of its log. Who reads what is missing has it fetched, by the tab that
// leads, a page at a time, and reads it from the store like everything else.

const (
	wordHistory   = "history?" // I read a record of a space that is not here
	wordNoHistory = "history"  // it does not come, and why
)

const (
	// historyAgain is how long to wait before records are asked for again of another tab, which may have ended.
	historyAgain = 2 * time.Second
	// historyTries is how often another tab is asked before it counts as gone.
	historyTries = 5
)

// fetchHistory has records fetched until the record with number seq is here, or nothing says any more that it is missing.
func (c *Client) fetchHistory(ctx context.Context, id space.ID, seq uint64) error {
	silent := 0
	for {
		come := make(chan error, 1)
		var hole replica.Hole
		asked := false
		err := c.call(ctx, func() {
			info := c.core.Space(id).Info
			if missing := info.HoleAt(seq); missing != nil {
				hole, asked = *missing, true
				c.readers[id] = append(c.readers[id], come)
				c.askHistory(id, seq, come)
			}
		})
		if err != nil || !asked {
			return err
		}
		again := time.NewTimer(historyAgain)
		select {
		case err = <-come:
			silent = 0
		case <-again.C:
			var leads bool
			if err = c.call(ctx, func() { leads = c.leads() }); err == nil && !leads {
				if silent++; silent == historyTries {
					err = wire.Errorf(wire.CodeNotHere, "the tab that syncs does not answer")
				}
			}
		case <-ctx.Done():
			err = ctx.Err()
		case <-c.ctx.Done():
			err = errClosed
		}
		again.Stop()
		if err != nil {
			return historyError(err, &hole)
		}
	}
}

// historyError says where on the device the history is and is not.
func historyError(err error, hole *replica.Hole) error {
	code := wire.CodeOf(err)
	if code == 0 {
		return err
	}
	return wire.Errorf(code, "records %d to %d are not on this device, which has those behind them: %v", hole.After.Seq+1, hole.Until.Seq, err)
}

// askHistory asks whoever leads for a record. The loop calls it.
func (c *Client) askHistory(id space.ID, seq uint64, come chan<- error) {
	switch {
	case c.leads():
		c.step(replica.WantHistory{Space: id, Seq: seq})
	case c.config.Channel == nil:
		come <- wire.Errorf(wire.CodeNotHere, "another client syncs, which cannot be asked")
	default:
		c.say(Message{Kind: wordHistory, Report: binary.BigEndian.AppendUint64(append([]byte(nil), id[:]...), seq)})
	}
}

// hearHistory asks for what another tab reads, if this one leads.
func (c *Client) hearHistory(b []byte) {
	if len(b) == digest.Size+8 && c.leads() {
		c.step(replica.WantHistory{Space: space.ID(b[:digest.Size]), Seq: binary.BigEndian.Uint64(b[digest.Size:])})
	}
}

// noHistory tells those who read that what they want does not come, here and in the other tabs.
func (c *Client) noHistory(n replica.HistoryFailed) {
	c.tellReaders(n.Space, &wire.CodeError{Code: n.Code, Reason: n.Reason})
	if c.others && c.leads() {
		text := binary.BigEndian.AppendUint32(append([]byte(nil), n.Space[:]...), uint32(n.Code))
		c.say(Message{Kind: wordNoHistory, Report: append(text, n.Reason...)})
	}
}

// hearNoHistory takes it from the tab that leads.
func (c *Client) hearNoHistory(b []byte) {
	if len(b) >= digest.Size+4 && !c.leads() {
		code, reason := wire.Code(binary.BigEndian.Uint32(b[digest.Size:])), string(b[digest.Size+4:])
		c.tellReaders(space.ID(b[:digest.Size]), &wire.CodeError{Code: code, Reason: reason})
	}
}

// tellReaders has those look again who wait for records of a space, or gives them up.
func (c *Client) tellReaders(id space.ID, err error) {
	for _, come := range c.readers[id] {
		select {
		case come <- err:
		default: // it was told why already
		}
	}
	delete(c.readers, id)
}

// lacks reports whether a record is left out of what is here. Another tab may have begun the space at a checkpoint since the loop looked:
// then it looks now.
func (s *Space) lacks(ctx context.Context, seq uint64) (lacks bool, err error) {
	if info := s.client.Info(s.id); holed(info.Holes, seq) {
		return true, nil
	}
	var snapshot *replica.Snapshot
	err = s.client.read(ctx, func(store Store) (err error) {
		snapshot, err = store.Refresh(ctx, s.id)
		return err
	})
	if err != nil || !holed(snapshot.Info.Holes, seq) {
		return false, err
	}
	come := make(chan error, 1)
	err = s.client.call(ctx, func() {
		if info := s.client.core.Space(s.id).Info; holed(info.Holes, seq) {
			come <- nil
			return
		}
		s.client.readers[s.id] = append(s.client.readers[s.id], come)
		s.client.step(replica.Hint{Space: s.id, Version: snapshot.Version})
	})
	if err == nil {
		err = wait(ctx, come)
	}
	return true, err
}

func holed(holes []replica.Hole, seq uint64) bool {
	info := replica.SpaceInfo{Holes: holes}
	return info.HoleAt(seq) != nil
}

// reading is what one call of a reader knows.
type reading struct{ gone bool }

// fetched has a record fetched, and says to read once more: what came, or, where the server does not have it any more since it expired, what
// is here. Reading passes over what has expired.
func (g *reading) fetched(ctx context.Context, s *Space, seq uint64) (again bool, err error) {
	if err = s.client.fetchHistory(ctx, s.id, seq); wire.CodeOf(err) == wire.CodeResumeGone {
		g.gone, err = true, nil
	}
	return err == nil, err
}

// follows sees that the record that follows on after is the first of what was read, which is 0 where nothing was. If it is not here it is
// fetched, and again says to read once more.
func (g *reading) follows(ctx context.Context, s *Space, after, first uint64) (again bool, err error) {
	if g.gone || first == after+1 || first == 0 && !holed(s.client.Info(s.id).Holes, after+1) {
		return false, nil
	}
	lacks, err := s.lacks(ctx, after+1)
	if err == nil && lacks {
		return g.fetched(ctx, s, after+1)
	}
	if err == nil {
		err = s.client.damaged(s.id, fmt.Errorf("record %d is not here: %w", after+1, ErrDamaged))
	}
	return false, err
}

// leads sees that the record before one is the last of what was read, which is 0 where nothing was, as follows does.
func (g *reading) leads(ctx context.Context, s *Space, before, last uint64) (again bool, err error) {
	top := before - 1
	if before > space.MaxSeq { // the newest there is
		top = s.client.Info(s.id).Position.Seq
	}
	if g.gone || last >= top || top == 0 {
		return false, nil
	}
	lacks, err := s.lacks(ctx, top)
	if err == nil && lacks {
		return g.fetched(ctx, s, top)
	}
	return false, err
}
