// Package sim runs worlds of many replicas and one server in a single goroutine, from a seed: the same seed gives
// the same world, step by step.
//
// A [World] holds devices, each with one store and one to four tabs over it, and a server with its log. All of them
// run the real cores, package replica and package hub; only what is around them is a model: stores that lose relaxed
// commits when a device loses power, sockets that are cut, a network that is partitioned, tabs that freeze, thaw and
// crash, locks that are stolen, stored records that go bad, clocks that are wrong by days, a server that is killed between append and verdict and
// limits the creation of spaces; owners who delete spaces that others write to. What a subscriber may be sent is fixed when its records are asked for, and they come later: so a wake-up may
// overtake a read that found nothing for it.
//
// While a world runs, after every step, and once more when all trouble has ended and everything has become quiet,
// it checks what Skerry promises: see [World.Run]. A failure comes with the seed and the end of the trace.
//
// Stable: nothing; it is a test.
package sim
