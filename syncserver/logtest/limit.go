package logtest

import (
	"fmt"
	"math"
	"math/big"
	"sync/atomic"
	"time"

	"skerry/syncserver"
)

// epoch is when the tests of limits happen: nanosecond n is n after it.
var epoch = time.Unix(1_790_000_000, 0)

// limit charges at nanosecond at and fails the test if the answer is not want.
func (s *suite) limit(at int64, charges []syncserver.Charge, want time.Duration) {
	s.Helper()
	got, err := s.log.Limit(s.ctx, epoch.Add(time.Duration(at)), charges)
	if err != nil || got != want {
		s.Fatalf("Limit(%+v) at %d = %v, %v; want %v", charges, at, got, err, want)
	}
}

// bucket is the reference for one key: a leaky bucket in exact arithmetic, which is what GCRA computes with one
// timestamp. level is the time that still pays for what passed.
type bucket struct {
	level *big.Int
	at    int64
}

// newBucket returns an empty bucket, which it stays wherever the clock steps back to.
func newBucket() *bucket { return &bucket{level: new(big.Int), at: -1 << 62} }

// charge returns the wait, and changes the bucket only if it is zero.
func (b *bucket) charge(c syncserver.Charge, at int64) time.Duration {
	if c.Burst <= 0 || c.Cost > c.Burst {
		return syncserver.NeverPasses
	}
	multiple := func(n int) *big.Int { return new(big.Int).Mul(big.NewInt(int64(c.Interval)), big.NewInt(int64(n))) }
	full := multiple(c.Burst)
	level := new(big.Int).Sub(b.level, big.NewInt(at-b.at)) // leaks; rises if the clock stepped back
	if level.Sign() < 0 {
		level.SetInt64(0)
	}
	if level.Cmp(full) > 0 {
		level.Set(full)
	}
	level.Add(level, multiple(c.Cost))
	if over := new(big.Int).Sub(level, full); over.Sign() > 0 {
		return time.Duration(over.Int64())
	}
	b.level, b.at = level, at
	return 0
}

// testLimit compares a long random walk on several keys, with a clock that also steps back, with the reference.
func testLimit(s *suite) {
	keys := map[string]*bucket{}
	shapes := []syncserver.Charge{
		{Interval: time.Second, Burst: 3, Cost: 1},
		{Interval: 7 * time.Millisecond, Burst: 100, Cost: 30},
		{Interval: 1, Burst: 1, Cost: 1},
		{Interval: time.Hour, Burst: 20, Cost: 7},
		{Interval: time.Minute, Burst: 0, Cost: 0},
		{Interval: 0, Burst: 1, Cost: 1},
		{Interval: time.Second, Burst: 2, Cost: 0},
	}
	for i := range shapes {
		shapes[i].Key = fmt.Sprint("key ", i)
		keys[shapes[i].Key] = newBucket()
	}
	at := int64(0)
	for range soak(1500, 50_000) {
		step := s.rng.Int64N(int64(1) << s.rng.IntN(42))
		if at += step; s.rng.IntN(20) == 0 {
			at -= s.rng.Int64N(int64(1) << s.rng.IntN(45))
		}
		c := shapes[s.rng.IntN(len(shapes))]
		want := keys[c.Key].charge(c, at)
		s.limit(at, []syncserver.Charge{c}, want)
		if want > 0 && want < math.MaxInt64/2 && s.rng.IntN(2) == 0 { // one nanosecond early is too early
			s.limit(at+int64(want)-1, []syncserver.Charge{c}, keys[c.Key].charge(c, at+int64(want)-1))
			at += int64(want)
			s.limit(at, []syncserver.Charge{c}, keys[c.Key].charge(c, at))
		}
	}
}

// testLimitAllOrNone: a denial charges none of the keys, and the wait is the longest.
func testLimitAllOrNone(s *suite) {
	a := syncserver.Charge{Key: "a", Interval: time.Second, Burst: 5, Cost: 1}
	b := syncserver.Charge{Key: "b", Interval: time.Minute, Burst: 2, Cost: 1}
	c := syncserver.Charge{Key: "c", Interval: time.Hour, Burst: 1, Cost: 1}
	s.limit(0, nil, 0)
	s.limit(0, []syncserver.Charge{a, b}, 0)
	s.limit(0, []syncserver.Charge{b, a}, 0)
	for range 10 {
		s.limit(0, []syncserver.Charge{a, b}, time.Minute)
		s.limit(0, []syncserver.Charge{c, a, b}, time.Minute)
	}
	s.limit(0, []syncserver.Charge{c}, 0) // not charged by the denials
	s.limit(0, []syncserver.Charge{a, b, c}, time.Hour)
	s.limit(0, []syncserver.Charge{c, b, a}, time.Hour)
	a.Cost = 3
	s.limit(0, []syncserver.Charge{a}, 0) // three of five were left
	s.limit(0, []syncserver.Charge{a}, 3*time.Second)
}

func testLimitNeverPasses(s *suite) {
	never := []syncserver.Charge{
		{Key: "big", Interval: time.Second, Burst: 3, Cost: 4},
		{Key: "off", Interval: time.Second, Burst: 0, Cost: 1},
		{Key: "huge", Interval: math.MaxInt64, Burst: 3, Cost: math.MaxInt},
	}
	fine := syncserver.Charge{Key: "fine", Interval: time.Second, Burst: 1, Cost: 1}
	for _, c := range never {
		s.limit(0, []syncserver.Charge{c}, syncserver.NeverPasses)
		s.limit(0, []syncserver.Charge{fine, c}, syncserver.NeverPasses)
		s.limit(0, []syncserver.Charge{c, fine}, syncserver.NeverPasses)
	}
	s.limit(0, []syncserver.Charge{fine}, 0)
	s.limit(0, []syncserver.Charge{{Key: "wide", Interval: math.MaxInt64, Burst: math.MaxInt, Cost: 1}}, 0)
}

// testLimitRaces: of many callers at one moment exactly a burst passes, and keys charged together stay equal.
func testLimitRaces(s *suite) {
	const burst = 20
	var passed atomic.Int32
	together(16, func(i int) {
		for range 5 {
			charges := []syncserver.Charge{
				{Key: "shared", Interval: time.Hour, Burst: burst, Cost: 1},
				{Key: fmt.Sprint("own ", i), Interval: time.Hour, Burst: 100, Cost: 1},
			}
			wait, err := s.log.Limit(s.ctx, epoch, charges)
			if err != nil {
				s.Errorf("Limit: %v", err)
				return
			}
			if wait == 0 {
				passed.Add(1)
			}
		}
	})
	if n := passed.Load(); n != burst {
		s.Fatalf("%d passed, want %d", n, burst)
	}
}
