package syncserver_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"skerry/shared/hub"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/auth"
	"skerry/syncserver/authtest"
	"skerry/syncserver/memlog"
)

// changing takes the proofs of names, and what it says of them may change.
type changing struct {
	claims atomic.Pointer[map[string][]byte]
}

func claiming(pairs ...any) *changing {
	c := &changing{}
	c.say(pairs...)
	return c
}

// say sets what is claimed of names: "bob", claims, and so on.
func (c *changing) say(pairs ...any) {
	of := map[string][]byte{}
	for i := 0; i < len(pairs); i += 2 {
		of[pairs[i].(string)] = pairs[i+1].([]byte)
	}
	c.claims.Store(&of)
}

func (c *changing) Authenticate(ctx context.Context, attempt *auth.Attempt) ([]hub.Proven, error) {
	return authtest.Names{Claims: *c.claims.Load()}.Authenticate(ctx, attempt)
}

// bearer takes the tokens of the API, with the same claims.
func (c *changing) bearer(_ context.Context, token string) ([]hub.Proven, error) {
	name := strings.TrimPrefix(token, "token of ")
	return []hub.Proven{{Identity: name, Claims: (*c.claims.Load())[name]}}, nil
}

var pro, free = packed("plan", "pro"), packed("plan", "free")

// planned starts a server that lets in who claims the plan pro and nobody else.
func planned(t *testing.T, log syncserver.Log, who *changing, configure ...func(*syncserver.Config)) *rig {
	t.Helper()
	rules := append([]byte{0x81}, "\xa7require\x81\xa4plan\x91\xa3pro"...)
	return start(t, log, append([]func(*syncserver.Config){runsModules(t, log, nil), func(c *syncserver.Config) {
		c.Auth, c.Authenticate, c.PolicyParams = who, who.bearer, rules
	}}, configure...)...)
}

// TestPolicyOverHTTP: whom the policy lets into no socket is answered over HTTP in its words too, and no request is written down.
func TestPolicyOverHTTP(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		r := planned(t, open(), claiming("ann", pro, "bob", free))
		ann := r.dial("ann")
		id := ann.create()
		ann.append(id, ann.transaction(1))
		before := r.wrote()
		for _, as := range []string{"", "bob", "eve"} {
			for _, path := range []string{eventsPath(id), "/api/v1/spaces", "/api/v1/spaces/" + id.String()} {
				var got struct{ Code, Reason string }
				if response := r.fetch(as, path, &got); response.StatusCode != 403 || got.Code != "connect_refused" || !strings.Contains(got.Reason, "plan") {
					t.Errorf("%q asks for %s: %d %+v", as, path, response.StatusCode, got)
				}
			}
		}
		var got ranged
		if response := r.fetch("ann", eventsPath(id), &got); response.StatusCode != 200 || len(got.Events) != 1 {
			t.Errorf("ann is answered %d with %d events", response.StatusCode, len(got.Events))
		}
		r.writes(before...)
		r.rows("ann " + string(pro))
	})
}

// TestStreamEndsByPolicy: who follows a space is looked at again, by the policy and by whom the token stands for.
func TestStreamEndsByPolicy(t *testing.T) {
	for name, c := range map[string]struct {
		later func(who *changing, token *atomic.Pointer[string])
		code  string
	}{
		"claims":     {func(who *changing, _ *atomic.Pointer[string]) { who.say("ann", free) }, "connect_refused"},
		"identities": {func(_ *changing, name *atomic.Pointer[string]) { name.Store(new("bob")) }, "bad_credentials"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				who := claiming("ann", pro, "bob", pro)
				stands := &atomic.Pointer[string]{}
				stands.Store(new("ann"))
				r := planned(t, memlog.New(), who, func(config *syncserver.Config) {
					config.Authenticate = func(ctx context.Context, _ string) ([]hub.Proven, error) { return who.bearer(ctx, *stands.Load()) }
				})
				ann := r.dial("ann")
				id := ann.create()
				ann.close()
				stream, _ := r.stream("ann", eventsPath(id))
				stream.expect("caught_up")
				began := time.Now()
				c.later(who, stands)
				if data := stream.expect("ended"); !strings.Contains(data, c.code) {
					t.Error(data)
				}
				if took := time.Since(began); took != time.Minute {
					t.Errorf("it ended after %v", took)
				}
				stream.body.Close()
				r.stop()
			})
		})
	}
}

// TestStreamEndsWhenItsTokenDoes, to the second, and not when it is next looked at.
func TestStreamEndsWhenItsTokenDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		r := start(t, memlog.New(), func(c *syncserver.Config) {
			c.Authenticate = func(context.Context, string) ([]hub.Proven, error) {
				return []hub.Proven{{Identity: "ann", Expires: uint64(began.Add(95 * time.Second).UnixMilli())}}, nil
			}
		})
		ann := r.dial("ann")
		id := ann.create()
		ann.close()
		stream, _ := r.stream("ann", eventsPath(id))
		stream.expect("caught_up")
		if data := stream.expect("ended"); !strings.Contains(data, "auth_expired") {
			t.Error(data)
		}
		if took := time.Since(began); took != 95*time.Second {
			t.Errorf("it ended after %v", took)
		}
		stream.body.Close()
		r.stop()
	})
}

// TestNewerClaimsAreJudged: who refreshes with what the policy does not let in is not there any more; others stay, and the last of
// what they claimed is kept.
func TestNewerClaimsAreJudged(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		more := packed("plan", "pro", "since", "today")
		who := claiming("ann", pro)
		r := planned(t, open(), who)
		ann := r.dial("ann")
		refresh := func(ref uint64) { ann.send(&wire.AuthRefresh{Ref: ref, Proof: ann.signed(hello("ann")).Proofs[0]}) }
		who.say("ann", more)
		refresh(1)
		await[*wire.Welcome](ann)
		r.rows("ann " + string(more))
		who.say("ann", free)
		refresh(2)
		if failure := await[*wire.Error](ann); failure.Code != wire.CodeConnectRefused {
			t.Errorf("%v %q", failure.Code, failure.Reason)
		}
		r.rows()
	})
}

// TestFullDiskIsReadOnly: with a full disk whom the policy lets in reads, and what they push waits; others are refused as ever. When
// there is room again they are written down.
func TestFullDiskIsReadOnly(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		log := &hooked{Log: open()}
		who := claiming("ann", pro, "bob", free)
		r := planned(t, log, who)
		ann := r.dial("ann")
		id := ann.create()
		ann.append(id, ann.transaction(1))
		ann.close()
		r.rows()
		full := func(space.ID) error { return syncserver.ErrFull }
		log.before(full)
		r.refused(hello("bob"), wire.CodeConnectRefused, "plan")
		reader := r.dial("ann")
		other, _ := r.connect() // when it is known to be full the module is asked apart
		other.send(hello("bob"))
		if failure, ok := other.receive().(*wire.Error); !ok || failure.Code != wire.CodeConnectRefused {
			t.Errorf("bob is let in, or refused with %+v", failure)
		}
		reader.subscribe(id, space.Start(id))
		if got := await[*wire.Events](reader); len(got.Records) != 1 {
			t.Errorf("reads %d records", len(got.Records))
		}
		v := reader.pushed(wire.Push{Space: id, Transactions: []space.Transaction{reader.transaction(1)}}).Verdicts[0]
		if v.Kind != wire.Deferred || v.Code != wire.CodeServerFull {
			t.Errorf("a push is answered %+v", v)
		}
		if rows := connected(t, log); len(rows) > 0 {
			t.Errorf("written down are %q", rows)
		}
		var got ranged
		if response := r.fetch("ann", eventsPath(id), &got); response.StatusCode != 200 {
			t.Errorf("over HTTP: %d", response.StatusCode)
		}
		log.before(nil)
		r.rows("ann " + string(pro))
		reader.close()
		r.rows()
		if lines := r.wrote(); fmt.Sprint(lines) != "[$connect ann $disconnect ann $connect ann $disconnect ann]" {
			t.Errorf("%q", lines)
		}
	})
}

// TestGoneWhileTheDiskWasFull: nothing is written of who went before there was room.
func TestGoneWhileTheDiskWasFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &hooked{Log: memlog.New()}
		r := start(t, log, runsModules(t, log, nil))
		log.before(func(space.ID) error { return syncserver.ErrFull })
		r.dial("ann").close()
		time.Sleep(time.Minute)
		log.before(nil)
		r.dial("bob").close()
		time.Sleep(time.Minute)
		if lines := r.wrote(); fmt.Sprint(lines) != "[$connect bob $disconnect bob]" {
			t.Errorf("%q", lines)
		}
		r.stop()
	})
}

// TestTokensAskThePolicy: a token is bought by whom the policy lets in, and it is asked again with what they claimed then.
func TestTokensAskThePolicy(t *testing.T) {
	who := claiming("ann", pro, "bob", free)
	log := memlog.New()
	r := planned(t, log, who)
	b := &buyer{rig: r}
	offer := func(name string) map[string]string {
		c := b.challenge()
		asked := wire.Challenge{Nonce: [32]byte(unhex(t, c.Nonce)), Server: [32]byte(unhex(t, c.Server))}
		proof := authtest.Prove(&asked, host, name)[0].Proof
		return map[string]string{"identity": name, "nonce": c.Nonce, "proof": base64.RawURLEncoding.EncodeToString(proof)}
	}
	if status, answer := b.buy(offer("bob")); status != 403 || answer.Code != "connect_refused" {
		t.Errorf("bob buys a token: %d %+v", status, answer)
	}
	status, bought := b.buy(offer("ann"))
	if status != 200 {
		t.Fatalf("%d %+v", status, bought)
	}
	if status, code, names := b.whoami(bought.Token); status != 200 || fmt.Sprint(names) != "[ann]" {
		t.Errorf("%d %s %q", status, code, names)
	}
	r.stop()
	r = start(t, log, runsModules(t, log, nil), func(c *syncserver.Config) {
		c.Auth, c.PolicyParams = who, append([]byte{0x81}, "\xa7require\x81\xa4plan\x91\xa4team"...)
	})
	b = &buyer{rig: r}
	if status, code, _ := b.whoami(bought.Token); status != 403 || code != "connect_refused" {
		t.Errorf("by other rules: %d %s", status, code)
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
