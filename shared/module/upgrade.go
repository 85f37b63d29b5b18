package module

import (
	"skerry/shared/digest"
	"skerry/shared/msgpack"
)

// UpgradeTo reads the module that the payload of a record of [TypeModule] names.
func UpgradeTo(payload []byte) (name digest.Digest, ok bool) {
	r := msgpack.Reader{Rest: payload}
	for range r.Map() {
		if r.Text() != "hash" {
			r.Skip(1)
			continue
		}
		b := r.Binary()
		if ok = len(b) == digest.Size; ok {
			name = digest.Digest(b)
		}
	}
	return name, ok && r.Err == nil
}
