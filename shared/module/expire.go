package module

import "skerry/shared/msgpack"

// Expire returns the payload of a record of [TypeExpire]: the records up to number upto, which ends a transaction, have expired.
func Expire(upto uint64) []byte {
	return msgpack.AppendUint(msgpack.AppendString(msgpack.AppendMap(nil, 1), "upto"), upto)
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
