// Package msgpack reads and writes the part of msgpack that Skerry itself is made of: frames, records, manifests, and
// payloads on their way into rows. It has no reflection and allocates nothing on its own, which keeps it quick on a
// server and small in a page, where a general library costs more than 100 kB.
//
//	b = msgpack.AppendString(msgpack.AppendArray(b, 2), "hello")
//	b = msgpack.AppendUint(b, 7)
//
//	r := msgpack.Reader{Rest: b}
//	f := r.Fields()
//	if f.Next() { greeting = r.Text() }
//	if f.Next() { n = r.Uint() }
//	f.Finish()
//	if r.Err != nil { ... }
//
// Writers use the shortest form of everything, readers take any form. A failure sticks, so that a run of reads needs one
// look at [Reader.Err] at its end. No length that bytes claim is believed before so many bytes are there: nothing is
// allocated for a lie.
//
// Programs that use Skerry need it for nothing: their payloads go through a library.
//
// Stable: the bytes. The functions follow what the protocol and the modules' manifests need.
package msgpack
