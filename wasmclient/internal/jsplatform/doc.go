// Package jsplatform is what the tabs of one browser have between them: [Lead], by which one of them leads sync, and
// [Channel], by which they tell each other that something changed and that they are there. Both go through the browser
// alone, so they work without a server, and both have a name that the replica's tabs share.
//
// Neither is needed for safety. The store fences a tab that leads no more, and a message only says that a look at the
// store, or at the lock, would be worth it. What to say and when to steal the lock is decided by package wasmclient.
//
// Stable: nothing; the package serves the client's command in this tree.
package jsplatform
