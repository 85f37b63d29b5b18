package idbstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall/js"

	"skerry/shared/digest"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/wasmclient"
	"skerry/wasmclient/internal/jsbind"
)

// Loading: what a tab reads when it starts, and again when it begins to lead. There may be ten thousand spaces, and to
// fetch one value from the page's memory costs more than to decode it: so the values of all spaces are put together by
// the browser and fetched as a whole, when the transaction is over and keeps nobody waiting.

// Load implements wasmclient.Store.
func (s *Store) Load(ctx context.Context) (*replica.Loaded, error) {
	var l *loading
	err := s.mended(ctx, func() error {
		err := s.view(ctx, func(t *transaction) (err error) {
			l, err = t.load()
			return err
		}, storeMeta, storeSpaces, storeOutbox, storeRejected, storeLost)
		if err == nil {
			err = l.decode(ctx)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &l.loaded, nil
}

// loading is what was read, the spaces in it not decoded yet.
type loading struct {
	loaded replica.Loaded
	newer  bool // this version may read but not write

	outbox, rejected, lost map[space.ID]int

	ids, rows       js.Value // of spaces, in the order of IDs
	names, versions js.Value // of versions in meta, in the order of IDs
	pinned          js.Value // names
	damaged         map[space.ID]uint64
	deleted         map[space.ID]bool
	holes           map[space.ID][]replica.Hole
	dropped         map[space.ID]uint64
	branch          map[space.ID]uint64
}

func (t *transaction) load() (*loading, error) {
	all := js.Undefined()
	// Names in meta that are not of a space lie before, between and behind those that are.
	var few [3][2]rawRequest
	for i, bounds := range [3][2]string{{"", pinnedPrefix}, {pinnedPrefix + "g", versionPrefix}, {versionPrefix + "g", "\uffff"}} {
		these := between(bounds[0], bounds[1], false, true)
		few[i] = [2]rawRequest{t.getAllKeys(storeMeta, these, 0), t.getAll(storeMeta, these, 0)}
	}
	versions := between(versionPrefix, versionPrefix+"g", false, true) // hexadecimal digits come before g
	names, values := t.getAllKeys(storeMeta, versions, 0), t.getAll(storeMeta, versions, 0)
	pinned := t.getAllKeys(storeMeta, between(pinnedPrefix, pinnedPrefix+"g", false, true), 0)
	ids, rows := t.getAllKeys(storeSpaces, all, 0), t.getAll(storeSpaces, all, 0)
	refused, lost := t.getAllKeys(storeRejected, all, 0), t.getAllKeys(storeLost, all, 0)
	cursor := t.raw(true, storeOutbox, "openKeyCursor")
	if err := t.turn(); err != nil {
		return nil, err
	}
	counts, err := t.countOutbox(cursor)
	if err != nil {
		return nil, err
	}
	l := &loading{
		outbox: counts, rejected: map[space.ID]int{}, lost: map[space.ID]int{}, damaged: map[space.ID]uint64{}, deleted: map[space.ID]bool{}, holes: map[space.ID][]replica.Hole{}, dropped: map[space.ID]uint64{}, branch: map[space.ID]uint64{}, ids: ids.result(), rows: rows.result(),
		names: names.result(), versions: values.result(), pinned: pinned.result(),
	}
	for _, requests := range few {
		name, value := requests[0].result(), requests[1].result()
		for i := range name.Length() {
			if err := l.take(name.Index(i).String(), jsbind.ToBytes(value.Index(i))); err != nil {
				return nil, err
			}
		}
	}
	if l.loaded.Meta.Session != t.c.session {
		return nil, wasmclient.ErrForgotten // somebody else has begun anew
	}
	refusedKeys := refused.result()
	for i := range refusedKeys.Length() {
		l.rejected[idOf(refusedKeys.Index(i).Index(0))]++
	}
	lostKeys := lost.result()
	for i := range lostKeys.Length() {
		l.lost[idOf(lostKeys.Index(i).Index(0))]++
	}
	return l, nil
}

// take takes one value of meta that not each space has.
func (l *loading) take(name string, value []byte) (err error) {
	var text []byte
	meta := &l.loaded.Meta
	if id, ok := spaceOf(damagedPrefix, name); ok {
		l.damaged[id], err = decodeNumber(value)
		return err
	}
	if id, ok := spaceOf(holesPrefix, name); ok {
		l.holes[id], err = decodeHoles(value)
		return err
	}
	if id, ok := spaceOf(droppedPrefix, name); ok {
		l.dropped[id], _ = decodeNumber(value)
	}
	if id, ok := spaceOf(branchPrefix, name); ok {
		l.branch[id], err = decodeNumber(value)
		return err
	}
	if id, ok := spaceOf(deletedPrefix, name); ok {
		l.deleted[id] = true
	}
	switch name {
	case metaEpoch:
		meta.Epoch, err = decodeNumber(value)
	case metaIdentity:
		text, err = decodeText(value)
		meta.Identity = string(text)
	case metaSession:
		text, err = decodeText(value)
		copy(meta.Session[:], text)
	case metaServer:
		text, err = decodeText(value)
		copy(meta.Server[:], text)
	case metaSince:
		if text, err = decodeText(value); len(text) > 0 {
			meta.Since = text
		}
	case metaChanges:
		var log changeLog
		log, err = decodeChangeLog(value)
		l.loaded.Changes = log.number
	case metaLogin:
		meta.Login, err = decodeNumber(value)
	case metaMinReader, metaMinWriter:
		if err = tooOld(value); errors.Is(err, wasmclient.ErrNewerStore) {
			l.newer = true
			if name == metaMinWriter {
				err = nil
			}
		}
	}
	return err
}

// decodedAtOnce is how many spaces are decoded until the worker hears messages again: that takes a few milliseconds.
const decodedAtOnce = 256

// decode decodes the spaces.
func (l *loading) decode(ctx context.Context) error {
	ids, err := gather(ctx, l.ids)
	if err != nil {
		return err
	}
	rows, err := gather(ctx, l.rows)
	if err != nil {
		return err
	}
	versions, err := gather(ctx, l.versions)
	if err != nil {
		return err
	}
	return l.decodeSpaces(ids, rows, versions)
}

// decodeSpaces decodes what lies one behind the other.
func (l *loading) decodeSpaces(ids, rows, versions []byte) error {
	row, version := decoder{rest: rows}, decoder{rest: versions}
	names := l.names.Call("join", "\n").String()
	spaces := make([]replica.Summary, len(ids)/digest.Size)
	at, next := space.ID{}, uint64(0) // a version, and whose it is
	for i := range spaces {
		if i%decodedAtOnce == decodedAtOnce-1 {
			jsbind.Yield()
		}
		summary := &spaces[i]
		summary.Space = space.ID(ids[i*digest.Size : (i+1)*digest.Size])
		decoded, err := row.spaceRow()
		if err != nil {
			return fmt.Errorf("read space %v: %w", summary.Space, err)
		}
		for len(names) > 0 && bytes.Compare(at[:], summary.Space[:]) < 0 {
			var name string
			name, names, _ = strings.Cut(names, "\n")
			version.format()
			next = version.uint()
			if id, ok := spaceOf(versionPrefix, name); ok {
				at = id
			}
		}
		if at == summary.Space {
			summary.Version = next
		}
		summary.Info = decoded.info
		summary.Outbox, summary.Rejected, summary.Lost = l.outbox[summary.Space], l.rejected[summary.Space], l.lost[summary.Space]
	}
	if err := row.end(); err != nil || version.failed {
		return errCorrupt
	}
	pinned := map[space.ID]bool{}
	for i := range l.pinned.Length() {
		if id, ok := spaceOf(pinnedPrefix, l.pinned.Index(i).String()); ok {
			pinned[id] = true
		}
	}
	for i := range spaces {
		spaces[i].Info.Pinned = pinned[spaces[i].Space]
		spaces[i].Info.Damaged = l.damaged[spaces[i].Space]
		spaces[i].Info.Deleted = l.deleted[spaces[i].Space]
		spaces[i].Info.Holes = l.holes[spaces[i].Space]
		spaces[i].Info.SetDropped(l.dropped[spaces[i].Space])
		spaces[i].Info.Branch = l.branch[spaces[i].Space]
	}
	l.loaded.Spaces = spaces
	return nil
}

// gatherFrom is from how many values on the browser puts them together.
const gatherFrom = 100

// gather returns the bytes of values, one after the other.
func gather(ctx context.Context, values js.Value) (b []byte, err error) {
	n := values.Length()
	if n < gatherFrom {
		for i := range n {
			b = append(b, jsbind.ToBytes(values.Index(i))...)
		}
		return b, nil
	}
	blob, err := jsbind.New("Blob", values)
	if err != nil {
		return nil, err
	}
	promise, err := jsbind.Call(blob, "arrayBuffer")
	if err != nil {
		return nil, err
	}
	buffer, err := jsbind.Await(ctx, promise)
	if err != nil {
		return nil, fmt.Errorf("put values together: %w", err)
	}
	return jsbind.ToBytes(buffer), nil
}

// countOutbox counts the rows of each space that has any: two steps for each, however many rows there are.
func (t *transaction) countOutbox(request rawRequest) (map[space.ID]int, error) {
	counts := map[space.ID]int{}
	for {
		cursor := request.result()
		if cursor.IsNull() {
			return counts, nil
		}
		key := cursor.Get("key").Index(0)
		count := t.raw(true, storeOutbox, "count", within(key))
		if err := jsbind.Try(func() { cursor.Call("continue", []any{key, []any{}}) }); err != nil {
			return nil, err
		}
		t.reads = request // at the next space's first row, which comes after the count
		if err := t.turn(); err != nil {
			return nil, err
		}
		counts[idOf(key)] = count.result().Int()
	}
}

// idOf reads a SpaceID in a key, whichever way it is there.
func idOf(key js.Value) (id space.ID) {
	if key.Type() == js.TypeString {
		id, _ = digest.Parse(key.String())
		return id
	}
	copy(id[:], jsbind.ToBytes(key))
	return id
}
