package sqlitelog

import (
	"io"
	"os"

	"github.com/ncruces/go-sqlite3/vfs"
)

// file is a file that is not SQLite's.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	sync() error
}

// openFile opens a file beside the database, by what is in the place of the file system in tests.
func (l *Log) openFile(name string, write bool) (file, error) {
	if l.config.vfs == "" {
		flags := os.O_RDONLY
		if write {
			flags = os.O_RDWR | os.O_CREATE
		}
		f, err := os.OpenFile(name, flags, 0o600)
		return osFile{f}, err
	}
	flags := vfs.OPEN_READONLY | vfs.OPEN_MAIN_JOURNAL
	if write {
		flags = vfs.OPEN_READWRITE | vfs.OPEN_CREATE | vfs.OPEN_MAIN_JOURNAL
	}
	f, _, err := vfs.Find(l.config.vfs).Open(name, flags)
	return vfsFile{f}, err
}

type osFile struct{ *os.File }

func (f osFile) sync() error { return f.Sync() }

type vfsFile struct{ vfs.File }

func (f vfsFile) sync() error { return f.Sync(vfs.SYNC_FULL) }
