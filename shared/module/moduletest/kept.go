package moduletest

import (
	_ "embed"

	"skerry/shared/module/program"
	"skerry/shared/tables"
)

//go:embed guests/kept.wasm
var keptBytes []byte

// Kept returns the bytes of a module that allows everything and keeps every payload as it gets it, in table "kept" with the columns seq,
// event (the place of its type) and payload. Version and events are the caller's, and so is all that change does to the manifest, if it is not nil.
func Kept(version string, events []program.EventType, change func(*program.Manifest)) []byte {
	m := &program.Manifest{
		Name: "kept", Version: version, ABI: program.ABISchemas, IO: program.DefaultIO, Upgrade: program.Carry, Events: events,
		Tables: []tables.Schema{{
			Name:    "kept",
			Columns: []tables.Column{{Name: "seq", Kind: tables.U64}, {Name: "event", Kind: tables.U64}, {Name: "payload", Kind: tables.Bytes}},
			Key:     []int{0},
		}},
	}
	if change != nil {
		change(m)
	}
	return m.AppendSection(keptBytes)
}
