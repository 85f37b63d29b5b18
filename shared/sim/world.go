package sim

import (
	"container/heap"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"

	"skerry/shared/digest"
	"skerry/shared/space"
)

// Options says what kind of world to make. Zero values are drawn from the seed.
type Options struct {
	Seed     uint64
	Devices  int
	Tabs     int    // at most so many a device
	Trouble  uint64 // how long things go wrong, in milliseconds
	Verbose  bool   // keep the whole trace
	Damage   bool   // stored records go bad now and then
	Engine   Engine // runs Modules; nil for worlds where modules are bytes and no more
	Modules  [][]byte
	Restores bool   // the server is put back from a backup once or twice
	Boots    bool   // the server keeps checkpoints, and replicas begin there
	Expires  bool   // and records before them expire
	Deletes  bool   // spaces are deleted now and then, where modules say who may
	Mutation string // breaks one safety rule of the model around the cores, to show that it is needed
}

// World is one simulated world.
type World struct {
	options Options
	random  *rand.Rand
	now     uint64
	queue   events
	order   uint64
	calm    bool // trouble has ended

	server  *server
	devices []*device
	trace   trace
	failed  error

	// What the world knows to be promised.
	durable map[space.ID]map[space.ULID]*promise // by transaction id, reported durable to its author
	spaces  []space.ID                           // made by anyone
	made    map[space.ID]space.Genesis
	asked   map[space.ULID]bool // somebody asked to discard it
	modules [][]byte
	tables  map[space.ID]map[space.Position]digest.Digest // what some server or replica had at a record of a branch

	restored *restores // nil in worlds without
	booted   int       // how many holes were seen
	expired  int       // how often records expired
	dropped  int       // how often a device dropped what had expired
}

// promise is one transaction that its author was told is durable.
type promise struct {
	device    *device
	space     space.ID
	events    int
	synced    bool // the author was told so
	refused   bool // by its type
	discarded bool // the author asked for it
}

type event struct {
	at    uint64
	order uint64
	do    func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].order < e[j].order
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	x := old[len(old)-1]
	*e = old[:len(old)-1]
	return x
}

// trace keeps a hash of everything that happened, and the last lines of it.
type trace struct {
	sum   uint64
	lines []string
	keep  int
}

// New makes a world.
func New(options Options) *World {
	w := &World{
		options: options, random: rand.New(rand.NewPCG(options.Seed, 0x5ce44)), now: 1,
		durable: make(map[space.ID]map[space.ULID]*promise), made: make(map[space.ID]space.Genesis),
		asked: make(map[space.ULID]bool),
	}
	w.trace.keep = 400
	if options.Verbose {
		w.trace.keep = 1 << 30
	}
	if w.options.Devices == 0 {
		w.options.Devices = 1 + w.random.IntN(4)
	}
	if w.options.Tabs == 0 {
		w.options.Tabs = 4
	}
	if w.options.Trouble == 0 {
		w.options.Trouble = 10_000 + w.random.Uint64N(50_000)
	}
	w.makeModules()
	w.server = newServer(w)
	for i := range w.options.Devices {
		w.devices = append(w.devices, newDevice(w, i))
	}
	return w
}

// after runs do in d milliseconds of the world.
func (w *World) after(d uint64, do func()) {
	w.order++
	heap.Push(&w.queue, event{w.now + d, w.order, do})
}

// between returns a number from low to high, both included.
func (w *World) between(low, high uint64) uint64 { return low + w.random.Uint64N(high-low+1) }

// chance is true once in n times.
func (w *World) chance(n int) bool { return w.random.IntN(n) == 0 }

func (w *World) logf(format string, args ...any) {
	line := fmt.Sprintf("%d ", w.now) + fmt.Sprintf(format, args...)
	sum := fnv.New64a()
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], w.trace.sum)
	sum.Write(b[:])
	sum.Write([]byte(line))
	w.trace.sum = sum.Sum64()
	w.trace.lines = append(w.trace.lines, line)
	if len(w.trace.lines) > 2*w.trace.keep {
		w.trace.lines = append([]string(nil), w.trace.lines[w.trace.keep:]...)
	}
}

// failf records the first broken promise.
func (w *World) failf(format string, args ...any) {
	if w.failed == nil {
		w.failed = fmt.Errorf("seed %d at %d: "+format, append([]any{w.options.Seed, w.now}, args...)...)
		w.logf("FAILED %v", w.failed)
	}
}

// Trace returns the end of what happened, a line each.
func (w *World) Trace() []string {
	lines := w.trace.lines
	return lines[max(0, len(lines)-w.trace.keep):]
}

// TraceSum returns a hash of everything that happened.
func (w *World) TraceSum() uint64 { return w.trace.sum }

// quietLimit is how long a calm world may take to become quiet.
const quietLimit = 3_600_000

// Run lets the world live until it is quiet, and returns the first promise that it saw broken:
//
//   - a transaction reported durable is in the log exactly once, or in its author's rejected store, or was discarded
//     by its author; one reported synced is in the log at that moment already
//   - the transactions of one device in one space are in the log in outbox order
//   - positions of a replica never go back, except to below records that went bad, and to the server's branch
//   - where the server is put back from a backup, what it once had stays what it was, by whom it was; and what a replica holds of it
//     is in the log in the end, or among the rejected or the lost of who held it
//   - a module that is stored anywhere is what its digest says, and every replica has those of the spaces that it pulls
//   - where modules are run, the tables of a space at a record are the same on the server, in all of its lives and from
//     any of its checkpoints, and of every replica's log; and no fault of a machine refuses anything
//   - what a replica left out of a log is what its store says, and comes when it is read
//   - behind a deletion there is nothing in a log; whoever looks at the space knows that it was deleted and has of it what the log
//     begins with, and what of theirs came too late is among the rejected
//   - the log has no holes and no id twice, and hashes to its head
//   - when all is quiet, every outbox is empty, and every replica holds the same records and chain as the server for
//     each space that it pulls; when somebody looks then at the others, soon for each space that it knows
func (w *World) Run() error {
	for _, d := range w.devices {
		d.start()
	}
	w.server.start()
	w.trouble()
	if w.options.Engine != nil {
		w.lookAtTables()
	}
	if w.options.Restores {
		w.restoring()
	}
	if w.options.Boots {
		w.keepPlaces()
	}
	w.after(w.options.Trouble, w.endTrouble)
	end := w.now + w.options.Trouble + quietLimit
	nextLook := uint64(0)
	for w.failed == nil && len(w.queue) > 0 {
		e := heap.Pop(&w.queue).(event)
		w.now = max(w.now, e.at)
		e.do()
		if w.calm && w.now >= nextLook {
			if w.isQuiet() && !w.lookAtAll() {
				if w.checkQuiet(); w.failed != nil || !w.readAll() {
					return w.failed
				}
			}
			nextLook = w.now + 500
		}
		if w.now > end {
			w.failf("not quiet %d minutes after the trouble ended: %s", quietLimit/60_000, w.restless())
		}
	}
	if w.failed == nil {
		w.failf("nothing is left to happen, but it is not quiet: %s", w.restless())
	}
	return w.failed
}

// seeded is a source of bytes for the cores.
type seeded struct{ random *rand.Rand }

func (s seeded) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(s.random.Uint32())
	}
	return len(p), nil
}
