// Package digest is Skerry's content address: the BLAKE3-256 of some bytes.
//
// Modules, checkpoints and space identities are named by a [Digest]. Equal bytes have equal digests on every
// machine, so a digest is at once a name, a checksum and a proof that nobody changed what it names.
//
// [Of] hashes a message held in one piece without allocating for messages of up to 1 KiB, which covers nearly
// every event. [Keyed] is the same function under a secret key (BLAKE3's keyed mode), used for seals.
//
// Stable: the hash function, the 32-byte size and the hexadecimal text form. All functions are safe for
// concurrent use.
package digest

import (
	"encoding/hex"
	"fmt"

	"github.com/zeebo/blake3"
)

// Size is the length of a digest in bytes.
const Size = 32

// Digest is the BLAKE3-256 of some bytes. The zero value means "none".
type Digest [Size]byte

// Of returns the digest of message.
func Of(message []byte) Digest {
	return blake3.Sum256(message)
}

// Keyed returns the BLAKE3 keyed hash of message under key, which only a holder of key can compute. Who makes many
// under one key keeps a [Keyer].
func Keyed(key [Size]byte, message []byte) Digest { return NewKeyer(key).Of(message) }

// Keyer makes keyed hashes under one key without allocating for each. It is not safe for concurrent use.
type Keyer struct{ hasher *blake3.Hasher }

// NewKeyer returns a Keyer for key. It holds about 11 KB.
func NewKeyer(key [Size]byte) *Keyer {
	hasher, err := blake3.NewKeyed(key[:])
	if err != nil {
		panic("digest: keyed hash refused a 32-byte key: " + err.Error())
	}
	return &Keyer{hasher}
}

// Of returns the keyed hash of message.
func (k *Keyer) Of(message []byte) Digest {
	k.hasher.Reset()
	k.hasher.Write(message)
	var sum Digest
	k.hasher.Sum(sum[:0])
	return sum
}

// Parse reads the form that [Digest.String] writes: 64 hexadecimal digits of either case.
func Parse(text string) (Digest, error) {
	var d Digest
	if len(text) != 2*Size {
		return Digest{}, fmt.Errorf("parse digest: want %d hexadecimal digits, got %d characters", 2*Size, len(text))
	}
	if _, err := hex.Decode(d[:], []byte(text)); err != nil {
		return Digest{}, fmt.Errorf("parse digest: %w", err)
	}
	return d, nil
}

// String returns d as 64 lower-case hexadecimal digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// IsZero reports whether d is the zero value, which no known message hashes to.
func (d Digest) IsZero() bool { return d == Digest{} }

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Digest) UnmarshalText(text []byte) error {
	parsed, err := Parse(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}
