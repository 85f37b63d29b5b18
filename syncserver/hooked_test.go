package syncserver_test

import (
	"context"
	"sync"

	"skerry/shared/space"
	"skerry/syncserver"
)

// hooked is a log whose appends a test can hold up and make fail, before they are stored or after.
type hooked struct {
	syncserver.Log

	mu         sync.Mutex
	hookBefore func(space.ID) error
	hookAfter  func(space.ID) error
	hookKeys   func(key string) error
	hookReads  func()
	hookDelete func() error
	hookKey    func(key string)
}

// key has f called with every key that was read, before the reader knows.
func (h *hooked) key(f func(key string)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hookKey = f
}

func (h *hooked) Key(ctx context.Context, key string) ([]byte, error) {
	value, err := h.Log.Key(ctx, key)
	h.mu.Lock()
	hook := h.hookKey
	h.mu.Unlock()
	if hook != nil {
		hook(key)
	}
	return value, err
}

func (h *hooked) reads(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hookReads = f
}

func (h *hooked) Read(ctx context.Context, id space.ID, after uint64, maxRecords, maxBytes int) ([]space.Record, error) {
	h.mu.Lock()
	hook := h.hookReads
	h.mu.Unlock()
	if hook != nil {
		hook()
	}
	return h.Log.Read(ctx, id, after, maxRecords, maxBytes)
}

func (h *hooked) Scan(ctx context.Context, prefix, after string, limit int) ([]syncserver.KeyValue, error) {
	h.mu.Lock()
	hook := h.hookReads
	h.mu.Unlock()
	if hook != nil {
		hook()
	}
	return h.Log.Scan(ctx, prefix, after, limit)
}

func (h *hooked) deletes(f func() error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hookDelete = f
}

func (h *hooked) Delete(ctx context.Context, id space.ID, head space.Head) error {
	h.mu.Lock()
	hook := h.hookDelete
	h.mu.Unlock()
	if hook != nil {
		if err := hook(); err != nil {
			return err
		}
	}
	return h.Log.Delete(ctx, id, head)
}

func (h *hooked) before(f func(space.ID) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hookBefore = f
}

func (h *hooked) after(f func(space.ID) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hookAfter = f
}

func (h *hooked) keys(f func(key string) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hookKeys = f
}

func (h *hooked) Append(ctx context.Context, id space.ID, previous space.Head, records []space.Record, next space.Head) error {
	return h.appending(id, func() error { return h.Log.Append(ctx, id, previous, records, next) })
}

func (h *hooked) AppendClients(ctx context.Context, id space.ID, previous space.Head, records []space.Record, next space.Head, changes syncserver.ClientChanges) error {
	return h.appending(id, func() error { return h.Log.AppendClients(ctx, id, previous, records, next, changes) })
}

func (h *hooked) appending(id space.ID, do func() error) error {
	h.mu.Lock()
	before, after := h.hookBefore, h.hookAfter
	h.mu.Unlock()
	if before != nil {
		if err := before(id); err != nil {
			return err
		}
	}
	err := do()
	if err == nil && after != nil {
		err = after(id)
	}
	return err
}

func (h *hooked) CompareAndSet(ctx context.Context, key string, old, value []byte) (bool, error) {
	h.mu.Lock()
	hook := h.hookKeys
	h.mu.Unlock()
	if hook != nil {
		if err := hook(key); err != nil {
			return false, err
		}
	}
	return h.Log.CompareAndSet(ctx, key, old, value)
}
