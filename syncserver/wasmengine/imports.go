package wasmengine

import (
	"context"
	"errors"

	"github.com/tetratelabs/wazero/api"
)

// errStop is what a host function panics with where the module has to trap. wazero makes a trap of it.
var errStop = errors.New("wasmengine: a host function stopped the module")

// hostFunction is an import of the ABI. It finds its parameters in stack, of 32 bits each, and may leave a result there.
// What it returns is false where the module has to trap.
type hostFunction func(m *machine, stack []uint64) bool

var hostFunctions = map[string]struct {
	params int
	result bool
	call   hostFunction
}{
	"get": {5, true, func(m *machine, s []uint64) bool {
		n, ok := m.host.Get(m, int32(s[0]), uint32(s[1]), uint32(s[2]), uint32(s[3]), uint32(s[4]))
		return give(s, n, ok)
	}},
	"put": {3, false, func(m *machine, s []uint64) bool {
		return m.host.Put(m, int32(s[0]), uint32(s[1]), uint32(s[2]))
	}},
	"delete": {3, true, func(m *machine, s []uint64) bool {
		n, ok := m.host.Delete(m, int32(s[0]), uint32(s[1]), uint32(s[2]))
		return give(s, n, ok)
	}},
	"scan_open": {5, true, func(m *machine, s []uint64) bool {
		n, ok := m.host.ScanOpen(m, int32(s[0]), int32(s[1]), uint32(s[2]), uint32(s[3]), int32(s[4]))
		return give(s, n, ok)
	}},
	"scan_next": {3, true, func(m *machine, s []uint64) bool {
		n, ok := m.host.ScanNext(m, int32(s[0]), uint32(s[1]), uint32(s[2]))
		return give(s, n, ok)
	}},
	"scan_close": {1, false, func(m *machine, s []uint64) bool { return m.host.ScanClose(m, int32(s[0])) }},
	"fail": {3, false, func(m *machine, s []uint64) bool {
		return m.host.Fail(m, int32(s[0]), uint32(s[1]), uint32(s[2]))
	}},
	"blake3": {3, false, func(m *machine, s []uint64) bool {
		return m.host.BLAKE3(m, uint32(s[0]), uint32(s[1]), uint32(s[2]))
	}},
	"log": {2, false, func(m *machine, s []uint64) bool { return m.host.Log(m, uint32(s[0]), uint32(s[1])) }},
}

func give(stack []uint64, result int32, ok bool) bool {
	stack[0] = uint64(uint32(result))
	return ok
}

// provideImports makes the imports there for all modules. A machine is the context of the calls that it makes, which is
// how they find it.
func (e *Engine) provideImports(ctx context.Context) error {
	builder := e.runtime.NewHostModuleBuilder("skerry1")
	for name, f := range hostFunctions {
		params := make([]api.ValueType, f.params)
		for i := range params {
			params[i] = api.ValueTypeI32
		}
		var results []api.ValueType
		if f.result {
			results = params[:1]
		}
		call := f.call
		builder.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, _ api.Module, stack []uint64) {
			if !call(ctx.(*machine), stack) {
				panic(errStop)
			}
		}), params, results).Export(name)
	}
	_, err := builder.Instantiate(ctx)
	return err
}
