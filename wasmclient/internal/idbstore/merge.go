package idbstore

// A commit of sync adds its records as one segment, often of a single record, and reading costs by the segment. So
// a space's row lists its newest segments, and a commit that finds enough of them puts them and its own records
// together: small runs (level 0) into segments of about 64 KiB (level 1), those into larger ones (2), and what has
// reached 256 KiB is left alone for ever. One commit climbs as many levels as are full in one step, so a record is
// written again at most three times, at least 32 runs or 64 KiB apart.
const (
	runsPerMerge  = 32
	smallSegment  = 64 << 10
	closedSegment = 256 << 10
)

// segment is where a stretch of records is.
type segment struct {
	first, last uint64
	bytes       int
	level       byte
}

// plan returns how to store a run of records: merged is how many segments at the end of tail go into one with it,
// after is the tail when that is done.
func plan(tail []segment, run segment) (merged int, after []segment) {
	if n := len(tail); n > 0 && tail[n-1].last+1 != run.first {
		tail = nil // a hole: segments before it are left as they are
	}
	if run.bytes >= closedSegment {
		return 0, nil // closed from the start; the small ones before it stay small
	}
	run.level = 0
	if run.bytes >= smallSegment && (len(tail) == 0 || tail[len(tail)-1].level > 0) {
		run.level = 1 // nothing small before it: already as large as a merge would make it
	}
	from := len(tail) // the run is written in one segment with tail[from:]
	for {
		// All that could be one level higher: segments of this level, which are before those counted already.
		count, bytes, start := 1, run.bytes, from
		for start > 0 && tail[start-1].level <= run.level {
			start--
			count++
			bytes += tail[start].bytes
		}
		if count < runsPerMerge && bytes < limit(run.level) {
			break
		}
		if start < from {
			from, run.first = start, tail[start].first
		}
		run.bytes = bytes
		if run.bytes >= closedSegment || run.level == 2 {
			return len(tail) - from, nil
		}
		run.level++
	}
	return len(tail) - from, append(tail[:from:from], run)
}

// limit is how many bytes of one level are put together.
func limit(level byte) int {
	if level == 0 {
		return smallSegment
	}
	return closedSegment
}
