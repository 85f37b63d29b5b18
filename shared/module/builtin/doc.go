// Package builtin has the modules that are part of every build, by name: what most apps need, so that they need no
// module of their own.
//
//	open       everyone writes, everyone reads
//	personal   only who made the space writes and reads
//	broadcast  only who made the space writes, everyone reads
//	members    a list of people with roles, who alone read; they are invited by links
//	kv         tables that the app declares, over such roles
//	system     the policy of a server (package system); not in pages
//
// docs/modules in the repository has a page on each. A space's genesis names a module by its digest, so a name is for people,
// and stands for the newest module of that name: [ByName]. [Bytes] has that one and every one that was ever released,
// in a page those of this build alone, since it keeps the module of each of its spaces.
//
// "open" is judged natively (package module); the others are WebAssembly like anybody's, written in AssemblyScript beside
// this file and compiled by `make modules`. That their bytes are what their sources give is checked in CI.
//
// Stable: names, and the digests in released/list.txt.
package builtin
