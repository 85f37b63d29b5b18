// Package faultlog is a [syncserver.Log] in front of another one that fails, delays, loses answers and lies on command.
//
// [New] makes one that does nothing of the kind; [Log.Set] says from now on what goes wrong and how often, also while a server runs on it. A call that fails [Faults.Before] never
// reached the log, one that fails [Faults.After] did, and only its answer was lost: both return [ErrLost], so that the caller cannot tell. One that is
// [Faults.Full] returns [syncserver.ErrFull], having stored nothing; only methods that store do. [Faults.Slow] delays a call, on its way there or back. [Faults.Flip] changes a bit of what is read:
// of a record, of a chain value, of a page or blob. What is stored stays as it is: who reads again reads right.
//
// What goes wrong is drawn from a seed, in the order in which calls come, which differs from run to run where they come at once. For tests only; nothing is stable.
package faultlog

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"skerry/shared/space"
	"skerry/syncserver"
)

// ErrLost is what a call returns whose request or answer was lost.
var ErrLost = errors.New("faultlog: the connection to the log was lost")

// Faults says what goes wrong: each in one of so many calls, 0 for never.
type Faults struct {
	Before int
	After  int
	Full   int
	Slow   int
	Flip   int
	// Most is how long a slow call is delayed at most.
	Most time.Duration
	// Methods are the only ones to which it happens; all of them if there are none.
	Methods []string
}

// Log is a log to which things happen.
type Log struct {
	syncserver.Log

	mu     sync.Mutex
	rng    *rand.Rand
	faults Faults
	counts map[string]int
}

// New returns a log in front of another one, to which nothing happens yet.
func New(log syncserver.Log, seed uint64) *Log {
	return &Log{Log: log, rng: rand.New(rand.NewPCG(seed, 0xfa)), counts: map[string]int{}}
}

// Set says what goes wrong from now on.
func (l *Log) Set(f Faults) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = f
}

// Counts returns how often each kind of fault happened so far: "before", "after", "full", "slow", "flip".
func (l *Log) Counts() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	counts := map[string]int{}
	for what, n := range l.counts {
		counts[what] = n
	}
	return counts
}

// stores reports whether a method stores something.
func stores(method string) bool {
	switch method {
	case "Create", "Append", "AppendClients", "SetClaims", "PutBlob", "PutPages", "CompareAndSet", "Limit":
		return true
	}
	return false
}

// roll draws what happens to a call.
func (l *Log) roll(method string) (early, late time.Duration, before, after error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := &l.faults
	if len(f.Methods) > 0 && !slices.Contains(f.Methods, method) {
		return
	}
	hits := func(what string, n int) bool {
		if n == 0 || l.rng.IntN(n) != 0 {
			return false
		}
		l.counts[what]++
		return true
	}
	if hits("slow", f.Slow) && f.Most > 0 {
		early, late = time.Duration(l.rng.Int64N(int64(f.Most))), time.Duration(l.rng.Int64N(int64(f.Most)))
	}
	switch {
	case stores(method) && hits("full", f.Full):
		before = syncserver.ErrFull
	case hits("before", f.Before):
		before = ErrLost
	case hits("after", f.After):
		after = ErrLost
	}
	return early, late, before, after
}

// meet makes a call and lets happen to it what is drawn.
func (l *Log) meet(ctx context.Context, method string, call func() error) error {
	early, late, before, after := l.roll(method)
	if err := wait(ctx, early); err != nil {
		return err
	}
	if before != nil {
		return before
	}
	err := call()
	if err == nil {
		err = after
	}
	wait(context.WithoutCancel(ctx), late)
	return err
}

func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// flip changes a bit of bytes, now and then.
func (l *Log) flip(bytes []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.faults.Flip == 0 || len(bytes) == 0 || l.rng.IntN(l.faults.Flip) != 0 {
		return false
	}
	l.counts["flip"]++
	bit := l.rng.IntN(8 * len(bytes))
	bytes[bit/8] ^= 1 << (bit % 8)
	return true
}

// flipped returns bytes, now and then with a bit changed, and the log's own left as they are.
func (l *Log) flipped(bytes []byte) []byte {
	bytes = slices.Clone(bytes)
	l.flip(bytes)
	return bytes
}

// flipRecords changes a bit of some record, now and then. The records are the caller's; their payloads may be the log's.
func (l *Log) flipRecords(records []space.Record) {
	for i := range records {
		r := &records[i]
		switch i % 5 {
		case 0:
			r.Payload = l.flipped(r.Payload)
		case 1:
			l.flip(r.ID[:])
		case 2:
			author := []byte(r.Author)
			if l.flip(author) {
				r.Author = string(author)
			}
		case 3:
			at := [1]byte{byte(r.ReceivedAt)}
			l.flip(at[:])
			r.ReceivedAt = r.ReceivedAt&^0xff | uint64(at[0])
		default:
			l.flip(r.Schema[:])
		}
	}
}
