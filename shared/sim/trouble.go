package sim

import (
	"skerry/shared/replica"
	"skerry/shared/space"
)

// trouble lets people work and things go wrong until it ends.
func (w *World) trouble() {
	for _, d := range w.devices {
		for _, t := range d.tabs {
			w.work(t)
		}
	}
	w.misfortune()
}

// work lets the user of a tab do something now and then.
func (w *World) work(t *tab) {
	w.after(w.between(20, 1500), func() {
		if w.calm {
			return
		}
		if t.core != nil && !t.frozen {
			w.act(t)
		}
		w.work(t)
	})
}

func (w *World) act(t *tab) {
	own := t.core.Spaces()
	if w.options.Boots && w.chance(4) {
		t.readHistory()
	}
	switch {
	case len(w.spaces) == 0, w.chance(12) && len(w.spaces) < 12:
		t.createSpace()
	case w.chance(8):
		t.open(w.spaces[w.random.IntN(len(w.spaces))])
	case w.chance(8) && len(t.looks) > 0:
		looks := sortedIDs(t.looks)
		t.close(looks[w.random.IntN(len(looks))])
	case w.chance(20):
		id := w.spaces[w.random.IntN(len(w.spaces))]
		t.step(replica.Pin{Ref: t.ref(&pendingAppend{space: id}), Space: id, Pinned: !w.chance(3)})
	case len(own) == 0:
	case w.chance(15):
		w.changeMind(t, own[w.random.IntN(len(own))])
	default:
		for range 1 + w.random.IntN(3) {
			t.write(own[w.random.IntN(len(own))])
		}
	}
}

// changeMind discards a transaction that waits, or retries or discards one that was rejected.
func (w *World) changeMind(t *tab, id space.ID) {
	snapshot := t.device.store.Refresh(id)
	if n := len(snapshot.Rejected); n > 0 {
		event := snapshot.Rejected[w.random.IntN(n)].ID
		a := &pendingAppend{space: id, discards: event}
		if w.chance(2) {
			w.asked[event] = true
			t.step(replica.Discard{Ref: t.ref(a), Space: id, ID: event})
		} else {
			t.step(replica.Retry{Ref: t.ref(&pendingAppend{space: id}), Space: id, ID: event})
		}
		return
	}
	if n := len(snapshot.Outbox); n > 0 {
		event := snapshot.Outbox[w.random.IntN(n)].ID
		w.asked[event] = true
		w.logf("%s discards %s %s", t, short(id), event)
		t.step(replica.Discard{Ref: t.ref(&pendingAppend{space: id, discards: event}), Space: id, ID: event})
	}
}

// misfortune makes something go wrong now and then.
func (w *World) misfortune() {
	w.after(w.between(100, 6000), func() {
		if w.calm {
			return
		}
		d := w.devices[w.random.IntN(len(w.devices))]
		t := d.tabs[w.random.IntN(len(d.tabs))]
		kinds := 10
		if w.options.Damage {
			kinds = 13
		}
		switch w.random.IntN(kinds) {
		case 0:
			if w.server.up {
				w.server.kill()
				w.after(w.between(50, 8000), func() {
					if !w.server.up {
						w.server.start()
					}
				})
			}
		case 1, 2:
			if t.link != nil {
				t.link.cut()
			}
		case 3:
			if !d.partitioned {
				w.logf("%s is cut off", d.name)
				d.partitioned = true
				for _, other := range d.tabs {
					if other.link != nil {
						other.link.cut()
					}
				}
				w.after(w.between(500, 30_000), func() { d.partitioned = false })
			}
		case 4, 5:
			t.freeze()
			life := t.life
			w.after(w.between(100, 40_000), func() {
				if t.life == life {
					t.thaw()
				}
			})
		case 6:
			t.crash()
			w.after(w.between(100, 10_000), t.start)
		case 7:
			d.losePower()
			for _, other := range d.tabs {
				w.after(w.between(100, 10_000), other.start)
			}
		case 8:
			d.steal()
		case 9:
			w.server.collect()
		case 10, 11:
			d.rot()
		case 12:
			d.rotModule()
		}
		w.misfortune()
	})
}

// endTrouble makes everything work again.
func (w *World) endTrouble() {
	w.logf("the trouble ends")
	w.calm = true
	if !w.server.up {
		w.server.start()
	}
	for _, d := range w.devices {
		d.partitioned = false
		for _, t := range d.tabs {
			t.start()
			t.thaw()
			if w.options.Damage && t.link != nil {
				t.link.cut() // modules are looked for on each connection
			}
		}
	}
}
