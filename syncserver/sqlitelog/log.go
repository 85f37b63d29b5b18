package sqlitelog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/ncruces/go-sqlite3"

	"skerry/shared/space"
	"skerry/syncserver"
)

// FileName is the name of the database in its directory.
const FileName = "skerry.db"

var (
	// ErrReadOnly is returned by every changing method of a log from [OpenReadOnly].
	ErrReadOnly = errors.New("the log was opened for reading only")
	// ErrLocked is returned by [Open] while another process, or another Log, serves the directory.
	ErrLocked = errors.New("the data directory is in use by another server")
	// ErrClosed is returned by every method after [Log.Close].
	ErrClosed = errors.New("the log is closed")
)

// Config says where a log is kept. Dir is required, the zero values of the rest are useful.
type Config struct {
	Dir     string       // made if it does not exist
	Logger  *slog.Logger // discards if nil
	Readers int          // connections for reading at a time; 0 for as many as there are processors, at least 4

	// In tests: the file system that SQLite uses (Dir is locked all the same), what makes the names in a directory
	// durable there, and after how many pages the write-ahead log is copied back.
	vfs        string
	syncDir    func(dir string) error
	checkpoint int
	rename     func(from, to string) error

	file string // the name of the database, if it is not FileName

	// In tests: the migrations, the format version that they lead to, and how much room there is.
	migrations []migration
	version    int
	free       func(dir string) (bytes int64, known bool)
}

func (c *Config) validate() error {
	if c.Dir == "" {
		return errors.New("sqlitelog: Config.Dir is empty")
	}
	if c.Readers < 0 {
		return errors.New("sqlitelog: Config.Readers is negative")
	}
	if c.Readers == 0 {
		c.Readers = max(4, runtime.GOMAXPROCS(0))
	}
	if c.syncDir == nil {
		c.syncDir = syncDir
	}
	if c.checkpoint == 0 {
		c.checkpoint = 8000
	}
	if c.rename == nil {
		c.rename = os.Rename
	}
	if c.file == "" {
		c.file = FileName
	}
	if c.version == 0 {
		c.migrations, c.version = migrations, formatVersion
	}
	if c.free == nil {
		c.free = freeBytes
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Log is a log in a SQLite database. Make one with [Open] or [OpenReadOnly].
type Log struct {
	config  Config
	path    string
	unlock  func() error
	readers chan *reader // an idle connection, or nil where none was opened yet

	queue      chan *request // nil when reading only
	writerDone chan error

	// calls is held for reading by every call, so that Close waits for them; it guards closed.
	calls  sync.RWMutex
	closed bool

	// numbersMu guards numbers, which maps committed spaces to their numbers. They never change.
	numbersMu sync.RWMutex
	numbers   map[space.ID]int64

	// openMu guards what the last failure to open a connection was, and when to try again.
	openMu  sync.Mutex
	openErr error
	openAt  time.Time

	// watchesMu guards watches.
	watchesMu sync.Mutex
	watches   map[*watch]struct{}
}

var _ syncserver.Log = (*Log)(nil)

// Open opens the log in config.Dir for reading and writing, and makes it if it is not there. It fails with
// [ErrLocked] if somebody else serves it, and with a [*FormatError] if it needs a newer release.
func Open(ctx context.Context, config Config) (*Log, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := makeDir(config.Dir); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	unlock, err := lockDir(config.Dir)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", config.Dir, err)
	}
	l, err := openLocked(config)
	if err != nil {
		unlock()
		return nil, err
	}
	l.unlock = unlock
	return l, nil
}

// openLocked opens a log in a directory that is locked.
func openLocked(config Config) (*Log, error) {
	l := newLog(config)
	l.unlock = func() error { return nil }
	if config.file == FileName && !l.exists("") && l.exists(restoringSuffix) {
		return nil, fmt.Errorf("a restore into %s was cut off: restore the backup again, or delete %s", config.Dir, l.path+restoringSuffix)
	}
	w, err := l.openWriter()
	if err != nil {
		return nil, err
	}
	l.queue = make(chan *request, maxGroup)
	l.writerDone = make(chan error, 1)
	go func() { l.writerDone <- w.run() }()
	return l, nil
}

// makeDir makes a directory that survives a loss of power, if there is none.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(filepath.Clean(dir))
	if err := makeDir(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}

// OpenReadOnly opens the log in config.Dir for reading, also while a server runs. Its changing methods return
// [ErrReadOnly], and its Watch never notifies.
func OpenReadOnly(ctx context.Context, config Config) (*Log, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	l := newLog(config)
	l.unlock = func() error { return nil }
	if err := l.keptBefore(); err != nil {
		return nil, err
	}
	r, err := l.acquire(ctx)
	if err != nil {
		return nil, err
	}
	err = checkFormat(r.conn, config.Dir, false)
	l.release(r)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func newLog(config Config) *Log {
	l := &Log{
		config:  config,
		path:    filepath.Join(config.Dir, config.file),
		readers: make(chan *reader, config.Readers),
		numbers: map[space.ID]int64{},
		watches: map[*watch]struct{}{},
	}
	for range config.Readers {
		l.readers <- nil
	}
	return l
}

// openWriter checks the database without touching it, brings it up to date and returns the writer for it.
func (l *Log) openWriter() (*writer, error) {
	if err := l.keptBefore(); err != nil {
		return nil, err
	}
	if err := l.peek(); err != nil {
		return nil, err
	}
	w := &writer{log: l}
	if err := w.open(); err != nil {
		return nil, err
	}
	err := checkSQLite(w.conn)
	if err == nil {
		err = checkFormat(w.conn, l.config.Dir, true)
	}
	if err == nil {
		err = l.removeCompacting()
	}
	if err == nil {
		err = l.bringUpToDate(w.conn)
	}
	if err != nil {
		return nil, errors.Join(err, w.conn.close())
	}
	return w, nil
}

// peek refuses data that this build must not write, before anything opens it in a way that could change a byte.
func (l *Log) peek() error {
	if !l.exists("") || l.exists("-journal") {
		return nil // the journal is left of a database that was being made, which a reader could not open
	}
	query := l.uri("mode", "ro")
	if !l.exists("-wal") {
		query.Set("immutable", "1") // nobody else is here, and no index of a write-ahead log is made
	}
	index := l.exists("-shm")
	c, err := connect(l.path, sqlite3.OPEN_READONLY, query, "")
	if err == nil {
		err = errors.Join(checkFormat(c, l.config.Dir, true), c.close())
	}
	if !index && l.config.vfs == "" {
		os.Remove(l.path + "-shm") // it was ours, and there may be none
	}
	return err
}

// connect opens a connection to the log's database. After a failure it fails for a while without trying: requests
// come faster than disks recover, and each failed attempt costs the library memory that it never gives back.
func (l *Log) connect(flags sqlite3.OpenFlag, query url.Values, pragmas string) (*conn, error) {
	l.openMu.Lock()
	defer l.openMu.Unlock()
	if time.Now().Before(l.openAt) {
		return nil, l.openErr
	}
	c, err := connect(l.path, flags, query, pragmas)
	if err != nil {
		l.openErr, l.openAt = err, time.Now().Add(time.Second)
	}
	return c, err
}

// uri returns the parameters to open the database with.
func (l *Log) uri(pairs ...string) url.Values {
	query := url.Values{}
	if l.config.vfs != "" {
		query.Set("vfs", l.config.vfs)
	}
	for i := 0; i < len(pairs); i += 2 {
		query.Set(pairs[i], pairs[i+1])
	}
	return query
}

// enter begins a call. On success the caller must call l.calls.RUnlock at its end.
func (l *Log) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.calls.RLock()
	if l.closed {
		l.calls.RUnlock()
		return ErrClosed
	}
	return nil
}

// Close implements [syncserver.Log].
func (l *Log) Close() error {
	l.calls.Lock()
	defer l.calls.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	l.watchesMu.Lock()
	clear(l.watches)
	l.watchesMu.Unlock()
	var errs []error
	for range cap(l.readers) {
		if r := <-l.readers; r != nil {
			errs = append(errs, r.conn.close())
		}
	}
	if l.queue != nil {
		close(l.queue)
		errs = append(errs, <-l.writerDone) // closed last, so that it empties the write-ahead log
	}
	return errors.Join(append(errs, l.unlock())...)
}

// watch is one call of Watch. It is a pointer so that equal functions stay distinct.
type watch struct{ notify func(space.ID) }

// Watch implements [syncserver.Log]. It hears of appends through this Log only, and loses none of those.
func (l *Log) Watch(ctx context.Context, notify func(space.ID)) error {
	if err := l.enter(ctx); err != nil {
		return err
	}
	defer l.calls.RUnlock()
	w := &watch{notify}
	l.watchesMu.Lock()
	l.watches[w] = struct{}{}
	l.watchesMu.Unlock()
	context.AfterFunc(ctx, func() {
		l.watchesMu.Lock()
		defer l.watchesMu.Unlock()
		delete(l.watches, w)
	})
	return nil
}

// hint tells the watches of appends that are committed.
func (l *Log) hint(id space.ID) {
	l.watchesMu.Lock()
	defer l.watchesMu.Unlock()
	for w := range l.watches {
		w.notify(id)
	}
}
