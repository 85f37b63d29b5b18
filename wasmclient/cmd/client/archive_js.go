package main

import (
	"context"
	"fmt"
	"io"
	"syscall/js"

	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/wasmclient"
	"skerry/wasmclient/internal/jsbind"
)

// blobPart is how much of a file crosses at once.
const blobPart = 1 << 20

// export answers with a Blob, which the browser may keep on disk.
func (b *bridge) export(ref int, id string) {
	var ids []space.ID
	if id != "" {
		parsed, err := digest.Parse(id)
		if err != nil {
			b.reply(ref, wire.Errorf(wire.CodeBadArgument, "a space's ID is 64 hexadecimal digits"), nil)
			return
		}
		ids = append(ids, parsed)
	}
	w := blobWriter{parts: js.Global().Get("Array").New()}
	err := b.client.Export(b.ctx, &w, ids...)
	if err == nil {
		w.flush()
		var blob js.Value
		if blob, err = jsbind.New("Blob", w.parts, map[string]any{"type": "application/octet-stream"}); err == nil {
			b.script.Call("send", ref, js.Null(), blob)
			return
		}
	}
	b.reply(ref, err, nil)
}

// importBlob: Blob -> [[id, records, waiting, rejected, foreign, code, reason, lost], ...].
func (b *bridge) importBlob(ref int, blob js.Value) {
	done, err := b.client.Import(b.ctx, &blobReader{ctx: b.ctx, blob: blob, size: int64(blob.Get("size").Float())})
	packed := appendArray(nil, len(done))
	for i := range done {
		packed = appendImported(packed, &done[i])
	}
	b.reply(ref, err, packed)
}

func appendImported(b []byte, s *wasmclient.Imported) []byte {
	b = appendArray(b, 8)
	b = appendBytes(b, s.Space[:])
	for _, n := range []int{s.Records, s.Waiting, s.Rejected, s.Foreign, int(s.Code)} {
		b = appendUint(b, uint64(n))
	}
	b = appendText(b, s.Reason)
	return appendUint(b, uint64(s.Lost))
}

// blobWriter gathers what is written as the parts of a Blob: big ones become Blobs themselves, so that they need not
// stay in memory.
type blobWriter struct {
	parts  js.Value
	buffer []byte
}

func (w *blobWriter) Write(p []byte) (int, error) {
	w.buffer = append(w.buffer, p...)
	if len(w.buffer) >= blobPart {
		return len(p), w.flush()
	}
	return len(p), nil
}

func (w *blobWriter) flush() error {
	part, err := jsbind.New("Blob", []any{jsbind.FromBytes(w.buffer)})
	if err != nil {
		return err
	}
	w.parts.Call("push", part)
	w.buffer = w.buffer[:0]
	return nil
}

// blobReader reads a Blob, a part at a time.
type blobReader struct {
	ctx        context.Context
	blob       js.Value
	size, next int64  // next is where the next part begins
	part       []byte // what is left of the one before
}

func (r *blobReader) Read(p []byte) (int, error) {
	if len(r.part) == 0 {
		if r.next >= r.size {
			return 0, io.EOF
		}
		end := min(r.next+blobPart, r.size)
		promise, err := jsbind.Call(r.blob.Call("slice", float64(r.next), float64(end)), "arrayBuffer")
		if err != nil {
			return 0, err
		}
		buffer, err := jsbind.Await(r.ctx, promise)
		if err != nil {
			return 0, fmt.Errorf("read the file: %w", err)
		}
		r.part, r.next = jsbind.ToBytes(buffer), end
	}
	n := copy(p, r.part)
	r.part = r.part[n:]
	return n, nil
}

// Seek implements [io.Seeker] for the one place that an import goes back to.
func (r *blobReader) Seek(offset int64, whence int) (int64, error) {
	if whence != io.SeekStart || offset < 0 || offset > r.size {
		return 0, fmt.Errorf("seek to %d in a file of %d bytes", offset, r.size)
	}
	r.part, r.next = nil, offset
	return offset, nil
}
