package sqlitelog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/ncruces/go-sqlite3/vfs"
)

// restoringSuffix is of a database that is being restored. A directory that has it and no database is not opened.
const restoringSuffix = ".restoring"

// ErrNotEmpty is returned by [Restore] for a directory that has something in it.
var ErrNotEmpty = errors.New("the directory is not empty")

// Restore makes the directory of config of a backup, which it reads to its end: with all that this release needs, and changed by mark, which
// is given the log before it has its name. The directory must be empty, or not there; what a restore left that was cut off does not count. A
// backup that is cut short, damaged, not Skerry's, or of a newer release, is refused. After an error the directory is as it was. A crash leaves
// all of it or nothing that a server would take for data.
func Restore(ctx context.Context, config Config, backup io.Reader, mark func(context.Context, *Log) error) (err error) {
	if err := config.validate(); err != nil {
		return err
	}
	made, err := emptyDir(&config)
	if err != nil {
		return fmt.Errorf("restore into %s: %w", config.Dir, err)
	}
	if err := makeDir(config.Dir); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	unlock, err := lockDir(config.Dir)
	if err != nil {
		return fmt.Errorf("lock %s: %w", config.Dir, err)
	}
	final := newLog(config)
	staged := config
	staged.file = FileName + restoringSuffix
	s := newLog(staged)
	err = s.clear()
	if err == nil {
		if err = s.stage(ctx, backup, mark); err == nil {
			err = config.rename(s.path, final.path)
		}
		if err == nil {
			err = config.syncDir(config.Dir)
		} else {
			err = errors.Join(err, s.clear())
		}
	}
	err = errors.Join(err, unlock())
	if err != nil && made {
		removeEmpty(config.Dir)
	}
	if err != nil {
		return fmt.Errorf("restore into %s: %w", config.Dir, err)
	}
	return nil
}

// emptyDir returns an error if there is something in the directory, and whether there is no directory.
func emptyDir(config *Config) (missing bool, err error) {
	entries, err := os.ReadDir(config.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	for _, entry := range entries {
		name := entry.Name()
		ours := name == lockName || strings.HasPrefix(name, FileName+restoringSuffix) // and what SQLite and a migration have beside it
		if !ours && config.vfs == "" {
			return false, fmt.Errorf("%w: it has %s", ErrNotEmpty, name)
		}
	}
	if err == nil && newLog(*config).exists("") {
		err = ErrNotEmpty
	}
	return false, err
}

// stage writes a backup to the log's own file, and makes of it what a server can begin with.
func (l *Log) stage(ctx context.Context, backup io.Reader, mark func(context.Context, *Log) error) error {
	if err := l.receive(ctx, backup); err != nil {
		return err
	}
	if err := l.checkFile(l.path, l.uri("mode", "ro", "immutable", "1")); err != nil {
		return err
	}
	log, err := openLocked(l.config)
	if err != nil {
		return err
	}
	if mark != nil {
		err = mark(ctx, log)
	}
	if err := errors.Join(err, log.Close()); err != nil {
		return err
	}
	if l.exists("-wal") {
		return errors.New("somebody else has it open")
	}
	f, err := l.openFile(l.path, true)
	if err != nil {
		return err
	}
	return errors.Join(f.sync(), f.Close())
}

// receive copies a backup to the log's own file.
func (l *Log) receive(ctx context.Context, backup io.Reader) (err error) {
	f, err := l.openFile(l.path, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	block, at, want := make([]byte, 1<<20), int64(0), int64(-1)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.ReadFull(backup, block)
		if at == 0 {
			if want = databaseSize(block[:n]); want < 0 {
				return errors.New("this is no backup: it does not begin as one does")
			}
		}
		if n > 0 {
			if _, err := f.WriteAt(block[:n], at); err != nil {
				return err
			}
			at += int64(n)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read the backup: %w", err)
		}
	}
	if at != want {
		return fmt.Errorf("the backup has %d bytes, and says of itself that it has %d: it was cut short, or something was added", at, want)
	}
	return f.sync()
}

// databaseSize returns how many bytes a database has by its header, -1 if that is none.
func databaseSize(header []byte) int64 {
	if len(header) < 100 || !bytes.HasPrefix(header, []byte("SQLite format 3\x00")) {
		return -1
	}
	page := int64(binary.BigEndian.Uint16(header[16:]))
	if page == 1 {
		page = 1 << 16
	}
	return page * int64(binary.BigEndian.Uint32(header[28:]))
}

// clear removes the log's own files.
func (l *Log) clear() error {
	for _, suffix := range []string{failedSuffix, "-wal", "-shm", "-journal", ""} {
		if !l.exists(suffix) {
			continue
		}
		if err := vfs.Find(l.config.vfs).Delete(l.path+suffix, false); err != nil {
			return fmt.Errorf("remove %s: %w", l.path+suffix, err)
		}
	}
	return l.removeBefore()
}

// removeEmpty removes a directory that was made for nothing.
func removeEmpty(dir string) {
	remove(dir + string(os.PathSeparator) + lockName)
	os.Remove(dir)
}
