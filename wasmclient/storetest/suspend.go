package storetest

import (
	"context"
	"errors"

	"skerry/shared/replica"
	"skerry/wasmclient"
)

// testSuspend suspends one of two handles: it begins nothing more and holds nobody up, what waits is done when it
// resumes, and what a leader had waiting is stale then if another one has taken over.
func testSuspend(s *suite) {
	h, other := s.open(), s.open()
	suspender, ok := h.Store.(wasmclient.Suspender)
	if !ok {
		s.Skip("the store holds nothing open")
	}
	suspender.Resume() // nothing is suspended: harmless
	f := newFeed(1)
	h.change(f.insert())
	epoch := try(h.RaiseEpoch(s.ctx)).or(s, "raise the epoch").Meta.Epoch

	const appends = 20
	appended := make(chan error, appends)
	for range appends {
		row := f.row(10)
		go func() {
			_, err := h.Commit(s.ctx, &replica.Commit{Strict: true, Spaces: []replica.SpaceCommit{f.append(row)}})
			appended <- err
		}()
	}
	for range 2 {
		if err := suspender.Suspend(s.ctx); err != nil {
			s.Fatalf("suspend: %v", err)
		}
	}
	late := make(chan *replica.CommitResult, 1)
	record := f.runOf(1, 10)
	go func() {
		result, _ := h.Commit(s.ctx, &replica.Commit{Fenced: true, Epoch: epoch, Spaces: []replica.SpaceCommit{record}})
		late <- result
	}()
	before := other.everything()
	try(other.RaiseEpoch(s.ctx)).or(s, "raise the epoch beside a suspended handle")
	g := newFeed(2)
	other.change(g.insert())
	if during := len(other.outbox(f.id)); during > appends || len(late) > 0 || len(other.read(f.id, 0, 10, 1000)) > 0 {
		s.Errorf("a suspended handle wrote: before\n%s", before)
	} else if rows := len(other.refresh(f.id).Outbox); rows != during {
		s.Errorf("a suspended handle appended %d rows", rows-during)
	}
	ctx, cancel := context.WithCancel(s.ctx)
	begun, given := make(chan struct{}), make(chan error, 1)
	go func() {
		close(begun)
		_, err := h.Load(ctx)
		given <- err
	}()
	<-begun
	for range 100 {
		other.load() // time for the call to do what it must not
	}
	if len(given) > 0 {
		s.Error("a suspended handle reads")
	}
	cancel()
	if err := <-given; !errors.Is(err, context.Canceled) {
		s.Errorf("a call that waits while its context ends: %v", err)
	}

	suspender.Resume()
	for range appends {
		if err := <-appended; err != nil {
			s.Errorf("append: %v", err)
		}
	}
	if result := <-late; result == nil || !result.Stale {
		s.Errorf("the commit of a leader that slept: %+v, want stale", result)
	}
	if n := len(other.outbox(f.id)); n != appends {
		s.Errorf("%d rows, want %d", n, appends)
	}

	if err := suspender.Suspend(s.ctx); err != nil {
		s.Fatalf("suspend: %v", err)
	}
	go func() { _, err := h.Load(s.ctx); given <- err }()
	h.Close()
	if err := <-given; !errors.Is(err, wasmclient.ErrStoreClosed) {
		s.Errorf("a call that waits while the store is closed: %v", err)
	}
}
