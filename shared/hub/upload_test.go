package hub_test

import (
	"testing"

	"skerry/shared/digest"
	"skerry/shared/hub"
	"skerry/shared/wire"
)

// put sends a piece of an upload.
func (l *line) put(ref uint64, of []byte, from, to int) {
	l.t.Helper()
	l.receive(&wire.BlobPut{Ref: ref, Digest: digest.Of(of), Total: uint64(len(of)), Offset: uint64(from), Bytes: of[from:to]})
}

func TestUploadInPieces(t *testing.T) {
	content := []byte("what a module is made of")
	l := welcomedLine(t, 0)
	l.put(1, content, 0, 0)
	if ask := l.last.Store; ask == nil || ask.Bytes != nil || ask.Digest != digest.Of(content) {
		t.Fatalf("asked %+v", ask)
	}
	l.put(2, content, 0, 5)
	l.wants("refused 2 too_many")
	l.step(hub.BlobStored{})
	l.wants("blob_part 1 0+0/24")
	l.put(3, content, 0, 10)
	l.step(hub.BlobStored{})
	l.put(4, content, 12, 24) // not what follows: nothing of it is taken
	l.put(5, content, 5, 24)
	l.wants("blob_part 3 10+0/24, blob_part 4 10+0/24, blob_part 5 10+0/24")
	l.put(6, content, 10, 23)
	l.put(7, content, 23, 24)
	if store := l.last.Store; store == nil || string(store.Bytes) != string(content) {
		t.Fatalf("to store: %+v", store)
	}
	l.step(hub.BlobStored{Stored: true})
	l.wants("blob_part 6 23+0/24, blob_part 7 24+0/24")
	l.step(hub.BlobStored{Stored: true}) // that nobody asked
	l.wants("")
}

func TestUploadIsRefused(t *testing.T) {
	small := func(c *hub.Config) { c.UploadBytes = 8 }
	l := welcomedLine(t, 0, small)
	l.put(1, []byte("123456789"), 0, 9)
	l.receive(&wire.BlobPut{Ref: 2})
	l.wants("refused 1 too_large, refused 2 too_large")
	l.put(3, []byte("12345678"), 0, 8)
	l.step(hub.BlobStored{Code: wire.CodeBadModule, Reason: "it is no module"})
	l.wants("refused 3 bad_module")

	// Another one takes the place of one that was begun.
	l.put(4, []byte("1234"), 0, 2)
	l.step(hub.BlobStored{})
	l.put(5, []byte("5678"), 0, 4)
	if store := l.last.Store; store == nil || string(store.Bytes) != "5678" {
		t.Fatalf("to store: %+v", store)
	}
	l.step(hub.BlobStored{Stored: true})
	l.wants("blob_part 4 2+0/4, blob_part 5 4+0/4")

	l.receive(&wire.BlobPut{Ref: 0, Total: 1})
	l.fails(wire.CodeBadFrame)

	nobody := newLine(t)
	nobody.step(hub.Begin{Nonce: [32]byte{1}})
	anonymous := hello(0)
	anonymous.Proofs = nil
	nobody.receive(anonymous)
	nobody.step(hub.Registered{})
	nobody.frames = nil
	nobody.put(1, []byte("1234"), 0, 0)
	nobody.wants("refused 1 auth_required")
}
