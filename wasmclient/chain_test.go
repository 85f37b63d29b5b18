//go:build !js

package wasmclient_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"skerry/shared/module"
	"skerry/shared/module/moduletest"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/wasmclient"
)

// TestSoakChains: modules change at random, with lenses, and people write by whatever version they have, away for whole months and several versions. Whenever all that is
// not away rests, nothing is read as what it was not meant to be, nothing is lost, nothing waits for ever, and all replicas have the same tables. What pages read and are told of such chains,
// web/test/chains.test.ts looks at. SKERRY_SEED=n repeats a chain, and SKERRY_SOAK=1 tries many.
func TestSoakChains(t *testing.T) {
	if raceDetector { // it runs without: modules in bubbles, which take five times as long with it, and what they do at once the other tests do
		t.Skip("runs without the race detector: make unit")
	}
	first, chains := rand.Uint64N(1<<32), uint64(4)
	if os.Getenv("SKERRY_SOAK") != "" {
		chains = 200
	}
	if text := os.Getenv("SKERRY_SEED"); text != "" {
		var err error
		if first, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
		chains = 1
	}
	for seed := first; seed < first+chains; seed++ {
		t.Run(fmt.Sprintf("SKERRY_SEED=%d", seed), func(t *testing.T) {
			inJudgedBubble(t, func(j *judged) {
				w := &chained{judged: j, Chain: moduletest.NewChain(rand.New(rand.NewPCG(20261122, seed))), meant: map[space.ULID]moduletest.Said{}, refused: map[space.ULID]bool{}}
				w.run()
			})
		})
	}
}

// chained is a space whose module changes along a chain, and who writes to it.
type chained struct {
	*judged
	*moduletest.Chain
	id      space.ID
	writers []*chainWriter
	meant   map[space.ULID]moduletest.Said // all that was ever written
	refused map[space.ULID]bool
	months  int
}

// chainWriter is a device with the code of one version.
type chainWriter struct {
	*device
	version int
	away    int // for so many steps more
}

func (c *chained) run() {
	author, watcher := c.device("ada"), c.device("ada") // who takes the space over, and who only looks
	tab := c.tab(author)
	c.id = c.spaceOf(tab, c.Modules[0]).ID()
	tab.Close(c.Context())
	for range 3 {
		c.writers = append(c.writers, &chainWriter{device: c.device("ada")})
	}
	const steps = 7
	for step := range steps {
		if step > 0 {
			c.Next()
		}
		for _, w := range c.writers {
			c.writes(w)
		}
		if c.IntN(3) == 0 {
			c.months++
			time.Sleep(month)
		}
		tab := c.tab(author)
		tab.Space(c.id)
		c.settled(tab, c.id)
		if step > 0 {
			c.upgrade(tab, tab.Space(c.id), c.Modules[step])
			c.settled(tab, c.id)
		}
		c.looks(tab, watcher, step)
		tab.Close(c.Context())
	}
	for _, w := range c.writers {
		c.comesHome(w)
	}
	for _, w := range c.writers { // what the others brought, too
		c.comesHome(w)
	}
	tab = c.tab(author)
	tab.Space(c.id)
	c.settled(tab, c.id)
	log := c.looks(tab, watcher, steps-1)
	for id, says := range c.meant {
		if !log[id] && !c.refused[id] {
			c.Errorf("in no log and not refused: %+v", says)
		}
		if log[id] && c.refused[id] {
			c.Errorf("in the log and refused: %+v", says)
		}
	}
	c.Logf("%d events in the log, %d refused as removed, %d versions, %d months", len(log), len(c.refused), len(c.Versions), c.months)
}

// writes has a writer write by its version, newer ones now and then, online or away.
func (c *chained) writes(w *chainWriter) {
	if c.IntN(2) == 0 {
		w.version = c.IntN(len(c.Versions)) // newer, or an old tab that was open all the time
	}
	if w.away--; w.away < 0 && c.IntN(2) == 0 {
		w.away = c.IntN(4)
	}
	var change []func(*wasmclient.Config)
	if w.away >= 0 {
		change = append(change, offline)
	}
	tab := c.tab(w.device, change...)
	s := tab.Space(c.id)
	for range c.IntN(6) {
		e, says := c.Write(w.version)
		receipts := c.appendEach(s, []space.Event{e})
		c.meant[receipts[0].ID()] = says
	}
	time.Sleep(time.Duration(c.IntN(100)) * time.Second)
	synctest.Wait()
	c.hears(s)
	tab.Close(c.Context())
}

// hears notes what a writer was refused, which nothing but a type that is removed may be.
func (c *chained) hears(s *wasmclient.Space) {
	rejected, err := s.Rejected(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	for _, row := range rejected {
		says, ok := c.meant[row.ID]
		if !ok || row.Code != wire.CodeTypeRemoved || !c.TypeOf(len(c.Versions)-1, says.Type).Removed || len(row.Transaction.Events[0].Payload) == 0 {
			c.Errorf("%+v is refused: %v %s", says, row.Code, row.Reason)
		}
		c.refused[row.ID] = true
	}
}

// comesHome has a writer come back, and wait until nothing of it waits.
func (c *chained) comesHome(w *chainWriter) {
	tab := c.tab(w.device)
	defer tab.Close(c.Context())
	s := tab.Space(c.id)
	c.settled(tab, c.id)
	c.hears(s)
}

// looks holds the tables of two devices to what was meant, by the modules that the log says, and returns what is in that.
func (c *chained) looks(tab *tab, watcher *device, step int) map[space.ULID]bool {
	c.Helper()
	other := c.tab(watcher)
	defer other.Close(c.Context())
	other.Space(c.id)
	c.settled(other, c.id)
	rows := c.keptRows(tab.Space(c.id))
	c.same(c.keptRows(other.Space(c.id)), rows...)
	log := map[space.ULID]bool{}
	var want []string
	var records []moduletest.Said
	version := 0
	for record, err := range tab.Space(c.id).Events(c.Context(), wasmclient.EventsOptions{}) {
		if err != nil {
			c.Fatal(err)
		}
		if record.Type == module.TypeModule {
			if version++; c.Replays(version) {
				want = want[:0]
				for i := range records {
					want = append(want, c.Row(&records[i], version))
				}
			}
		}
		if says, ok := c.meant[record.ID]; ok {
			log[record.ID] = true
			records = append(records, says)
			want = append(want, c.Row(&says, version))
		}
	}
	if version != step {
		c.Errorf("the log has %d upgrades, not %d", version, step)
	}
	if !slices.Equal(want, rows) {
		for i := range min(len(want), len(rows)) {
			if want[i] != rows[i] {
				c.Errorf("%+v is read as %q, and means %q", records[i], rows[i], want[i])
			}
		}
		c.Errorf("%d rows, want %d", len(rows), len(want))
	}
	server := c.instanceAt(c.id, uint64(len(c.site.records(c.id))))
	defer server.Close()
	n := 0
	server.Tables().Scan(0, 0, "", "", false, func(_, row string) bool {
		if n >= len(rows) || row[20:] != rows[n] {
			c.Errorf("the server's row %d is %q", n, row)
		}
		n++
		return true
	})
	if n != len(rows) {
		c.Errorf("the server has %d rows, and a device %d", n, len(rows))
	}
	return log
}
