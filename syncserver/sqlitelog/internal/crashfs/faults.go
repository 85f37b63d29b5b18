package crashfs

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/ncruces/go-sqlite3"
)

// Kind is what an [Op] does.
type Kind int

// The kinds of operations.
const (
	Read Kind = iota + 1
	Write
	Truncate
	Sync
	Delete
	Rename
	SyncDir
)

// Op is one operation that is about to happen.
type Op struct {
	Kind   Kind
	Name   string // of the file; of a rename, its old name
	Offset int64  // of a read or write; the new size of a truncation
	Size   int    // of a read or write
}

// What an operation may come to, see [FS.Intercept]. Any other error is given to the caller as it is.
var (
	// ErrIO lets the operation fail as a device does that reads or writes no more.
	ErrIO = errors.New("crashfs: input/output error")
	// ErrFull lets the operation fail as on a full disk.
	ErrFull = errors.New("crashfs: no space left on device")
	// ErrLie lets a sync say that it has done its work when it has done nothing: what it was to make durable is left to the next one.
	ErrLie = errors.New("crashfs: the disk says that it has synced")
)

// Short lets a write fail after its first so many bytes.
type Short struct{ Bytes int }

func (Short) Error() string { return "crashfs: a short write" }

// Flip lets a read come back with one bit changed; the next read of the same place is right. Bits count from the first byte that is read, modulo what is read.
type Flip struct{ Bit int }

func (Flip) Error() string { return "crashfs: a bit flipped" }

// Intercept has f asked before each operation, until it is nil or the next [FS.Crash] or [FS.Kill]. What f returns is what becomes of the
// operation: nil, that it happens; one of this package's errors; or any other, which is the operation's error. f may block, as a slow disk does, and
// may call the file system's methods. Several goroutines may call it at once.
func (fs *FS) Intercept(f func(Op) error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.intercept = f
}

// ask asks whoever intercepts what becomes of an operation.
func (fs *FS) ask(op Op) error {
	fs.mu.Lock()
	f := fs.intercept
	fs.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(op)
}

// outcome is the error that SQLite is given for one of this package's.
func outcome(err, failure error) error {
	switch {
	case errors.Is(err, ErrIO):
		return failure
	case errors.Is(err, ErrFull):
		return sqlite3.FULL
	}
	return err
}

// Nth lets the n-th operation of a kind, counted from 1, come to err, on files whose names end in suffix. For [FS.Intercept].
func Nth(n int, kind Kind, suffix string, err error) func(Op) error {
	var seen atomic.Int64
	return func(op Op) error {
		if op.Kind == kind && strings.HasSuffix(op.Name, suffix) && seen.Add(1) == int64(n) {
			return err
		}
		return nil
	}
}

// Every lets every operation of a kind come to err, on files whose names end in suffix. For [FS.Intercept].
func Every(kind Kind, suffix string, err error) func(Op) error {
	return func(op Op) error {
		if op.Kind == kind && strings.HasSuffix(op.Name, suffix) {
			return err
		}
		return nil
	}
}

// Hold lets the next operation of a kind wait, on a file whose name ends in suffix. It returns what to give to [FS.Intercept], a channel that is
// closed when the operation is there, and what lets it go on.
func Hold(kind Kind, suffix string) (f func(Op) error, reached <-chan struct{}, release func()) {
	there, gate := make(chan struct{}), make(chan struct{})
	var once atomic.Bool
	return func(op Op) error {
		if op.Kind == kind && strings.HasSuffix(op.Name, suffix) && once.CompareAndSwap(false, true) {
			close(there)
			<-gate
		}
		return nil
	}, there, sync.OnceFunc(func() { close(gate) })
}

// Rot changes one bit of what a file has, durably, as a disk does that forgets: bits count from the file's first byte, modulo its size. It
// reports whether there was one to change.
func (fs *FS) Rot(name string, bit int64) bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	d := fs.files[name]
	if d == nil || len(d.now) == 0 {
		return false
	}
	at, mask := int(bit/8)%len(d.now), byte(1)<<(bit%8)
	d.now[at] ^= mask
	if at < len(d.durable) {
		d.durable[at] ^= mask
	}
	return true
}
