package wasmengine

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skerry/shared/module/moduletest"
)

// TestDamagedCacheDir: compiled code in which a bit has flipped is not used by the next engine, and is compiled anew: wazero looks at the code
// alone, not at where functions begin in it, and does not load the module any more where the code is damaged.
func TestDamagedCacheDir(t *testing.T) {
	dir := t.TempDir()
	load := func() {
		t.Helper()
		if err := newEngine(t, Options{CacheDir: dir}).Check(moduletest.Chat()); err != nil {
			t.Error(err)
		}
	}
	load()
	name := ""
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasSuffix(path, sumSuffix) {
			name = path
		}
		return err
	})
	whole, failed := os.ReadFile(name)
	if err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	load()
	for _, at := range []int{0, 8, 20, 40, len(whole) / 2, len(whole) - 1} {
		spoiled := []byte(string(whole))
		spoiled[at] ^= 4
		if err := os.WriteFile(name, spoiled, 0o600); err != nil {
			t.Fatal(err)
		}
		load()
		if now, err := os.ReadFile(name); err != nil || string(now) != string(whole) {
			t.Errorf("byte %d of %d: it is not compiled anew: %v", at, len(whole), err)
		}
	}
	if err := os.WriteFile(name+sumSuffix, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	load()
	if now, err := os.ReadFile(name); err != nil || string(now) != string(whole) {
		t.Errorf("with another checksum: %v", err)
	}
}
