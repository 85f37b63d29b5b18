package main

import (
	"context"
	"sync"
	"syscall/js"

	"skerry/shared/module/program"
	"skerry/shared/tables"
	"skerry/wasmclient"
	"skerry/wasmclient/internal/jsengine"
)

// engine is the browser's.
type engine struct{}

func (engine) Machines(ctx context.Context, p *program.Program) (program.Machines, func(), error) {
	machines, err := jsengine.New(ctx, p)
	if err != nil {
		return nil, nil, err // a nil *jsengine.Machines must not become Machines
	}
	return machines, machines.Release, nil
}

// Name says which engine made tables that turn out not to be the server's.
func (engine) Name() string {
	return "the WebAssembly of " + js.Global().Get("navigator").Get("userAgent").String()
}

// putModule answers with the digest of a module that is kept from now on.
func (b *bridge) putModule(ref int, bytes []byte) {
	d, err := b.client.PutModule(b.ctx, bytes)
	b.reply(ref, err, d[:])
}

// live is a query of the page that goes on. The page asks for what changed, and gets it when something has.
type live struct {
	*wasmclient.Live
	wake  chan struct{}
	ended chan struct{}
	told  uint64 // how many deltas
}

// lives are those of the page, by the numbers that it gives them.
type lives struct {
	mu       sync.Mutex
	byNumber map[int]*live
}

// queryOf reads [table, index, prefix, limit, reverse, columns] from a message.
func queryOf(message js.Value, at int) wasmclient.Query {
	query := wasmclient.Query{
		Table: message.Index(at).String(), Index: message.Index(at + 1).String(), Prefix: bytesOf(message.Index(at + 2)),
		Limit: message.Index(at + 3).Int(), Reverse: message.Index(at + 4).Bool(),
	}
	columns := message.Index(at + 5)
	for i := range columns.Length() {
		query.Columns = append(query.Columns, columns.Index(i).String())
	}
	return query
}

// query answers with a delta from nothing.
func (b *bridge) query(ref int, s *wasmclient.Space, query wasmclient.Query) {
	result, err := s.Query(b.ctx, query)
	if err != nil {
		b.reply(ref, err, nil)
		return
	}
	delta := wasmclient.Delta{Schema: result.Schema, Err: result.Told}
	for _, row := range result.Rows {
		delta.Pieces = append(delta.Pieces, wasmclient.Piece{Row: row})
	}
	b.reply(ref, nil, appendDelta(nil, 1, &delta))
}

// tables answers with [module, name, version, tables, manifest, schemas of each event type, one after the other], a table [name, columns, key, indexes], a column as in
// appendDelta, a key the places of its columns, and an index [name, columns, unique].
func (b *bridge) tables(ref int, s *wasmclient.Space) {
	found, err := s.Tables(b.ctx)
	if err != nil {
		b.reply(ref, err, nil)
		return
	}
	packed := appendBytes(appendArray(nil, 6), found.Module[:])
	packed = appendText(appendText(packed, found.Name), found.Version)
	packed = appendArray(packed, len(found.Schemas))
	for i := range found.Schemas {
		schema := &found.Schemas[i]
		packed = appendText(appendArray(packed, 4), schema.Name)
		packed = appendColumns(packed, schema.Columns)
		packed = appendPlaces(packed, schema.Key)
		packed = appendArray(packed, len(schema.Indexes))
		for k := range schema.Indexes {
			index := &schema.Indexes[k]
			packed = appendPlaces(appendText(appendArray(packed, 3), index.Name), index.Columns)
			packed = appendBool(packed, index.Unique)
		}
	}
	packed = appendArray(appendBytes(packed, found.Manifest), len(found.Events))
	for _, schemas := range found.Events {
		var all []byte
		for _, schema := range schemas {
			all = append(all, schema[:]...)
		}
		packed = appendBytes(packed, all)
	}
	b.reply(ref, nil, packed)
}

func appendPlaces(b []byte, places []int) []byte {
	b = appendArray(b, len(places))
	for _, place := range places {
		b = appendUint(b, uint64(place))
	}
	return b
}

// nextDelta answers with what changed in the live query of a number, as soon as something has. A number that is new begins one.
func (b *bridge) nextDelta(ref int, s *wasmclient.Space, number int, query wasmclient.Query) {
	l, err := b.liveQuery(s, number, query)
	if err != nil {
		b.reply(ref, err, nil)
		return
	}
	for {
		if delta, ok := l.Next(); ok {
			l.told++
			b.reply(ref, nil, appendDelta(nil, l.told, &delta))
			return
		}
		select {
		case <-l.wake:
		case <-l.ended:
			b.reply(ref, nil, nil)
			return
		case <-b.ctx.Done():
			return
		}
	}
}

func (b *bridge) liveQuery(s *wasmclient.Space, number int, query wasmclient.Query) (*live, error) {
	b.lives.mu.Lock()
	defer b.lives.mu.Unlock()
	if l := b.lives.byNumber[number]; l != nil {
		return l, nil
	}
	l := &live{wake: make(chan struct{}, 1), ended: make(chan struct{})}
	var err error
	if l.Live, err = s.Live(b.ctx, query, func() { signal(l.wake) }); err != nil {
		return nil, err
	}
	if b.lives.byNumber == nil {
		b.lives.byNumber = map[int]*live{}
	}
	b.lives.byNumber[number] = l
	return l, nil
}

// endLive ends the live query of a number.
func (b *bridge) endLive(number int) {
	b.lives.mu.Lock()
	defer b.lives.mu.Unlock()
	if l := b.lives.byNumber[number]; l != nil {
		delete(b.lives.byNumber, number)
		close(l.ended)
		l.Close()
	}
}

// appendDelta: [told, code, reason, columns, pieces], a column being [name, kind, optional] and
// a piece [from, count], or [row, key, pending].
func appendDelta(b []byte, told uint64, delta *wasmclient.Delta) []byte {
	b = appendUint(appendArray(b, 5), told)
	code, reason := "", ""
	if delta.Err != nil {
		code, reason = explain(delta.Err)
	}
	b = appendText(appendText(b, code), reason)
	var columns []tables.Column
	if delta.Schema != nil {
		columns = delta.Schema.Columns
	}
	b = appendColumns(b, columns)
	b = appendArray(b, len(delta.Pieces))
	for i := range delta.Pieces {
		piece := &delta.Pieces[i]
		if piece.Count > 0 {
			b = appendUint(appendUint(appendArray(b, 2), uint64(piece.From)), uint64(piece.Count))
			continue
		}
		key, _ := delta.Schema.RowKey([]byte(piece.Row.Bytes))
		b = appendBytes(appendArray(b, 3), []byte(piece.Row.Bytes))
		b = appendBool(appendBytes(b, key), piece.Row.Pending)
	}
	return b
}

func appendColumns(b []byte, columns []tables.Column) []byte {
	b = appendArray(b, len(columns))
	for i := range columns {
		b = appendText(appendArray(b, 3), columns[i].Name)
		b = appendBool(appendUint(b, uint64(columns[i].Kind)), columns[i].Optional)
	}
	return b
}
