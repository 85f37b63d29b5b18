package program

import (
	"errors"
	"fmt"
	"strings"
	"unsafe"

	"skerry/shared/digest"
	"skerry/shared/tables"
	"skerry/shared/wire"
)

// Host is what a module may call during one call of it: its tables, and little else. Its methods are the imports of the
// ABI by name; ABI.md says what each does. Each returns false where the module has to trap at once, which the engine
// sees to; why, [Host] keeps. The zero Host has no tables: it serves what runs before the first call.
type Host struct {
	set    *tables.Set
	change *tables.Change // nil where nothing may be written
	scans  [MaxScans]scan
	most   int               // how many scans were open at a time
	sought []byte            // the key that was sought last
	logged func(line []byte) // nil where nobody reads

	code   wire.Code // why the module has to trap, or 0
	reason string
	fault  error // of the tables: nothing can be said of the call
}

// scan is where an open scan stands.
type scan struct {
	open         bool
	table, index int
	prefix, last string
	descending   bool
}

// begin forgets what the call before left.
func (h *Host) begin() {
	h.code, h.reason, h.fault = 0, "", nil
	clear(h.scans[:h.most])
	h.most = 0
}

// stop makes the module trap.
func (h *Host) stop(code wire.Code, format string, args ...any) (int32, bool) {
	h.code, h.reason = code, fmt.Sprintf(format, args...)
	return 0, false
}

// pointer checks bytes that a module points to, before anything of them is looked at.
func (h *Host) pointer(g Guest, at, n uint32) bool {
	if n > maxHostBytes || uint64(at)+uint64(n) > uint64(g.Size()) {
		h.stop(wire.CodeBadCall, "%d bytes at %d: the memory has %d, and a call moves at most %d", n, at, g.Size(), maxHostBytes)
		return false
	}
	return true
}

// failed ends a call that the tables failed.
func (h *Host) failed(err error) bool {
	h.fault = err
	return false
}

// charge takes fuel for a call and so many bytes.
func (h *Host) charge(g Guest, cost, bytes int) bool {
	left := g.Fuel() - int32(cost+bytes/bytesPerFuel)
	g.SetFuel(left)
	return left >= 0
}

// give writes a row where the module wants it, if there is room, and returns its length.
func (h *Host) give(g Guest, row string, out, room uint32) (int32, bool) {
	n := uint32(len(row))
	if n > room {
		return int32(n), true
	}
	if !h.pointer(g, out, n) || !h.charge(g, 0, len(row)) {
		return 0, false
	}
	g.Write(out, unsafe.Slice(unsafe.StringData(row), len(row))) // which only copies from it
	return int32(n), true
}

// Get gives the row with a key, whose columns are given as a row has them. It returns the row's length, or -1.
func (h *Host) Get(g Guest, table int32, key, length, out, room uint32) (int32, bool) {
	if !h.pointer(g, key, length) || !h.charge(g, costGet, int(length)) {
		return 0, false
	}
	schema, ok := h.schema(table)
	if !ok {
		return 0, false
	}
	sortable, ok := h.key(schema, 0, g.Read(key, length), len(schema.Key))
	if !ok {
		return 0, false
	}
	row, found, err := h.set.Get(int(table), sortable)
	if err != nil {
		return 0, h.failed(err)
	}
	if !found {
		return -1, true
	}
	return h.give(g, row, out, room)
}

func (h *Host) schema(table int32) (*tables.Schema, bool) {
	if h.set == nil {
		h.stop(wire.CodeBadCall, "there are no tables before the first call")
		return nil, false
	}
	if schemas := h.set.Schemas(); table >= 0 && int(table) < len(schemas) {
		return &schemas[table], true
	}
	h.stop(wire.CodeBadCall, "there is no table %d", table)
	return nil, false
}

// key returns the sortable form of values, which is good until the next one. want is how many values there have to be, or -1
// for any number.
func (h *Host) key(schema *tables.Schema, index int, values []byte, want int) ([]byte, bool) {
	key, n, err := schema.AppendKey(h.sought[:0], index, values)
	if err == nil && want >= 0 && n != want {
		err = fmt.Errorf("%d columns, and it has %d", n, want)
	}
	if err != nil {
		h.stop(wire.CodeBadRow, "a key of table %s: %v", schema.Name, err)
		return nil, false
	}
	h.sought = key
	return key, true
}

// writable checks that the call that runs may write.
func (h *Host) writable() bool {
	if h.change == nil {
		h.stop(wire.CodeBadCall, "only apply, init and migrate write")
		return false
	}
	return true
}

// Put writes a row, in place of the one with its key.
func (h *Host) Put(g Guest, table int32, at, length uint32) bool {
	if !h.pointer(g, at, length) || !h.writable() {
		return false
	}
	schema, ok := h.schema(table)
	if !ok || !h.charge(g, costWrite+costIndex*len(schema.Indexes), int(length)) {
		return false
	}
	if err := h.change.Put(int(table), g.Read(at, length)); err != nil {
		if errors.Is(err, tables.ErrPage) {
			return h.failed(err)
		}
		h.stop(codeOf(err), "a row of table %s: %v", schema.Name, err)
		return false
	}
	return true
}

// Delete deletes the row with a key and returns 1, or 0 if there was none.
func (h *Host) Delete(g Guest, table int32, key, length uint32) (int32, bool) {
	if !h.pointer(g, key, length) || !h.writable() {
		return 0, false
	}
	schema, ok := h.schema(table)
	if !ok || !h.charge(g, costWrite+costIndex*len(schema.Indexes), int(length)) {
		return 0, false
	}
	sortable, ok := h.key(schema, 0, g.Read(key, length), len(schema.Key))
	if !ok {
		return 0, false
	}
	deleted, err := h.change.Delete(int(table), sortable)
	if errors.Is(err, tables.ErrPage) {
		return 0, h.failed(err)
	}
	if err != nil {
		return h.stop(codeOf(err), "a key of table %s: %v", schema.Name, err)
	}
	if deleted {
		return 1, true
	}
	return 0, true
}

func codeOf(err error) wire.Code {
	switch {
	case errors.Is(err, tables.ErrQuota):
		return wire.CodeQuotaTables
	case errors.Is(err, tables.ErrUnique):
		return wire.CodeUnique
	}
	return wire.CodeBadRow
}

// ScanOpen begins to read the rows whose first columns, by an index, are the given ones. It returns a handle.
func (h *Host) ScanOpen(g Guest, table, index int32, prefix, length uint32, flags int32) (int32, bool) {
	if !h.pointer(g, prefix, length) || !h.charge(g, costScan, int(length)) {
		return 0, false
	}
	schema, ok := h.schema(table)
	if !ok {
		return 0, false
	}
	if index < 0 || int(index) > len(schema.Indexes) || flags&^descending != 0 {
		return h.stop(wire.CodeBadCall, "table %s: there is no index %d, or there are no flags %#x", schema.Name, index, flags)
	}
	key, ok := h.key(schema, int(index), g.Read(prefix, length), -1)
	if !ok {
		return 0, false
	}
	for handle := range h.scans {
		if !h.scans[handle].open {
			h.most = max(h.most, handle+1)
			h.scans[handle] = scan{open: true, table: int(table), index: int(index), prefix: string(key), descending: flags&descending != 0}
			return int32(handle), true
		}
	}
	return h.stop(wire.CodeBadCall, "%d scans are open", MaxScans)
}

// ScanNext gives the next row of a scan, by the tables as they are now, and returns its length, or -1 at the end. A
// row for which there is no room stays the next.
func (h *Host) ScanNext(g Guest, handle int32, out, room uint32) (int32, bool) {
	if !h.charge(g, costRow, 0) {
		return 0, false
	}
	s, ok := h.scan(handle)
	if !ok {
		return 0, false
	}
	found, key, row := false, "", ""
	err := h.set.Scan(s.table, s.index, s.prefix, s.last, s.descending, func(k, r string) bool {
		found, key, row = k != s.last, k, r
		return !found
	})
	if err != nil {
		return 0, h.failed(err)
	}
	if !found {
		return -1, true
	}
	n, ok := h.give(g, row, out, room)
	if ok && uint32(n) <= room {
		s.last = key
	}
	return n, ok
}

func (h *Host) scan(handle int32) (*scan, bool) {
	if handle < 0 || handle >= MaxScans || !h.scans[handle].open {
		h.stop(wire.CodeBadCall, "there is no open scan %d", handle)
		return nil, false
	}
	return &h.scans[handle], true
}

// ScanClose ends a scan. What is open when a call ends is closed by that.
func (h *Host) ScanClose(_ Guest, handle int32) bool {
	s, ok := h.scan(handle)
	if ok {
		*s = scan{}
	}
	return ok
}

// Fail refuses what the module was called for, with a code of its own and a reason for people. The module always traps.
func (h *Host) Fail(g Guest, code int32, reason, length uint32) bool {
	switch {
	case !h.pointer(g, reason, length):
	case length > MaxReason || code < 0 || code > MaxOwnCode:
		h.stop(wire.CodeBadCall, "fail: code %d, reason of %d bytes; at most %d and %d", code, length, MaxOwnCode, MaxReason)
	default:
		h.code, h.reason = OwnCode(code), strings.ToValidUTF8(string(g.Read(reason, length)), "\ufffd")
	}
	return false
}

// OwnCode returns the code of a verdict for a module's own number: refused for 0.
func OwnCode(code int32) wire.Code {
	if code == 0 {
		return wire.CodeRefused
	}
	return wire.CodeModuleOwn + wire.Code(code)
}

// BLAKE3 writes the 32 bytes of a digest.
func (h *Host) BLAKE3(g Guest, at, length, out uint32) bool {
	if !h.pointer(g, at, length) || !h.pointer(g, out, digest.Size) || !h.charge(g, costOther+costHash*int(length), 0) {
		return false
	}
	d := digest.Of(g.Read(at, length))
	g.Write(out, d[:])
	return true
}

// Log shows a line to whoever develops the module. It changes nothing.
func (h *Host) Log(g Guest, at, length uint32) bool {
	if length > MaxLog {
		h.stop(wire.CodeBadCall, "log: %d bytes, at most %d", length, MaxLog)
		return false
	}
	if !h.pointer(g, at, length) || !h.charge(g, costOther, int(length)) {
		return false
	}
	if h.logged != nil {
		h.logged(g.Read(at, length))
	}
	return true
}
