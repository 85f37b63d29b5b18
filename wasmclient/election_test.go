//go:build !js

package wasmclient

import "testing"

// ear is a follower that has just heard a leader, at 1,000.
func ear() *election {
	e := &election{tab: 7, random: func(n uint64) uint64 { return n - 1 }}
	e.stand(500, inLine)
	e.heard(1000, Message{Kind: wordAlive, From: 1}, nil)
	return e
}

// run lets a tab tick on time until a moment, and returns when it asked and when it took the lead, 0 if it did not.
func (e *election) run(until uint64) (asked, took uint64) {
	for e.due > 0 && e.due <= until {
		now := e.due
		say, take := e.tick(now)
		if say.Kind == wordProbe {
			asked = now
		}
		if take {
			return asked, now
		}
	}
	return asked, 0
}

func TestASilentLeaderIsAskedAndThenReplaced(t *testing.T) {
	e := ear()
	if asked, took := e.run(20_000); asked != 11_000 || took != 13_999 {
		t.Errorf("asked at %d, took at %d; want 11000 and 13999", asked, took)
	}
	e = ear()
	e.random = func(uint64) uint64 { return 0 }
	if _, took := e.run(20_000); took != 13_000 {
		t.Errorf("took at %d, want 13000", took)
	}
}

func TestALeaderThatAnswersStays(t *testing.T) {
	e, leader := ear(), &election{tab: 1}
	leader.stand(0, leading)
	if asked, took := e.run(12_000); asked == 0 || took != 0 {
		t.Fatalf("asked at %d, took at %d", asked, took)
	}
	answer, _ := leader.heard(12_500, Message{Kind: wordProbe, From: 7}, nil)
	if answer.Kind != wordAlive {
		t.Fatalf("the leader answers %+v", answer)
	}
	e.heard(12_500, answer, nil)
	if asked, took := e.run(22_499); asked != 0 || took != 0 {
		t.Errorf("asked again at %d, took at %d", asked, took)
	}
	if asked, _ := e.run(22_500); asked != 22_500 {
		t.Errorf("asked again at %d, want 22500", asked)
	}
}

// TestSleepIsNotSilence lets a follower sleep at each moment of its counting; it must never act on waking, but count
// anew.
func TestSleepIsNotSilence(t *testing.T) {
	for asleep := uint64(1000); asleep <= 14_000; asleep += 250 {
		for _, sleep := range []uint64{lateAfter, 60_000, 3_600_000} {
			e := ear()
			if _, took := e.run(asleep); took > 0 {
				continue
			}
			woke := e.due + sleep
			// What queued up meanwhile may be handed over before the tick, and prove nothing either.
			if asleep%500 == 0 {
				if say, take := e.heard(woke, Message{Kind: wordWant, From: 9}, nil); say.Kind != "" || take {
					t.Errorf("asleep at %d for %d: does %+v, %v on waking", asleep, sleep, say, take)
				}
			}
			if say, take := e.tick(max(woke, e.due)); say.Kind != "" || take {
				t.Errorf("asleep at %d for %d: does %+v, %v at its first tick", asleep, sleep, say, take)
			}
			if asked, took := e.run(woke + silentFor - 1); asked+took > 0 {
				t.Errorf("asleep at %d for %d, woke at %d: asked at %d, took at %d", asleep, sleep, woke, asked, took)
			}
			if asked, took := e.run(woke + 20_000); asked == 0 || took == 0 {
				t.Errorf("asleep at %d for %d: it never counts again", asleep, sleep)
			}
		}
	}
}

// TestATickALittleLateCounts takes the other side of the limit: a tab that is merely slow still replaces a dead leader.
func TestATickALittleLateCounts(t *testing.T) {
	e := ear()
	for now := uint64(0); now < 60_000; {
		now = e.due + lateAfter - 1
		if _, take := e.tick(now); take {
			return
		}
	}
	t.Error("a slow tab never takes the lead")
}

// TestOneOfTwoThatAskGoesOn lets two tabs ask at the same moment, and a third later.
func TestOneOfTwoThatAskGoesOn(t *testing.T) {
	low, high, third := ear(), ear(), ear()
	low.tab, high.tab = 3, 9
	for _, e := range []*election{low, high} {
		if asked, _ := e.run(11_000); asked != 11_000 {
			t.Fatalf("asked at %d", asked)
		}
	}
	third.run(10_999)
	low.heard(11_010, Message{Kind: wordProbe, From: 9}, nil)
	high.heard(11_010, Message{Kind: wordProbe, From: 3}, nil)
	third.heard(11_010, Message{Kind: wordProbe, From: 9}, nil)
	if _, took := low.run(14_000); took == 0 {
		t.Error("the lower name does not take the lead")
	}
	for name, e := range map[string]*election{"the higher name": high, "one that was about to ask": third} {
		if asked, took := e.run(21_000); asked+took > 0 {
			t.Errorf("%s asks at %d, takes at %d", name, asked, took)
		}
		if asked, took := e.run(30_000); asked == 0 || took == 0 {
			t.Errorf("%s does nothing when the one that asked is gone", name)
		}
	}
}

func TestAHiddenIdleLeaderOffersTheLead(t *testing.T) {
	idle, busy := func() bool { return true }, func() bool { return false }
	want := Message{Kind: wordWant, From: 7}
	e := &election{tab: 1}
	e.stand(0, leading)
	if say, _ := e.heard(1000, want, idle); say.Kind != "" {
		t.Errorf("a leader that somebody looks at says %+v", say)
	}
	e.hidden = true
	if say, _ := e.heard(2000, want, busy); say.Kind != "" || e.gaveUp(2001) {
		t.Errorf("a busy leader says %+v", say)
	}
	if say, _ := e.heard(3000, want, idle); say.Kind != wordYours || say.To != 7 {
		t.Errorf("a hidden idle leader says %+v", say)
	}
	if !e.gaveUp(3000+handedFor-1) || e.gaveUp(3000+handedFor) {
		t.Error("an offer is remembered too long or not long enough")
	}
	e.stand(9000, leading)
	if e.gaveUp(9001) {
		t.Error("an offer of an earlier lead is remembered")
	}
}

func TestAFollowerAsksForTheLeadOnlyWhileSeen(t *testing.T) {
	hidden := Message{Kind: wordAlive, From: 1, Hidden: true}
	yours := Message{Kind: wordYours, From: 1, To: 7}
	e := ear()
	if say, _ := e.heard(2000, Message{Kind: wordAlive, From: 1}, nil); say.Kind != "" {
		t.Errorf("to a leader that somebody looks at it says %+v", say)
	}
	if say, _ := e.heard(3000, hidden, nil); say.Kind != wordWant {
		t.Errorf("to a hidden leader it says %+v", say)
	}
	if _, take := e.heard(3100, Message{Kind: wordYours, From: 1, To: 8}, nil); take {
		t.Error("it takes what was offered to another tab")
	}
	if _, take := e.heard(3200, yours, nil); !take {
		t.Error("it does not take what it was offered")
	}
	e.hidden = true
	if say, _ := e.heard(4000, hidden, nil); say.Kind != "" {
		t.Errorf("hidden it says %+v", say)
	}
	if _, take := e.heard(4100, yours, nil); take {
		t.Error("hidden it takes the lead")
	}
	e.hidden = false
	e.stand(5000, away)
	if say, take := e.heard(5100, hidden, nil); say.Kind != "" || take {
		t.Error("it asks while it stands back")
	}
	if _, take := e.heard(5200, yours, nil); take {
		t.Error("it takes the lead while it stands back")
	}
	if e.due != 0 {
		t.Error("it ticks while it stands back")
	}
}

// TestWithoutAChannelSilenceMeansNothing is a follower that cannot hear anybody.
func TestWithoutAChannelSilenceMeansNothing(t *testing.T) {
	e := &election{tab: 7, deaf: true}
	if e.stand(500, inLine); e.due != 0 {
		t.Error("a deaf follower ticks")
	}
	if say := e.stand(600, leading); say.Kind != "" || e.due != 0 {
		t.Errorf("a deaf leader says %+v, ticks at %d", say, e.due)
	}
}
