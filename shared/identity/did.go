package identity

import (
	"crypto/elliptic"
	"errors"
	"fmt"
	"strings"
)

// Prefix is what the name of every key begins with.
const Prefix = "did:key:"

// Kind is what a key signs by.
type Kind int

// The kinds of keys.
const (
	Ed25519 Kind = 1
	P256    Kind = 2
)

// String returns the kind's name, for people.
func (k Kind) String() string {
	switch k {
	case Ed25519:
		return "Ed25519"
	case P256:
		return "P-256"
	}
	return "unknown"
}

// The sizes of public keys: a compressed point for P-256.
const (
	ed25519Size = 32
	p256Size    = 33
)

// maxName is longer than every name that can be read: reading takes time that grows by the square of the length.
const maxName = 64

// Key is a public key. The zero Key is none. Make one by [Parse] or [New].
type Key struct {
	kind   Kind
	public string // so that keys can be compared
}

// errKey is what is wrong with bytes that are no key of their kind.
var errKey = errors.New("identity: the bytes are no public key of that kind")

// New returns the key of a kind with a public half: 32 bytes for Ed25519, the compressed point for P-256.
func New(kind Kind, public []byte) (Key, error) {
	switch {
	case kind == Ed25519 && len(public) == ed25519Size:
	case kind == P256 && len(public) == p256Size:
		if x, _ := elliptic.UnmarshalCompressed(elliptic.P256(), public); x == nil {
			return Key{}, errKey
		}
	default:
		return Key{}, errKey
	}
	return Key{kind, string(public)}, nil
}

// Kind returns what the key signs by.
func (k Key) Kind() Kind { return k.kind }

// Public returns the public half, as [New] takes it.
func (k Key) Public() []byte { return []byte(k.public) }

// The multicodec names of the kinds, as varints.
const (
	codecEd25519 = "\xed\x01"
	codecP256    = "\x80\x24"
)

// String returns the key's name: did:key, by the multibase base58btc of its multicodec name and public half.
func (k Key) String() string {
	switch k.kind {
	case Ed25519:
		return Prefix + "z" + encode58(codecEd25519+k.public)
	case P256:
		return Prefix + "z" + encode58(codecP256+k.public)
	}
	return ""
}

// IsKey reports whether an identity claims to be the name of a key. [Parse] tells whether it is one.
func IsKey(identity string) bool { return strings.HasPrefix(identity, Prefix) }

// Parse returns the key that an identity names. It takes what [Key.String] writes and nothing else.
func Parse(identity string) (Key, error) {
	text, ok := strings.CutPrefix(identity, Prefix+"z")
	if !ok {
		return Key{}, fmt.Errorf("identity: a key's name begins with %sz", Prefix)
	}
	if len(text) > maxName {
		return Key{}, fmt.Errorf("identity: the name of a key has %d characters, more than %d", len(text), maxName)
	}
	bytes, ok := decode58(text)
	if !ok {
		return Key{}, errors.New("identity: the name of a key is no base58btc")
	}
	kind, public := Ed25519, ""
	switch {
	case strings.HasPrefix(bytes, codecEd25519):
		public = bytes[len(codecEd25519):]
	case strings.HasPrefix(bytes, codecP256):
		kind, public = P256, bytes[len(codecP256):]
	default:
		return Key{}, errors.New("identity: the key is neither Ed25519 nor P-256")
	}
	return New(kind, []byte(public))
}
