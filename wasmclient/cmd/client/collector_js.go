package main

import (
	"runtime"
	"runtime/debug"
)

const (
	// memoryLimit is where the collector begins to work harder: a page's memory is never given back.
	memoryLimit = 128 << 20
	// breath is how much is allocated between two collections at least. Each takes milliseconds, in which the worker
	// does nothing else; where little is in memory there would be one for every 4 MiB, four in a burst of appends.
	breath = 16 << 20
)

// pace sets how often the collector runs, now and after each of its runs.
func pace(percent int) {
	debug.SetGCPercent(percent)
	runtime.SetFinalizer(new([32]byte), func(*[32]byte) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		live := max(m.NextGC*100/uint64(100+percent), 1)
		pace(int(max(100, 100*breath/live)))
	})
}
