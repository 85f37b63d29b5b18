package module

import (
	_ "embed"

	"skerry/shared/digest"
	"skerry/shared/space"
)

// OpenBytes are the bytes of the module "open": the header of an empty WebAssembly module. Not to be changed.
//
//go:embed open.wasm
var OpenBytes []byte

// Open is the digest of the module "open".
var Open = digest.Of(OpenBytes)

// open is the instance of the module "open": everyone writes, everyone reads, and nothing is kept.
type open struct{}

func (open) Applied() uint64                               { return NeedsNothing }
func (open) Apply([]space.Record) error                    { return nil }
func (open) Judge(Caller, []space.Record) (Verdict, error) { return Verdict{}, nil }
func (open) Commit(uint64)                                 {}
func (open) Rollback()                                     {}
func (open) MayRead(string) (bool, error)                  { return true, nil }
func (open) Close()                                        {}
