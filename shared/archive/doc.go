// Package archive reads and writes archives: files that hold spaces as one replica had them, with their history, with
// what waited to be sent and with what was refused. A user keeps one as a backup, or carries it to another browser or
// device, and no server is needed to read it.
//
// # The format
//
// An archive is one line of text, then messages, then a digest.
//
// The line is "skerry archive 1 SERVER TIME" and a line feed. SERVER is the key of the server that the replica syncs
// with in 64 hexadecimal digits, all zero if it never met one. TIME is when the archive was made, in milliseconds since
// 1970.
//
// A message is four bytes, the length of what follows, big-endian, and so many bytes of msgpack: a frame of the sync
// protocol, as PROTOCOL.md has it. Nothing new had to be invented, since a server and a client tell each other the same:
//
//   - subscribe, with one pair, begins a space: the pair is its ID and the position that its history here begins
//     after, for most the start.
//   - spaces, with one row, follows if the server has the space: its genesis and the module that judges it now.
//   - events carries records, whole transactions in order, and the position after them.
//   - push carries transactions that wait, in order, and the genesis of a space that the server does not have yet.
//   - refused, with the code and the reason, comes before a page with the same reference: what a reader that knows neither passes
//     over. The records of the page, one transaction of somebody else with the time when the server had received it, were in the log, the
//     server lost them, and refused to take them back. They have the numbers of a log of their own.
//   - pushed with verdicts of rejection comes before a push with the same number: its transactions were refused so.
//
// A length of zero ends the messages, and 32 bytes follow: the digest of the last message's digest. The digest of the
// line is BLAKE3 of it; the digest of a message is BLAKE3 of the digest before
// it and the BLAKE3 of the message, 64 bytes.
//
// # What is checked
//
// [Reader] finds a file that was cut short or damaged by the digest. It folds the chain of every space over its records,
// so that history which another program changed does not pass either, unless that made a whole new history: then the
// chain at its end is another, which the server notices when it is asked to go on from there.
//
// Stable: the format, for ever; a later one has another number in the first line.
package archive
