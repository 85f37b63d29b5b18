// Package sqlitelog is the embedded [syncserver.Log]: everything a server must keep, in one SQLite database in one
// directory, durable and without C.
//
// [Open] makes or opens the directory and locks it, so that two servers never serve the same one. [OpenReadOnly]
// looks into it, also while a server runs. [Log.Close] waits for calls under way.
//
// # How it works
//
// One goroutine writes. It takes every request that waits (appends, new spaces, keys, limits, blobs) into one
// SQLite transaction, commits it with one fsync, and only then answers any of them; the longer a commit takes, the
// more share the next. Requests check before they change, and an append that met a known id deletes what it had
// inserted, so that one request's refusal costs no savepoint and does not touch the others. If SQLite itself
// fails before the commit, the group is rolled back and its requests run again one by one: only the one that
// cannot be stored fails. If the commit fails, the outcome is unknown: all of the group get the error, what was
// cached is forgotten and the connection is opened anew.
//
// # A sync that failed
//
// A system forgets what it failed to write, and goes on to show it. So after a failed commit nothing is written through that connection any more,
// and whoever opens the database, this process at once or another one later, first writes again all that the write-ahead log has: only when that
// is synced is a write taken, and until then each is refused with an error and a line in the log, while reading goes on. What the failed commit
// itself had written is not in it when the process lived on; when it died it may be, and is durable then.
//
// Reading goes through a few connections of their own, which see what is committed and never wait for the writer.
// None holds a read transaction for more than 500 rows, because a long one keeps the write-ahead log from being
// reused.
//
// A context ends the wait for a turn. Once its group has begun, a call waits for the commit and returns what
// really happened, so arguments may be reused as soon as a call returns.
//
// A full disk is [syncserver.ErrFull]: nothing was stored, and reading goes on.
//
// # What is on disk
//
// The file skerry.db, with SQLite's skerry.db-wal and skerry.db-shm beside it; copy them only while nobody serves
// the directory, or with SQLite's online backup. One row per event, under number of space << 32 | seq, with the
// chain value where an append ended; the id of an event is unique within its space. The table expired says of a space up to
// which record payloads are gone: there, the row of an event has the digest of its payload in the place of it. Numbers of spaces are never
// used again.
//
// The table format says which version of the layout this is, which release brought the data to it, with a checksum of all of this, and what a reader and a writer need to know at
// least: a number that rises with each change that older builds would misread, and not a release, of which builds differ. Newer data that
// this build can not handle is refused with a [*FormatError], without changing a byte.
// Older or unfinished data gets what it lacks from the statements that make a new database, in one transaction. What has to be changed of
// older data is a migration: it runs when the data is opened, before anybody is served, behind a backup made by SQLite's online backup, which is
// put back if it fails, or if the power does, and removed when it is done ([*MigrationError]).
//
// Stable: the exported names, and the layout by the rules of the table format.
package sqlitelog
