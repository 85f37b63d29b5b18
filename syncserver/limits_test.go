package syncserver_test

import (
	"context"
	"encoding/binary"
	"testing"

	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/memlog"
)

// ping returns a ping of exactly n bytes: readers ignore elements that they do not know.
func ping(n int) []byte {
	head := binary.BigEndian.AppendUint32([]byte{0x92, byte(wire.NumberPing), 0xc6}, uint32(n-7))
	return append(head, make([]byte, n-7)...)
}

// TestMessageLimit sends messages of exactly the limit and one byte more, in one piece and in parts.
func TestMessageLimit(t *testing.T) {
	const limit = 2 << 20
	r := start(t, memlog.New(), func(c *syncserver.Config) { c.Limits.Message = limit })
	for over := range 2 {
		for _, frame := range []int{limit + 100, 100_000} {
			p := r.dial("alice")
			for _, piece := range wire.Split(ping(limit+over), frame) {
				if p.socket.Write(context.Background(), 2, piece) != nil {
					break // closed already
				}
			}
			if over == 0 {
				await[*wire.Pong](p)
			} else {
				p.fails(wire.CodeMessageTooBig)
			}
		}
	}
}

// TestFrames sees that nothing bigger than a frame goes to a client in one piece.
func TestFrames(t *testing.T) {
	const frame = 4 << 10
	r := start(t, memlog.New(), func(c *syncserver.Config) { c.Limits.Frame = frame })
	alice := r.dial("alice")
	id := alice.create()
	tx := alice.transaction(1)
	tx.Events[0].Payload = make([]byte, 200<<10)
	alice.append(id, alice.transaction(1), tx, alice.transaction(1))
	alice.subscribe(id, space.Start(id))
	pieces := 0
	at := space.Start(id)
	for at.Seq < 3 {
		_, piece, err := alice.socket.Read(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if pieces++; len(piece) > frame {
			t.Fatalf("a piece has %d bytes", len(piece))
		}
		message, err := alice.joiner.Add(piece)
		if err != nil {
			t.Fatal(err)
		}
		if message == nil {
			continue
		}
		f, err := wire.Decode(message)
		if err != nil {
			t.Fatal(err)
		}
		if events, ok := f.(*wire.Events); ok {
			at = alice.check(at, events)
		}
	}
	if pieces < 50 {
		t.Errorf("200 KiB came in %d pieces", pieces)
	}
}

func TestSubscriptionLimits(t *testing.T) {
	r := start(t, memlog.New(), func(c *syncserver.Config) { c.Limits.SubscribePairs, c.Limits.Subscriptions = 2, 3 })
	alice := r.dial("alice")
	var pairs []wire.Subscription
	for range 4 {
		id := r.dial("owner").create()
		pairs = append(pairs, wire.Subscription{Space: id, Position: space.Start(id)})
	}
	alice.send(&wire.Subscribe{Subscriptions: pairs[:2]}, &wire.Subscribe{Subscriptions: pairs[2:3]})
	for range 3 {
		await[*wire.CaughtUp](alice)
	}
	alice.send(&wire.Subscribe{Subscriptions: pairs[3:]})
	if ended := await[*wire.Ended](alice); ended.Code != wire.CodeTooMany || ended.Space != pairs[3].Space {
		t.Errorf("%+v", ended)
	}
	alice.send(&wire.Unsubscribe{Spaces: []space.ID{pairs[0].Space}}, &wire.Subscribe{Subscriptions: pairs[3:]})
	if up := await[*wire.CaughtUp](alice); up.Space != pairs[3].Space {
		t.Errorf("%+v", up)
	}
	alice.send(&wire.Subscribe{Subscriptions: pairs[:3]})
	alice.fails(wire.CodeTooMany)
}
