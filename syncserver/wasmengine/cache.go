package wasmengine

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"skerry/shared/digest"
)

// sumSuffix is that of the file beside one of compiled code which has its digest. wazero has a checksum of the code alone and jumps to wherever the
// file says that functions begin; and a module whose code is damaged would not load again.
const sumSuffix = ".blake3"

// codeCache is a directory of compiled code, and of its digests. Other engines may use it at the same time: what one of them deletes is
// compiled again.
type codeCache struct {
	dir string
	mu  sync.Mutex
}

// each calls f with each file of compiled code and with the name of its digest's.
func (c *codeCache) each(f func(name, sum string) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return filepath.WalkDir(c.dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasSuffix(name, sumSuffix) && !strings.HasSuffix(name, ".tmp") {
			err = f(name, name+sumSuffix)
		}
		if errors.Is(err, fs.ErrNotExist) { // another engine has deleted it
			return nil
		}
		return err
	})
}

// check deletes what is not what was compiled, or of which that is not known.
func (c *codeCache) check() error {
	return c.each(func(name, sum string) error {
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		want, err := os.ReadFile(sum)
		if of := digest.Of(content); err == nil && string(want) == string(of[:]) {
			return nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return errors.Join(remove(sum), remove(name))
	})
}

// seal writes the digests of what was compiled since.
func (c *codeCache) seal() error {
	return c.each(func(name, sum string) error {
		if _, err := os.Stat(sum); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		of := digest.Of(content)
		return os.WriteFile(sum, of[:], 0o600)
	})
}

// remove deletes a file that may be gone.
func remove(name string) error {
	if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
