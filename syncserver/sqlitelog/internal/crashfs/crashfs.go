// Package crashfs is a file system in memory for SQLite, and for what programs do to files around it, that forgets what was not
// synced and fails on command.
//
// [New] registers one; a database is opened on it with the URI parameter vfs and [FS.Name]. Reads see every write,
// as they do through a page cache.
//
// # The end of a process, and of the power
//
// [FS.Crash] is a loss of power: of what was written since a file's last sync
// nothing is left, or a random part, in sectors. [FS.CrashAfter] loses the power in the middle of things: from the n-th change
// on every call fails, until Crash turns it on again; [FS.Changes] tells how many there were, so that a test can go through
// all of them:
//
//	for n := 1; ; n++ {
//		fs := base.Clone()        // what was there before
//		...                       // open
//		fs.CrashAfter(n)
//		err := operation()        // nil: acknowledged
//		done := fs.Changes() < n  // it needed fewer: all were tried
//		fs.Crash(nil)             // or Crash(rng), or Kill()
//		...                       // open again, and look
//	}
//
// [FS.Kill] is the end of the process alone (kill -9): nothing is lost, but nobody has anything open any more, and the
// index of the write-ahead log is forgotten. What was not synced is still not durable: a later Crash loses it, also when somebody has read it since.
//
// # Faults
//
// [FS.Intercept] decides what becomes of each operation: it happens, fails ([ErrIO], [ErrFull], [Short]), comes back with a bit changed ([Flip]), says
// that it has synced when it has not ([ErrLie]), or waits. [Nth], [Every] and [Hold] make such functions. [FS.FailSync] makes syncs fail the way
// Linux does it, as an intercepted sync does that fails: what
// they should have written stays readable, is never written, and later syncs do not mention it. [FS.SetCapacity]
// makes the disk small. [FS.Rot] changes a bit for good.
//
// # Names
//
// The names of files are kept by [FS.SyncDir], those of new ones also by a sync of the file; a file that was deleted or renamed
// may have its old name after a crash. [FS.Rename], [FS.Remove], [FS.WriteFile], [FS.SyncFile], [FS.ReadFile], [FS.Exists] and [FS.Names] are what a backup, a
// migration or a restore needs beside SQLite; their writes, renames and syncs count as changes.
//
// The index of the write-ahead log is memory shared through a real file in a directory of the test's, as in
// production, so that several connections work at once. For tests only; nothing is stable.
package crashfs

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"
)

// sector is the piece of a write that a disk writes whole.
const sector = 512

var names atomic.Int64

// FS is a file system.
type FS struct {
	name string
	dir  string // for shared memory

	mu       sync.Mutex
	boot     int // counts crashes; files opened before the last one are dead
	files    map[string]*data
	deleted  map[string]*data // whose deletion is not durable
	renames  []rename         // that are not durable
	changes  int              // since the last crash
	stopAt   int              // the change at which the power is lost, 0 for never
	failSync int              // the sync that fails, counting down; 0 for none
	capacity int              // 0 for no limit

	intercept func(Op) error // nil for nobody
}

// data is the content of a file.
type data struct {
	now     []byte // what a read sees
	durable []byte // what was synced
	linked  bool   // whether its name was made durable
	pending []change

	shared   int
	reserved *file
}

// change is a write, or the truncation to a size if bytes is nil.
type change struct {
	at    int64
	bytes []byte
}

// New registers a new file system, which uses dir for shared memory.
func New(dir string) *FS {
	fs := &FS{
		name: fmt.Sprint("crash", names.Add(1)), dir: dir,
		files: map[string]*data{}, deleted: map[string]*data{},
	}
	vfs.Register(fs.name, (*system)(fs))
	return fs
}

// Name returns what to give SQLite as vfs.
func (fs *FS) Name() string { return fs.name }

// Unregister takes the file system away from SQLite.
func (fs *FS) Unregister() { vfs.Unregister(fs.name) }

// CrashAfter loses the power at the n-th change from now; 0 takes that back.
func (fs *FS) CrashAfter(n int) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.changes, fs.stopAt = 0, n
}

// Changes returns how many writes, truncations, deletions and syncs there were since the last crash or CrashAfter.
func (fs *FS) Changes() int {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.changes
}

// FailSync makes the n-th sync from now fail; 0 takes that back.
func (fs *FS) FailSync(n int) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.failSync = n
}

// SyncFailed reports whether the sync that [FS.FailSync] named has come.
func (fs *FS) SyncFailed() bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.failSync == 0
}

// SetCapacity sets how many bytes all files may have together; 0 is no limit.
func (fs *FS) SetCapacity(bytes int) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.capacity = bytes
}

// SyncDir makes the names of all files durable, and that deleted ones are gone.
func (fs *FS) SyncDir(dir string) error {
	if err := fs.ask(Op{Kind: SyncDir, Name: dir}); err != nil {
		return outcome(err, sqlite3.IOERR_DIR_FSYNC)
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if !fs.changeLocked() {
		return sqlite3.IOERR_DIR_FSYNC
	}
	clear(fs.deleted)
	fs.renames = nil
	for _, d := range fs.files {
		d.linked = true
	}
	return nil
}

// Used returns how many bytes all files have together.
func (fs *FS) Used() int {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.usedLocked()
}

func (fs *FS) usedLocked() (n int) {
	for _, d := range fs.files {
		n += len(d.now)
	}
	return n
}

// Crash loses the power and turns it on again. With a nil rng everything that was not synced is lost, otherwise
// each write is lost, kept, or kept in some of its sectors. Either way a deletion that was not synced may be undone.
func (fs *FS) Crash(rng *rand.Rand) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.rebootLocked()
	fs.undoLocked(rng)
	if rng != nil {
		for name, d := range fs.deleted {
			if fs.files[name] == nil && rng.IntN(2) == 0 {
				fs.files[name] = d
			}
		}
	}
	clear(fs.deleted)
	for name, d := range fs.files {
		if !d.linked && (rng == nil || rng.IntN(2) == 0) {
			delete(fs.files, name)
			continue
		}
		after := &data{durable: d.durable, linked: true}
		for _, c := range d.pending {
			if rng != nil {
				after.durable = c.tear(after.durable, rng)
			}
		}
		after.now = append([]byte(nil), after.durable...)
		fs.files[name] = after
	}
}

// Kill ends the process and leaves the power on.
func (fs *FS) Kill() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.rebootLocked()
	for name, d := range fs.files {
		fs.files[name] = d.copy() // nobody has a lock on it
	}
}

// rebootLocked ends all that anybody has open, and everything that was to fail.
func (fs *FS) rebootLocked() {
	fs.boot++
	fs.changes, fs.stopAt, fs.failSync, fs.intercept = 0, 0, 0, nil
}

// copy returns the same content with no lock on it.
func (d *data) copy() *data {
	return &data{now: slices.Clone(d.now), durable: slices.Clone(d.durable), linked: d.linked, pending: slices.Clone(d.pending)}
}

// apply returns content as it is after c.
func (c change) apply(content []byte) []byte {
	if end := int(c.at) + len(c.bytes); c.bytes == nil && end < len(content) {
		return content[:end]
	} else if end > len(content) {
		content = append(content, make([]byte, end-len(content))...)
	}
	copy(content[c.at:], c.bytes)
	return content
}

// tear returns content as a crash may leave it that came while c was on its way.
func (c change) tear(content []byte, rng *rand.Rand) []byte {
	switch rng.IntN(3) {
	case 0:
		return content
	case 1:
		return c.apply(content)
	}
	for from := 0; from < len(c.bytes); from += sector {
		if rng.IntN(2) == 0 {
			to := min(from+sector, len(c.bytes))
			content = change{c.at + int64(from), c.bytes[from:to]}.apply(content)
		}
	}
	return content
}

// changeLocked counts a change, and reports whether there is still power for it.
func (fs *FS) changeLocked() bool {
	fs.changes++
	return fs.poweredLocked()
}

func (fs *FS) poweredLocked() bool { return fs.stopAt == 0 || fs.changes < fs.stopAt }

// system is an FS as SQLite sees it.
type system FS

// Open implements vfs.VFS.
func (s *system) Open(name string, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	if name == "" || flags&(vfs.OPEN_TEMP_DB|vfs.OPEN_TEMP_JOURNAL|vfs.OPEN_SUBJOURNAL|vfs.OPEN_TRANSIENT_DB) != 0 {
		return &vfsutil.SliceFile{}, flags | vfs.OPEN_MEMORY, nil
	}
	fs := (*FS)(s)
	fs.mu.Lock()
	defer fs.mu.Unlock()
	d := fs.files[name]
	if d == nil {
		if flags&vfs.OPEN_CREATE == 0 || !fs.poweredLocked() {
			return nil, flags, sqlite3.CANTOPEN
		}
		d = &data{}
		fs.files[name] = d
	}
	shm := vfs.NewSharedMemory(filepath.Join(fs.dir, fmt.Sprintf("%s-%d-shm", fs.name, fs.boot)), flags)
	return &file{fs: fs, name: name, data: d, boot: fs.boot, shm: shm}, flags, nil
}

// Delete implements vfs.VFS.
func (s *system) Delete(name string, syncDir bool) error {
	fs := (*FS)(s)
	if err := fs.ask(Op{Kind: Delete, Name: name}); err != nil {
		return outcome(err, sqlite3.IOERR_DELETE)
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	d := fs.files[name]
	if d == nil {
		return sqlite3.IOERR_DELETE_NOENT
	}
	if !fs.changeLocked() {
		return sqlite3.IOERR_DELETE
	}
	delete(fs.files, name)
	if !syncDir {
		fs.deleted[name] = d
	}
	return nil
}

// Access implements vfs.VFS.
func (s *system) Access(name string, _ vfs.AccessFlag) (bool, error) {
	fs := (*FS)(s)
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.files[name] != nil, nil
}

// FullPathname implements vfs.VFS.
func (s *system) FullPathname(name string) (string, error) { return name, nil }

// file is an open file.
type file struct {
	fs   *FS
	name string
	data *data
	boot int
	shm  vfs.SharedMemory
	lock vfs.LockLevel
}

var _ vfs.FileSharedMemory = (*file)(nil)

// aliveLocked reports whether the file may still be used.
func (f *file) aliveLocked() bool { return f.boot == f.fs.boot && f.fs.poweredLocked() }

func (f *file) ReadAt(b []byte, off int64) (n int, err error) {
	if err := f.fs.ask(Op{Kind: Read, Name: f.name, Offset: off, Size: len(b)}); err != nil {
		flip, ok := errors.AsType[Flip](err)
		if !ok {
			return 0, outcome(err, sqlite3.IOERR_READ)
		}
		defer func() {
			if n > 0 {
				b[flip.Bit/8%n] ^= 1 << (flip.Bit % 8)
			}
		}()
	}
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if !f.aliveLocked() {
		return 0, sqlite3.IOERR_READ
	}
	if off < int64(len(f.data.now)) {
		n = copy(b, f.data.now[off:])
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) WriteAt(b []byte, off int64) (int, error) {
	if err := f.fs.ask(Op{Kind: Write, Name: f.name, Offset: off, Size: len(b)}); err != nil {
		if short, ok := errors.AsType[Short](err); ok {
			n := min(short.Bytes, len(b))
			if failed := f.change(change{off, append([]byte{}, b[:n]...)}, sqlite3.IOERR_WRITE); failed != nil {
				return 0, failed
			}
			return n, sqlite3.IOERR_WRITE
		}
		return 0, outcome(err, sqlite3.IOERR_WRITE)
	}
	if err := f.change(change{off, append([]byte{}, b...)}, sqlite3.IOERR_WRITE); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (f *file) Truncate(size int64) error {
	if err := f.fs.ask(Op{Kind: Truncate, Name: f.name, Offset: size}); err != nil {
		return outcome(err, sqlite3.IOERR_TRUNCATE)
	}
	return f.change(change{at: size}, sqlite3.IOERR_TRUNCATE)
}

func (f *file) change(c change, failure error) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if !f.fs.changeLocked() || !f.aliveLocked() {
		return failure
	}
	if grows := int(c.at) + len(c.bytes) - len(f.data.now); f.fs.capacity > 0 && grows > 0 && f.fs.usedLocked()+grows > f.fs.capacity {
		return sqlite3.FULL
	}
	f.data.now = c.apply(f.data.now)
	f.data.pending = append(f.data.pending, c)
	return nil
}

func (f *file) Sync(vfs.SyncFlag) error {
	asked := f.fs.ask(Op{Kind: Sync, Name: f.name})
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if !f.fs.changeLocked() || !f.aliveLocked() {
		return sqlite3.IOERR_FSYNC
	}
	if f.fs.failSync > 0 {
		if f.fs.failSync--; f.fs.failSync == 0 {
			asked = ErrIO
		}
	}
	if errors.Is(asked, ErrLie) {
		return nil
	}
	if asked != nil {
		f.data.pending = nil
		return outcome(asked, sqlite3.IOERR_FSYNC)
	}
	for _, c := range f.data.pending {
		f.data.durable = c.apply(f.data.durable)
	}
	f.data.pending, f.data.linked = nil, true
	return nil
}

func (f *file) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if !f.aliveLocked() {
		return 0, sqlite3.IOERR_FSTAT
	}
	return int64(len(f.data.now)), nil
}

func (f *file) Close() error {
	if f.shm != nil {
		f.shm.Close()
	}
	return f.Unlock(vfs.LOCK_NONE)
}

func (f *file) Lock(level vfs.LockLevel) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	d := f.data
	switch {
	case !f.aliveLocked():
		return sqlite3.IOERR_LOCK
	case f.lock >= level:
		return nil
	case d.reserved != nil && d.reserved != f && (level > vfs.LOCK_SHARED || d.reserved.lock == vfs.LOCK_EXCLUSIVE):
		return sqlite3.BUSY
	case level == vfs.LOCK_EXCLUSIVE && d.shared > 1:
		return sqlite3.BUSY
	}
	if f.lock == vfs.LOCK_NONE {
		d.shared++
	}
	if level > vfs.LOCK_SHARED {
		d.reserved = f
	}
	f.lock = level
	return nil
}

func (f *file) Unlock(level vfs.LockLevel) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.lock <= level {
		return nil
	}
	if f.data.reserved == f {
		f.data.reserved = nil
	}
	if level == vfs.LOCK_NONE {
		f.data.shared--
	}
	f.lock = level
	return nil
}

func (f *file) CheckReservedLock() (bool, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return f.data.reserved != nil, nil
}

func (f *file) SectorSize() int { return 4096 }

// DeviceCharacteristics tells what the real file system tells as well: writing some bytes spares their neighbours.
func (f *file) DeviceCharacteristics() vfs.DeviceCharacteristic {
	return vfs.IOCAP_POWERSAFE_OVERWRITE | vfs.IOCAP_SUBPAGE_READ
}

// SharedMemory implements vfs.FileSharedMemory.
func (f *file) SharedMemory() vfs.SharedMemory { return f.shm }
