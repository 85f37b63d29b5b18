package hub_test

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"testing"

	"skerry/shared/hub"
	"skerry/shared/identity"
	"skerry/shared/space"
	"skerry/shared/wire"
)

func TestProofsAreCheckedFirst(t *testing.T) {
	l := newLine(t)
	l.patient = true
	l.step(hub.Begin{Nonce: [32]byte{7}})
	h := hello(0)
	h.Proofs = []wire.Proof{{Identity: "ann", Proof: []byte("signed")}, {Identity: "bob"}}
	l.receive(h)
	if p := l.prove; p == nil || p.Nonce != [32]byte{7} || len(p.Proofs) != 2 || string(p.Proofs[0].Proof) != "signed" {
		t.Fatalf("asked %+v", p)
	}
	if l.last.Register != nil {
		t.Fatal("registered before the proofs were checked")
	}
	l.receive(&wire.Ping{})
	// The shell may find that the proofs are of others, or of fewer: what it found counts.
	claims := []byte{0x80}
	l.step(hub.Proved{Proven: []hub.Proven{{Identity: "carl", Claims: claims}, {Identity: "carl"}}})
	r := l.last.Register
	if r == nil || fmt.Sprint(r.Identities) != "[carl]" || len(r.Proven) != 1 || !bytes.Equal(r.Proven[0].Claims, claims) {
		t.Fatalf("register %+v", r)
	}
	l.step(hub.Proved{Proven: []hub.Proven{{Identity: "dan"}}}) // nobody asked
	l.step(hub.Registered{})
	l.wants("challenge, pong, welcome [carl] 1.0.0")

	l = newLine(t)
	l.patient = true
	l.step(hub.Begin{})
	l.receive(hello(0))
	l.receive(&wire.Push{})
	l.fails(wire.CodeBadFrame)

	for _, code := range []wire.Code{wire.CodeBadCredentials, wire.CodeAuthRequired, wire.CodeAuthExpired, wire.CodeOverloaded} {
		l = newLine(t)
		l.patient = true
		l.step(hub.Begin{})
		l.receive(hello(0))
		l.step(hub.Proved{Code: code, Reason: "because", Proven: []hub.Proven{{Identity: "ann"}}})
		l.fails(code)
	}
}

// expiring is a connection whose first proof ends at 5000.
func expiring(t *testing.T) *line {
	l := newLine(t)
	l.patient = true
	l.step(hub.Begin{})
	l.receive(hello(0))
	l.step(hub.Proved{Proven: []hub.Proven{{Identity: "ann", Expires: 5000}, {Identity: "bob"}, {Identity: "carl", Expires: 9000}}})
	l.step(hub.Registered{})
	l.sent()
	return l
}

// TestIdentitiesHaveNoControlCharacters: with one in it, two lists of names could look the same.
func TestIdentitiesHaveNoControlCharacters(t *testing.T) {
	for name, good := range map[string]bool{
		"https://id.example#ann": true, "Ånn Öst": true, "ann\x00bob": false, "ann\n": false, "ann\x7f": false, "ann\u0085": false, "ann\xff": false, "": false,
	} {
		l := newLine(t)
		l.patient = true
		l.step(hub.Begin{})
		l.receive(hello(0))
		l.sent()
		l.step(hub.Proved{Proven: []hub.Proven{{Identity: name}}})
		if good {
			l.step(hub.Registered{})
			l.wants(fmt.Sprintf("welcome [%s] 1.0.0", name))
		} else {
			l.fails(wire.CodeBadCredentials)
		}
	}
}

func TestCredentialsExpire(t *testing.T) {
	l := expiring(t)
	if l.last.WakeAt != 5000 {
		t.Errorf("wake at %d", l.last.WakeAt)
	}
	l.now = 4999
	l.step(hub.Tick{})
	l.receive(&wire.Ping{})
	l.wants("pong")
	l.now = 5000
	l.step(hub.Tick{})
	l.fails(wire.CodeAuthExpired)
}

func TestCredentialsAreRefreshed(t *testing.T) {
	l := expiring(t)
	l.receive(&wire.AuthRefresh{Ref: 3, Proof: wire.Proof{Identity: "ann", Proof: []byte("newer")}})
	if l.prove == nil || len(l.prove.Proofs) != 1 || string(l.prove.Proofs[0].Proof) != "newer" {
		t.Fatalf("asked %+v", l.prove)
	}
	l.receive(&wire.AuthRefresh{Ref: 4, Proof: wire.Proof{Identity: "ann"}})
	l.wants("refused 4 too_many")
	l.step(hub.Proved{Proven: []hub.Proven{{Identity: "ann", Expires: 20_000}}})
	l.wants("welcome [ann bob carl] 1.0.0")
	if r := l.last.Renewed; r == nil || r.Identity != "ann" || r.Expires != 20_000 {
		t.Errorf("renewed %+v", r)
	}
	if l.last.WakeAt != 9000 {
		t.Errorf("wake at %d", l.last.WakeAt)
	}
	for _, in := range []hub.Proved{
		{Code: wire.CodeBadCredentials},
		{Proven: []hub.Proven{{Identity: "eve", Expires: 20_000}}}, // who may write here stays as it is
		{},
	} {
		l.receive(&wire.AuthRefresh{Ref: 5, Proof: wire.Proof{Identity: "ann"}})
		l.step(in)
		l.wants("refused 5 bad_credentials")
	}
	l.now = 9000
	l.step(hub.Tick{})
	l.fails(wire.CodeAuthExpired)
}

// TestSignedGenesis: the genesis of a key is signed by it, and whoever has the signature may bring the space.
func TestSignedGenesis(t *testing.T) {
	secret := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{5}, 32))
	key, err := identity.New(identity.Ed25519, secret.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	mine := genesis
	mine.Creator = key.String()
	id := mine.ID()
	other := space.Genesis{Stamp: space.ULID{9}, Creator: mine.Creator, Module: mine.Module}
	good := ed25519.Sign(secret, space.GenesisMessage(id))
	plain := genesis
	broken := genesis
	broken.Creator = "did:key:zebra"
	for name, c := range map[string]struct {
		genesis   space.Genesis
		proven    string
		signature []byte
		told      string // "" if it is created
		charge    string
	}{
		"by the creator":               {mine, mine.Creator, good, "", mine.Creator},
		"brought back by another":      {mine, "eve", good, "", "eve"},
		"brought back by nobody":       {mine, "", good, "", mine.Creator},
		"unsigned by the creator":      {mine, mine.Creator, nil, "bad_genesis", ""},
		"unsigned, by another":         {mine, "eve", nil, "auth_required", ""},
		"signed for another space":     {mine, "eve", ed25519.Sign(secret, space.GenesisMessage(other.ID())), "bad_genesis", ""},
		"signed as a proof":            {mine, mine.Creator, ed25519.Sign(secret, id[:]), "bad_genesis", ""},
		"of no key":                    {broken, "eve", good, "bad_genesis", ""},
		"a plain creator with one":     {plain, "ann", good, "bad_genesis", ""},
		"a plain creator, by another":  {plain, "eve", nil, "auth_required", ""},
		"a plain creator, by himself":  {plain, "ann", nil, "", "ann"},
		"a signature longer than any ": {mine, mine.Creator, make([]byte, wire.MaxSignature+1), "too_large", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			id := c.genesis.ID()
			w.s = hub.NewSpace(testConfig(), id)
			caller := &hub.Caller{Conn: 1, Address: "here"}
			if c.proven != "" {
				caller.Identities = []string{c.proven}
			}
			w.callers[1] = caller
			w.step(hub.Offer{Caller: caller, Size: 100,
				Push: &wire.Push{Space: id, N: 1, Genesis: &c.genesis, GenesisSignature: c.signature}})
			w.answerAbsent()
			if c.told == "" {
				if w.create == nil || w.create.Charges[0] != "create/identity/"+c.charge {
					t.Fatalf("create %+v", w.create)
				}
				return
			}
			if w.create != nil {
				t.Fatal("created")
			}
			w.wants("1/1: genesis " + c.told + ";")
		})
	}
}
