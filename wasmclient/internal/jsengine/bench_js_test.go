package jsengine

import (
	"context"
	"math"
	"syscall/js"
	"testing"

	"skerry/shared/module"
	"skerry/shared/module/meter"
	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
	"skerry/shared/space"
	"skerry/wasmclient/internal/jsbind"
)

// BenchmarkCall is a call of a module of one page that does nothing: what restoring 64 KiB and crossing twice take.
func BenchmarkCall(b *testing.B) {
	m := loadStack(b)
	var host program.Host
	input := command(doNothing, 0)
	b.ReportAllocs()
	for b.Loop() {
		if o, err := m.Call(program.Apply, input, program.Fuel, &host); err != nil || o.Trapped {
			b.Fatal(o, err)
		}
	}
}

// BenchmarkHostCall is a host function that takes 8 bytes and does nothing with them.
func BenchmarkHostCall(b *testing.B) {
	m := loadStack(b)
	const times = 10_000
	for b.Loop() {
		var host program.Host
		if o, err := m.Call(program.Apply, command(doLog, times), program.Fuel, &host); err != nil || o.Trapped {
			b.Fatal(o, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/times, "ns/host-call")
}

// BenchmarkGet is a host function that gives a row of 212 bytes.
func BenchmarkGet(b *testing.B) {
	m := load(b, moduletest.Probe())
	i, err := program.New(m.Program, m, &space.Genesis{})
	if err != nil {
		b.Fatal(err)
	}
	const times = 10_000
	records := moduletest.ProbeGets(1, times)
	for b.Loop() {
		if err := i.Apply(records); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/times, "ns/host-call")
}

// messages are the records of so many messages to a chat.
func messages(n int) []space.Record {
	var records []space.Record
	for seq := range uint64(n) {
		t := space.Transaction{Author: "creator", API: "1.0.0", ClientVersion: "1.0.0", Events: []space.Event{{
			Type: "message", Payload: moduletest.ChatMessage("room", "is anybody there?")}}}
		records = append(records, t.Records(seq+1, 1_700_000_000_000)...)
	}
	return records
}

// BenchmarkMaterialize applies 100,000 messages of a chat, each of which puts rows of two tables with indexes.
func BenchmarkMaterialize(b *testing.B) {
	m := load(b, moduletest.Chat())
	records := messages(100_000)
	for b.Loop() {
		i, err := program.New(m.Program, m, &space.Genesis{Creator: "creator"})
		if err == nil {
			err = i.Apply(records)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRefusal is a message of somebody who has not joined: a call that ends early.
func BenchmarkRefusal(b *testing.B) {
	m := load(b, moduletest.Chat())
	i, err := program.New(m.Program, m, &space.Genesis{Creator: "creator"})
	if err != nil {
		b.Fatal(err)
	}
	records := messages(1)
	records[0].Author = "a stranger"
	for b.Loop() {
		if v, err := i.Judge(module.Caller{}, records); err != nil || v.Allowed() {
			b.Fatal(v, err)
		}
	}
}

// BenchmarkMeterOrdinary is an ordinary transaction, authorized and applied, with the meter and without.
func BenchmarkMeterOrdinary(b *testing.B) {
	for _, m := range moduletest.OrdinaryModules() {
		m.Benchmark(b, func(p *program.Program) (program.Machines, func(), error) {
			machines, err := New(context.Background(), p)
			if err != nil {
				return nil, nil, err
			}
			return machines, machines.Release, nil
		})
	}
}

// BenchmarkMeter is a guest's own work, with the meter and without.
func BenchmarkMeter(b *testing.B) {
	metered, err := meter.Instrument(moduletest.Work())
	if err != nil {
		b.Fatal(err)
	}
	for _, kind := range moduletest.WorkKinds {
		for _, of := range []struct {
			name  string
			bytes []byte
		}{{"plain", moduletest.Work()}, {"metered", metered.Bytes}} {
			b.Run(kind.Name+"/"+of.name, func(b *testing.B) {
				web := js.Global().Get("WebAssembly")
				exports := web.Get("Instance").New(web.Get("Module").New(jsbind.FromBytes(of.bytes))).Get("exports")
				run := func(name string, n uint32) {
					if fuel := exports.Get(meter.ExportFuel); !fuel.IsUndefined() {
						fuel.Set("value", math.MaxInt32)
					}
					exports.Call(name, n)
				}
				run("fill", 0)
				for b.Loop() {
					run(kind.Name, kind.N)
				}
			})
		}
	}
}
