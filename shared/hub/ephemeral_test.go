package hub_test

import (
	"fmt"
	"slices"
	"testing"

	"skerry/shared/hub"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// says sends an ephemeral and returns what was relayed.
func (l *line) says(text string) []hub.Relayed {
	l.t.Helper()
	l.receive(&wire.Ephemeral{Space: spaceID, Bytes: []byte(text)})
	return slices.Clone(l.last.Relay)
}

// reader is a connection that subscribes and has caught up. Several of a test differ in number.
func reader(t *testing.T, number hub.ConnID, credit uint64, log *fakeLog) *line {
	l := newLine(t)
	l.c = hub.NewConn(l.config, number, "here")
	l.step(hub.Begin{Nonce: [32]byte{1}})
	h := hello(credit)
	h.Proofs = []wire.Proof{{Identity: fmt.Sprint("reader ", number)}, {Identity: "somebody"}}
	l.receive(h)
	l.step(hub.Registered{})
	l.subscribe(space.Start(spaceID))
	l.check(log)
	l.sent()
	return l
}

func TestEphemeralsGoToReaders(t *testing.T) {
	log := newLog()
	ann, bob := reader(t, 1, 1<<20, log), reader(t, 2, 1<<20, log)
	relayed := ann.says("typing")
	if len(relayed) != 1 {
		t.Fatalf("%d relayed", len(relayed))
	}
	for _, l := range []*line{ann, bob} {
		l.step(relayed[0])
	}
	bob.wants("reader 1 says typing") // the identity that was proven first
	ann.wants("")                     // not who said it
	if len(ann.says("")) != 1 {
		t.Error("an empty one is not relayed")
	}

	bob.receive(&wire.Unsubscribe{Spaces: []space.ID{spaceID}})
	bob.step(relayed[0])
	bob.wants("")
	bob.subscribe(space.Start(spaceID))
	checking := bob.last
	bob.step(relayed[0])
	bob.wants("") // before it is known whether bob may read
	bob.last = checking
	bob.check(log)
	bob.sent()
	bob.step(relayed[0])
	bob.wants("reader 1 says typing")
	bob.subscribe(space.Start(spaceID)) // again: who was found to read goes on
	checking = bob.last
	bob.step(relayed[0])
	if len(bob.says("me too")) != 1 {
		t.Error("who subscribes anew is a stranger")
	}
	bob.wants("reader 1 says typing")
	c := checking.Check[0]
	bob.step(hub.Checked{Space: c.Space, Ref: c.Ref, Exists: true, Head: log.head})
	bob.sent()
	bob.step(relayed[0])
	bob.wants("")
}

// TestEphemeralsOfStrangers: who does not read says nothing, and does not learn whether there is such a space.
func TestEphemeralsOfStrangers(t *testing.T) {
	log := filled(3)
	said := reader(t, 9, 1<<20, log).says("private")[0]
	for name, become := range map[string]func(l *line){
		"a stranger":          func(*line) {},
		"who only subscribes": func(l *line) { l.subscribe(space.Start(spaceID)) },
		"who may not read": func(l *line) {
			l.subscribe(space.Start(spaceID))
			c := l.last.Check[0]
			l.step(hub.Checked{Space: c.Space, Ref: c.Ref, Exists: true, Head: log.head})
		},
		"who left, with records still to come": func(l *line) {
			l.subscribe(space.Start(spaceID))
			l.check(log)
			l.step(hub.Left{Space: spaceID, Seq: 4, Code: wire.CodeLeft})
		},
		"who left and subscribes anew": func(l *line) {
			l.subscribe(space.Start(spaceID))
			l.check(log)
			l.step(hub.Left{Space: spaceID, Seq: 4, Code: wire.CodeLeft})
			l.subscribe(space.Start(spaceID))
		},
		"who left while it was found out": func(l *line) {
			l.subscribe(space.Start(spaceID))
			checking := l.last
			l.step(hub.Left{Space: spaceID, Seq: 4, Code: wire.CodeLeft})
			l.last = checking
			l.check(log)
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := welcomedLine(t, 1<<20)
			become(l)
			l.sent()
			if len(l.says("hello")) != 0 {
				t.Error("relayed")
			}
			l.wants("refused 0 forbidden")
			l.step(said)
			l.wants("")
		})
	}
	l := newLine(t)
	l.step(hub.Begin{})
	h := hello(1 << 20)
	h.Proofs = nil
	l.receive(h)
	l.step(hub.Registered{})
	l.subscribe(space.Start(spaceID))
	l.check(log)
	l.sent()
	if len(l.says("hello")) != 0 {
		t.Error("relayed")
	}
	l.wants("refused 0 auth_required")
}

func TestEphemeralLimitsOnBothSides(t *testing.T) {
	l := reader(t, 1, 1<<20, newLog())
	largest := string(make([]byte, wire.MaxEphemeral))
	if len(l.says(largest+"x")) != 0 {
		t.Error("one that is too large is relayed")
	}
	l.wants("refused 0 too_large")
	const cost = wire.MaxEphemeral + wire.EphemeralCost
	for range wire.EphemeralBurst / cost {
		if len(l.says(largest)) != 1 {
			t.Fatal("refused within the burst")
		}
	}
	if len(l.says(largest)) != 0 {
		t.Error("relayed over the burst")
	}
	l.wants("refused 0 rate_limited")
	l.now += 1000 * cost / wire.EphemeralRate // not quite, but something is left of the burst
	if len(l.says(largest)) != 1 || len(l.says(largest)) != 0 {
		t.Error("another rate")
	}
	l.wants("refused 0 rate_limited")
	l.receive(&wire.Ping{})
	l.wants("pong")
}

// TestEphemeralsComeLast: who has no credit or does not read the socket loses them, and what they take of the transport
// never keeps a record from being read.
func TestEphemeralsComeLast(t *testing.T) {
	log := newLog()
	said := reader(t, 9, 1<<20, log).says(string(make([]byte, wire.MaxEphemeral)))[0]
	poor := reader(t, 1, 0, log)
	poor.step(said)
	poor.wants("")
	if !poor.last.Lost {
		t.Error("nobody is told that it was lost")
	}
	poor.receive(&wire.Credit{Bytes: 1})
	poor.step(said)
	if len(poor.frames) != 1 || poor.last.Lost {
		t.Errorf("%d frames with credit", len(poor.frames))
	}

	slow := reader(t, 2, 1<<30, log)
	slow.written()
	for range 100 {
		slow.step(said)
	}
	if !slow.last.Lost || len(slow.frames) > 10 {
		t.Errorf("%d wait for one who does not read", len(slow.frames))
	}
	log.other(tx(1))
	slow.step(hub.Woken{Space: spaceID, Seq: 1})
	if slow.read == nil {
		t.Error("records wait for ephemerals")
	}
	slow.frames = nil
	slow.written()
	slow.step(said)
	if len(slow.frames) != 1 {
		t.Error("who reads again hears nothing")
	}
}
