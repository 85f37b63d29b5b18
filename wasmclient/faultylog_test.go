//go:build !js

package wasmclient_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/logtest/faultlog"
	"skerry/wasmclient"
)

// faultSeeds returns the seeds that a test runs: SKERRY_SEED alone, or some from a random one on.
func faultSeeds(t *testing.T, short, long int) (seeds []uint64) {
	if text := os.Getenv("SKERRY_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return []uint64{n}
	}
	if os.Getenv("SKERRY_SOAK") != "" {
		short = long
	}
	first := rand.Uint64() >> 16
	for n := range short {
		seeds = append(seeds, first+uint64(n))
	}
	return seeds
}

// troubled is a world whose log is at fault.
type troubled struct {
	*world
	faults *faultlog.Log
	rng    *rand.Rand
	tabs   []*tab
	spaces []space.ID

	mu      sync.Mutex
	written map[space.ID]map[space.ULID]bool // false until it is synced
	waiting sync.WaitGroup
}

func inFaultyBubble(t *testing.T, seed uint64, test func(*troubled)) {
	var faults *faultlog.Log
	inBubbleWith(t, func(c *syncserver.Config) {
		faults = faultlog.New(c.Log, seed)
		c.Log = faults
	}, func(w *world) {
		f := &troubled{world: w, faults: faults, rng: rand.New(rand.NewPCG(seed, 1)), written: map[space.ID]map[space.ULID]bool{}}
		for _, who := range []string{"ada", "ada", "bea"} {
			f.join(who)
		}
		test(f)
	})
}

// join opens a tab on a device of its own.
func (f *troubled) join(who string) {
	tab := f.device(who).tab()
	f.tabs = append(f.tabs, tab)
	for _, id := range f.spaces {
		tab.Space(id)
	}
}

// create makes a space, which all open.
func (f *troubled) create() {
	s, err := f.tabs[f.rng.IntN(len(f.tabs))].CreateSpace(f.Context(), wasmclient.SpaceOptions{})
	if err != nil {
		f.Fatal(err)
	}
	f.spaces = append(f.spaces, s.ID())
	for _, tab := range f.tabs {
		tab.Space(s.ID())
	}
}

// write writes by some tab into some space, and notes what becomes of it. Whoever is told that it is synced looks for it in the log at once.
func (f *troubled) write(text string) {
	id := f.spaces[f.rng.IntN(len(f.spaces))]
	receipt := append1(f.T, f.tabs[f.rng.IntN(len(f.tabs))].Space(id), text)
	f.mu.Lock()
	if f.written[id] == nil {
		f.written[id] = map[space.ULID]bool{}
	}
	f.written[id][receipt.ID()] = false
	f.mu.Unlock()
	f.waiting.Go(func() {
		if _, err := receipt.Synced(f.Context()); err != nil {
			f.Errorf("%s: %v", text, err)
			return
		}
		known, err := f.site.log.Known(context.Background(), id, []space.ULID{receipt.ID()})
		if err != nil || known[0].Seq == 0 {
			f.Errorf("%s is said to be synced, and is not in the log: %v", text, err)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.written[id][receipt.ID()] = true
	})
}

// settle ends what goes wrong and holds everybody to the log.
func (f *troubled) settle() {
	f.faults.Set(faultlog.Faults{})
	f.waiting.Wait()
	for _, id := range f.spaces {
		records := f.site.records(id)
		seen := map[space.ULID]int{}
		for i := range records {
			seen[records[i].ID]++
		}
		for event := range f.written[id] {
			if seen[event] != 1 {
				f.Errorf("%s was synced and is in the log %d times", event, seen[event])
			}
		}
		if len(records) != len(f.written[id]) {
			f.Errorf("%d were written, and the log has %d", len(f.written[id]), len(records))
		}
		for _, tab := range f.tabs {
			tab.holds(id, len(records))
			if rejected, err := tab.Space(id).Rejected(f.Context()); err != nil || len(rejected) > 0 {
				f.Errorf("%d were rejected: %v", len(rejected), err)
			}
		}
	}
}

// prefixes fails unless each tab has the beginning of each log, and nothing else.
func (f *troubled) prefixes() {
	for _, id := range f.spaces {
		log := f.site.records(id)
		for n, tab := range f.tabs {
			got, err := tab.device.store.Read(f.Context(), id, 0, 1<<30, 1<<30)
			if err != nil || len(got) > len(log) || space.Fold(id, got) != space.Fold(id, log[:len(got)]) {
				f.Fatalf("tab %d has %d records that are not the log's: %v", n, len(got), err)
			}
			if info := tab.Space(id).Info(); info.Code == wire.CodeDiverged || info.Code == wire.CodeBadChain || info.Code == wire.CodeRecovering {
				f.Fatalf("tab %d is told %v of a space that nothing happened to", n, info.Code)
			}
		}
	}
}

// TestFaultyLog lets people write while calls to the log fail before and after they did their work, find it full and take seconds, and while the server is begun anew. What anybody was told is in the
// log is there at that moment, and in the end each that was written once, and everywhere.
func TestFaultyLog(t *testing.T) {
	for _, seed := range faultSeeds(t, 6, 400) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			inFaultyBubble(t, seed, func(f *troubled) {
				f.create()
				for n := range 80 {
					if n%20 == 0 {
						f.faults.Set(faultlog.Faults{Before: 3 + f.rng.IntN(15), After: 3 + f.rng.IntN(15), Full: f.rng.IntN(20), Slow: 4, Most: 3 * time.Second})
					}
					switch f.rng.IntN(12) {
					case 0:
						f.create()
					case 1:
						f.faults.Set(faultlog.Faults{}) // it must be able to begin
						f.restart()
						f.faults.Set(faultlog.Faults{Before: 6, After: 6, Slow: 4, Most: 3 * time.Second})
					default:
						for i := range 1 + f.rng.IntN(4) {
							f.write(fmt.Sprint(n, ".", i))
						}
					}
					time.Sleep(time.Duration(f.rng.IntN(2000)) * time.Millisecond)
				}
				f.settle()
				counts := f.faults.Counts()
				if counts["before"] == 0 || counts["after"] == 0 || counts["slow"] == 0 {
					t.Errorf("what happened: %v", counts)
				}
				t.Logf("%v", counts)
			})
		})
	}
}

// TestLyingLog changes bits of what is read from the log, while people write and others join. Nobody is ever sent a record that is not what was made durable, nor told that their history
// is another one; it is counted and told; and when the log is well again all goes on.
func TestLyingLog(t *testing.T) {
	for _, seed := range faultSeeds(t, 6, 400) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			inFaultyBubble(t, seed, func(f *troubled) {
				f.create()
				f.create()
				for n := range 40 {
					f.write(fmt.Sprint("before ", n))
				}
				f.settle()
				for n := range 40 {
					f.faults.Set(faultlog.Faults{Flip: 2 + f.rng.IntN(60)})
					switch f.rng.IntN(8) {
					case 0:
						f.join([]string{"ada", "bea"}[f.rng.IntN(2)])
					case 1:
						f.faults.Set(faultlog.Faults{})
						f.restart() // nothing of the log is in memory any more
						f.faults.Set(faultlog.Faults{Flip: 2})
					default:
						f.write(fmt.Sprint("lying ", n))
					}
					time.Sleep(time.Duration(f.rng.IntN(2000)) * time.Millisecond)
					synctest.Wait()
					f.prefixes()
				}
				f.settle()
				f.prefixes()
				if f.faults.Counts()["flip"] == 0 {
					t.Error("nothing was changed")
				}
				t.Logf("%v", f.faults.Counts())
			})
		})
	}
}
