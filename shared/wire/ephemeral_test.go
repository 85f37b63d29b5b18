package wire

import "testing"

// TestPaceOnBothSides spends a burst to the last byte, and then what a second gives.
func TestPaceOnBothSides(t *testing.T) {
	var p Pace
	const largest = MaxEphemeral + EphemeralCost
	for range EphemeralBurst / largest {
		if !p.Spend(5000, MaxEphemeral) {
			t.Fatal("refused within the burst")
		}
	}
	left := EphemeralBurst % largest
	if p.Spend(5000, left-EphemeralCost+1) {
		t.Fatal("a byte over the burst is taken")
	}
	if !p.Spend(4000, left-EphemeralCost) { // a clock that steps back gives nothing, and takes nothing
		t.Fatal("what was refused was charged")
	}
	if p.Spend(5000, 0) {
		t.Fatal("an empty one costs nothing")
	}
	if p.Spend(6000, EphemeralRate-EphemeralCost+1) || !p.Spend(6000, EphemeralRate-EphemeralCost) || p.Spend(6000, 0) {
		t.Fatal("a second gives another amount than the rate")
	}
	if !p.Spend(1<<62, EphemeralBurst-EphemeralCost) || p.Spend(1<<62, 0) {
		t.Fatal("a long silence gives another amount than the burst")
	}
}
