package sqlitelog

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ncruces/go-sqlite3"

	"skerry/shared/space"
	"skerry/syncserver"
)

// A group ends at either limit, so that nobody waits for a commit that never comes.
const (
	maxGroup      = 1024
	maxGroupBytes = 16 << 20
)

// settleWaits is how long opening waits for others to end what they read.
const settleWaits = time.Second

// request is one call that changes something. do runs inside a transaction. An error from it means that SQLite
// failed: a refusal is left in the caller's variables, having changed nothing, and counts as done.
type request struct {
	do   func(*writer) error
	size int // about how many bytes it writes

	state atomic.Int32 // waiting, begun or cancelled
	done  chan error
}

const (
	waiting = iota
	begun
	cancelled
)

// write has the writer run do in the next transaction, and returns once that is durable. When it fails do may
// have run, or run twice: it must set all that it leaves behind from the beginning.
func (l *Log) write(ctx context.Context, size int, do func(*writer) error) error {
	if err := l.enter(ctx); err != nil {
		return err
	}
	defer l.calls.RUnlock()
	if l.queue == nil {
		return ErrReadOnly
	}
	r := &request{do: do, size: size, done: make(chan error, 1)}
	select {
	case l.queue <- r:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		if r.state.CompareAndSwap(waiting, cancelled) {
			return ctx.Err()
		}
		return <-r.done
	}
}

// writer is the one goroutine that changes the database, and what it knows of it.
type writer struct {
	log  *Log
	conn *conn // nil after a commit failed, until it is opened again

	// What was read or written in committed transactions and in this one; forgotten when one fails.
	heads   map[space.ID]*tip
	origins map[origin]int64

	dirty []*tip // heads that this transaction changed

	written map[share]int64 // bytes that this transaction has added

	charges int // since limits were swept
}

// tip is where a space ends.
type tip struct {
	id    space.ID
	no    int64
	head  space.Head
	dirty bool
}

// share is what one author has written to one space.
type share struct {
	author string
	space  int64
}

// maxCached bounds what the writer and the log remember of spaces and origins; beyond it they start over.
const maxCached = 1 << 16

// open opens the connection for writing.
func (w *writer) open() error {
	c, err := w.log.connect(sqlite3.OPEN_READWRITE|sqlite3.OPEN_CREATE, w.log.uri(), writerPragmas)
	if err != nil {
		return err
	}
	mode := ""
	_, err = c.row("PRAGMA journal_mode", func(s *sqlite3.Stmt) { mode = s.ColumnText(0) })
	if err == nil && mode != "wal" {
		err = fmt.Errorf("open %s: the journal mode is %q, not wal", w.log.path, mode)
	}
	if err == nil { // makes the write-ahead log if there is none
		_, err = c.row("SELECT count(*) FROM sqlite_schema", func(*sqlite3.Stmt) {})
	}
	if err == nil {
		// SQLite leaves two names to chance: that of the write-ahead log, and that of the rollback journal with
		// which the database was made. Should the journal come back after a loss of power, it would undo it all.
		err = w.log.config.syncDir(w.log.config.Dir)
	}
	if err == nil {
		err = settle(c)
	}
	if err != nil {
		return errors.Join(err, c.close())
	}
	c.WALHook(w.copyBack)
	w.conn = c
	w.forget()
	return nil
}

// settle makes durable what an opened database shows, before anybody is told of it. After a sync has failed, a system goes on to show what never
// reached the disk, and the next sync does not mention it: so whoever opens a write-ahead log that was left, by another process or by this one's
// connection of before, cannot know that what is in it is on the disk. Copying all of it into the database writes it again, and syncs that.
//
// Somebody else may be reading (Litestream never ends to): then the log cannot be emptied, and need not be. What their index of it shows was synced.
func settle(c *conn) error {
	err := c.BusyTimeout(settleWaits)
	if err == nil {
		_, _, err = c.WALCheckpoint("main", sqlite3.CHECKPOINT_TRUNCATE)
	}
	if errors.Is(err, sqlite3.BUSY) {
		err = nil
	}
	if err = errors.Join(err, c.BusyTimeout(busyTimeout)); err != nil {
		err = fmt.Errorf("write again what the write-ahead log has: %w", err)
	}
	return err
}

// copyBack copies the write-ahead log back into the database when it is long enough. SQLite would do so itself, and keep to itself that it failed: then the
// log grows, and the next commit tries again with all that was not synced.
func (w *writer) copyBack(db *sqlite3.Conn, schema string, pages int) error {
	if pages < w.log.config.checkpoint {
		return nil
	}
	if _, _, err := db.WALCheckpoint(schema, sqlite3.CHECKPOINT_PASSIVE); err != nil && !errors.Is(err, sqlite3.BUSY) {
		w.log.config.Logger.Error("copying the write-ahead log into the database failed, which is tried again with the next commit", "pages", pages, "error", err)
	}
	return nil
}

// forget drops all that was not read from committed data for sure.
func (w *writer) forget() {
	w.heads = map[space.ID]*tip{}
	w.origins = map[origin]int64{}
	w.written = map[share]int64{}
	w.dirty = w.dirty[:0]
}

// run writes until the queue is closed, and closes the connection.
func (w *writer) run() error {
	group := make([]*request, 0, maxGroup)
	for first := range w.log.queue {
		group, size := append(group[:0], first), first.size
	drain:
		for len(group) < maxGroup && size < maxGroupBytes {
			select {
			case r, ok := <-w.log.queue:
				if !ok {
					break drain
				}
				group = append(group, r)
				size += r.size
			default:
				break drain
			}
		}
		w.commit(group)
		clear(group)
	}
	if w.conn == nil {
		return nil
	}
	return w.conn.close()
}

// commit runs the requests of a group in one transaction, and answers them.
func (w *writer) commit(group []*request) {
	kept := group[:0]
	for _, r := range group {
		if r.state.CompareAndSwap(waiting, begun) {
			kept = append(kept, r)
		}
	}
	if len(kept) == 0 {
		return
	}
	changed, begunCommit, err := w.transact(kept)
	if err != nil && !begunCommit && len(kept) > 1 {
		// One of them cannot be stored; it must not take the others with it. Nothing was stored yet.
		for i := range kept {
			w.commit1(kept[i])
		}
		return
	}
	w.answer(kept, changed, err)
}

// commit1 runs one request in a transaction of its own.
func (w *writer) commit1(r *request) {
	changed, _, err := w.transact([]*request{r})
	w.answer([]*request{r}, changed, err)
}

// answer tells the callers, and those who watch.
func (w *writer) answer(group []*request, changed []space.ID, err error) {
	for _, r := range group {
		r.done <- err
	}
	for _, id := range changed {
		w.log.hint(id)
	}
}

// transact runs requests in one transaction. It returns which spaces grew, and whether the failure, if there was
// one, came as late as the commit, so that its outcome is unknown.
func (w *writer) transact(group []*request) (changed []space.ID, late bool, err error) {
	if w.conn == nil {
		if err := w.open(); err != nil {
			return nil, false, storageError("open", err)
		}
	}
	if err := w.run1("BEGIN IMMEDIATE"); err != nil {
		w.abandon()
		return nil, false, storageError("begin", err)
	}
	for _, r := range group {
		if err = r.do(w); err != nil {
			break
		}
	}
	if err == nil {
		err = w.writeHeads()
	}
	if err == nil {
		err = w.writeUsage()
	}
	if err != nil {
		w.rollback()
		return nil, false, storageError("write", err)
	}
	if err := w.run1("COMMIT"); err != nil {
		w.log.config.Logger.Error("a commit failed: its outcome is unknown, and nothing is written until the database was opened anew", "requests", len(group), "error", err)
		w.rollback()
		w.abandon()
		// At once, so that what failed is gone before anybody is told anything: left where it is, it would be back should the process be killed.
		if openErr := w.open(); openErr != nil {
			w.log.config.Logger.Error("the log takes no writes: opening the database anew failed, which is tried again with the next", "error", openErr)
		}
		return nil, true, storageError("commit", err)
	}
	for _, t := range w.dirty {
		changed = append(changed, t.id)
		t.dirty = false
	}
	w.dirty = w.dirty[:0]
	clear(w.written)
	if len(w.heads) > maxCached || len(w.origins) > maxCached {
		w.forget()
	}
	return changed, false, nil
}

// run1 executes a statement that never changes.
func (w *writer) run1(sql string) error { return w.conn.exec(sql) }

// rollback ends a transaction that failed. SQLite may have ended it already.
func (w *writer) rollback() {
	w.forget()
	if !w.conn.GetAutocommit() {
		if err := w.run1("ROLLBACK"); err != nil {
			w.log.config.Logger.Error("a rollback failed", "error", err)
			w.abandon()
		}
	}
}

// abandon closes a connection that is not to be trusted any more; the next transaction opens another.
func (w *writer) abandon() {
	w.forget()
	if w.conn == nil {
		return
	}
	if err := w.conn.close(); err != nil {
		w.log.config.Logger.Error("closing the writer's connection failed", "error", err)
	}
	w.conn = nil
}

// storageError names what failed, and tells a full disk by the interface's error.
func storageError(what string, err error) error {
	// Only SQLite's own code counts: the system's ENOSPC from an fsync would leave the outcome open.
	if errors.Is(err, sqlite3.FULL) {
		return fmt.Errorf("%s: %w: %w", what, syncserver.ErrFull, err)
	}
	if what != "commit" && errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("%s: %w: %w", what, syncserver.ErrFull, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
