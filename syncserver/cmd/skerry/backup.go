package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"skerry/syncserver"
	"skerry/syncserver/sqlitelog"
)

// backup writes all that a data directory has to one file, or to standard output, also while a server runs on it.
func backup(ctx context.Context, c *console, args []string) error {
	set := c.flags("backup")
	data := set.String("data", "skerry-data", "the server's data `directory`")
	if err := c.parse(set, args); err != nil {
		return err
	}
	if set.NArg() != 1 {
		return usagef("needs the name of a file that is not there yet, or - for standard output")
	}
	config, file := sqlitelog.Config{Dir: *data}, set.Arg(0)
	if file == "-" {
		return c.streamBackup(ctx, config)
	}
	if err := sqlitelog.Backup(ctx, config, file, c.progress("backed up")); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%w: a backup is never written over another file", err)
		}
		return err
	}
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	return c.print(struct {
		File  string `json:"file"`
		Bytes int64  `json:"bytes"`
	}{file, info.Size()}, "%s has all of %s, %d bytes, and is whole; it has the server's secrets", file, *data, info.Size())
}

// streamBackup writes a backup to standard output, once it is whole: it is made in the data directory first, which is as secret.
func (c *console) streamBackup(ctx context.Context, config sqlitelog.Config) (err error) {
	if out, ok := c.out.(*os.File); ok {
		if info, err := out.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 && info.Mode()&os.ModeDevice != 0 && info.Name() != filepath.Base(os.DevNull) {
			return usagef("a backup is not for a terminal: name a file, or pipe it on")
		}
	}
	dir, err := os.MkdirTemp(config.Dir, "backup-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	name := filepath.Join(dir, sqlitelog.FileName)
	if err := sqlitelog.Backup(ctx, config, name, c.progress("backed up")); err != nil {
		return err
	}
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := io.Copy(c.out, file); err != nil {
		return fmt.Errorf("the backup was not written to its end: %w", err)
	}
	return nil
}

// progress returns what tells of long work on standard error.
func (c *console) progress(what string) func(done, total int64) {
	return func(done, total int64) {
		fmt.Fprintf(c.err, "%s %d of %d MiB\n", what, done>>20, (total+1<<20-1)>>20)
	}
}

// restore makes a data directory of a backup.
func restore(ctx context.Context, c *console, args []string) error {
	set := c.flags("restore")
	data := set.String("data", "skerry-data", "the `directory` to restore into, which is empty or not there")
	moved := set.Bool("moved", false, "the backup was made when its server had stopped for good: nothing was stored since, so clients do not wait for what others may bring back")
	if err := c.parse(set, args); err != nil {
		return err
	}
	if set.NArg() != 1 {
		return usagef("needs the file of a backup, or - for standard input")
	}
	from, name := c.in, set.Arg(0)
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		from = file
	}
	mark := func(ctx context.Context, log *sqlitelog.Log) error {
		return syncserver.MarkRestored(ctx, log, time.Now())
	}
	text := "; the server that starts on it has its clients bring back what they hold beyond the backup"
	if *moved {
		mark, text = nil, ""
	}
	if err := sqlitelog.Restore(ctx, sqlitelog.Config{Dir: *data}, &counted{from: from, tell: c.progress("read")}, mark); err != nil {
		if errors.Is(err, sqlitelog.ErrNotEmpty) || errors.Is(err, sqlitelog.ErrLocked) {
			return fmt.Errorf("%w; name one that is empty, or not there, by --data", err)
		}
		return err
	}
	return c.print(struct {
		Restored string `json:"restored"`
	}{*data}, "%s is restored%s", *data, text)
}

// counted tells now and then how much was read.
type counted struct {
	from io.Reader
	tell func(done, total int64)
	read int64
	told time.Time
}

func (r *counted) Read(b []byte) (int, error) {
	n, err := r.from.Read(b)
	r.read += int64(n)
	if r.told.IsZero() {
		r.told = time.Now()
	}
	if now := time.Now(); now.Sub(r.told) > time.Second {
		r.told = now
		r.tell(r.read, r.read)
	}
	return n, err
}
