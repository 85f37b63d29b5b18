package identity

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"skerry/shared/space"
)

const (
	// MaxLinks is how many links may lie between an identity and the key that signs for it.
	MaxLinks = 2
	// MaxLabel is how many bytes a label has at most.
	MaxLabel = 63
)

const (
	linkDomain = "skerry.link.1"
	flagLinks  = 1
)

// Link is the word of a key that the key of another device may act as it: prove its identity and sign spaces that it makes. What it is
// worth at a server, a revocation there decides besides.
type Link struct {
	Device   string // the name of the device's key
	IssuedAt uint64 // milliseconds since 1970, for people
	Expires  uint64 // milliseconds since 1970, from when on it proves nothing; 0: never
	// MayLink tells that the device may link others, which may not go on doing so. It is for keys that are kept on paper.
	MayLink   bool
	Label     string // for people, up to [MaxLabel] bytes
	Signature []byte // by the key that is before it, over [Link.Message]
}

// append appends the link without its signature.
func (l *Link) append(b []byte) []byte {
	b = append(space.AppendCompact(b, len(l.Device)), l.Device...)
	b = binary.LittleEndian.AppendUint64(b, l.IssuedAt)
	b = binary.LittleEndian.AppendUint64(b, l.Expires)
	flags := byte(0)
	if l.MayLink {
		flags = flagLinks
	}
	b = append(b, flags)
	return append(space.AppendCompact(b, len(l.Label)), l.Label...)
}

// Message returns what is signed to link a device to an identity.
func (l *Link) Message(identity string) []byte {
	b := append(space.AppendCompact([]byte(linkDomain), len(identity)), identity...)
	return l.append(b)
}

// Append appends the link as it follows on a signature.
func (l *Link) Append(b []byte) []byte { return append(l.append(b), l.Signature...) }

// Signed is a signature with who has made it.
type Signed struct {
	Links     []Link // from the identity to the key that signed; none: it is the identity's own
	key       Key
	signature []byte
}

// ParseSigned reads a signature for an identity: by its own key, which has [SignatureSize] bytes, or by that of a linked device, which the
// links follow that show it. The links' signatures are checked, and not whether they have expired.
func ParseSigned(identity string, signature []byte) (*Signed, error) {
	key, err := Parse(identity)
	if err != nil {
		return nil, err
	}
	if len(signature) < SignatureSize {
		return nil, fmt.Errorf("identity: a signature has %d bytes, not %d", SignatureSize, len(signature))
	}
	s := &Signed{key: key, signature: signature[:SignatureSize]}
	for rest := signature[SignatureSize:]; len(rest) > 0; {
		if n := len(s.Links); n == MaxLinks || n > 0 && !s.Links[n-1].MayLink {
			return nil, errors.New("identity: a linked device has linked another, and may not")
		}
		var l Link
		if rest, err = l.parse(rest); err != nil {
			return nil, err
		}
		if !s.key.Verify(l.Message(identity), l.Signature) {
			return nil, errors.New("identity: the link of a device is not signed by whom it should be")
		}
		if s.key, err = Parse(l.Device); err != nil {
			return nil, err
		}
		s.Links = append(s.Links, l)
	}
	return s, nil
}

// Verify reports whether the signature is over a message.
func (s *Signed) Verify(message []byte) bool { return s.key.Verify(message, s.signature) }

// MayLink reports whether who signed may link and unlink devices.
func (s *Signed) MayLink() bool {
	return len(s.Links) == 0 || len(s.Links) < MaxLinks && s.Links[len(s.Links)-1].MayLink
}

// Expires returns when the first of the links expires; 0: none does.
func (s *Signed) Expires() (at uint64) {
	for i := range s.Links {
		if ends := s.Links[i].Expires; ends != 0 && (at == 0 || ends < at) {
			at = ends
		}
	}
	return at
}

var errLink = errors.New("identity: the link of a device cannot be read")

// parse reads a link and returns what follows it. Only what Append writes is taken.
func (l *Link) parse(b []byte) (rest []byte, err error) {
	text := func(most int) string {
		n, size, failed := space.Compact(b)
		if failed != nil || n > most || n > len(b)-size {
			err, b = errLink, nil
			return ""
		}
		t := string(b[size : size+n])
		b = b[size+n:]
		return t
	}
	l.Device = text(len(Prefix) + maxName + 1)
	if len(b) < 17 || b[16] > flagLinks {
		return nil, errLink
	}
	l.IssuedAt, l.Expires, l.MayLink = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:]), b[16] == flagLinks
	b = b[17:]
	l.Label = text(MaxLabel)
	if err != nil || len(b) < SignatureSize || !utf8.ValidString(l.Label) || strings.ContainsFunc(l.Label, unicode.IsControl) {
		return nil, errLink
	}
	l.Signature = b[:SignatureSize:SignatureSize]
	return b[SignatureSize:], nil
}
