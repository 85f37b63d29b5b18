package main

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestSoak has things happen to the real server for some seconds while people write: it is killed, also while it starts, stopped, ended, backed up and put back. make soak-server
// does so for an hour.
func TestSoak(t *testing.T) {
	skerry := filepath.Join(t.TempDir(), "skerry")
	if out, err := exec.Command("go", "build", "-o", skerry, "../skerry").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var stdout, stderr bytes.Buffer
	if err := soak(t.Context(), []string{"--skerry", skerry, "--for", "12s", "--pause", "1s"}, &stdout, &stderr); err != nil {
		t.Fatalf("%v\n%s%s", err, &stdout, &stderr)
	}
	if !strings.Contains(stdout.String(), "each is in the log once") {
		t.Errorf("%s", &stdout)
	}
	t.Logf("%s", &stdout)
}
