package wasmclient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/module/program"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
)

// mostRows is how many rows a query gives unless it says otherwise, and the most that it may ask for.
const (
	mostRows     = 1000
	mostRowsEver = 100_000
)

// Query says which rows of a table are wanted, and in which order.
type Query struct {
	Table   string
	Index   string // by whose order; empty for that of the table's key
	Prefix  []byte // msgpack: an array of the values that the first columns of that order have; empty: all rows
	Limit   int    // at most so many rows; 0: 1,000
	Reverse bool   // from the end

	// Columns are those of the index as who asks knows it. A module that has no such index any more, but the columns, is read as if it had it: schema_incompatible tells so.
	Columns []string
}

// Row is a row that a query found.
type Row struct {
	Bytes   string // its columns' values, as package tables has them
	Pending bool   // it was written by a transaction that waits for the server, or whose record is on its way here
	place   string // its key in the order of the query
}

// Result is what a query found.
type Result struct {
	Schema *tables.Schema
	Rows   []Row
	Told   error // schema_incompatible where the index is gone, and was made here
}

// Live is a query that goes on: it knows what it told, and tells what is another now. Its methods are safe for concurrent
// use.
type Live struct {
	view *view
	wake func()

	// Guarded by view.mu.
	query  Query
	dirty  bool // what it told may not be so any more
	waits  bool // wake was called, and Next was not
	closed bool
	begun  bool // Next told something
	rows   []Row
	err    error

	schema       *tables.Schema   // of the table, once it is known
	told         *tables.Schema   // the one of the rows that were told
	declared     *tables.Declared // the table, if the module declared it while it ran; the rows lie in another one
	declaredBy   []int            // the tables that declare
	table, index int
	by           []tables.Schema // where there is no such index any more: the schemas of tables that have it, which are made for each run
	prefix       string
	runs         int
}

// Delta is what changed in the rows of a live query. They are put together of Pieces, one after the other.
type Delta struct {
	Schema *tables.Schema // nil while the tables are not there
	Pieces []Piece
	Err    error // why there is nothing newer; nil if all that is stored here is in the rows, and schema_incompatible if that is so without the index
}

// Piece is so many rows from the place From of those that were told before, or if Count is 0 the one row Row.
type Piece struct {
	From, Count int
	Row         Row
}

// Query returns the rows of a space's tables as they are now, with what is written here and waits to be sent. Where
// something is missing that comes with the network it waits, while there is one. Its errors have codes: not_found for a
// table or index that is not there, or a module without tables; bad_argument; unknown_space, module_missing, bad_module,
// module_diverged and damaged.
func (s *Space) Query(ctx context.Context, query Query) (*Result, error) {
	l, err := s.Live(ctx, query, func() {})
	if err != nil {
		return nil, err
	}
	defer l.Close()
	var result *Result
	err = s.whole(ctx, l.view, func() error {
		l.err = nil
		rows, err := l.run()
		if err != nil {
			return err
		}
		result = &Result{Rows: rows, Schema: l.schema}
		if l.by != nil {
			result.Told, l.err = l.err, nil
		}
		return l.err
	})
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	return result, nil
}

// Tables is what the module that judges a space now says of itself and its tables.
type Tables struct {
	Module        digest.Digest
	Name, Version string
	Schemas       []tables.Schema

	Manifest []byte           // as the module has it
	Events   [][]space.Schema // of each event type in it: the schema of the current declaration, and of earlier ones
}

// Tables returns which tables a space has. It waits as [Space.Query] does, and has its errors.
func (s *Space) Tables(ctx context.Context) (*Tables, error) {
	l, err := s.Live(ctx, Query{}, func() {})
	if err != nil {
		return nil, err
	}
	defer l.Close()
	var found *Tables
	err = s.whole(ctx, l.view, func() error {
		p := l.view.instance.Program()
		if p == nil {
			return noTables(s.id)
		}
		found = &Tables{p.Digest, p.Manifest.Name, p.Manifest.Version, slices.Clone(p.Manifest.Tables), p.Metered.Custom[program.ManifestSection], p.Schemas()}
		declared, _, err := l.view.shown.Declared()
		if err != nil {
			return err
		}
		for i := range declared {
			found.Schemas = append(found.Schemas, declared[i].Schema)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("tables: %w", err)
	}
	return found, nil
}

// whole calls f when a view has all that is stored here, with the view held, and again where tables were lacking. Where something is missing that comes
// with the network it waits, while there is one.
func (s *Space) whole(ctx context.Context, v *view, f func() error) error {
	v.signal()
	for {
		info := s.Info()
		v.mu.Lock()
		if v.err == nil && v.whole && v.instance.Applied() >= info.Position.Seq || lasting(v.err) && !v.coming {
			err := v.err
			if err == nil {
				err = f()
			}
			if v.mu.Unlock(); !errors.Is(err, tables.ErrPage) {
				return err
			}
			if v.supply(ctx, err); ctx.Err() != nil {
				return ctx.Err()
			}
			continue
		}
		missing, changed := v.err, v.changed
		v.mu.Unlock()
		if missing != nil {
			switch s.client.Status().Connection {
			case "online", "connecting":
			default:
				return missing
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.client.ctx.Done():
			return errClosed
		}
	}
}

// Live begins a query that goes on until it is closed. wake is called when [Live.Next] may have something to say, and then
// not again until that was called. It must return at once, and call no method of the client: work is handed on.
func (s *Space) Live(ctx context.Context, query Query, wake func()) (*Live, error) {
	switch {
	case s.client.config.Engine == nil:
		return nil, wire.Errorf(wire.CodeBadArgument, "query: Config.Engine is nil, so nothing makes tables")
	case query.Limit < 0 || query.Limit > mostRowsEver:
		return nil, wire.Errorf(wire.CodeBadArgument, "query: a limit of %d is not 0 to %d", query.Limit, mostRowsEver)
	case query.Limit == 0:
		query.Limit = mostRows
	}
	l := &Live{query: query, wake: wake, dirty: true, table: -1}
	for {
		if err := s.client.call(ctx, func() { l.view = s.client.view(s.id) }); err != nil {
			return nil, fmt.Errorf("query: %w", err)
		}
		if l.begin() {
			return l, nil
		}
	}
}

// begin joins the view, unless that has just ended.
func (l *Live) begin() bool {
	l.view.mu.Lock()
	defer l.view.mu.Unlock()
	if l.view.ended {
		return false
	}
	l.view.lives[l] = struct{}{}
	l.view.all = l.view.all || l.view.unnoted // what it finds now may lack what is about to be shown
	if l.view.shown != nil || l.view.err != nil {
		l.tell()
	}
	return true
}

// Close ends the query. Closing twice is harmless.
func (l *Live) Close() {
	l.view.mu.Lock()
	defer l.view.mu.Unlock()
	l.closed, l.view.used = true, time.Now()
	delete(l.view.lives, l)
}

// Runs returns how often the query was run: what does not concern it does not make it run again.
func (l *Live) Runs() int {
	l.view.mu.Lock()
	defer l.view.mu.Unlock()
	return l.runs
}

// tell calls wake unless that was done and not answered.
func (l *Live) tell() {
	if !l.waits {
		l.waits = true
		l.wake()
	}
}

// Next returns what changed since it was called last, or false if nothing did.
func (l *Live) Next() (Delta, bool) {
	for {
		delta, ok, err := l.look()
		if err == nil || !l.view.supply(l.view.ctx, err) {
			return delta, ok
		}
	}
}

// look is Next. Its error is that tables were lacking, and nothing is told.
func (l *Live) look() (_ Delta, ok bool, _ error) {
	v := l.view
	v.mu.Lock()
	defer v.mu.Unlock()
	l.waits = false
	if !l.dirty || l.closed {
		return Delta{}, false, nil
	}
	l.dirty = false
	before, failed := l.rows, l.err
	l.err = v.err
	if v.shown != nil {
		rows, err := l.run()
		if err != nil {
			l.dirty, l.err = true, failed
			return Delta{}, false, err
		}
		l.rows = rows
	} else if l.err == nil {
		return Delta{}, false, nil // it is being made
	}
	if l.told != nil && l.schema != nil && !slices.Equal(l.told.Columns, l.schema.Columns) {
		before = nil // the same bytes are another row
	}
	l.told = l.schema
	pieces, same := compare(before, l.rows)
	if l.begun && same && message(failed) == message(l.err) {
		return Delta{}, false, nil
	}
	l.begun = true
	return Delta{Schema: l.schema, Pieces: pieces, Err: l.err}, true, nil
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// run runs the query on what is shown. Its error is [tables.ErrPage]. The caller holds the view.
func (l *Live) run() (rows []Row, _ error) {
	if err := l.prepare(); errors.Is(err, tables.ErrPage) {
		return nil, err
	} else if err != nil {
		l.runs++
		l.err = err
		return nil, nil
	}
	shown := l.view.shown
	if l.by != nil {
		made, _, err := shown.Over(l.by)
		if errors.Is(err, tables.ErrPage) {
			return nil, err
		} else if err != nil {
			l.err = wire.Errorf(wire.CodeNotFound, "table %s has no index %q any more, and it cannot be made here: %v", l.query.Table, l.query.Index, err)
			return nil, nil
		}
		shown = made
		l.err = wire.Errorf(wire.CodeSchemaIncompatible, "table %s has no index %q any more: it is made here", l.query.Table, l.query.Index)
	}
	var wrong error
	err := shown.Scan(l.table, l.index, l.prefix, "", l.query.Reverse, func(key, row string) bool {
		at := place{l.table, l.index, key}
		if l.by != nil { // who wrote a row noted those places alone that the module knows
			of, _ := l.schema.RowKey([]byte(row))
			at = place{l.table, 0, string(of)}
		}
		_, pending := l.view.overlay[at]
		if l.declared != nil {
			if row, wrong = l.declared.Row(row); wrong != nil {
				return false
			}
		}
		rows = append(rows, Row{Bytes: row, Pending: pending, place: key})
		return len(rows) < l.query.Limit
	})
	if err != nil {
		return nil, err
	}
	l.runs++
	if wrong != nil {
		l.err = wire.Errorf(wire.CodeBadModule, "table %s: %v", l.query.Table, wrong)
		return nil, nil
	}
	return rows, nil
}

// prepare finds what the query names.
func (l *Live) prepare() error {
	schemas := l.view.shown.Schemas()
	if l.schema != nil && l.table < len(schemas) && l.schema == &schemas[l.table] {
		return nil
	}
	l.schema, l.table, l.declared, l.declaredBy, l.by = nil, -1, nil, nil, nil
	var names []string
	for i := range schemas {
		if names = append(names, schemas[i].Name); schemas[i].Name == l.query.Table {
			l.table = i
		}
	}
	if l.table < 0 {
		declared, by, err := l.view.shown.Declared()
		if err != nil {
			return err
		}
		l.declaredBy = by
		for i := range declared {
			if names = append(names, declared[i].Name); declared[i].Name == l.query.Table {
				l.declared = &declared[i]
			}
		}
		if l.declared != nil {
			return l.prepareDeclared()
		}
		return wire.Errorf(wire.CodeNotFound, "the module has no table %q%s", l.query.Table, but(names))
	}
	schema := &schemas[l.table]
	l.index, names = 0, nil
	for i := range schema.Indexes {
		if names = append(names, schema.Indexes[i].Name); schema.Indexes[i].Name == l.query.Index {
			l.index, l.query.Columns = i+1, nil
			for _, place := range schema.Indexes[i].Columns {
				l.query.Columns = append(l.query.Columns, schema.Columns[place].Name)
			}
		}
	}
	of := schema
	if l.query.Index != "" && l.index == 0 {
		if l.by = indexed(schemas, l.table, l.query.Index, l.query.Columns); l.by == nil {
			return wire.Errorf(wire.CodeNotFound, "table %s has no index %q%s", schema.Name, l.query.Index, but(names))
		}
		of = &l.by[l.table]
		l.index = len(of.Indexes)
	}
	values, err := program.KeyValues(of, l.index, l.query.Prefix)
	if err == nil {
		var key []byte
		key, _, err = of.KeyOf(l.index, values)
		l.prefix = string(key)
	}
	if err != nil {
		return wire.Errorf(wire.CodeBadArgument, "the prefix for table %s: %v", schema.Name, err)
	}
	l.schema = schema
	return nil
}

// indexed returns the schemas of tables in which one has an index more; nil if it does not have its columns.
func indexed(schemas []tables.Schema, table int, name string, columns []string) []tables.Schema {
	x := tables.Index{Name: name}
	for _, column := range columns {
		for i := range schemas[table].Columns {
			if schemas[table].Columns[i].Name == column {
				x.Columns = append(x.Columns, i)
			}
		}
	}
	if len(columns) == 0 || len(x.Columns) < len(columns) {
		return nil
	}
	schemas = slices.Clone(schemas)
	schemas[table].Indexes = append(slices.Clip(schemas[table].Indexes), x)
	return schemas
}

// prepareDeclared finds where the rows of a table lie that the module declared while it ran.
func (l *Live) prepareDeclared() error {
	d := l.declared
	if l.query.Index != "" {
		return wire.Errorf(wire.CodeNotFound, "table %s has no index %q: the module declared it while it ran", d.Name, l.query.Index)
	}
	values, err := program.KeyValues(&d.Schema, 0, l.query.Prefix)
	if err == nil {
		l.prefix, err = d.Prefix(l.view.shown, values)
	}
	if errors.Is(err, tables.ErrBadDeclared) {
		return wire.Errorf(wire.CodeBadModule, "table %s: %v", d.Name, err)
	}
	if err != nil {
		return wire.Errorf(wire.CodeBadArgument, "the prefix for table %s: %v", d.Name, err)
	}
	l.schema, l.table, l.index = &d.Schema, d.Table, 0
	return nil
}

// but says what there is in place of what is not.
func but(names []string) string {
	if len(names) == 0 {
		return ", nor another one"
	}
	return ", but " + strings.Join(names, ", ")
}

// concerns reports whether what the query found may be another one after a write to a place.
func (l *Live) concerns(p place) bool {
	if l.dirty || l.schema == nil || slices.Contains(l.declaredBy, p.table) {
		return true
	}
	if l.by != nil {
		return p.table == l.table
	}
	if p.table != l.table || p.index != l.index || !strings.HasPrefix(p.key, l.prefix) {
		return false
	}
	if len(l.rows) < l.query.Limit {
		return true
	}
	last := l.rows[len(l.rows)-1].place // what lies behind it was not looked at
	return p.key == last || (p.key < last) != l.query.Reverse
}

// compare says how rows are put together of those before, and whether they are the same ones.
func compare(before, rows []Row) (pieces []Piece, same bool) {
	at := make(map[string]int, len(before))
	for i := range before {
		at[before[i].place] = i
	}
	same = len(before) == len(rows)
	for i := range rows {
		from, ok := at[rows[i].place]
		if !ok || before[from] != rows[i] {
			pieces, same = append(pieces, Piece{Row: rows[i]}), false
			continue
		}
		same = same && from == i
		if n := len(pieces); n > 0 && pieces[n-1].Count > 0 && pieces[n-1].From+pieces[n-1].Count == from {
			pieces[n-1].Count++
			continue
		}
		pieces = append(pieces, Piece{From: from, Count: 1})
	}
	return pieces, same
}

// judged returns the view of a space whose module judges what is appended, or nil. The loop calls it.
func (c *Client) judged(id space.ID) *view {
	if c.config.Engine == nil {
		return nil
	}
	info := c.core.Space(id).Info
	if d := info.CurrentModule(); d.IsZero() || d == module.Open {
		return nil
	}
	return c.view(id)
}
