// Command client is the browser's half of Skerry as WebAssembly: it puts the client together from its parts for the
// browser (IndexedDB, WebSocket, Web Locks, BroadcastChannel) and answers a page.
//
// It runs in a dedicated Worker, one for each tab, under a small script that loads it. The page sends messages
// [ref, method, ...arguments] and gets [ref, error, result] for each: error is null or [code, reason], result is null
// or a Uint8Array in msgpack. Some methods answer more than once, each time with the same ref. Messages with ref 0 are
// not asked for: [0, "change", bytes] tells what became of the replica, [0, "refused", bytes] that a transaction was. Committed records cross as they are on the
// wire, one after the other, so that a thousand of them cost one copy.
//
// The methods are in bridge_js.go, beside what they take and give. Page, script and this program are one build and
// change together.
//
// Stable: nothing outside of one build.
package main
