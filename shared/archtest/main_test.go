package archtest

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestMain looks at every directory of the tree before it runs the tests. The go command reuses a test's result
// until a file that the test opened changes, and it does not see what the commands that these tests start open.
func TestMain(m *testing.M) {
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			switch entry.Name() {
			case ".git", "build", "node_modules":
				return filepath.SkipDir
			}
		}
		return nil
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}
