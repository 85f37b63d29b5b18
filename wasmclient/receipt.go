package wasmclient

import (
	"context"

	"skerry/shared/space"
)

// Receipt follows one transaction on its way. Its methods are safe for concurrent use.
type Receipt struct {
	id       space.ULID
	sought   bool          // found again, so that nothing tells of its being stored but what became of it
	durable  chan struct{} // closed when stored or failed
	decided  chan struct{} // closed when synced, refused or discarded
	failure  error         // set before durable is closed
	position space.Position
	refusal  error // set before decided is closed
	follower Follower
}

// Follower is told what becomes of a transaction, by who has too many of them for a goroutine to wait for each. The
// client's loop calls it: it must return soon and must not call the client's methods.
type Follower struct {
	Durable func(error)                 // once, when [Receipt.Durable] would return
	Synced  func(space.Position, error) // then, unless that was an error, when [Receipt.Synced] would return
}

func newReceipt(follower Follower) *Receipt {
	return &Receipt{durable: make(chan struct{}), decided: make(chan struct{}), follower: follower}
}

// ID returns the transaction's name: the id of its first event.
func (r *Receipt) ID() space.ULID { return r.id }

// Durable waits until the transaction is on this device for good. Its error has a code: quota, upgrade_required,
// closed; discarded where [Space.Receipt] found no trace of it. While the store fails and cannot tell what became of
// it, it is tried again and Durable waits; storage_failed only tells of the last try, when the client closes.
func (r *Receipt) Durable(ctx context.Context) error {
	select {
	case <-r.durable:
		return r.failure
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Synced waits until the server has the transaction, durably, and returns a position at or past it, of which the rest
// but Seq may be zero. Its error has a code: that of the server's refusal, discarded, closed, forgotten, or that of Durable.
func (r *Receipt) Synced(ctx context.Context) (space.Position, error) {
	select {
	case <-r.decided:
		return r.position, r.refusal
	case <-ctx.Done():
		return space.Position{}, ctx.Err()
	}
}

// stored is called by the loop; only the first call counts.
func (r *Receipt) stored(err error) {
	if isClosed(r.durable) {
		return
	}
	r.failure = err
	close(r.durable)
	if r.follower.Durable != nil {
		r.follower.Durable(err)
	}
	if err != nil {
		r.decide(space.Position{}, err)
	} else if isClosed(r.decided) {
		r.tellSynced()
	}
}

// decide is called by the loop; only the first call counts.
func (r *Receipt) decide(position space.Position, err error) {
	if isClosed(r.decided) {
		return
	}
	r.position, r.refusal = position, err
	close(r.decided)
	if isClosed(r.durable) && r.failure == nil {
		r.tellSynced()
	}
}

func (r *Receipt) tellSynced() {
	if r.follower.Synced != nil {
		r.follower.Synced(r.position, r.refusal)
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
