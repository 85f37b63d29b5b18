package identity

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"math/big"
)

// SignatureSize is how many bytes a signature of either kind has.
const SignatureSize = 64

// Verify reports whether a signature over a message is by the key. Ed25519 signs the message; P-256 signs its SHA-256, and the
// signature is r and s, 32 bytes each, as browsers make it.
func (k Key) Verify(message, signature []byte) bool {
	if len(signature) != SignatureSize {
		return false
	}
	switch k.kind {
	case Ed25519:
		return ed25519.Verify(ed25519.PublicKey(k.public), message, signature)
	case P256:
		x, y := elliptic.UnmarshalCompressed(elliptic.P256(), []byte(k.public))
		point := make([]byte, 2*p256Size-1)
		point[0] = 4 // uncompressed
		x.FillBytes(point[1:p256Size])
		y.FillBytes(point[p256Size:])
		public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
		if err != nil {
			return false
		}
		hash := sha256.Sum256(message)
		r, s := new(big.Int).SetBytes(signature[:SignatureSize/2]), new(big.Int).SetBytes(signature[SignatureSize/2:])
		return ecdsa.Verify(public, hash[:], r, s)
	}
	return false
}
