package module

import (
	"strings"

	"skerry/shared/digest"
	"skerry/shared/msgpack"
)

// Upgrade returns the payload of a record of [TypeModule], which names the module that a space goes over to. Params, of msgpack, are
// given to it if it migrates; nil: there are none.
func Upgrade(to digest.Digest, params []byte) []byte {
	fields := 1
	if params != nil {
		fields = 2
	}
	payload := msgpack.AppendBinary(msgpack.AppendString(msgpack.AppendMap(nil, fields), "hash"), to[:])
	if params != nil {
		payload = msgpack.AppendBinary(msgpack.AppendString(payload, "params"), params)
	}
	return payload
}

// UpgradeFrom is [Upgrade] of a space that has one module and no other: if another one judges it when the record is judged, that is
// refused as stale. A server of before that takes it as [Upgrade].
func UpgradeFrom(from, to digest.Digest, params []byte) []byte {
	payload := Upgrade(to, params)
	payload[0]++ // one field more of a map of up to 15
	return msgpack.AppendBinary(msgpack.AppendString(payload, "replaces"), from[:])
}

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

// witnessForm is what stands before the digest in the payload of a record of [TypeCheckpoint]: msgpack, a map of one.
const witnessForm = "\x81\xa6digest\xc4\x20"

// Witness returns the payload of a record of [TypeCheckpoint], by which a server says what the tables before it are.
func Witness(tables digest.Digest) []byte { return append([]byte(witnessForm), tables[:]...) }

// Witnessed reads what [Witness] makes. Another form is of a version that says it otherwise.
func Witnessed(payload []byte) (tables digest.Digest, ok bool) {
	said, ok := strings.CutPrefix(string(payload), witnessForm)
	if !ok || len(said) != digest.Size {
		return tables, false
	}
	copy(tables[:], said)
	return tables, true
}
