package sim

import (
	"testing"

	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
	"skerry/shared/space"
	"skerry/shared/tables"
)

// A checkpoint of this package is of the ABI of the module that made it, as the server's are.
func TestPackedCheckpoint(t *testing.T) {
	for _, abi := range []uint32{program.ABI, program.ABISchemas} {
		p, err := program.Load(moduletest.Kept("1.0.0", nil, func(m *program.Manifest) { m.ABI = abi }))
		if err != nil {
			t.Fatal(err)
		}
		genesis := space.Genesis{Module: p.Digest}
		i, err := program.New(p, nil, &genesis)
		if err != nil {
			t.Fatal(err)
		}
		c, root := new(World).pack(genesis.ID(), i, nil)
		if of, _, err := tables.ReadRoot(c.root); err != nil || of.ABI != abi {
			t.Errorf("it is of ABI %d, not %d: %v", of.ABI, abi, err)
		}
		if want := i.Digest(genesis.ID(), space.Start(genesis.ID())); root != want {
			t.Errorf("of ABI %d it is %v, and by the instance %v", abi, root, want)
		}
	}
}
