// Package guest is what modules in Go are written with. A module decides what may be written to a space, and what that
// means: the same bytes run on the server and in every page, offline too. ABI.md in the directory above says what a module
// is; this package is all of it in Go's types.
//
//	package main
//
//	import "skerry/shared/module/guest"
//
//	type note struct { // a row, and here the payload of an event, too
//		ID   uint64 `doc:"chosen by who writes it"`
//		Text string
//		Due  *int64 // optional
//	}
//
//	var notes = &guest.Table[note]{Name: "notes", Key: []string{"id"}}
//
//	func init() {
//		guest.Register(guest.Module{
//			Name: "notes", Version: "1.0.0",
//			Tables: []guest.AnyTable{notes},
//			Events: []guest.AnyEventType{guest.EventType[note]{
//				Name: "note",
//				Authorize: func(e *guest.Event, n note) {
//					if _, found := notes.Get(n.ID); found {
//						guest.Fail(1, "there is such a note")
//					}
//				},
//				Apply: func(e *guest.Event, n note) { notes.Put(n) },
//			}},
//		})
//	}
//
//	func main() {} // is not called
//
// `skerry module build --out notes.wasm DIR` makes the module, with the go command of the machine. What is declared is the
// module's manifest: there is no other. `skerry module run notes.wasm EVENTS` tries it, `skerry module put` uploads it, and
// `skerry module types` writes its types for apps. Directory chat is an example of a hundred lines with all that a module has.
//
// # Rows and payloads
//
// Structs are rows, payloads and params: their fields are the columns, in their order, of the types bool, int64, uint64,
// float64, string and []byte. A pointer to one of them is optional, and nil where it is absent; so is a []byte with the tag
// `skerry:",optional"`. A column is called as the field in small letters, room_id for RoomID, or as the tag says:
// `skerry:"room"`. A tag `doc` says what a field is.
//
// A tag `default:"calm"` on a field that is not optional is what a payload without it has.
//
// What was declared once is not changed but listed, since pages that are older than the module go on writing by it: [EventType] has Older, the struct that the
// payload was and what becomes of its fields, and Removed for a type that nobody is to write any more. `skerry module diff` says what is not listed.
//
// The host checks payloads before the module sees them. Keys are given to [Table.Get], [Table.Delete], [Table.Scan] and
// [Table.Backward] by value, of the columns' own types, where an int will do for a number: one of another type panics.
//
// # What there is not
//
// Nothing is remembered but tables: before every call all memory is what it was when the init functions had run, so a
// variable that a call changes is as it was for the next. Declarations, templates and lookup tables are made once, by init
// functions, and cost a call nothing.
//
// A module decides alike everywhere, so it sees nothing that could differ: the clock begins in the first second of the year 2000 in every
// call, and time passes only while the program sleeps, which takes none. Random numbers are the same in every call, and with them the order of
// maps, so [math/rand/v2] and range over a map are allowed and of little use. There are no arguments, files or network. When an event was written
// [Event] says. Goroutines and channels work; when a call returns, so does what is left of them.
//
// # What stops a module
//
// [Fail] refuses, with a code of the module's own and a reason for people. A panic, os.Exit, a deadlock, and whatever
// waits for input or files is the verdict module_trap; what Go prints of it, a trace with lines of the source too, is in the log: standard
// output and standard error are logged, a line at a time. `skerry module run` shows that.
//
// # What it costs
//
// A call has 10,000,000 fuel. A program by Go's compiler takes much of that, since a branch that is taken costs the fuel
// of the whole function that it is in. Measured with Go 1.26:
//
//	51,000        a message of directory chat, authorized and applied; by hand in WebAssembly it takes 900
//	11,000        a row of four columns that a scan gives
//	10,000        an allocation, and up to 20,000
//	60,000        an entry of a map that is made and ranged over
//	180,000       fmt.Sprint of a number; strconv.Itoa takes little
//	200,000       a recursion 100 deep: Go copies its stack. One without end runs out of fuel
//	3,000,000     a panic, with its trace
//
// So keep functions small that run often. No call has fuel for collecting garbage, so none is collected: what a call
// allocates is gone when it ends. Memory ends at 16 MiB.
//
// A module is 2.1 MB, of which all but some kB are Go's runtime, and 2.8 MB with fmt; an instance has 2.6 MiB of memory.
// wazero compiles it in seconds, once, and makes an instance in 1.3 ms; a call takes 44 µs at best, 42 of them for putting
// the memory back, where the module by hand takes 1.2. That is right for the policy of a server, and heavy for a page, which
// downloads the module and compiles it: for what pages run, AssemblyScript makes modules of some kB.
//
// The package builds for other systems too, so that editors and vet understand a module, and cannot be called there.
// Nothing is safe for concurrent use, but goroutines of a call do not run at the same time.
//
// Stable: what is declared here, as the ABI is.
package guest
