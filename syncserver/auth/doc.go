// Package auth finds out who a client is. A client offers proofs in its hello, and an [Authenticator] says of whom they are:
//
//   - of a key: the identity is its name (did:key), the proof its signature over the connection's nonce, the server's key and
//     the host that the client dialled (package identity). So a proof that somebody saw is worth nothing on another connection, at
//     another server, or to whoever stands between and passes on what a client said to another host.
//   - of a subject of an issuer: the proof is a JWT, signed by RS256, ES256 or EdDSA with a key of the issuer's. The identity is
//     the issuer, "#" and the subject ([SubjectIdentity]), so that two issuers never name the same, nor a key.
//
// [New] makes the one that servers use. What it refuses has a code of package wire and a reason that tells what is wrong
// and never quotes what was offered: tokens are secrets.
//
// # Keys of issuers
//
// They come from a JWKS, by https or from a file, or from a PEM file. They are fetched when a token first needs them, again
// after an hour, and when a token names a key that is not known; but never more than once in half a minute, however many
// tokens ask for it. While the issuer cannot be reached those that are known go on counting, for a day.
//
// # Stable
//
// The names of identities: they are in logs. The rest grows.
package auth
