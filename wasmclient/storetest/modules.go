package storetest

import (
	"bytes"
	"errors"
	"slices"

	"skerry/shared/digest"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/wasmclient"
)

func (h handle) module(d digest.Digest) []byte {
	h.s.Helper()
	return try(h.Module(h.s.ctx, d)).or(h.s, "read a module")
}

func (h handle) putModule(module []byte) digest.Digest {
	h.s.Helper()
	d := digest.Of(module)
	if err := h.PutModule(h.s.ctx, d, module); err != nil {
		h.s.Fatalf("put a module: %v", err)
	}
	return d
}

// testModules puts modules, the largest there is among them, and reads them by another handle and when all were closed.
func testModules(s *suite) {
	h, other := s.open(), s.open()
	small, large := []byte("a module"), make([]byte, 4<<20)
	for i := range large {
		large[i] = byte(i * 7 >> 3)
	}
	if got := h.module(digest.Of(small)); got != nil {
		s.Fatalf("%d bytes of a module that was never put", len(got))
	}
	given := bytes.Clone(small)
	a, b := h.putModule(given), h.putModule(large)
	clear(given) // the caller's to use again
	for range 2 {
		if !bytes.Equal(other.module(a), small) || !bytes.Equal(other.module(b), large) {
			s.Fatal("what another handle reads is not what was put")
		}
		other.putModule(small) // it is here: harmless
	}
	if err := other.PutModule(s.ctx, a, []byte("another module")); !errors.Is(err, wasmclient.ErrDamaged) {
		s.Fatalf("put bytes under another digest than theirs: %v, want ErrDamaged", err)
	}
	if !bytes.Equal(h.module(a), small) {
		s.Fatal("other bytes took the place of a module's")
	}
	// They are no change of any space, and keep out of what commits do.
	before := h.everything()
	h.putModule([]byte("a third"))
	if after := h.everything(); after != before {
		s.Fatalf("putting a module changed\n%s\nto\n%s", before, after)
	}
	h.Close()
	other.Close()
	h = s.open()
	if !bytes.Equal(h.module(a), small) || !bytes.Equal(h.module(b), large) {
		s.Fatal("what was kept is not what was put")
	}
	if s.DamageModule == nil {
		return
	}
	s.DamageModule(a)
	if got := h.module(a); got != nil {
		s.Fatalf("%d bytes are taken for the module though they are damaged", len(got))
	}
	h.putModule(small)
	if !bytes.Equal(h.module(a), small) {
		s.Fatal("a damaged module is not put right by putting it again")
	}
}

// testModulesFull puts a module where there is no room: it is not here then, and what was is still.
func testModulesFull(s *suite) {
	if s.FullNext == nil {
		s.Skip("this store cannot be made full")
	}
	h := s.open()
	first := h.putModule([]byte("first"))
	second := []byte("second")
	s.FullNext()
	if err := h.PutModule(s.ctx, digest.Of(second), second); !errors.Is(err, wasmclient.ErrFull) {
		s.Fatalf("put a module on a full device: %v", err)
	}
	if h.module(digest.Of(second)) != nil || h.module(first) == nil {
		s.Fatal("a module that found no room is here, or one that was here is not")
	}
	if h.putModule(second); h.module(digest.Of(second)) == nil {
		s.Fatal("a module found no room though there is some again")
	}
}

// of inserts a space that was made with a module, and is judged by another one.
func (h handle) of(n uint64, created bool, first, now digest.Digest) *feed {
	h.s.Helper()
	f := newFeed(n)
	genesis := *f.info.Genesis
	genesis.Module = first
	f.id = genesis.ID()
	h.change(replica.SpaceCommit{Space: f.id, Insert: &replica.SpaceInfo{
		Genesis: &genesis, Created: created, Position: space.Start(f.id), Module: now,
	}})
	return f
}

// testModulesMakeRoom has no room for what a user writes: modules that the server has go before that fails, and others stay.
func testModulesMakeRoom(s *suite) {
	if s.FullNext == nil {
		s.Skip("this store cannot be made full")
	}
	h, other := s.open(), s.open()
	first, now := h.putModule([]byte("made with")), h.putModule([]byte("judges"))
	shared, unsent, unnamed := h.putModule([]byte("of both")), h.putModule([]byte("only here")), h.putModule([]byte("for later"))
	f := h.of(1, true, first, now)
	h.of(2, true, shared, shared)
	h.of(3, false, shared, unsent)
	row := newFeed(1).row(1)
	append1 := func() error {
		_, err := h.Commit(s.ctx, &replica.Commit{Strict: true, Spaces: []replica.SpaceCommit{{Space: f.id, Append: []replica.OutboxRow{row}}}})
		return err
	}
	s.FullNext()
	if err := h.PutModule(s.ctx, digest.Of([]byte("more")), []byte("more")); !errors.Is(err, wasmclient.ErrFull) {
		s.Fatalf("a module makes room for another: %v", err)
	}
	if other.module(first) == nil || other.module(now) == nil {
		s.Fatal("a module went for one that did not find room")
	}
	s.FullNext()
	if err := append1(); err != nil || len(other.outbox(f.id)) != 1 {
		s.Fatalf("append where modules can make room: %v", err)
	}
	if other.module(first) != nil || other.module(now) != nil {
		s.Error("no room was made")
	}
	for what, d := range map[string]digest.Digest{"that a space needs that the server has not": shared, "that only this device has": unsent, "that no space names": unnamed} {
		if other.module(d) == nil {
			s.Errorf("a module %s went", what)
		}
	}
	s.FullNext()
	row.ID, row.Transaction = newFeed(1).row(2).ID, newFeed(1).row(2).Transaction
	if err := append1(); !errors.Is(err, wasmclient.ErrFull) {
		s.Errorf("append where nothing can make room: %v", err)
	}
}

// testModulesUnnamed collects modules: those that no space names go after a while, unless they are put again or named.
func testModulesUnnamed(s *suite) {
	h, other := s.open(), s.open()
	first, now := h.putModule([]byte("made with")), h.putModule([]byte("judges"))
	unnamed, again, later := h.putModule([]byte("unnamed")), h.putModule([]byte("again")), h.putModule([]byte("later"))
	h.of(1, false, first, now)
	const began = 1_800_000_000_000
	collect := func(at uint64) {
		s.Helper()
		var names replica.ModuleNames
		for _, known := range try(other.Load(s.ctx)).or(s, "load").Spaces {
			names.Add(&known.Info)
		}
		if err := other.CollectModules(s.ctx, &names, at); err != nil {
			s.Fatalf("collect modules: %v", err)
		}
	}
	wants := func(when string, want ...digest.Digest) {
		s.Helper()
		for what, d := range map[string]digest.Digest{"first": first, "now": now, "unnamed": unnamed, "again": again, "later": later} {
			if here := h.module(d) != nil; here != slices.Contains(want, d) {
				s.Errorf("%s: module %s is here: %v", when, what, here)
			}
		}
	}
	before := h.everything()
	collect(began)
	collect(began + replica.UnnamedModules - 1)
	wants("a moment too early", first, now, unnamed, again, later)
	if after := h.everything(); after != before {
		s.Fatalf("collecting modules changed\n%s\nto\n%s", before, after)
	}
	h.putModule([]byte("again"))
	h.of(2, true, later, later)
	// What the caller does not know of a space that was just made, the store does.
	if err := other.CollectModules(s.ctx, &replica.ModuleNames{}, began+replica.UnnamedModules); err != nil {
		s.Fatalf("collect modules: %v", err)
	}
	wants("when it was time", first, now, again, later)
	collect(began + 3*replica.UnnamedModules)
	wants("long after", first, now, later)
}
