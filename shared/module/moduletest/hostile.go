package moduletest

import (
	"encoding/binary"
	"math"
	"slices"

	"skerry/shared/module/program"
)

// hostileCases are modules that take what they can, and what makes engines differ.
func hostileCases() []testCase {
	twice := func(s script, data ...byte) []event { return []event{act(s, data...), ask(s, data...)} }
	return []testCase{
		probeCase("endless loop", twice(do(opLoop))...),
		probeCase("heavy loop", twice(do(opHeavy))...),
		probeCase("bulk copies", twice(do(opFill))...),
		probeCase("recursion", twice(do(opRecurse))...),
		probeCase("recursion of wide frames", twice(do(opWide))...),
		probeCase("memory bomb", // 8 pages are the most
			act(do(opGrow, 0).do(opExpect, 4).do(opGrow, 1).do(opExpect, 4).do(opGrow, 3).do(opExpect, 5).do(opGrow, 1).do(opExpect, allOnes)),
			act(do(opGrow, 5).do(opExpect, allOnes).do(opGrow, allOnes).do(opExpect, allOnes).do(opGrow, 65_536).do(opExpect, allOnes)),
			act(do(opGrow, 4).do(opStore, 0x7fffc, 5).do(opLoad, 0x7fffc).do(opExpect, 5)), act(do(opGrow, 4).do(opStore, 0x7fffd, 5)),
			act(do(opGrow, 0).do(opExpect, 4).do(opStore, endAt, 5)),
			act(do(opGrow, 1).do(opPut, 0, 0x4fff4, 12)), act(do(opGrow, 1).do(opPut, 0, 0x4fff5, 12))),
		{"table flood", func(s *session) {
			space := s.space(Probe(), nil)
			key := make([]byte, 12)
			one := do(opPut, 0, dataAt, 12).do(opAdd, dataAt, 1)
			space.push("author", act(one.do(opAgain, 2, 4095), key...))
			space.push("author", act(one.do(opAgain, 2, 4096), key...))
			space.push("author", act(one.do(opAgain, 2, 4094), key...), act(do(opDelete, 0, dataAt, 8), u64(1)...))
			space.push("author", act(one.do(opAgain, 2, 4094), key...), act(do(opDelete, 0, dataAt, 8), u64(1<<63)...), act(do(opDelete, 0, dataAt, 8), u64(1<<62)...))
			// rows of 64 KiB, of which 16 are the 1 MiB
			large := do(opCopy, freeAt, dataAt, 12).do(opPut, 0, freeAt, 64<<10).do(opAdd, freeAt, 1)
			content := concat(u64(1_000_000), binary.LittleEndian.AppendUint32(nil, 64<<10-12))
			space.push("author", act(large.do(opAgain, 2, 15), content...))
			space.push("author", act(large.do(opAgain, 2, 15).do(opPut, 0, dataAt+12, 12), content...))
		}},
		{"all that a space may have", func(s *session) { // 64 MiB
			space := s.space(Probe(), nil)
			large := do(opCopy, freeAt, dataAt, 12).do(opPut, 0, freeAt, 64<<10).do(opAdd, freeAt, 1).do(opAgain, 2, 15)
			for n := range uint64(64) {
				records := space.records("author", []event{act(large, concat(u64(n<<32), binary.LittleEndian.AppendUint32(nil, 64<<10-12))...)})
				v, err := space.instance.Judge(space.caller("author"), records)
				if err != nil {
					s.t.Fatal(err)
				}
				s.calls = s.calls[:0]
				if space.log = append(space.log, records...); !v.Allowed() {
					s.tell("transaction %d: %v %q, the tables have %d bytes", n, v.Code, v.Reason, space.instance.Tables().Bytes())
					return
				}
			}
			s.t.Fatal("there is no end")
		}},
		probeCase("traps", act(do(opTrap)), ask(do(opTrap)), act(do(opDivide, 1, 0)), act(do(opDivide, 1<<31, allOnes)), act(do(opDivide, 7, allOnes-1)),
			act(do(opLoad, endAt-4)), act(do(opLoad, endAt-3)), act(do(opLoad, allOnes)), act(do(opStore, endAt-3, 1)), act(do(opCopy, endAt-8, 0, 9)), act(do(opCopy, endAt, 0, 0)),
			act(do(opCopy, endAt+1, 0, 0)), act(do(opCopy, allOnes, allOnes, allOnes)),
			act(do(opIndirect, 0)), act(do(opIndirect, 1)), act(do(opIndirect, 2)), act(do(opIndirect, 4)), act(do(opIndirect, allOnes)),
			act(do(opTruncate, dataAt), u64(math.Float64bits(math.NaN()))...), act(do(opTruncate, dataAt), u64(math.Float64bits(2147483648))...),
			act(do(opTruncate, dataAt), u64(math.Float64bits(-2147483648.5))...), act(do(opCount))),
		{"long transactions", func(s *session) { // each call takes a little less than it may, and all of them what they may, or more
			space := s.space(Probe(), nil)
			long := do(opLoad, dataAt).do(opAgain, 1, 13_900)
			for _, of := range []func(script, ...byte) event{act, ask} {
				for n := range 3 {
					space.push("author", slices.Repeat([]event{of(long)}, 9+n)...)
					s.calls = s.calls[:0]
				}
			}
		}},
		{"a counter", func(s *session) { // the same each time, on an instance that was used as on one that was not
			for _, wrap := range []func(program.Machines) program.Machines{
				func(m program.Machines) program.Machines { return m },
				func(m program.Machines) program.Machines { return fresh{m} },
			} {
				p, machines := s.load(Probe())
				space := s.begin(p, wrap(machines), nil)
				key := make([]byte, 12)
				binary.LittleEndian.PutUint32(key[8:], 4)
				count := do(opCount).do(opKeep, dataAt+12).do(opPut, 0, dataAt, 16).do(opAdd, dataAt, 1).do(opAgain, 4, 2)
				for range 3 {
					space.push("author", ask(do(opCount).do(opLoad, freeAt+0x100)), act(count, key...), act(count, key...))
				}
				space.push("author", act(do(opCount).do(opTrap)))
				space.push("author", act(do(opCount).do(opGrow, 1)), act(count, key...))
				space.push("author", act(do(opFill)))
				space.push("author", act(count, key...))
			}
		}},
		{"no numbers", func(s *session) {
			space := s.space(Probe(), nil)
			for _, bits := range []uint64{0x7ff8000000000000, 0xfff8000000000000, 0x7ff0000000000001, 0xfff4000000000000, 0x7fffffffffffffff, 0x7fa000007fa00000, 0x3ff0000000000000} {
				var events []event
				for way := range uint32(6) {
					events = append(events, act(do(opNaN, freeAt+8, way, dataAt).do(opCopy, freeAt, dataAt+8, 8).do(opPut, 2, freeAt, 16),
						concat(u64(bits), u64(bits^uint64(way)))...))
				}
				space.push("author", events...)
				space.push("author", put(2, concat(u64(bits), u64(bits)))) // bytes that the guest did not compute
			}
		}},
		{"others go on", func(s *session) { // a hostile space and an honest one take turns
			hostile, honest := s.space(Probe(), nil), s.space(Chat(), nil)
			for _, script := range []script{do(opLoop), do(opRecurse), do(opTrap), do(opGrow, 4).do(opLoop), do(opLog, 0, 100<<20)} {
				hostile.push("author", act(script))
				honest.push("creator", message("room", "still here"))
			}
		}},
	}
}
