package wasmengine

import (
	"testing"

	"skerry/shared/module"
	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
	"skerry/shared/space"
)

// BenchmarkGo is the chat in Go beside the one by hand: a message that is authorized and applied, and another instance. What
// package guest says of the costs of Go comes from here.
func BenchmarkGo(b *testing.B) {
	for _, c := range []struct {
		name  string
		bytes []byte
	}{{"go", built(b, goChat)}, {"by hand", moduletest.Chat()}} {
		p, err := program.Load(c.bytes)
		if err != nil {
			b.Fatal(err)
		}
		machines, err := newEngine(b, Options{}).Machines(p)
		if err != nil {
			b.Fatal(err)
		}
		defer machines.Release()
		b.Run(c.name+"/message", func(b *testing.B) {
			instance, err := program.New(p, machines, &space.Genesis{Creator: "creator"})
			if err != nil {
				b.Fatal(err)
			}
			before := instance.Spent
			for b.Loop() {
				seq := instance.Next()
				v, err := instance.Judge(module.Caller{Identity: "creator"}, message(seq, "hello"))
				if err != nil || !v.Allowed() {
					b.Fatal(v, err)
				}
				instance.Commit(seq)
			}
			b.ReportMetric(float64(instance.Spent-before)/float64(b.N), "fuel/op")
			b.ReportMetric(float64(len(c.bytes)), "bytes")
		})
		b.Run(c.name+"/instance", func(b *testing.B) {
			borrowed, err := machines.Borrow()
			if err != nil {
				b.Fatal(err)
			}
			m := borrowed.(*machine)
			for b.Loop() {
				m.drop()
				if err := m.restore(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(machines.memory.bytes)), "bytes")
			m.Close()
		})
	}
}
