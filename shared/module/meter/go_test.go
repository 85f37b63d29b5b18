package meter

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

const goGuest = `package main

//go:wasmexport authorize
func authorize(int32) int32 { return 0 }

func main() {}
`

// TestGoGuest: what Go's compiler makes of the least program is within the caps, and begins with the fuel that a start has.
// Its imports are WASI's, which no module may have in the end.
func TestGoGuest(t *testing.T) {
	if testing.Short() {
		t.Skip("Go's runtime is compiled")
	}
	dir := t.TempDir()
	for name, content := range map[string]string{"go.mod": "module guest\n\ngo 1.26\n", "main.go": goGuest} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.Command("go", "build", "-buildmode=c-shared", "-o", "guest.wasm")
	build.Dir, build.Env = dir, append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	content, err := os.ReadFile(filepath.Join(dir, "guest.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := Instrument(content)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	engine := wazero.NewRuntimeWithConfig(ctx, engines["interpreter"])
	defer engine.Close(ctx)
	wasi_snapshot_preview1.MustInstantiate(ctx, engine)
	instance, err := engine.InstantiateWithConfig(ctx, m.Bytes, wazero.NewModuleConfig().WithStartFunctions())
	if err != nil {
		t.Fatal(err)
	}
	const start = 100_000_000
	fuel := instance.ExportedGlobal(ExportFuel).(api.MutableGlobal)
	fuel.Set(start)
	if _, err := instance.ExportedFunction("_initialize").Call(ctx); err != nil {
		t.Fatal(err)
	}
	if took := start - fuel.Get(); took > start/4 {
		t.Errorf("it takes %d fuel to begin", took)
	}
	if got, err := instance.ExportedFunction("authorize").Call(ctx, 1); err != nil || got[0] != 0 {
		t.Errorf("%v %v", got, err)
	}
}
