package module

import (
	"encoding/binary"

	"skerry/shared/digest"
	"skerry/shared/msgpack"
	"skerry/shared/space"
)

// Expire returns the payload of a record of [TypeExpire]: the records up to number upto, which ends a transaction, have expired.
func Expire(upto uint64) []byte {
	return msgpack.AppendUint(msgpack.AppendString(msgpack.AppendMap(nil, 1), "upto"), upto)
}

// ExpireSeen adds to what [Expire] made, here or elsewhere, where its author stood: a log that has another chain there has others in the places that are
// named, and the record is refused. A server of before that takes it as it was. What is no such payload, or says so already, is returned as it is.
func ExpireSeen(payload []byte, at *space.Position) []byte {
	if _, ok := ExpiredTo(payload); !ok || payload[0]&0xf0 != 0x80 || payload[0] == 0x8f {
		return payload
	}
	if _, ok := ExpirySeen(payload); ok {
		return payload
	}
	payload = append([]byte{payload[0] + 1}, payload[1:]...) // one field more of a map of up to 15
	seen := append(binary.BigEndian.AppendUint64(nil, at.Seq), at.Chain[:]...)
	return msgpack.AppendBinary(msgpack.AppendString(payload, "seen"), seen)
}

// ExpiredTo reads up to where records have expired by the payload of a record of [TypeExpire].
func ExpiredTo(payload []byte) (upto uint64, ok bool) {
	r := msgpack.Reader{Rest: payload}
	for range r.Map() {
		if r.Text() != "upto" {
			r.Skip(1)
			continue
		}
		upto, ok = r.Uint(), true
	}
	return upto, ok && r.Err == nil
}

// ExpirySeen reads where the author of a record of [TypeExpire] stood, if its payload says so ([ExpireSeen]).
func ExpirySeen(payload []byte) (at space.Position, ok bool) {
	r := msgpack.Reader{Rest: payload}
	for range r.Map() {
		if r.Text() != "seen" {
			r.Skip(1)
			continue
		}
		if b := r.Binary(); len(b) == 8+digest.Size {
			at, ok = space.Position{Seq: binary.BigEndian.Uint64(b), Chain: digest.Digest(b[8:])}, true
		}
	}
	return at, ok && r.Err == nil
}
