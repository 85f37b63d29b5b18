package crashfs

import (
	"io/fs"
	"math/rand/v2"
	"slices"

	"github.com/ncruces/go-sqlite3"
)

// This file is what programs do to files around SQLite: they copy databases, rename and delete them. Names are whole paths, as SQLite
// is given them. A name that came, went or changed hands is durable after [FS.SyncDir] and not before.

// rename is a change of names that is not durable.
type rename struct {
	from, to string
	replaced *data // what had the name; nil if nothing had
}

// Rename gives a file another name, in place of the file that has it.
func (f *FS) Rename(from, to string) error {
	if err := f.ask(Op{Kind: Rename, Name: from}); err != nil {
		return outcome(err, sqlite3.IOERR)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.changeLocked() {
		return sqlite3.IOERR
	}
	d := f.files[from]
	if d == nil {
		return fs.ErrNotExist
	}
	f.renames = append(f.renames, rename{from, to, f.files[to]})
	f.files[to] = d
	delete(f.files, from)
	return nil
}

// undoLocked takes the renames back that a crash undoes: all that were not synced, or with rng those from some moment on.
func (f *FS) undoLocked(rng *rand.Rand) {
	kept := 0
	if rng != nil {
		kept = rng.IntN(len(f.renames) + 1)
	}
	for _, r := range slices.Backward(f.renames[kept:]) {
		if f.files[r.from] == nil && f.files[r.to] != nil {
			f.files[r.from] = f.files[r.to]
		}
		delete(f.files, r.to)
		if r.replaced != nil {
			f.files[r.to] = r.replaced
		}
	}
	f.renames = nil
}

// Remove deletes a file. After a crash it may be back, until [FS.SyncDir].
func (f *FS) Remove(name string) error {
	err := (*system)(f).Delete(name, false)
	if err == sqlite3.IOERR_DELETE_NOENT {
		return fs.ErrNotExist
	}
	return err
}

// Exists reports whether there is a file.
func (f *FS) Exists(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.files[name] != nil
}

// Names returns the names of all files, sorted.
func (f *FS) Names() (names []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name := range f.files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// ReadFile returns what a file has.
func (f *FS) ReadFile(name string) ([]byte, error) {
	f.mu.Lock()
	d := f.files[name]
	f.mu.Unlock()
	if d == nil {
		return nil, fs.ErrNotExist
	}
	file := &file{fs: f, name: name, data: d, boot: f.boots()}
	size, err := file.Size()
	if err != nil {
		return nil, err
	}
	content := make([]byte, size)
	if size > 0 {
		_, err = file.ReadAt(content, 0)
	}
	return content, err
}

// WriteFile makes a file, or puts other content in its place. It is durable after [FS.SyncFile] and not before.
func (f *FS) WriteFile(name string, content []byte) error {
	file, err := f.open(name)
	if err != nil {
		return err
	}
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err = file.WriteAt(content, 0)
	return err
}

// SyncFile makes a file's content durable, and that it is there.
func (f *FS) SyncFile(name string) error {
	file, err := f.open(name)
	if err != nil {
		return err
	}
	return file.Sync(0)
}

// open opens a file without SQLite, and makes it if need be.
func (f *FS) open(name string) (*file, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.files[name]
	if d == nil {
		if !f.poweredLocked() {
			return nil, sqlite3.CANTOPEN
		}
		d = &data{}
		f.files[name] = d
	}
	return &file{fs: f, name: name, data: d, boot: f.boot}, nil
}

func (f *FS) boots() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.boot
}

// Clone registers another file system that has the same files, with the same of them durable. Nothing may be open.
func (f *FS) Clone() *FS {
	other := New(f.dir)
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, d := range f.files {
		other.files[name] = d.copy()
	}
	return other
}
