package sqlitelog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"runtime"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// compactingSuffix is of the file that takes the place of the database.
const compactingSuffix = ".compacting"

var errReading = errors.New("somebody reads the data: try again when they have ended")

// Compact makes the database in the directory of config as small as what it has: what was deleted, or has expired, takes room in it until
// then, to be used again, and its bytes may still be there. No server may use the directory ([ErrLocked]), and nobody read it. It needs
// room for what is left, beside the database; it returns how many bytes the database had and has. The new one is whole and durable, and
// was read through, before it takes the place of the old one: after an error, or a crash at any time, one of the two is there. progress, if it
// is not nil, is called now and then, from another goroutine, with how many bytes there are of about how many.
func Compact(ctx context.Context, config Config, progress func(done, total int64)) (before, after int64, err error) {
	if err := config.validate(); err != nil {
		return 0, 0, err
	}
	if _, err := os.Stat(config.Dir); err != nil {
		return 0, 0, err
	}
	unlock, err := lockDir(config.Dir)
	if err != nil {
		return 0, 0, fmt.Errorf("lock %s: %w", config.Dir, err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	l := newLog(config)
	if !l.exists("") {
		return 0, 0, fmt.Errorf("%s: %w", l.path, fs.ErrNotExist)
	}
	w, err := l.openWriter()
	if err == nil {
		before, after, err = l.compact(ctx, w.conn, progress)
	}
	if err == nil {
		return before, after, nil
	}
	if errors.Is(err, sqlite3.BUSY) {
		err = errors.Join(errReading, err)
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return before, before, fmt.Errorf("compact %s: %w", config.Dir, errors.Join(err, l.removeCompacting()))
}

// compact puts another database in the place of the one that c is open on, and closes c.
func (l *Log) compact(ctx context.Context, c *conn, progress func(done, total int64)) (before, after int64, err error) {
	closed := false
	defer func() {
		if !closed {
			err = errors.Join(err, c.close())
		}
	}()
	// Without its write-ahead log the database is one file, and nobody else has it open.
	mode := ""
	if err = c.BusyTimeout(time.Second); err != nil {
		return 0, 0, err
	}
	if _, err = c.row("PRAGMA journal_mode = DELETE", func(s *sqlite3.Stmt) { mode = s.ColumnText(0) }); err != nil || mode != "delete" {
		return 0, 0, errors.Join(errReading, err)
	}
	total := int64(0)
	_, err = c.row("SELECT page_count * page_size, (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
		func(s *sqlite3.Stmt) { before, total = s.ColumnInt64(0), s.ColumnInt64(1) })
	if err != nil {
		return before, 0, err
	}
	if free, known := l.config.free(l.config.Dir); known && free < total {
		return before, 0, fmt.Errorf("it needs %d MiB of room for what is left, and there are %d", total>>20+1, free>>20)
	}
	if err = l.removeCompacting(); err != nil {
		return before, 0, err
	}
	name := url.URL{Scheme: "file", Path: l.path + compactingSuffix, RawQuery: l.uri("mode", "rwc").Encode(), OmitHost: true}
	stop := tell(l.path+compactingSuffix, total, progress)
	c.SetInterrupt(ctx)
	err = c.exec("VACUUM INTO ?", name.String())
	c.SetInterrupt(context.Background())
	if stop(); err == nil {
		err = l.settle(l.path + compactingSuffix)
	}
	if err == nil {
		after, err = l.sizeOf(l.path + compactingSuffix)
	}
	if err == nil {
		err = c.exec("BEGIN EXCLUSIVE") // who comes now waits, and then reads the old one to the end
	}
	if err == nil && runtime.GOOS == "windows" {
		closed, err = true, c.close() // where what is open has to stay
	}
	if err == nil {
		err = l.config.rename(l.path+compactingSuffix, l.path)
	}
	if err == nil {
		err = l.config.syncDir(l.config.Dir)
	}
	return before, after, err
}

// settle sees that a copy of the database is durable, and nothing is beside it that would undo it, and reads it through.
func (l *Log) settle(name string) error {
	f, err := l.openFile(name, true)
	if err != nil {
		return err
	}
	if err = errors.Join(f.sync(), f.Close(), l.config.syncDir(l.config.Dir)); err != nil {
		return err
	}
	return l.checkFile(name, l.uri("mode", "ro", "immutable", "1"))
}

// sizeOf returns how many bytes a database has.
func (l *Log) sizeOf(name string) (size int64, err error) {
	c, err := connect(name, sqlite3.OPEN_READONLY, l.uri("mode", "ro", "immutable", "1"), "")
	if err != nil {
		return 0, err
	}
	_, err = c.row("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", func(s *sqlite3.Stmt) { size = s.ColumnInt64(0) })
	return size, errors.Join(err, c.close())
}

// removeCompacting removes what a Compact has left that was cut off.
func (l *Log) removeCompacting() error {
	for _, suffix := range []string{"-journal", "-wal", "-shm", ""} {
		if !l.exists(compactingSuffix + suffix) {
			continue
		}
		if err := vfs.Find(l.config.vfs).Delete(l.path+compactingSuffix+suffix, false); err != nil {
			return fmt.Errorf("remove %s: %w", l.path+compactingSuffix+suffix, err)
		}
	}
	return nil
}
