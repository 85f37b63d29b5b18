package hub

import (
	"fmt"

	"skerry/shared/digest"
	"skerry/shared/wire"
)

// upload is bytes that come in pieces, in order, one upload at a time on a connection.
type upload struct {
	digest digest.Digest
	total  uint64
	bytes  []byte
	ref    uint64 // of the piece that was asked about last
	asked  bool   // the shell looks for the bytes, or stores them
}

// blobPut takes a piece of an upload. The answer says how many bytes are here, so that one that was cut off, or begins
// with a piece of nothing to see what is there, goes on from that place.
func (c *Conn) blobPut(f *wire.BlobPut) {
	u := c.upload
	switch {
	case len(c.caller.Identities) == 0:
		c.refuse(f.Ref, wire.CodeAuthRequired, "who uploads has to prove an identity")
		return
	case f.Total == 0 || f.Total > c.config.UploadBytes:
		c.refuse(f.Ref, wire.CodeTooLarge, fmt.Sprintf("upload: %d bytes, from 1 to %d", f.Total, c.config.UploadBytes))
		return
	case u != nil && u.asked:
		c.refuse(f.Ref, wire.CodeTooMany, "an upload waits for its answer")
		return
	}
	if u == nil || u.digest != f.Digest || u.total != f.Total {
		u = &upload{digest: f.Digest, total: f.Total}
		c.upload = u
	}
	here := uint64(len(u.bytes))
	if f.Offset == here && uint64(len(f.Bytes)) <= u.total-here {
		u.bytes = append(u.bytes, f.Bytes...)
	}
	u.ref = f.Ref
	switch whole := uint64(len(u.bytes)) == u.total; {
	case whole:
		u.asked = true
		c.out.Store = &StoreBlob{Digest: u.digest, Bytes: u.bytes}
	case here == 0:
		u.asked = true
		c.out.Store = &StoreBlob{Digest: u.digest}
	default:
		c.uploaded(u, uint64(len(u.bytes)))
	}
}

// blobStored takes the shell's answer to Store.
func (c *Conn) blobStored(in BlobStored) {
	u := c.upload
	if c.stage != welcomed || u == nil || !u.asked {
		return
	}
	u.asked = false
	switch {
	case in.Code != 0:
		c.upload = nil
		c.refuse(u.ref, in.Code, in.Reason)
	case in.Stored:
		c.upload = nil
		c.uploaded(u, u.total)
	default:
		c.uploaded(u, uint64(len(u.bytes)))
	}
}

// uploaded says how many bytes are here. It is paid by credit as every part is, and does not wait for it.
func (c *Conn) uploaded(u *upload, here uint64) {
	message := wire.Append(nil, &wire.BlobPart{Ref: u.ref, Total: u.total, Offset: here})
	c.credit -= int64(len(message))
	c.sendMessage(message)
}
