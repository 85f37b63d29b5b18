// Package tables holds what a space means: tables of rows that its module fills from the log. The same code runs on the
// server and in a page, so that equal logs give equal tables, down to a digest.
//
// # Rows
//
// A [Schema] says which columns a table has, which of them are its key, and how else rows can be found. A row is its
// columns' values one after the other, each in the one form that it has:
//
//   - bool: one byte, 0 or 1
//   - i64, u64, f64: eight bytes, little-endian; the only NaN is 7ff8000000000000
//   - text, bytes: four bytes of length, little-endian, and so many bytes; text is UTF-8
//   - an optional column: a byte 0 if it is absent, or 1 and the value
//
// The same bytes are what a module writes, what a checkpoint keeps and what a query returns.
//
// # Keys
//
// Rows are found in the order of their keys, and keys are compared as bytes. The package makes them from rows, so that
// no module and no page has to: bool as 0 or 1; i64 big-endian with its sign flipped, u64 big-endian; f64 with its bits
// flipped so that they sort, -0 being 0; text and bytes with each 0 as 0 and 255, ended by 0 0; an optional value as 1
// and itself, an absent one as 0, so that it comes first. The key of an index is its columns and then the row's own key.
//
// # Use
//
//	set, err := tables.New(schemas)
//	overlay := set.Copy()                  // at once, whatever its size
//	change := overlay.Begin()              // counts what one transaction may write
//	err = change.Put(table, row)
//	overlay.Scan(table, 0, tables.Range{}, func(key, row []byte) bool { ... })
//	set = overlay                          // or drop it
//
// [Set.Over] takes rows over to the tables of another module. [Set.AppendCheckpoint] writes a set in the one form that it has; equal
// sets are equal bytes. [ReadCheckpoint] begins with one, and reads its pages when something in them is needed.
//
// Stable: the forms of rows and keys, for ever. The form of checkpoints has a number; whoever finds another one than it knows makes
// the tables of the log.
package tables
