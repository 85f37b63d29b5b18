package builtin

import (
	_ "embed"

	"skerry/shared/digest"
	"skerry/shared/module"
)

//go:embed personal.wasm
var personal []byte

//go:embed broadcast.wasm
var broadcast []byte

//go:embed members.wasm
var members []byte

//go:embed kv.wasm
var kv []byte

type builtin struct {
	name   string
	bytes  []byte
	digest digest.Digest
}

// newest are the modules of this build.
var newest = append([]builtin{
	{"open", module.OpenBytes, module.Open},
	{"personal", personal, digest.Of(personal)},
	{"broadcast", broadcast, digest.Of(broadcast)},
	{"members", members, digest.Of(members)},
	{"kv", kv, digest.Of(kv)},
}, servers...)

// Names returns the names of the modules that are built in.
func Names() []string {
	var names []string
	for _, m := range newest {
		names = append(names, m.name)
	}
	return names
}

// ByName returns the digest of the newest module with a name.
func ByName(name string) (digest.Digest, bool) {
	for _, m := range newest {
		if m.name == name {
			return m.digest, true
		}
	}
	return digest.Digest{}, false
}

// Bytes returns the bytes of a module that is built in, to be left alone, or nil.
func Bytes(d digest.Digest) []byte {
	for _, m := range newest {
		if m.digest == d {
			return m.bytes
		}
	}
	return older(d)
}
