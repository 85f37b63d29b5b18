package space

import (
	"errors"
	"fmt"
	"io"

	"github.com/oklog/ulid/v2"
)

// maxULIDTime is the last millisecond that a ULID can carry.
const maxULIDTime = 1<<48 - 1

// IDSource makes ULIDs that rise monotonically, also when the clock stands still or steps back. It is not safe
// for concurrent use: one tab or one process owns one.
type IDSource struct {
	entropy *ulid.MonotonicEntropy
	last    uint64
}

// NewIDSource returns a source that draws from entropy: the platform's secure randomness, or a seeded source in
// a simulation. Entropy that repeats one byte is none: with it New may never return.
func NewIDSource(entropy io.Reader) *IDSource {
	return &IDSource{entropy: ulid.Monotonic(entropy, 0)}
}

// New returns the next ULID. now is in milliseconds since 1970; a clock that stepped back is held at the last
// time used, so that ids keep rising. It fails only if the entropy does, or when no greater ULID is left.
func (s *IDSource) New(now uint64) (ULID, error) {
	now = min(max(now, s.last), maxULIDTime)
	id, err := ulid.New(now, s.entropy)
	if errors.Is(err, ulid.ErrMonotonicOverflow) && now < maxULIDTime {
		now++ // the random part of this millisecond is used up: move on rather than fail
		id, err = ulid.New(now, s.entropy)
	}
	if err != nil {
		return ULID{}, fmt.Errorf("make ULID: %w", err)
	}
	s.last = now
	return id, nil
}

// ParseULID reads the 26 characters of a ULID of either case; the first is at most 7, since more would not fit
// in 128 bits.
func ParseULID(text string) (ULID, error) {
	id, err := ulid.ParseStrict(text)
	if err != nil {
		return ULID{}, fmt.Errorf("parse ULID %q: %w", text, err)
	}
	return id, nil
}
