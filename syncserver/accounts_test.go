package syncserver

import (
	"net/netip"
	"testing"
	"time"

	"skerry/shared/wire"
)

// TestAccountLetGoMeanwhile: an account that was let go between the look at it and the append is not given back what it never took.
func TestAccountLetGoMeanwhile(t *testing.T) {
	s := &Server{}
	s.config.Quotas = DefaultQuotas
	a := &accounts{server: s, of: map[string]*account{}}
	more := map[string]taken{"ann": {bytes: 100}}
	if reason := a.reserve(more); reason != "" {
		t.Fatal(reason)
	}
	a.of["ann"] = &account{countedAt: time.Now()} // her next push has it counted again
	a.settle(more, true)
	if reason, code := a.room("ann", taken{bytes: 1}); code == wire.CodeOverQuota {
		t.Errorf("%s; reserved is %+v", reason, a.of["ann"].reserved)
	}
}

// TestForgivenIsWhatWasCharged: at the most that may be owed a push is charged less than it costs, and gives back no more than that.
func TestForgivenIsWhatWasCharged(t *testing.T) {
	m, now := newMeter(10), time.Now()
	key := meterKey{addressUnsettled, netip.IPv4Unspecified().String()}
	t1 := toll{key, Rate{PerHour: 3600, Burst: 10}, 1000}
	first, _ := m.owe(now, t1)
	most := m.until(key)
	second, rest := m.owe(now, t1)
	if first == 0 || second != 0 || rest != maxDebt {
		t.Fatalf("charged %v and %v, rest %v", first, second, rest)
	}
	m.forgive(key, second)
	if m.until(key) != most {
		t.Error("it gave back what it had not charged")
	}
	m.forgive(key, first)
	if left := time.Duration(m.until(key) - now.UnixNano()); left > 0 {
		t.Errorf("still owed is %v", left)
	}
}
