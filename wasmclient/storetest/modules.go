package storetest

import (
	"bytes"
	"errors"

	"skerry/shared/digest"
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
