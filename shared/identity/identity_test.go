package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/space"
)

var update = flag.Bool("update", false, "write testdata/vectors anew; committed vectors are frozen")

const vectorFile = "testdata/vectors/did.json"

// A vector is a key's name with its kind and public half, and a signature by it; or a name that is refused. Bytes are
// lower-case hexadecimal. The signature of a P-256 key is over the message as its SHA-256.
type vector struct {
	Name      string `json:"name"`
	Identity  string `json:"identity"`
	Kind      string `json:"kind,omitempty"`
	Public    string `json:"public,omitempty"`
	Message   string `json:"message,omitempty"`
	Signature string `json:"signature,omitempty"`
	Refused   bool   `json:"refused,omitempty"` // the identity names no key
	Forged    bool   `json:"forged,omitempty"`  // the signature is not the key's
}

func TestVectors(t *testing.T) {
	if *update {
		write(t)
	}
	var vectors []vector
	text, err := os.ReadFile(filepath.FromSlash(vectorFile))
	if err == nil {
		err = json.Unmarshal(text, &vectors)
	}
	if err != nil || len(vectors) < 10 {
		t.Fatalf("%d vectors: %v", len(vectors), err)
	}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			key, err := Parse(v.Identity)
			if v.Refused {
				if err == nil {
					t.Fatalf("%s was read as %v", v.Identity, key)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if key.Kind().String() != v.Kind || hex.EncodeToString(key.Public()) != v.Public || key.String() != v.Identity {
				t.Errorf("got %v %x, written %s", key.Kind(), key.Public(), key)
			}
			if v.Signature == "" {
				return
			}
			if key.Verify(unhex(t, v.Message), unhex(t, v.Signature)) == v.Forged {
				t.Errorf("the signature verifies: %v", v.Forged)
			}
		})
	}
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// write makes the vectors. Signatures of P-256 differ each time; those that are committed stay.
func write(t *testing.T) {
	proof := space.ProofMessage([32]byte(bytes.Repeat([]byte{0x88}, 32)), [32]byte(bytes.Repeat([]byte{0x99}, 32)), "sync.example.org")
	genesis := space.GenesisMessage(digest.Of([]byte("space")))
	var vectors []vector
	add := func(v vector) { vectors = append(vectors, v) }
	// Names of the did:key method's own examples.
	for _, known := range []vector{
		{Identity: "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp", Kind: "Ed25519"},
		{Identity: "did:key:zDnaerDaTF5BXEavCrfRZEk316dpbLsfPDZ3WJ5hRTPFU2169", Kind: "P-256"},
	} {
		key, err := Parse(known.Identity)
		if err != nil {
			t.Fatal(err)
		}
		known.Name, known.Public = "the method's example of "+known.Kind, hex.EncodeToString(key.Public())
		add(known)
	}
	secret := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	ed, _ := New(Ed25519, secret.Public().(ed25519.PublicKey))
	p256, sign := p256Key(t)
	for _, k := range []struct {
		key  Key
		sign func([]byte) []byte
	}{
		{ed, func(message []byte) []byte { return ed25519.Sign(secret, message) }},
		{p256, sign},
	} {
		kind, public := k.key.Kind().String(), hex.EncodeToString(k.key.Public())
		for name, message := range map[string][]byte{"a proof": proof, "a genesis": genesis} {
			signature := k.sign(message)
			v := vector{Name: kind + " signs " + name, Identity: k.key.String(), Kind: kind, Public: public,
				Message: hex.EncodeToString(message), Signature: hex.EncodeToString(signature)}
			add(v)
			message = bytes.Clone(message)
			message[len(message)-1] ^= 1
			v.Name, v.Message, v.Forged = kind+" did not sign "+name+" that is another", hex.EncodeToString(message), true
			add(v)
		}
		add(vector{Name: kind + " with an empty signature's place taken by zeros", Identity: k.key.String(), Kind: kind, Public: public,
			Message: hex.EncodeToString(proof), Signature: strings.Repeat("00", SignatureSize), Forged: true})
	}
	for name, identity := range refused(ed, p256) {
		add(vector{Name: name, Identity: identity, Refused: true})
	}
	text, err := json.MarshalIndent(vectors, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.FromSlash(vectorFile), append(text, '\n'), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// refused are names that are none, by what is wrong with them.
func refused(ed, p256 Key) map[string]string {
	raw := func(bytes string) string { return Prefix + "z" + encode58(bytes) }
	name := ed.String()
	offCurve := strings.Repeat("\xff", 32)
	return map[string]string{
		"nothing":                     "",
		"a plain name":                "ann",
		"another method":              strings.Replace(name, "key", "web", 1),
		"upper case":                  strings.ToUpper(name),
		"without a key":               Prefix + "z",
		"without multibase":           Prefix + name[len(Prefix)+1:],
		"another multibase":           Prefix + "u" + name[len(Prefix)+1:],
		"a letter that base58 lacks":  name[:len(name)-1] + "0",
		"a space behind it":           name + " ",
		"a fragment behind it":        name + "#" + name[len(Prefix):],
		"zeros before it":             Prefix + "z1" + name[len(Prefix)+1:],
		"another codec":               raw("\xec\x01" + ed.public),
		"a longer form of the codec":  raw("\xed\x81\x00" + ed.public),
		"Ed25519, a byte too short":   raw(codecEd25519 + ed.public[1:]),
		"Ed25519, a byte too long":    raw(codecEd25519 + ed.public + "\x00"),
		"P-256 uncompressed":          raw(codecP256 + "\x04" + ed.public + ed.public),
		"P-256, not on the curve":     raw(codecP256 + "\x02" + offCurve),
		"P-256, an unknown sign byte": raw(codecP256 + "\x05" + p256.public[1:]),
		"far too long":                Prefix + "z" + strings.Repeat("2", 10_000),
	}
}

func p256Key(t *testing.T) (Key, func([]byte) []byte) {
	t.Helper()
	scalar := bytes.Repeat([]byte{9}, 32)
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
	if err != nil {
		t.Fatal(err)
	}
	point, err := private.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	key, err := New(P256, append([]byte{2 | point[64]&1}, point[1:33]...))
	if err != nil {
		t.Fatal(err)
	}
	return key, func(message []byte) []byte {
		hash := sha256.Sum256(message)
		r, s, err := ecdsa.Sign(random{}, private, hash[:])
		if err != nil {
			t.Fatal(err)
		}
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	}
}

type random struct{}

func (random) Read(b []byte) (int, error) { return copy(b, bytes.Repeat([]byte{3}, len(b))), nil }

func TestVerifyOfNothing(t *testing.T) {
	if (Key{}).Verify(nil, make([]byte, SignatureSize)) || (Key{}).String() != "" {
		t.Error("no key is one")
	}
	key, sign := p256Key(t)
	signature := sign([]byte("hello"))
	if !key.Verify([]byte("hello"), signature) {
		t.Error("a signature does not verify")
	}
	for _, wrong := range [][]byte{nil, signature[:63], append(bytes.Clone(signature), 0)} {
		if key.Verify([]byte("hello"), wrong) {
			t.Errorf("a signature of %d bytes verifies", len(wrong))
		}
	}
}

func FuzzParse(f *testing.F) {
	p256, _ := p256Key(&testing.T{})
	ed, _ := New(Ed25519, make([]byte, ed25519Size))
	f.Add(p256.String())
	f.Add(ed.String())
	for _, name := range refused(ed, p256) {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, identity string) {
		key, err := Parse(identity)
		if err != nil {
			if key != (Key{}) {
				t.Fatalf("%q gave a key with the error %v", identity, err)
			}
			return
		}
		if key.String() != identity {
			t.Fatalf("%q is written %q", identity, key)
		}
		if again, err := New(key.Kind(), key.Public()); err != nil || again != key {
			t.Fatalf("%q: %v %v", identity, again, err)
		}
	})
}

func FuzzBase58(f *testing.F) {
	f.Add("\x00\x00\x01")
	f.Add("")
	f.Fuzz(func(t *testing.T, bytes string) {
		if len(bytes) > 256 {
			return
		}
		if got, ok := decode58(encode58(bytes)); !ok || got != bytes {
			t.Fatalf("%x came back as %x, %v", bytes, got, ok)
		}
	})
}
