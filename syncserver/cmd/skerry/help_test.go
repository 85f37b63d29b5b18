package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReference: the pages under docs/operating are what the code says now.
func TestReference(t *testing.T) {
	if len(topics) < 3 {
		t.Fatal("no topics")
	}
	for name := range topics {
		var out, failed bytes.Buffer
		if code := run(context.Background(), []string{"help", name}, nil, &out, &failed); code != 0 || failed.Len() > 0 {
			t.Fatalf("help %s: %d %s", name, code, failed.String())
		}
		file := filepath.Join("..", "..", "..", "docs", "operating", name+".md")
		kept, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(kept, out.Bytes()) {
			t.Errorf("docs/operating/%s.md is not what the code says; write it anew by: go run ./syncserver/cmd/skerry help %s > docs/operating/%s.md", name, name, name)
		}
	}
	var usage bytes.Buffer
	run(context.Background(), []string{"help"}, nil, &usage, &usage)
	if !strings.Contains(usage.String(), "help [limits|routes|settings]") {
		t.Error("help does not tell of its pages")
	}
}
