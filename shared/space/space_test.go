package space

import (
	"testing"

	"skerry/shared/digest"
)

func TestGenesisIDVector(t *testing.T) {
	stamp, err := ParseULID("01ARZ3NDEKTSV4RRFFQ69G5FAV")
	if err != nil {
		t.Fatal(err)
	}
	module, err := digest.Parse("262f081583741b6a0e06564e45b7ad4fc13d06d4189863a3fab5e860b83541c9")
	if err != nil {
		t.Fatal(err)
	}
	g := Genesis{Stamp: stamp, Creator: "did:plc:ewvi7nxzyoun6zhxrhs64oiz", Module: module}
	const want = "c1668bf41355f0071318f1a3b659e651dbff04a6bf25a268bcbce515a3fe0bb3"
	if got := g.ID().String(); got != want {
		t.Fatalf("ID = %s, want %s", got, want)
	}
}
