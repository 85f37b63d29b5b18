// Package wire is Skerry's protocol as bytes: frames, their codec, parts, limits and codes.
//
// A message is one msgpack array whose first element is the frame's number. [Append] writes a frame, [Decode]
// reads one. The codec is our own, in append style: no reflection, nothing allocated per event beyond the slices
// that hold them, and small when compiled for a browser. Any msgpack library can read and write the same bytes.
// PROTOCOL.md beside this file is the protocol's contract; testdata/vectors holds a file for every frame.
//
// What holds everywhere:
//
//   - Missing trailing elements of an array are zero and unknown trailing ones are ignored, so frames grow at
//     their end. Writers write every element they know and the shortest form of each number; readers take any.
//   - Decoded byte slices alias the message they were read from. Whoever keeps them keeps the message.
//   - Decoding never panics and never allocates more than a small multiple of the message, whatever lengths the
//     message claims. A message bigger than a frame travels as parts ([Split], [Joiner]), whose total is checked before
//     anything is allocated for it.
//   - [Code] values are append-only. A code has one name, the same in Go, in TypeScript and in the documents.
//
// Stable: everything in PROTOCOL.md, for as long as [APILow] admits its version.
package wire
