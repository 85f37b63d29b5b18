package faultlog

import (
	"context"
	"time"

	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
)

// Create implements [syncserver.Log].
func (l *Log) Create(ctx context.Context, genesis *space.Genesis, signature []byte) (a bool, err error) {
	err = l.meet(ctx, "Create", func() (err error) {
		a, err = l.Log.Create(ctx, genesis, signature)
		return err
	})
	return a, err
}

// Delete implements [syncserver.Log].
func (l *Log) Delete(ctx context.Context, id space.ID, head space.Head) error {
	return l.meet(ctx, "Delete", func() error { return l.Log.Delete(ctx, id, head) })
}

// Expire implements [syncserver.Log].
func (l *Log) Expire(ctx context.Context, id space.ID, upto uint64) error {
	return l.meet(ctx, "Expire", func() error { return l.Log.Expire(ctx, id, upto) })
}

// Expired implements [syncserver.Log].
func (l *Log) Expired(ctx context.Context, id space.ID) (a uint64, err error) {
	err = l.meet(ctx, "Expired", func() (err error) {
		a, err = l.Log.Expired(ctx, id)
		return err
	})
	return a, err
}

// Retained implements [syncserver.Log].
func (l *Log) Retained(ctx context.Context, id space.ID) (a uint64, err error) {
	err = l.meet(ctx, "Retained", func() (err error) {
		a, err = l.Log.Retained(ctx, id)
		return err
	})
	return a, err
}

// Genesis implements [syncserver.Log].
func (l *Log) Genesis(ctx context.Context, id space.ID) (a space.Genesis, b []byte, err error) {
	err = l.meet(ctx, "Genesis", func() (err error) {
		a, b, err = l.Log.Genesis(ctx, id)
		return err
	})
	return a, b, err
}

// Spaces implements [syncserver.Log].
func (l *Log) Spaces(ctx context.Context, after space.ID, limit int) (a []space.ID, err error) {
	err = l.meet(ctx, "Spaces", func() (err error) {
		a, err = l.Log.Spaces(ctx, after, limit)
		return err
	})
	return a, err
}

// Modules implements [syncserver.Log].
func (l *Log) Modules(ctx context.Context) (a map[digest.Digest]int, err error) {
	err = l.meet(ctx, "Modules", func() (err error) {
		a, err = l.Log.Modules(ctx)
		return err
	})
	return a, err
}

// Head implements [syncserver.Log].
func (l *Log) Head(ctx context.Context, id space.ID) (a space.Head, err error) {
	err = l.meet(ctx, "Head", func() (err error) {
		a, err = l.Log.Head(ctx, id)
		return err
	})
	if err == nil {
		l.flip(a.Chain[:])
	}
	return a, err
}

// Append implements [syncserver.Log].
func (l *Log) Append(ctx context.Context, id space.ID, previous space.Head, records []space.Record, next space.Head) error {
	return l.meet(ctx, "Append", func() error { return l.Log.Append(ctx, id, previous, records, next) })
}

// AppendClients implements [syncserver.Log].
func (l *Log) AppendClients(ctx context.Context, id space.ID, previous space.Head, records []space.Record, next space.Head, changes syncserver.ClientChanges) error {
	return l.meet(ctx, "AppendClients", func() error { return l.Log.AppendClients(ctx, id, previous, records, next, changes) })
}

// SetClaims implements [syncserver.Log].
func (l *Log) SetClaims(ctx context.Context, connection wire.ConnectionID, identity string, claims []byte) error {
	return l.meet(ctx, "SetClaims", func() error { return l.Log.SetClaims(ctx, connection, identity, claims) })
}

// DropClients implements [syncserver.Log].
func (l *Log) DropClients(ctx context.Context, connections []wire.ConnectionID) error {
	return l.meet(ctx, "DropClients", func() error { return l.Log.DropClients(ctx, connections) })
}

// Clients implements [syncserver.Log].
func (l *Log) Clients(ctx context.Context, after wire.ConnectionID, limit int) (a []syncserver.Client, err error) {
	err = l.meet(ctx, "Clients", func() (err error) {
		a, err = l.Log.Clients(ctx, after, limit)
		return err
	})
	return a, err
}

// Usage implements [syncserver.Log].
func (l *Log) Usage(ctx context.Context, identity string) (a syncserver.Usage, err error) {
	err = l.meet(ctx, "Usage", func() (err error) {
		a, err = l.Log.Usage(ctx, identity)
		return err
	})
	return a, err
}

// Known implements [syncserver.Log].
func (l *Log) Known(ctx context.Context, id space.ID, ids []space.ULID) (a []syncserver.Known, err error) {
	err = l.meet(ctx, "Known", func() (err error) {
		a, err = l.Log.Known(ctx, id, ids)
		return err
	})
	return a, err
}

// Read implements [syncserver.Log].
func (l *Log) Read(ctx context.Context, id space.ID, after uint64, maxRecords, maxBytes int) (a []space.Record, err error) {
	err = l.meet(ctx, "Read", func() (err error) {
		a, err = l.Log.Read(ctx, id, after, maxRecords, maxBytes)
		return err
	})
	if err == nil {
		l.flipRecords(a)
	}
	return a, err
}

// ChainBefore implements [syncserver.Log].
func (l *Log) ChainBefore(ctx context.Context, id space.ID, seq uint64) (a space.Position, err error) {
	err = l.meet(ctx, "ChainBefore", func() (err error) {
		a, err = l.Log.ChainBefore(ctx, id, seq)
		return err
	})
	if err == nil {
		l.flip(a.Chain[:])
	}
	return a, err
}

// PutBlob implements [syncserver.Log].
func (l *Log) PutBlob(ctx context.Context, name digest.Digest, bytes []byte) error {
	return l.meet(ctx, "PutBlob", func() error { return l.Log.PutBlob(ctx, name, bytes) })
}

// Blob implements [syncserver.Log].
func (l *Log) Blob(ctx context.Context, name digest.Digest) (a []byte, err error) {
	err = l.meet(ctx, "Blob", func() (err error) {
		a, err = l.Log.Blob(ctx, name)
		return err
	})
	if err == nil {
		a = l.flipped(a)
	}
	return a, err
}

// HasBlob implements [syncserver.Log].
func (l *Log) HasBlob(ctx context.Context, name digest.Digest) (a bool, err error) {
	err = l.meet(ctx, "HasBlob", func() (err error) {
		a, err = l.Log.HasBlob(ctx, name)
		return err
	})
	return a, err
}

// Blobs implements [syncserver.Log].
func (l *Log) Blobs(ctx context.Context, after digest.Digest, limit int) (a []digest.Digest, err error) {
	err = l.meet(ctx, "Blobs", func() (err error) {
		a, err = l.Log.Blobs(ctx, after, limit)
		return err
	})
	return a, err
}

// DeleteBlob implements [syncserver.Log].
func (l *Log) DeleteBlob(ctx context.Context, name digest.Digest) error {
	return l.meet(ctx, "DeleteBlob", func() error { return l.Log.DeleteBlob(ctx, name) })
}

// PutPages implements [syncserver.Log].
func (l *Log) PutPages(ctx context.Context, id space.ID, pages []syncserver.Page) error {
	return l.meet(ctx, "PutPages", func() error { return l.Log.PutPages(ctx, id, pages) })
}

// Page implements [syncserver.Log].
func (l *Log) Page(ctx context.Context, name digest.Digest) (a []byte, err error) {
	err = l.meet(ctx, "Page", func() (err error) {
		a, err = l.Log.Page(ctx, name)
		return err
	})
	if err == nil {
		a = l.flipped(a)
	}
	return a, err
}

// Pages implements [syncserver.Log].
func (l *Log) Pages(ctx context.Context, id space.ID) (a []digest.Digest, err error) {
	err = l.meet(ctx, "Pages", func() (err error) {
		a, err = l.Log.Pages(ctx, id)
		return err
	})
	return a, err
}

// DeletePages implements [syncserver.Log].
func (l *Log) DeletePages(ctx context.Context, id space.ID, names []digest.Digest) error {
	return l.meet(ctx, "DeletePages", func() error { return l.Log.DeletePages(ctx, id, names) })
}

// Key implements [syncserver.Log].
func (l *Log) Key(ctx context.Context, key string) (a []byte, err error) {
	err = l.meet(ctx, "Key", func() (err error) {
		a, err = l.Log.Key(ctx, key)
		return err
	})
	return a, err
}

// CompareAndSet implements [syncserver.Log].
func (l *Log) CompareAndSet(ctx context.Context, key string, old, value []byte) (a bool, err error) {
	err = l.meet(ctx, "CompareAndSet", func() (err error) {
		a, err = l.Log.CompareAndSet(ctx, key, old, value)
		return err
	})
	return a, err
}

// Scan implements [syncserver.Log].
func (l *Log) Scan(ctx context.Context, prefix, after string, limit int) (a []syncserver.KeyValue, err error) {
	err = l.meet(ctx, "Scan", func() (err error) {
		a, err = l.Log.Scan(ctx, prefix, after, limit)
		return err
	})
	return a, err
}

// Limit implements [syncserver.Log].
func (l *Log) Limit(ctx context.Context, now time.Time, charges []syncserver.Charge) (a time.Duration, err error) {
	err = l.meet(ctx, "Limit", func() (err error) {
		a, err = l.Log.Limit(ctx, now, charges)
		return err
	})
	return a, err
}
