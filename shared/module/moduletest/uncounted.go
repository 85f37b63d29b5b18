package moduletest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"skerry/shared/module"
	"skerry/shared/module/meter"
	"skerry/shared/module/program"
	"skerry/shared/space"
)

// Uncounted loads a module with all that engines want of the meter and none of the meter's work in it, so that what the meter
// costs can be measured beside it. Never run what may not end.
func Uncounted(content []byte) (*program.Program, error) {
	p, err := program.Load(content)
	if err != nil {
		return nil, err
	}
	sections, err := sectionsOf(content)
	if err != nil {
		return nil, err
	}
	const global, export, start, i32, mutable = 6, 7, 8, 0x7f, 1
	var globals, exports [][]byte
	add := func(name string, kind byte, index uint64) {
		b := append(binary.AppendUvarint(nil, uint64(len(name))), name...)
		exports = append(exports, binary.AppendUvarint(append(b, kind), index))
	}
	own, _ := binary.Uvarint(sections[global])
	for i, name := range []string{meter.ExportFuel, meter.ExportFrames, meter.ExportSlots, meter.ExportOOM} {
		globals = append(globals, []byte{i32, mutable, 0x41, 0, 0x0b})
		add(name, 3, own+uint64(i))
	}
	for _, index := range p.Metered.Globals {
		add(meter.GlobalExport(index), 3, uint64(index))
	}
	if p.Metered.Start {
		first, _ := binary.Uvarint(sections[start])
		add(meter.ExportStart, 0, first)
	}
	sections[global] = appended(sections[global], globals)
	sections[export] = appended(sections[export], exports)
	b := bytes.Clone(content[:8])
	for _, id := range []byte{1, 2, 3, 4, 5, 6, 7, 9, 12, 10, 11} { // the order that they have to be in
		if section := sections[id]; len(section) > 0 {
			b = append(binary.AppendUvarint(append(b, id), uint64(len(section))), section...)
		}
	}
	p.Metered.Bytes = b
	return p, nil
}

// sectionsOf returns what is in a module's sections, by their ids.
func sectionsOf(content []byte) (sections [13][]byte, err error) {
	for rest := content[8:]; len(rest) > 0; {
		size, n := binary.Uvarint(rest[1:])
		if rest[0] >= byte(len(sections)) {
			return sections, fmt.Errorf("section %d of the module is not known here", rest[0])
		}
		from := 1 + n
		sections[rest[0]], rest = rest[from:from+int(size)], rest[from+int(size):]
	}
	return sections, nil
}

// appended returns a section that is a list with more at its end.
func appended(section []byte, more [][]byte) []byte {
	count, n := binary.Uvarint(section)
	b := binary.AppendUvarint(nil, count+uint64(len(more)))
	return append(append(b, section[max(n, 0):]...), bytes.Join(more, nil)...)
}

// Ordinary is a module that does what modules do all day, for benchmarks.
type Ordinary struct {
	Name    string
	Module  []byte
	event   string
	payload func(n int) []byte
}

// OrdinaryModules returns one that is written by hand, and one by the SDK.
func OrdinaryModules() []Ordinary {
	return []Ordinary{
		{"chat", Chat(), "message", func(int) []byte { return ChatMessage("room", "is anybody there?") }},
		{"typed", typedBytes, "put", func(n int) []byte { return full("group", n, 0.5, "is anybody there?").payload }},
	}
}

// Transaction returns the nth transaction of a space as records; every one is allowed.
func (o *Ordinary) Transaction(n uint64) []space.Record {
	t := space.Transaction{Author: "creator", API: "1.0.0", ClientVersion: "1.0.0", Events: []space.Event{{Type: o.event, Payload: o.payload(int(n))}}}
	return t.Records(n, 1_700_000_000_000)
}

// Genesis returns what a space of the module begins with.
func (o *Ordinary) Genesis() *space.Genesis {
	return &space.Genesis{Creator: "creator", Params: payload("title", "", "limit", 1)}
}

// Benchmark judges and applies transactions, with the meter and without, on the machines that an engine makes.
func (o *Ordinary) Benchmark(b *testing.B, machines func(*program.Program) (program.Machines, func(), error)) {
	programs, err := o.Loaded()
	if err != nil {
		b.Fatal(err)
	}
	for name, p := range programs {
		b.Run(o.Name+"/"+name, func(b *testing.B) {
			made, release, err := machines(p)
			if err != nil {
				b.Fatal(err)
			}
			defer release()
			i, err := program.New(p, made, o.Genesis())
			if err != nil {
				b.Fatal(err)
			}
			n := uint64(0)
			for b.Loop() {
				n++
				if v, err := i.Judge(module.Caller{Identity: "creator"}, o.Transaction(n)); err != nil || !v.Allowed() {
					b.Fatal(v, err)
				}
				i.Commit(n)
			}
		})
	}
}

// Loaded returns the module's program by name: metered as it is run, or plain.
func (o *Ordinary) Loaded() (map[string]*program.Program, error) {
	metered, err := program.Load(o.Module)
	if err != nil {
		return nil, err
	}
	plain, err := Uncounted(o.Module)
	return map[string]*program.Program{"metered": metered, "plain": plain}, err
}
