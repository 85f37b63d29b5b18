package syncserver_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/memlog"
)

func TestHandshake(t *testing.T) {
	r := start(t, memlog.New())
	p, challenge := r.connect()
	if challenge.Server != r.server.Key() || challenge.Nonce == [32]byte{} || challenge.APILow != wire.APILow || challenge.APIHigh != wire.APIHigh {
		t.Errorf("challenge %+v", challenge)
	}
	h := hello("alice", "bob")
	p.send(h)
	welcome := p.receive().(*wire.Welcome)
	if len(welcome.Identities) != 2 || welcome.Limits != wire.DefaultLimits || welcome.API != wire.APIHigh {
		t.Errorf("welcome %+v", welcome)
	}
	p.send(&wire.Ping{})
	await[*wire.Pong](p)
	p.close()
	_, second := r.connect()
	if second.Nonce == challenge.Nonce {
		t.Error("two connections got the same nonce")
	}
}

func TestHandshakeErrors(t *testing.T) {
	r := start(t, memlog.New())
	many := make([]string, 17)
	for i := range many {
		many[i] = string(rune('a' + i))
	}
	change := func(f func(h *wire.Hello)) *wire.Hello {
		h := hello("alice")
		f(h)
		return h
	}
	for name, test := range map[string]struct {
		frame wire.Frame
		code  wire.Code
	}{
		"push first":         {&wire.Push{N: 1}, wire.CodeBadFrame},
		"a server's frame":   {&wire.Welcome{}, wire.CodeBadFrame},
		"other api":          {change(func(h *wire.Hello) { h.API = "2.0.0" }), wire.CodeAPIUnsupported},
		"no api":             {change(func(h *wire.Hello) { h.API = "" }), wire.CodeAPIUnsupported},
		"zero connection":    {change(func(h *wire.Hello) { h.ConnectionID = wire.ConnectionID{} }), wire.CodeBadFrame},
		"too many names":     {hello(many...), wire.CodeTooMany},
		"empty name":         {hello(""), wire.CodeBadCredentials},
		"proof not checked":  {change(func(h *wire.Hello) { h.Proofs[0].Proof = []byte("x") }), wire.CodeBadCredentials},
		"long app's version": {change(func(h *wire.Hello) { h.ClientVersion = string(make([]byte, 65)) }), wire.CodeTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := r.connect()
			p.t = t
			p.send(test.frame)
			p.fails(test.code)
		})
	}
	t.Run("hello twice", func(t *testing.T) {
		p := r.dial("alice")
		p.t = t
		p.send(hello("alice"))
		p.fails(wire.CodeBadFrame)
	})
	t.Run("no subprotocol", func(t *testing.T) {
		socket, _, err := websocket.Dial(context.Background(), "ws://skerry.test/sync", &websocket.DialOptions{HTTPClient: r.client})
		if err != nil {
			t.Fatal(err)
		}
		defer socket.CloseNow()
		if _, _, err := socket.Read(context.Background()); websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
			t.Errorf("read: %v", err)
		}
	})
}

// TestAPIRange: a server says the versions that it speaks, takes each of them, and refuses others by their names.
func TestAPIRange(t *testing.T) {
	r := start(t, memlog.New(), func(c *syncserver.Config) { c.API = wire.APIRange{Low: "1.2.0", High: "2.0.0"} })
	for api, want := range map[string]string{
		"1.2.0": "", "1.2.1": "", "1.10.0": "", "2.0.0": "",
		"1.1.9": "this server speaks api 1.2.0 to 2.0.0, and not what the client chose: the client is to be updated",
		"2.0.1": "this server speaks api 1.2.0 to 2.0.0, and not what the client chose: the server is to be updated",
		"2.0":   "this server speaks api 1.2.0 to 2.0.0, and not what the client chose: the client is to be updated",
	} {
		p, challenge := r.connect()
		if challenge.APILow != "1.2.0" || challenge.APIHigh != "2.0.0" {
			t.Fatalf("challenge %+v", challenge)
		}
		h := hello("alice")
		h.API = api
		p.send(h)
		if want == "" {
			if welcome := p.receive().(*wire.Welcome); welcome.API != api {
				t.Errorf("%s: welcome to %s", api, welcome.API)
			}
		} else if failed := await[*wire.Error](p); failed.Code != wire.CodeAPIUnsupported || failed.Reason != want {
			t.Errorf("%s: %v %q", api, failed.Code, failed.Reason)
		}
		p.close()
	}
	response, err := r.client.Get("http://" + host + "/api/v1/version")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || !strings.Contains(string(body), `"api_low":"1.2.0","api_high":"2.0.0"`) {
		t.Errorf("%s, %v", body, err)
	}
}

func TestIdentitiesNeedProof(t *testing.T) {
	r := start(t, memlog.New(), func(c *syncserver.Config) { c.Auth = nil })
	p, _ := r.connect()
	p.send(hello("alice"))
	failure := await[*wire.Error](p)
	if failure.Code != wire.CodeAuthRequired {
		t.Errorf("a name without proof: %v", failure.Code)
	}
}

func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, memlog.New())
		begin := time.Now()
		mute, _ := r.connect()
		mute.fails(wire.CodeIdle)
		if took := time.Since(begin); took != 10*time.Second {
			t.Errorf("a client without hello was closed after %v", took)
		}
		idle := r.dial("alice")
		begin = time.Now()
		idle.fails(wire.CodeIdle)
		if took := time.Since(begin); took < 90*time.Second || took > 91*time.Second {
			t.Errorf("a silent client was closed after %v", took)
		}
		alive := r.dial("alice")
		for range 20 {
			time.Sleep(20 * time.Second)
			alive.send(&wire.Ping{})
			await[*wire.Pong](alive)
		}
		alive.close()
		r.stop()
	})
}

func TestSlowReaderIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, memlog.New())
		slow, writer := r.dial("slow"), r.dial("alice")
		id := writer.create()
		slow.subscribe(id, space.Start(id))
		writer.append(id, writer.transaction(1))
		begin := time.Now()
		time.Sleep(29 * time.Second) // nobody reads slow's socket
		for range 4 {
			writer.send(&wire.Ping{})
			await[*wire.Pong](writer)
			time.Sleep(20 * time.Second)
		}
		writer.append(id, writer.transaction(1)) // others are not held up
		if _, err := slow.read(); err == nil {
			t.Errorf("a slow reader could still read after %v", time.Since(begin))
		}
		writer.close()
		r.stop()
	})
}

func TestSessionTakeover(t *testing.T) {
	r := start(t, memlog.New())
	h := hello("alice")
	h.Epoch = 5
	first := r.dialWith(h)
	id := first.create()

	again := hello("alice")
	again.Session, again.Epoch = h.Session, 4
	older, _ := r.connect()
	older.send(again)
	older.fails(wire.CodeSuperseded)

	other := hello("mallory") // another identity does not end alice's connection
	other.Session, other.Epoch = h.Session, 9
	mallory := r.dialWith(other)
	first.append(id, first.transaction(1))

	for _, epoch := range []uint64{5, 6} { // equal, newer
		again.Epoch = epoch
		hello("x")
		again.ConnectionID = hello().ConnectionID
		// What the older one has pushed is finished or dropped before the newer is welcome.
		pending := first.transaction(3)
		first.push(wire.Push{Space: id, Transactions: []space.Transaction{pending}})
		next := r.dialWith(again)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				if _, err := first.read(); err != nil {
					return
				}
			}
		}()
		head, err := r.log.Head(context.Background(), id)
		if err != nil {
			t.Fatal(err)
		}
		v := next.verdict(id, pending)
		if v.Kind == wire.Accepted && v.Position.Seq != head.Seq+3 || v.Kind == wire.Duplicate && v.Position.Seq != head.Seq {
			t.Errorf("the log moved after the welcome: head %d, %+v", head.Seq, v)
		}
		<-done
		first = next
	}
	mallory.send(&wire.Ping{})
	await[*wire.Pong](mallory)

	twin, _ := r.connect()
	dup := hello("alice")
	dup.ConnectionID = again.ConnectionID
	twin.send(dup)
	twin.fails(wire.CodeSuperseded)
	first.send(&wire.Ping{})
	await[*wire.Pong](first)
}
