package sim

import (
	"errors"

	"skerry/shared/replica"
)

var errDisk = errors.New("the simulated disk failed")

// fault says whether an operation of the disk fails now: before it happens, or after, with its answer lost.
func (d *device) fault() string {
	w := d.world
	switch {
	case w.calm || d.flaky == 0 || !w.chance(d.flaky):
		return ""
	case w.chance(2):
		return "after"
	}
	return "before"
}

// answer gives the core what was read, a little after it was read, when it may be old already; or that reading failed.
func (t *tab) answer(in, failed replica.Input) {
	if t.device.fault() != "" {
		in = failed
	}
	t.report(t.life, in)
}

// report gives the core an outcome a little later, unless the tab is gone by then.
func (t *tab) report(life int, in replica.Input) {
	w := t.device.world
	w.after(w.random.Uint64N(20), func() {
		if t.life == life {
			t.step(in)
		}
	})
}
