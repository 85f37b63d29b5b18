package sim

import (
	"errors"
	"slices"

	"skerry/shared/digest"
	"skerry/shared/hub"
	"skerry/shared/module"
	"skerry/shared/module/program"
	"skerry/shared/msgpack"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
)

// Engine makes a program and its machines of a module's bytes. It is safe for concurrent use.
type Engine func(bytes []byte) (*program.Loaded, error)

// In a world with an engine modules are lists of members that take over from one another: events add and remove somebody
// or note something, which only members may. Some cannot take over, or fail at it.

// checkpoint is one that the server keeps.
type checkpoint struct {
	root  []byte
	pages map[digest.Digest][]byte
}

var errMachine = errors.New("the simulated machine failed")

// machines fail now and then.
type machines struct {
	program.Machines
	world *World
}

func (m machines) Borrow() (program.Machine, error) {
	if !m.world.calm && m.world.chance(100) {
		return nil, errMachine
	}
	return m.Machines.Borrow()
}

// module returns the module that judges at the end of the log.
func (st *storedSpace) module() digest.Digest {
	for i := len(st.records) - 1; i >= 0; i-- {
		if st.records[i].Type == module.TypeModule {
			name, _ := module.UpgradeTo(st.records[i].Payload)
			return name
		}
	}
	return st.genesis.Module
}

// load returns a module of which somebody has the bytes.
func (w *World) load(bytes []byte, faulty bool) (*program.Loaded, error) {
	loaded, err := w.options.Engine(bytes)
	if err == nil && faulty {
		loaded = &program.Loaded{Program: loaded.Program, Machines: machines{loaded.Machines, w}}
	}
	return loaded, err
}

// loader returns what gives instances their modules.
func (w *World) loader(bytes func(digest.Digest) []byte, faulty bool) func(digest.Digest) (*program.Loaded, error) {
	return func(d digest.Digest) (*program.Loaded, error) {
		if d == module.Open {
			return &program.Loaded{}, nil
		}
		content := bytes(d)
		if content == nil {
			return nil, module.ErrMissing
		}
		return w.load(content, faulty)
	}
}

// begin makes an instance that applies what records returns, before the first of them or at a checkpoint.
func begin(genesis *space.Genesis, load func(digest.Digest) (*program.Loaded, error), records func() []space.Record, at *checkpoint) (i *program.Instance, err error) {
	name := genesis.Module
	if at != nil {
		of, _, err := tables.ReadRoot(at.root)
		if err != nil {
			return nil, err
		}
		name = of.Module
	}
	by, err := load(name)
	if err != nil {
		return nil, err
	}
	if at == nil {
		i, err = program.Begin(by, genesis)
	} else {
		var schemas []tables.Schema
		if by.Program != nil {
			schemas = by.Program.Manifest.Tables
		}
		set, of, err := tables.ReadCheckpoint(at.root, schemas, func(d digest.Digest) ([]byte, error) { return at.pages[d], nil })
		if err != nil {
			return nil, err
		}
		i = program.Continue(by, genesis, set, of.Seq)
	}
	if err != nil {
		return nil, err
	}
	i.Load = load
	i.History = func(after, to uint64, f func([]space.Record) error) error {
		if log := records(); to <= uint64(len(log)) {
			return f(log[after:to])
		}
		return errors.New("the log ends before")
	}
	return i, nil
}

// open gives the hub an instance of a space: from nothing, or from a checkpoint that is kept.
func (s *server) open(id space.ID, st *storedSpace, opened *hub.Opened) {
	if last, ok := st.deleted(); ok {
		opened.Code, opened.Head, opened.Last = wire.CodeDeleted, st.head, last
		return
	}
	if s.world.options.Engine == nil {
		instance, err := module.Native.New(&space.Genesis{Module: module.Open})
		if err != nil {
			panic(err)
		}
		opened.Instance, opened.Head = instance, st.head
		return
	}
	var at *checkpoint
	if n := len(st.kept); n > 0 && !s.world.chance(3) {
		at = &st.kept[s.world.random.IntN(n)]
	}
	load := s.world.loader(func(d digest.Digest) []byte { return s.blobs[d] }, true)
	instance, err := begin(&st.genesis, load, func() []space.Record { return st.records }, at)
	switch {
	case errors.Is(err, module.ErrMissing):
		opened.Code = wire.CodeModuleMissing
	case errors.Is(err, errMachine):
		opened.Code = wire.CodeOverloaded
	case err != nil:
		s.world.failf("%s: cannot be opened: %v", short(id), err)
	default:
		instance.Skips = at == nil && !st.upgraded()
		s.space(id).instance = instance
		opened.Instance, opened.Head = instance, st.head
		opened.Bare = len(st.records) > 0 && hub.Bare(&st.records[len(st.records)-1])
	}
}

func (st *storedSpace) upgraded() bool {
	return slices.ContainsFunc(st.records, func(r space.Record) bool { return r.Type == module.TypeModule })
}

// prepare makes the tables of an upgrade, which takes a while, or does not end.
func (s *server) prepare(id space.ID, ask hub.Prepare) {
	w, life := s.world, s.life
	w.after(w.random.Uint64N(3000), func() {
		if s.life != life {
			return
		}
		failed := !w.calm && w.chance(10)
		if !failed {
			ask.Work.Run()
		}
		verdict, err := ask.Work.Result()
		w.logf("server prepared an upgrade of %s: %v %v %v", short(id), failed, verdict.Code, err)
		s.stepSpace(id, hub.Prepared{Ref: ask.Ref, Work: ask.Work, Failed: failed})
	})
}

// hasAll reports whether the modules are there that records name.
func (s *server) hasAll(records []space.Record) bool {
	for i := range records {
		if records[i].Type == module.TypeModule {
			if name, _ := module.UpgradeTo(records[i].Payload); name != module.Open && s.blobs[name] == nil {
				return false
			}
		}
	}
	return true
}

// lookAtTables has the server keep a checkpoint now and then, and looks at tables that it has in the middle.
func (w *World) lookAtTables() {
	w.after(w.between(200, 4000), func() {
		if w.calm {
			return
		}
		for _, id := range sortedIDs(w.server.spaces) {
			st, i := w.server.stored[id], w.server.spaces[id].instance
			if st == nil || i == nil || i.Committed() == nil || !w.chance(3) {
				continue
			}
			if seq := i.Applied(); seq > 0 && seq <= st.head.Seq {
				kept, d := w.pack(id, i, st.records)
				if w.saw(id, st.at(seq), d, "the server"); w.chance(3) {
					st.kept = append(st.kept, kept)
					w.logf("server keeps %s at %d", short(id), seq)
				}
			}
		}
		w.lookAtTables()
	})
}

// pack makes a checkpoint of the committed tables of an instance that has applied the beginning of records.
func (w *World) pack(id space.ID, i *program.Instance, records []space.Record) (c checkpoint, d digest.Digest) {
	seq := i.Applied()
	of := &tables.Checkpoint{Space: id, Seq: seq, Chain: space.Fold(id, records[:seq]), Module: module.Open}
	if p := i.Program(); p != nil {
		of.Module, of.ABI = p.Digest, p.Manifest.ABI
	}
	c.pages = map[digest.Digest][]byte{}
	var err error
	c.root, err = i.Committed().AppendCheckpoint(nil, of, func(d digest.Digest, content func() ([]byte, error)) error {
		page, err := content()
		c.pages[d] = slices.Clone(page)
		return err
	})
	if err != nil {
		panic(err)
	}
	return c, digest.Of(c.root)
}

// saw notes which tables somebody has at a record.
func (w *World) saw(id space.ID, at space.Position, d digest.Digest, who string) {
	if w.tables == nil {
		w.tables = map[space.ID]map[space.Position]digest.Digest{}
	}
	if w.tables[id] == nil {
		w.tables[id] = map[space.Position]digest.Digest{}
	}
	if before, ok := w.tables[id][at]; ok && before != d {
		w.failf("%s: %s has other tables at record %d than somebody had before", short(id), who, at.Seq)
	}
	w.tables[id][at] = d
}

func (st *storedSpace) at(seq uint64) space.Position {
	return space.Position{Seq: seq, Chain: space.Fold(st.genesis.ID(), st.records[:seq])}
}

// checkTables compares the tables that each can make of what it has.
func (w *World) checkTables() {
	if w.options.Engine == nil {
		return
	}
	blobs := func(d digest.Digest) []byte { return w.server.blobs[d] }
	for _, id := range sortedIDs(w.server.stored) {
		st := w.server.stored[id]
		w.materialize(id, "the log", &st.genesis, blobs, st.records, nil)
		for n := range st.kept {
			w.materialize(id, "a checkpoint", &st.genesis, blobs, st.records, &st.kept[n])
		}
		if h := w.server.spaces[id]; h != nil && h.instance != nil && h.instance.Committed() != nil && h.instance.Applied() == st.head.Seq {
			_, d := w.pack(id, h.instance, st.records)
			w.saw(id, st.head.Position(), d, "the server")
		}
		for _, d := range w.devices {
			records, info := d.store.Read(id, 0, 1<<30, 1<<30), d.store.Refresh(id).Info
			if n := len(records); n > 0 && (st.told || info.Deleted) && records[n-1].Type == module.TypeModule {
				records = records[:n-1] // the server's word of it came too late
			}
			if info.Genesis != nil && len(records) > 0 && !slices.ContainsFunc(st.modulesOf(), d.lacks) {
				w.materialize(id, d.name, info.Genesis, d.store.Module, records, nil)
			}
		}
	}
}

// materialize applies records some at a time, now and then by way of a checkpoint, and compares the tables wherever somebody
// had tables, and at the end.
func (w *World) materialize(id space.ID, who string, genesis *space.Genesis, bytes func(digest.Digest) []byte, records []space.Record, at *checkpoint) {
	load := w.loader(bytes, false)
	log := func() []space.Record { return records }
	i, err := begin(genesis, load, log, at)
	if err != nil {
		w.failf("%s: %s begins no tables: %v", short(id), who, err)
		return
	}
	var places []uint64
	for at := range w.tables[id] {
		places = append(places, at.Seq)
	}
	slices.Sort(places)
	for from := i.Applied(); from < uint64(len(records)); from = i.Applied() {
		to := min(from+w.between(1, 40), uint64(len(records)))
		for to < uint64(len(records)) && records[to].Index > 0 {
			to++
		}
		if n, _ := slices.BinarySearch(places, from+1); n < len(places) {
			to = min(to, places[n])
		}
		if err := i.Apply(records[from:to]); err != nil {
			w.failf("%s: %s cannot apply its log: %v", short(id), who, err)
			return
		}
		kept, d := w.pack(id, i, records)
		w.saw(id, space.Position{Seq: to, Chain: space.Fold(id, records[:to])}, d, who)
		w.checkWitness(id, who, records[to-1], d, records[min(to, uint64(len(records)-1))])
		if w.chance(5) {
			if i, err = begin(genesis, load, log, &kept); err != nil {
				w.failf("%s: %s does not begin at its checkpoint: %v", short(id), who, err)
				return
			}
		}
	}
}

// checkWitness compares the tables behind an upgrade with the server's word of them.
func (w *World) checkWitness(id space.ID, who string, last space.Record, d digest.Digest, next space.Record) {
	if last.Type != module.TypeModule {
		return
	}
	if want := payload("digest", true, d[:]); next.Type != module.TypeCheckpoint || string(next.Payload) != string(want) {
		w.failf("%s: behind the upgrade at %d stands another word than the tables of %s", short(id), last.Seq, who)
	}
}

func payload(name string, binary bool, value []byte) []byte {
	b := msgpack.AppendString(msgpack.AppendMap(nil, 1), name)
	if binary {
		return msgpack.AppendBinary(b, value)
	}
	return msgpack.AppendString(b, string(value))
}

// means makes events of a transaction that modules know, or an upgrade, whose module the page has.
func (t *tab) means(id space.ID, transaction *space.Transaction) {
	w := t.device.world
	if w.options.Deletes && w.chance(30) {
		transaction.Events = transaction.Events[:1]
		transaction.Events[0].Type, transaction.Events[0].Payload = module.TypeDelete, []byte{0x80}
		return
	}
	if w.chance(12) {
		content := w.modules[w.random.IntN(len(w.modules))]
		t.put(content)
		name := digest.Of(content)
		transaction.Events = transaction.Events[:1]
		transaction.Events[0].Type, transaction.Events[0].Payload = module.TypeModule, payload("hash", true, name[:])
		return
	}
	for i := range transaction.Events {
		event := &transaction.Events[i]
		who := w.devices[w.random.IntN(len(w.devices))].store.Load().Meta.Identity
		if w.chance(20) {
			who = "x, at which some stop" // and some say no
		}
		switch w.random.IntN(8) {
		case 0, 1:
			event.Type, event.Payload = "add", payload("who", false, []byte(who))
		case 2:
			if who == w.made[id].Creator {
				who = "nobody" // its creator is always a member
			}
			event.Type, event.Payload = "remove", payload("who", false, []byte(who))
		default:
			event.Type, event.Payload = "note", payload("text", false, []byte(event.ID.String()))
		}
	}
}

// mayRefuse reports whether a server may refuse a transaction by its author with a first event of a type.
func (w *World) mayRefuse(id space.ID, author, first string) bool {
	if first[0] == '$' {
		return true
	}
	return w.options.Engine != nil && (author != w.made[id].Creator || w.made[id].Module == module.Open)
}
