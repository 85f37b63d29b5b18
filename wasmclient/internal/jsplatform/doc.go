// Package jsplatform is what the tabs of one browser have between them: [Lead], by which one of them leads sync, and
// [Hints], by which they tell each other that something changed. Both go through the browser alone, so they work
// without a server, and both have a name that the replica's tabs share.
//
// Neither is needed for safety. The store fences a tab that leads no more, and a hint only says that a look at the
// store would be worth it.
//
// Stable: nothing; the package serves the client's command in this tree.
package jsplatform
