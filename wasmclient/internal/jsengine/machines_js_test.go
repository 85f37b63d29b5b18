package jsengine

import (
	"context"
	_ "embed"
	"encoding/binary"
	"runtime"
	"sync"
	"syscall/js"
	"testing"

	"skerry/shared/module/meter"
	"skerry/shared/module/program"
	"skerry/shared/space"
)

//go:embed testdata/stack.wasm
var stackBytes []byte

// What testdata/stack.wat does.
const (
	doNothing = iota
	doDeep
	doWide
	doLog
)

func command(what, n uint32) []byte {
	return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, what), n)
}

func load(t testing.TB, bytes []byte) *Machines {
	t.Helper()
	p, err := program.Load(bytes)
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Release)
	return m
}

func loadStack(t testing.TB) *Machines {
	manifest := program.Manifest{Name: "stack", Version: "1.0.0", ABI: program.ABI, IO: 4096, Raw: true}
	return load(t, manifest.AppendSection(stackBytes))
}

// nested calls f from a stack of so many frames of Go.
//
//go:noinline
func nested(depth int, f func()) byte {
	var frame [256]byte
	if depth == 0 {
		f()
	} else {
		frame[depth%256] = nested(depth-1, f)
	}
	return frame[depth%256] + 1
}

// TestDeepest: a module may nest calls as deep as the rules allow, and call the host from there, wherever the client itself
// stands. One more, and it traps by the rules; the client goes on.
func TestDeepest(t *testing.T) {
	m := loadStack(t)
	for _, depth := range []int{0, 100, 3000} {
		for what, most := range map[uint32]uint32{doDeep: meter.MaxFrames - 2, doWide: 400} {
			for _, n := range []uint32{most, 1 << 30} {
				nested(depth, func() {
					var host program.Host
					o, err := m.Call(program.Apply, command(what, n), program.FuelInit, &host)
					if tooDeep := o.Frames > meter.MaxFrames || o.Slots > meter.MaxSlots; err != nil || o.Trapped != tooDeep || tooDeep != (n > most) {
						t.Errorf("%d frames of Go, command %d, %d: %+v, %v", depth, what, n, o, err)
					}
				})
			}
		}
	}
}

func live() int { return js.Global().Get("skerryModules").Call("live").Int() }

// TestInstancesAreFew: however many programs there are, and however often each is loaded, instances are few.
func TestInstancesAreFew(t *testing.T) {
	var all []*Machines
	for range 20 {
		all = append(all, loadStack(t))
	}
	for range 2 {
		for i, m := range all {
			if o, err := m.Call(program.Apply, command(doNothing, 0), program.Fuel, &program.Host{}); err != nil || o.Trapped {
				t.Fatalf("program %d: %+v, %v", i, o, err)
			}
		}
	}
	if n := live(); n != 12 {
		t.Errorf("%d instances of 20 programs", n)
	}
	for _, m := range all {
		m.Close()
	}
	if n := live(); n != 0 {
		t.Errorf("%d instances of machines that are closed", n)
	}
}

// TestGoroutinesInTheMiddle: while a host function runs, the scheduler lets others run, which want to call modules as well.
func TestGoroutinesInTheMiddle(t *testing.T) {
	m := loadStack(t)
	var all sync.WaitGroup
	for n := range byte(8) {
		all.Go(func() {
			i, err := program.New(m.Program, m, &space.Genesis{})
			if err != nil {
				t.Error(err)
				return
			}
			lines := 0
			i.Logged = func(line []byte) {
				lines++
				for range 3 {
					runtime.Gosched()
					runtime.GC()
				}
				if line[4] != n+1 {
					t.Errorf("the line of %d is %x", n, line)
				}
			}
			records := []space.Record{{Seq: 1, Count: 1, Event: space.Event{ID: space.ULID{n + 1}, Type: "any"}}}
			if err := i.Apply(records); err != nil {
				t.Error(err)
			}
			if lines != int(n)+1 {
				t.Errorf("%d lines of %d", lines, n+1)
			}
		})
	}
	all.Wait()
}
