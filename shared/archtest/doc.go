// Package archtest holds the rules about the tree as tests: which package may depend on which, what the browser's
// build must not contain, that the pure packages have no clock and no randomness, that every package says what is
// stable, that every dependency is justified, and that the example in the README runs as printed.
//
// It exports nothing. A rule is a line in one of the tables of its tests, with the reason that a failure prints;
// to change the architecture, change the line and the reason together. The tests ask the go command about the tree,
// natively and for GOOS=js, so they see what is built and not what is meant.
//
// Stable: the dependency rule itself. shared is imported by wasmclient and syncserver, those by their commands, and
// nothing else imports across.
package archtest
