package identity

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skerry/shared/space"
	"skerry/shared/wire"
)

const linkVectorFile = "testdata/links/links.json"

// A linkVector is a signature over a message for an identity, and what is wrong with it; or a link with what is signed of it, for
// whoever makes links. Bytes are lower-case hexadecimal.
type linkVector struct {
	Name      string `json:"name"`
	Identity  string `json:"identity"`
	Message   string `json:"message"`
	Signature string `json:"signature"`
	Refused   bool   `json:"refused,omitempty"` // it is none that is known
	Forged    bool   `json:"forged,omitempty"`  // it is not over the message
	// The last link of the signature, whose message is what its signer has signed.
	Device   string `json:"device,omitempty"`
	IssuedAt uint64 `json:"issued_at,omitempty"`
	Expires  uint64 `json:"expires,omitempty"`
	MayLink  bool   `json:"may_link,omitempty"`
	Label    string `json:"label,omitempty"`
	Signed   string `json:"signed,omitempty"`
}

type signer struct {
	name   string
	secret ed25519.PrivateKey
}

func signerOf(seed byte) signer {
	secret := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	key, _ := New(Ed25519, secret.Public().(ed25519.PublicKey))
	return signer{key.String(), secret}
}

func (s signer) link(identity string, l Link) Link {
	l.Signature = ed25519.Sign(s.secret, l.Message(identity))
	return l
}

func (s signer) sign(message []byte, links ...Link) []byte {
	signature := ed25519.Sign(s.secret, message)
	for i := range links {
		signature = links[i].Append(signature)
	}
	return signature
}

func writeLinks(t *testing.T) {
	ann, phone, paper, fresh, eve := signerOf(1), signerOf(2), signerOf(3), signerOf(4), signerOf(5)
	message := space.ProofMessage([32]byte(bytes.Repeat([]byte{0x88}, 32)), [32]byte(bytes.Repeat([]byte{0x99}, 32)), "sync.example.org")
	toPhone := ann.link(ann.name, Link{Device: phone.name, IssuedAt: 1_790_000_000_000, Expires: 1_800_000_000_000, Label: "Ann’s phone"})
	toPaper := ann.link(ann.name, Link{Device: paper.name, IssuedAt: 1_790_000_000_001, MayLink: true})
	toFresh := paper.link(ann.name, Link{Device: fresh.name, IssuedAt: 1_790_000_000_002, Label: strings.Repeat("x", MaxLabel)})
	freshMay := paper.link(ann.name, Link{Device: fresh.name, MayLink: true})
	toEve := fresh.link(ann.name, Link{Device: eve.name})
	byPhone := phone.link(ann.name, Link{Device: eve.name})
	ofEve := eve.link(eve.name, Link{Device: phone.name})
	byEve := eve.link(ann.name, Link{Device: phone.name})
	cut, flagged := toPhone, toPhone.Append(phone.sign(message))
	cut.Signature = cut.Signature[:63]
	flagged[64+1+len(phone.name)+16] = 1 // may_link, which was not signed
	badFlag := bytes.Clone(flagged)
	badFlag[64+1+len(phone.name)+16] = 2
	var all []linkVector
	add := func(name string, signature []byte, change func(*linkVector)) {
		v := linkVector{Name: name, Identity: ann.name, Message: hex.EncodeToString(message), Signature: hex.EncodeToString(signature)}
		if change != nil {
			change(&v)
		}
		all = append(all, v)
	}
	shows := func(l Link) func(*linkVector) {
		return func(v *linkVector) {
			v.Device, v.IssuedAt, v.Expires, v.MayLink, v.Label = l.Device, l.IssuedAt, l.Expires, l.MayLink, l.Label
			v.Signed = hex.EncodeToString(l.Message(ann.name))
		}
	}
	refused := func(v *linkVector) { v.Refused = true }
	forged := func(v *linkVector) { v.Forged = true }
	add("her own", ann.sign(message), nil)
	add("her phone's", phone.sign(message, toPhone), shows(toPhone))
	add("her paper's", paper.sign(message, toPaper), shows(toPaper))
	add("that of a device that her paper linked", fresh.sign(message, toPaper, toFresh), shows(toFresh))
	add("of another message", phone.sign([]byte("another"), toPhone), forged)
	add("by a device that another link is for", eve.sign(message, toPhone), forged)
	add("without its link", phone.sign(message), forged)
	add("a link for another identity", phone.sign(message, ofEve), refused)
	add("a link that somebody else signed", phone.sign(message, byEve), refused)
	add("a link by a device that may not", eve.sign(message, toPhone, byPhone), refused)
	add("three links", eve.sign(message, toPaper, freshMay, toEve), refused)
	add("links in another order", fresh.sign(message, toFresh, toPaper), refused)
	add("a link cut short", phone.sign(message, cut), refused)
	add("a link and a byte", append(phone.sign(message, toPhone), 0), refused)
	add("a flag that was not signed", flagged, refused)
	add("a flag that is unknown", badFlag, refused)
	add("a label too long", phone.sign(message, ann.link(ann.name, Link{Device: phone.name, Label: strings.Repeat("x", MaxLabel+1)})), refused)
	add("a label with a control character", phone.sign(message, ann.link(ann.name, Link{Device: phone.name, Label: "a\x07"})), refused)
	add("a device that is no key", phone.sign(message, ann.link(ann.name, Link{Device: "phone"})), refused)
	add("nothing", nil, refused)
	text, err := json.MarshalIndent(all, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.FromSlash(linkVectorFile), append(text, '\n'), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestLinkVectors(t *testing.T) {
	if *update {
		writeLinks(t)
	}
	var vectors []linkVector
	text, err := os.ReadFile(filepath.FromSlash(linkVectorFile))
	if err == nil {
		err = json.Unmarshal(text, &vectors)
	}
	if err != nil || len(vectors) < 15 {
		t.Fatalf("%d vectors: %v", len(vectors), err)
	}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			signature := unhex(t, v.Signature)
			by, err := ParseSigned(v.Identity, signature)
			if v.Refused != (err != nil) {
				t.Fatalf("%+v: %v", by, err)
			}
			if v.Refused {
				return
			}
			if by.Verify(unhex(t, v.Message)) == v.Forged {
				t.Errorf("it is over the message: %v", v.Forged)
			}
			again := bytes.Clone(signature[:SignatureSize])
			for i := range by.Links {
				again = by.Links[i].Append(again)
			}
			if !bytes.Equal(again, signature) {
				t.Error("written again it is another one")
			}
			if v.Device == "" {
				return
			}
			l := by.Links[len(by.Links)-1]
			if l.Device != v.Device || l.IssuedAt != v.IssuedAt || l.Expires != v.Expires || l.MayLink != v.MayLink || l.Label != v.Label ||
				hex.EncodeToString(l.Message(v.Identity)) != v.Signed {
				t.Errorf("read as %+v", l)
			}
			if by.Expires() != v.Expires || by.MayLink() != v.MayLink {
				t.Errorf("it expires at %d, may link: %v", by.Expires(), by.MayLink())
			}
			if len(signature) > wire.MaxSignature {
				t.Errorf("it has %d bytes, more than a genesis may carry", len(signature))
			}
		})
	}
}

// TestLinkBits: no bit of a link can be another one.
func TestLinkBits(t *testing.T) {
	ann, phone := signerOf(1), signerOf(2)
	message := []byte("hello")
	signature := phone.sign(message, ann.link(ann.name, Link{Device: phone.name, IssuedAt: 1, Expires: 2, Label: "phone"}))
	for i := range signature {
		changed := bytes.Clone(signature)
		changed[i] ^= 1
		if by, err := ParseSigned(ann.name, changed); err == nil && by.Verify(message) {
			t.Fatalf("with byte %d changed it verifies", i)
		}
	}
}

func FuzzParseSigned(f *testing.F) {
	ann, phone := signerOf(1), signerOf(2)
	f.Add(phone.sign(nil, ann.link(ann.name, Link{Device: phone.name, Label: "phone"})))
	f.Fuzz(func(t *testing.T, signature []byte) {
		by, err := ParseSigned(ann.name, signature)
		if err != nil {
			return
		}
		again := bytes.Clone(signature[:SignatureSize])
		for i := range by.Links {
			again = by.Links[i].Append(again)
		}
		if !bytes.Equal(again, signature) {
			t.Fatalf("%x is written %x", signature, again)
		}
	})
}
