package link

import (
	_ "embed"
	"errors"
	"fmt"
	"strings"

	"skerry/shared/module/meter"
	"skerry/shared/module/program"
)

// runtime takes the place of WASI. Its source is runtime.wat.
//
//go:embed runtime.wasm
var runtime []byte

// always are the exports that every module has, by the names that the runtime has for them.
var always = []string{program.ExportIO, program.Authorize.String(), program.Apply.String()}

// guest is what the runtime calls package guest.
const guest = "guest"

// manifest is the function of package guest that logs what the module declares.
const manifest = "skerry_manifest"

// Asking returns a module that logs what the program declares when it is asked who may read. Module takes that.
// The bytes of the program are what `go build` writes for GOOS=wasip1 and GOARCH=wasm with -buildmode=c-shared.
func Asking(program []byte) ([]byte, error) {
	return join(program, map[string]string{asking: manifest}, &placeholder)
}

const asking = "readable"

var placeholder = program.Manifest{Name: "manifest", Version: "0.0.0", ABI: program.ABI, IO: program.DefaultIO}

// What the answer begins with, and the exports of which it tells. 0 is a problem, which is the rest.
var optional = []struct {
	flag   byte
	export program.Export
}{{2, program.Init}, {4, program.Readable}, {8, program.Migrate}}

// Module returns the module of a program and of what it declares, checked by [program.Load].
func Module(bytes, declared []byte) ([]byte, error) {
	if len(declared) == 0 || declared[0] == 0 {
		return nil, fmt.Errorf("the program declares no module: %s", strings.TrimPrefix(string(declared), "\x00"))
	}
	said, err := program.ReadManifest(declared[1:])
	if err != nil {
		return nil, err
	}
	exports := map[string]string{}
	for _, o := range optional {
		if declared[0]&o.flag != 0 {
			exports[o.export.String()] = o.export.String()
		}
	}
	linked, err := join(bytes, exports, said)
	if err != nil {
		return nil, err
	}
	_, err = program.Load(linked)
	return linked, err
}

func join(program []byte, exports map[string]string, says *program.Manifest) ([]byte, error) {
	for _, name := range always {
		exports[name] = name
	}
	linked, err := meter.Link(program, runtime, &meter.Linking{Imports: "wasi_snapshot_preview1", Program: guest, Exports: exports})
	if errors.Is(err, meter.ErrNoFunction) && strings.HasPrefix(err.Error(), guest+".") {
		return nil, errors.New("the program does not use package skerry/shared/module/guest")
	}
	if err != nil {
		return nil, err
	}
	return says.AppendSection(linked), nil
}
