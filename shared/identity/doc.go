// Package identity reads and writes the names of keys (did:key) and checks what they sign.
//
// An identity is a text. Whoever makes one alone, in a browser without a network, makes a key and is named by it:
// [Parse] reads such a name, [Key.String] writes it, and [Key.Verify] checks a signature by it. What is signed is
// [space.ProofMessage] and [space.GenesisMessage]. Who is named by an identity provider has no key here; package
// syncserver/auth knows both kinds.
// A device with a key of its own signs for an identity by a [Link], which follows on the signature: [ParseSigned] reads both.
//
// Two kinds of key are known: Ed25519, and P-256 for engines without the first. A key has one name only: what would be
// another writing of the same key is refused, so that names can be compared as they are.
//
// The package is pure and checks signatures, which a page never does: the browser's build must not contain it.
//
// Stable: the names and what is signed; both are in the logs of spaces and in testdata/vectors.
package identity
