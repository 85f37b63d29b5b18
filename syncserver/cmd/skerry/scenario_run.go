package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/module/program"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
)

// mismatch is that what came is not what a test wants.
type mismatch struct{ want, got string }

func (m *mismatch) Error() string { return fmt.Sprintf("want %s, got %s", m.want, m.got) }

// scenarioStart is when the first transaction of a scenario is received, unless it says otherwise: the year 2026 begins.
const scenarioStart = 1_767_225_600_000

// stage is a space in which a scenario is played.
type stage struct {
	engine *tryEngine
	tested digest.Digest                       // the module that is tested
	load   func(string) (digest.Digest, error) // reads another one

	first       string // the module that the space begins with; empty for the tested one
	creator     string
	params      []byte
	paramsValue any
	clock       uint64
	client      string // the version of the app that writes

	space  *trySpace // nil before it is begun
	logged []string
	fuel   uint64 // most that a transaction took
	count  int    // of transactions
}

// play plays a scenario, and returns the step that went wrong, with a [mismatch] or what it cannot go on for.
func (s *stage) play(of *scenario) (*step, error) {
	s.clock, s.client = scenarioStart, ""
	for i := range of.steps {
		if err := of.steps[i].run(s); err != nil {
			return &of.steps[i], err
		}
	}
	return nil, nil
}

func (s *stage) close() {
	if s.space != nil {
		s.space.Close()
	}
}

// begin makes the space, if there is none yet.
func (s *stage) begin() error {
	if s.space != nil {
		return nil
	}
	g := &space.Genesis{Creator: s.creator, Module: s.tested, Params: s.params}
	if s.first != "" {
		var err error
		if g.Module, err = s.load(s.first); err != nil {
			return err
		}
	}
	var err error
	s.space, err = s.engine.begin(g, func(line []byte) { s.logged = append(s.logged, string(line)) })
	if err != nil {
		return err
	}
	if m := s.space.Program().Manifest; m.Params != nil {
		return undeclared("the module's params", m.Params, s.paramsValue)
	}
	return nil
}

// undeclared refuses fields that nothing declares: the host passes over them, so in a test they are a slip of the pen.
func undeclared(what string, fields []program.Field, value any) error {
	object, _ := value.(map[string]any)
	var names []string
	declared := map[string]bool{}
	for _, f := range fields {
		names = append(names, f.Name)
		declared[f.Name] = true
	}
	for name := range object {
		if !declared[name] {
			return fmt.Errorf("%s has no field %s: it has %s", what, name, orNone(names))
		}
	}
	return nil
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// push writes a transaction, which is to be accepted, or refused with a code.
func (s *stage) push(author string, events []scenarioEvent, code, reason string) error {
	if s.creator == "" {
		s.creator = author
	}
	if err := s.begin(); err != nil {
		return err
	}
	records := make([]space.Record, len(events))
	for i := range events {
		payload, err := s.payload(&events[i])
		if err != nil {
			return err
		}
		records[i] = space.Record{
			ReceivedAt: s.clock, Index: uint32(i), Count: uint32(len(events)), Author: author, API: wire.APIHigh, ClientVersion: s.client,
			Event: space.Event{ID: events[i].id, Type: events[i].name, Payload: payload},
		}
	}
	verdict, fuel, err := s.space.judge(records)
	if err != nil {
		return err
	}
	s.fuel, s.count, s.clock = max(s.fuel, fuel), s.count+1, s.clock+1000
	got := fmt.Sprintf("accepted as record %d, for %d fuel", records[0].Seq, fuel)
	if !verdict.Allowed() {
		got = fmt.Sprintf("%s %q, for %d fuel", verdict.Code, verdict.Reason, fuel)
	}
	want := "accepted"
	if code != "" {
		want = code
	}
	if reason != "" {
		want += fmt.Sprintf(" %q", reason)
	}
	if code == "" && verdict.Allowed() || !verdict.Allowed() && verdict.Code.String() == code && strings.Contains(verdict.Reason, reason) {
		return nil
	}
	return &mismatch{want, got}
}

// payload returns an event's payload for the module that judges now.
func (s *stage) payload(e *scenarioEvent) ([]byte, error) {
	if e.module != "" {
		to := s.tested
		if e.module != "this" {
			var err error
			if to, err = s.load(e.module); err != nil {
				return nil, err
			}
		}
		return module.Upgrade(to, nil), nil
	}
	if by := s.space.Program(); by != nil {
		if i := by.Manifest.Event(e.name); i >= 0 {
			return e.payload, undeclared("event "+e.name, by.Manifest.Events[i].Fields, e.value)
		}
	}
	return e.payload, nil
}

// mayRead asks who may read the space.
func (s *stage) mayRead(names []string, want bool) error {
	if err := s.begin(); err != nil {
		return err
	}
	for _, name := range names {
		may, err := s.space.MayRead(name)
		if err != nil {
			return fmt.Errorf("the engine failed: %w", err)
		}
		if may != want {
			said := map[bool]string{true: "may read", false: "may not read"}
			return &mismatch{fmt.Sprintf("%q %s", name, said[want]), said[may]}
		}
	}
	return nil
}

// table compares all rows of a table, in the order of their keys, by the columns that are given.
func (s *stage) table(name string, want []scenarioRow) error {
	if err := s.begin(); err != nil {
		return err
	}
	set := s.space.Committed()
	place, names := -1, []string(nil)
	for i := range set.Schemas() {
		names = append(names, set.Schemas()[i].Name)
		if names[i] == name {
			place = i
		}
	}
	if place < 0 {
		return fmt.Errorf("the module has no table %s: it has %s", name, orNone(names))
	}
	schema := &set.Schemas()[place]
	for _, row := range want {
		for column := range row.columns {
			if !hasColumn(schema, column) {
				return fmt.Errorf("table %s has no column %s", name, column)
			}
		}
	}
	var got [][]byte
	if err := set.Scan(place, 0, "", "", false, func(_, row string) bool {
		got = append(got, []byte(row))
		return true
	}); err != nil {
		return err
	}
	return sameRows(schema, got, want)
}

func hasColumn(schema *tables.Schema, name string) bool {
	for i := range schema.Columns {
		if schema.Columns[i].Name == name {
			return true
		}
	}
	return false
}

func sameRows(schema *tables.Schema, got [][]byte, want []scenarioRow) error {
	if len(got) != len(want) {
		return &mismatch{rowCount(len(want)), rowCount(len(got))}
	}
	for n, row := range got {
		values, err := schema.Values(row)
		if err != nil {
			return err
		}
		for i, value := range values {
			wanted, asked := want[n].columns[schema.Columns[i].Name]
			if asked && !sameValue(wanted, value) {
				return &mismatch{want[n].text, rowText(schema, values)}
			}
		}
	}
	return nil
}

func rowCount(n int) string {
	if n == 1 {
		return "1 row"
	}
	return fmt.Sprintf("%d rows", n)
}

// sameValue tells whether a value of JSON, its numbers as they are written, is that of a column.
func sameValue(want, got any) bool {
	number, isNumber := want.(json.Number)
	switch got := got.(type) {
	case int64:
		n, err := strconv.ParseInt(string(number), 10, 64)
		return isNumber && err == nil && n == got
	case uint64:
		n, err := strconv.ParseUint(string(number), 10, 64)
		return isNumber && err == nil && n == got
	case float64:
		f, err := number.Float64()
		return isNumber && err == nil && f == got
	case []byte:
		object, _ := want.(map[string]any)
		text, ok := object["$hex"].(string)
		content, err := hex.DecodeString(text)
		return ok && err == nil && bytes.Equal(content, got)
	}
	return reflect.DeepEqual(want, got)
}

// rowText returns a row as JSON, its columns in their order.
func rowText(schema *tables.Schema, values []any) string {
	parts := make([]string, len(values))
	for i, value := range values {
		if content, ok := value.([]byte); ok {
			value = map[string]string{"$hex": hex.EncodeToString(content)}
		}
		text, err := json.Marshal(value)
		if err != nil {
			text = fmt.Append(nil, value) // a float that JSON does not have
		}
		parts[i] = fmt.Sprintf("%s: %s", quoted(schema.Columns[i].Name), text)
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// tables returns all rows, as tests have them.
func (s *stage) tables() (lines []string) {
	if s.space == nil {
		return nil
	}
	set := s.space.Committed()
	for i := range set.Schemas() {
		schema := &set.Schemas()[i]
		lines = append(lines, fmt.Sprintf("table %s", schema.Name))
		err := set.Scan(i, 0, "", "", false, func(_, row string) bool {
			values, err := schema.Values([]byte(row))
			if err != nil {
				lines = append(lines, "  "+err.Error())
				return false
			}
			lines = append(lines, "  "+rowText(schema, values))
			return len(lines) < 200
		})
		if err != nil {
			lines = append(lines, "  "+err.Error())
		}
	}
	return lines
}
