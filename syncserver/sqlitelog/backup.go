package sqlitelog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// Backup writes all that the directory of config has to a new file, also while a server runs on it: as it was at one moment, which is when
// it begins. What has no business in a backup is not in it: what the credentials of connections claim, and what was deleted. The file is
// whole and durable, and was read through, before it has its name. If there is a file of that name Backup fails with [fs.ErrExist], and
// never writes over it. After an error, or when ctx ended, nothing is left. progress, if it is not nil, is called now and then, from another
// goroutine, with how many bytes there are of about how many.
//
// Until it ends the server's write-ahead log grows by all that is written meanwhile. The file has the server's secrets: whoever has it can
// take the server's place.
func Backup(ctx context.Context, config Config, file string, progress func(done, total int64)) (err error) {
	if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = fmt.Errorf("%s: %w", file, fs.ErrExist)
		}
		return err
	}
	l, err := OpenReadOnly(ctx, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	partial, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*.partial") // for its owner alone to read
	if err != nil {
		return err
	}
	name := partial.Name()
	defer func() { err = errors.Join(err, remove(name)) }()
	if err := partial.Close(); err != nil {
		return err
	}
	err = l.copyTo(ctx, name, progress)
	if err == nil {
		err = finishBackup(ctx, name)
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("back %s up: %w", l.config.Dir, err)
	}
	if err := syncFile(name); err != nil {
		return err
	}
	// A link, since a rename would take the place of a file that came meanwhile.
	if err := os.Link(name, file); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return err
		}
		if _, there := os.Lstat(file); !errors.Is(there, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w", file, fs.ErrExist)
		}
		if err := os.Rename(name, file); err != nil { // no links here
			return err
		}
	}
	return syncDir(filepath.Dir(file))
}

// copyTo has SQLite write the database anew, without what is free in it, as one reader sees it.
func (l *Log) copyTo(ctx context.Context, name string, progress func(done, total int64)) error {
	c, err := connect(l.path, sqlite3.OPEN_READONLY, l.uri("mode", "ro"), "PRAGMA temp_store = MEMORY")
	if err != nil {
		return err
	}
	total := int64(0)
	_, err = c.row("SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
		func(s *sqlite3.Stmt) { total = s.ColumnInt64(0) })
	if free, known := freeBytes(filepath.Dir(name)); err == nil && known && free < total {
		err = fmt.Errorf("it needs %d MiB of room in %s, and there are %d", total>>20+1, filepath.Dir(name), free>>20)
	}
	if err == nil {
		stop := tell(name, total, progress)
		c.SetInterrupt(ctx)
		err = c.exec("VACUUM INTO ?", name)
		c.SetInterrupt(context.Background())
		stop()
	}
	return errors.Join(err, c.close())
}

// tell tells of how large a file has become, every second until the function is called that it returns.
func tell(name string, total int64, progress func(done, total int64)) (stop func()) {
	if progress == nil {
		return func() {}
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if info, err := os.Stat(name); err == nil {
					progress(info.Size(), max(total, info.Size()))
				}
			case <-end:
				return
			}
		}
	}()
	return func() { close(end); <-ended }
}

// finishBackup takes out of a copy what does not belong in it, and reads it through.
func finishBackup(ctx context.Context, name string) error {
	c, err := connect(name, sqlite3.OPEN_READWRITE, nil, "PRAGMA journal_mode = MEMORY; PRAGMA secure_delete = ON")
	if err != nil {
		return err
	}
	c.SetInterrupt(ctx)
	tables, err := tableNames(c)
	for _, table := range tables {
		// Who is connected stays, as after a crash: a server that begins with the backup writes off each of them once.
		if table == "st_connection_credentials" && err == nil {
			err = c.Exec("DELETE FROM st_connection_credentials")
		}
	}
	if err == nil {
		err = checkFormat(c, name, false)
	}
	if err == nil {
		err = checkIntegrity(c)
	}
	c.SetInterrupt(context.Background())
	return errors.Join(err, c.close())
}

func syncFile(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// remove removes a file, if it is there.
func remove(name string) error {
	if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
