package sim

import (
	"skerry/shared/hub"
	"skerry/shared/replica"
	"skerry/shared/wire"
)

// link is one socket: two streams in order, until it is cut. The two ends learn of a cut at different times, and what
// is on the way then is lost.
type link struct {
	world  *World
	tab    *tab
	life   int // of the tab
	server *serverConn
	isCut  bool

	toServerAt, toClientAt uint64 // when the last message arrives
}

// dial opens a socket from a tab, if the network and the server let it.
func (t *tab) dial() {
	w, life := t.device.world, t.life
	l := &link{world: w, tab: t, life: life}
	t.link = l
	w.after(w.between(5, 100), func() {
		if t.life != life || t.link != l {
			return
		}
		if !w.server.up || t.device.partitioned {
			l.tabEnds("no route")
			return
		}
		t.step(replica.Connected{})
		if t.link == l {
			w.server.accept(l)
		}
	})
}

func (l *link) latency() uint64 { return l.world.between(1, 60) }

// toServer carries a message of the tab, through the codec.
func (l *link) toServer(message []byte) {
	l.toServerAt = max(l.toServerAt, l.world.now+l.latency())
	l.world.after(l.toServerAt-l.world.now, func() {
		if l.isCut || l.server == nil {
			return
		}
		frame, err := wire.Decode(message)
		if err != nil {
			l.world.failf("a tab sends what cannot be read: %v", err)
			return
		}
		l.world.server.stepConn(l.server, hub.Received{Frame: frame, Size: len(message)})
	})
}

// toClient carries a message of the server, through the codec; written is called when the socket took it.
func (l *link) toClient(message []byte, written func()) {
	l.toClientAt = max(l.toClientAt, l.world.now+l.latency())
	l.world.after(l.toClientAt-l.world.now, func() {
		if l.isCut {
			return
		}
		written()
		if l.tab.link != l || l.tab.life != l.life {
			return
		}
		frame, err := wire.Decode(message)
		if err != nil {
			l.world.failf("the server sends what cannot be read: %v", err)
			return
		}
		l.tab.step(replica.Received{Frame: frame, Size: len(message)})
	})
}

// cut ends the socket.
func (l *link) cut() {
	if l.isCut {
		return
	}
	l.isCut = true
	l.world.after(l.latency(), func() { l.tabEnds("cut") })
	l.world.after(l.world.between(1, 5000), func() {
		if l.server != nil && !l.server.closed {
			l.world.server.stepConn(l.server, hub.Gone{})
		}
	})
}

// tabEnds tells the tab that its socket is gone, if it is still this one.
func (l *link) tabEnds(reason string) {
	if l.tab.link == l && l.tab.life == l.life {
		l.tab.link = nil
		l.tab.step(replica.Disconnected{Reason: reason})
	}
}
