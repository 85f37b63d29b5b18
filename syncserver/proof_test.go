package syncserver_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"testing"

	"skerry/shared/identity"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/memlog"
)

// keyed is a client's key.
type keyed struct {
	name   string
	secret ed25519.PrivateKey
}

func newKey(t *testing.T) keyed {
	t.Helper()
	public, secret, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := identity.New(identity.Ed25519, public)
	if err != nil {
		t.Fatal(err)
	}
	return keyed{key.String(), secret}
}

// hello answers a challenge, dialled by a host.
func (k keyed) hello(c *wire.Challenge, host string) *wire.Hello {
	h := hello()
	h.Proofs = []wire.Proof{{Identity: k.name, Proof: ed25519.Sign(k.secret, space.ProofMessage(c.Nonce, c.Server, host))}}
	return h
}

// proven is a server that takes keys and nothing else.
func proven(t *testing.T, hosts ...string) *rig {
	return start(t, memlog.New(), func(c *syncserver.Config) { c.Auth, c.PublicHosts = nil, hosts })
}

func TestKeysProveThemselves(t *testing.T) {
	r := proven(t, "other.test", "skerry.test")
	ann, eve := newKey(t), newKey(t)
	p, challenge := r.connect()
	h := ann.hello(challenge, "skerry.test")
	p.send(h)
	if w, ok := p.receive().(*wire.Welcome); !ok || len(w.Identities) != 1 || w.Identities[0] != ann.name {
		t.Fatalf("no welcome: %+v", w)
	}
	p.identity = ann.name
	g := p.genesis()
	id := g.ID()
	if v := p.pushed(wire.Push{Space: id, Genesis: g}).Genesis; v.Code != wire.CodeBadGenesis {
		t.Errorf("a genesis without its signature: %+v", v)
	}
	signature := ed25519.Sign(ann.secret, space.GenesisMessage(id))
	if v := p.pushed(wire.Push{Space: id, Resume: true, Genesis: g, GenesisSignature: signature}).Genesis; v.Kind != wire.Accepted {
		t.Fatalf("a genesis: %+v", v)
	}
	p.append(id, p.transaction(1))
	// Somebody else who is connected under a key of her own: neither an author nor a creator may be forged.
	m, c := r.connect()
	m.send(eve.hello(c, "skerry.test"))
	if _, ok := m.receive().(*wire.Welcome); !ok {
		t.Fatal("eve was not welcome")
	}
	if v := m.verdict(id, p.transaction(1)); v.Kind != wire.Deferred || v.Code != wire.CodeAuthRequired {
		t.Errorf("a forged author: %+v", v)
	}
	m.identity = ann.name
	forged := m.genesis()
	if v := m.pushed(wire.Push{Space: forged.ID(), Genesis: forged}).Genesis; v.Code != wire.CodeAuthRequired {
		t.Errorf("a forged creator: %+v", v)
	}
	byEve := ed25519.Sign(eve.secret, space.GenesisMessage(forged.ID()))
	if v := m.pushed(wire.Push{Space: forged.ID(), Resume: true, Genesis: forged, GenesisSignature: byEve}).Genesis; v.Code != wire.CodeBadGenesis {
		t.Errorf("a creator's signature by another: %+v", v)
	}
	// ann's own signature lets anybody bring the space.
	byAnn := ed25519.Sign(ann.secret, space.GenesisMessage(forged.ID()))
	if v := m.pushed(wire.Push{Space: forged.ID(), Resume: true, Genesis: forged, GenesisSignature: byAnn}).Genesis; v.Kind != wire.Accepted {
		t.Errorf("brought back: %+v", v)
	}
	// Nor does she end ann's connection, whose session she knows.
	taker, c := r.connect()
	take := eve.hello(c, "skerry.test")
	take.Session, take.Epoch = h.Session, h.Epoch+10
	taker.send(take)
	if _, ok := taker.receive().(*wire.Welcome); !ok {
		t.Fatal("eve was not welcome with a session of another's number")
	}
	p.append(id, p.transaction(1))
}

func TestProofsOfElsewhere(t *testing.T) {
	r := proven(t, "skerry.test")
	elsewhere := proven(t, "skerry.test")
	ann := newKey(t)
	seen, earlier := r.connect()
	replayed := ann.hello(earlier, "skerry.test")
	seen.send(replayed)
	if _, ok := seen.receive().(*wire.Welcome); !ok {
		t.Fatal("ann was not welcome")
	}
	_, other := elsewhere.connect()
	for name, make := range map[string]func(*wire.Challenge) *wire.Hello{
		"replayed": func(*wire.Challenge) *wire.Hello { h := *replayed; h.ConnectionID[0]++; return &h },
		"another server's": func(c *wire.Challenge) *wire.Hello {
			return ann.hello(&wire.Challenge{Nonce: c.Nonce, Server: other.Server}, "skerry.test")
		},
		"another host's":  func(c *wire.Challenge) *wire.Hello { return ann.hello(c, "evil.test") },
		"without a proof": func(*wire.Challenge) *wire.Hello { return hello(ann.name) },
		"of nobody":       func(*wire.Challenge) *wire.Hello { return hello() },
		"a plain name":    func(*wire.Challenge) *wire.Hello { return hello("ann") },
		"of the name alone": func(c *wire.Challenge) *wire.Hello {
			h := newKey(t).hello(c, "skerry.test")
			h.Proofs[0].Identity = ann.name
			return h
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, challenge := r.connect()
			p.t = t
			h := make(challenge)
			p.send(h)
			code := wire.CodeBadCredentials
			if len(h.Proofs) == 0 || len(h.Proofs[0].Proof) == 0 {
				code = wire.CodeAuthRequired
			}
			p.fails(code)
		})
	}
	// A name by which the server does not know itself: the request says skerry.test, and that proves nothing.
	nameless := proven(t)
	p, challenge := nameless.connect()
	p.send(ann.hello(challenge, "skerry.test"))
	p.fails(wire.CodeBadCredentials)
}
