package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"skerry/shared/module"
	"skerry/shared/space"
)

// scenario is a test of a module: what people do in a space that is new, step by step, and what comes of it.
type scenario struct {
	file, name string
	line       int
	steps      []step
}

// step is a line of a scenario.
type step struct {
	line int
	text string
	run  func(*stage) error // a [mismatch], or why it cannot go on
}

// part is some lines: what is said of the space, wherever it stands, and what happens in it.
type part struct{ settings, steps []step }

// scenarioReader reads the scenarios of one file. docs/modules/testing.md is their manual.
type scenarioReader struct {
	file   string
	common part // what is before the first test, with which every test begins
	tests  []scenario

	name    string // of the test that is read; empty before the first one
	begun   int    // its line
	part    part
	rows    *[]scenarioRow // of the table that is read
	ordinal int            // of the last event, of which its ID is made
}

func readScenarios(file string) ([]scenario, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r := &scenarioReader{file: file}
	lines := bufio.NewScanner(bytes.NewReader(content))
	lines.Buffer(nil, 4<<20)
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := r.line(number, line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, number, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if err := r.finish(); err != nil {
		return nil, err
	}
	if len(r.tests) == 0 {
		return nil, fmt.Errorf("%s: there is no test in it: a line \"test NAME\" begins one", file)
	}
	return r.tests, nil
}

// finish ends the test that is read, if there is one.
func (r *scenarioReader) finish() error {
	if r.name == "" {
		r.common = r.part
	} else if len(r.part.steps) == 0 {
		return fmt.Errorf("%s:%d: test %s does nothing", r.file, r.begun, r.name)
	} else {
		r.tests = append(r.tests, scenario{r.file, r.name, r.begun, slices.Concat(r.common.settings, r.part.settings, r.common.steps, r.part.steps)})
	}
	r.part = part{}
	return nil
}

func (r *scenarioReader) line(number int, line string) error {
	if line[0] == '{' {
		return r.row(line)
	}
	r.rows = nil
	word, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	if word == "test" {
		if err := r.finish(); err != nil {
			return err
		}
		if r.name, r.begun = rest, number; rest == "" {
			return fmt.Errorf("a test has a name")
		}
		return nil
	}
	run, err := r.step(line, word, rest)
	if err != nil {
		return err
	}
	switch of := (step{number, line, run}); word {
	case "creator", "params", "module":
		r.part.settings = append(r.part.settings, of)
	default:
		r.part.steps = append(r.part.steps, of)
	}
	return nil
}

// step returns what a line does.
func (r *scenarioReader) step(line, word, rest string) (func(*stage) error, error) {
	if author, rest, ok, err := authorOf(line); ok || err != nil {
		if err != nil {
			return nil, err
		}
		return r.transaction(author, rest)
	}
	switch word {
	case "creator":
		creator, rest, err := nameOf(rest)
		if err != nil || creator == "" || rest != "" {
			return nil, fmt.Errorf("want \"creator NAME\"")
		}
		return func(s *stage) error {
			s.creator = creator
			return nil
		}, nil
	case "params":
		params, value, err := payloadOf(rest)
		if err != nil {
			return nil, err
		}
		return func(s *stage) error {
			s.params, s.paramsValue = params, value
			return nil
		}, nil
	case "module":
		name, rest, err := nameOf(rest)
		if err != nil || name == "" || rest != "" {
			return nil, fmt.Errorf("want \"module FILE\", the module that the space begins with")
		}
		return func(s *stage) error {
			s.first = r.beside(name)
			return nil
		}, nil
	case "at":
		at, err := time.Parse(time.RFC3339, rest)
		if err != nil || at.UnixMilli() < 0 {
			return nil, fmt.Errorf("want a time like \"at 2026-12-24T18:00:00Z\", not %q", rest)
		}
		return func(s *stage) error {
			s.clock = uint64(at.UnixMilli())
			return nil
		}, nil
	case "client":
		version, rest, err := nameOf(rest)
		if err != nil || rest != "" {
			return nil, fmt.Errorf("want \"client VERSION\", of the app that writes what follows")
		}
		return func(s *stage) error {
			s.client = version
			return nil
		}, nil
	case "may":
		return mayStep(rest)
	case "table":
		name, rest, err := nameOf(rest)
		if err != nil || name == "" || rest != "" {
			return nil, fmt.Errorf("want \"table NAME\", and its rows on the lines that follow")
		}
		rows := new([]scenarioRow)
		r.rows = rows
		return func(s *stage) error { return s.table(name, *rows) }, nil
	}
	return nil, fmt.Errorf("want test, creator, params, module, at, client, may or table, or an event as in \"ada: note {\"text\": \"hello\"}\", not %q", line)
}

// scenarioRow is a row that a table is to have, as it is written and the columns that it names.
type scenarioRow struct {
	text    string
	columns map[string]any
}

// row reads a row of the table that the lines before name.
func (r *scenarioReader) row(line string) error {
	if r.rows == nil {
		return fmt.Errorf("a row comes behind \"table NAME\" or another row")
	}
	decoder := json.NewDecoder(strings.NewReader(line))
	decoder.UseNumber()
	var row map[string]any
	if err := decoder.Decode(&row); err != nil {
		return fmt.Errorf("not a row as JSON: %w", err)
	}
	if rest := strings.TrimSpace(line[decoder.InputOffset():]); rest != "" {
		return fmt.Errorf("behind the row is %q", rest)
	}
	*r.rows = append(*r.rows, scenarioRow{line, row})
	return nil
}

// transaction reads "TYPE PAYLOAD + TYPE PAYLOAD -> CODE REASON".
func (r *scenarioReader) transaction(author, rest string) (func(*stage) error, error) {
	var events []scenarioEvent
	for {
		e, behind, err := r.event(rest)
		if err != nil {
			return nil, err
		}
		events, rest = append(events, e), behind
		if !strings.HasPrefix(rest, "+") {
			break
		}
		rest = strings.TrimSpace(rest[1:])
	}
	code, reason := "", ""
	if wanted, ok := strings.CutPrefix(rest, "->"); ok {
		var err error
		code, rest, _ = strings.Cut(strings.TrimSpace(wanted), " ")
		if rest = strings.TrimSpace(rest); rest != "" {
			if reason, rest, err = nameOf(rest); err != nil {
				return nil, err
			}
		}
		if code == "" {
			return nil, fmt.Errorf("behind -> is the code of a refusal")
		}
	}
	if rest != "" {
		return nil, fmt.Errorf("want + and another event, or -> and the code of a refusal, not %q", rest)
	}
	return func(s *stage) error { return s.push(author, events, code, reason) }, nil
}

// scenarioEvent is an event that somebody writes.
type scenarioEvent struct {
	id      space.ULID
	name    string
	payload []byte
	value   any
	module  string // of an upgrade: the file, or "this"
}

func (r *scenarioReader) event(text string) (e scenarioEvent, rest string, err error) {
	if e.name, rest, err = nameOf(text); err != nil || e.name == "" {
		return e, "", fmt.Errorf("want the type of an event, not %q", text)
	}
	r.ordinal++
	e.id = space.ULID{13: byte(r.ordinal >> 16), 14: byte(r.ordinal >> 8), 15: byte(r.ordinal)}
	if e.name == module.TypeModule {
		if e.module = "this"; rest != "" && rest[0] != '+' && !strings.HasPrefix(rest, "->") {
			if e.module, rest, err = nameOf(rest); e.module != "this" {
				e.module = r.beside(e.module)
			}
		}
		return e, rest, err
	}
	if rest == "" || rest[0] == '+' || strings.HasPrefix(rest, "->") {
		return e, rest, nil
	}
	decoder := json.NewDecoder(strings.NewReader(rest))
	var raw json.RawMessage
	if err := decoder.Decode(&raw); err != nil {
		return e, "", fmt.Errorf("the payload of %s is not JSON: %w", e.name, err)
	}
	e.payload, e.value, err = payloadOf(string(raw))
	return e, strings.TrimSpace(rest[decoder.InputOffset():]), err
}

// beside returns a module's name as seen from the file: that of a file, or of a module that is built in.
func (r *scenarioReader) beside(name string) string {
	if filepath.IsAbs(name) || !strings.ContainsAny(name, "./") {
		return name
	}
	return filepath.Join(filepath.Dir(r.file), name)
}

// payloadOf reads JSON, as msgpack and as what it says.
func payloadOf(text string) (payload []byte, value any, err error) {
	if payload, err = readPayload(nil, strings.NewReader(text), true); err != nil {
		return nil, nil, err
	}
	err = json.Unmarshal([]byte(text), &value)
	return payload, value, err
}

// authorOf splits a line that begins with who writes an event, and a colon.
func authorOf(line string) (author, rest string, ok bool, err error) {
	if line[0] == '"' {
		if author, rest, err = nameOf(line); err != nil {
			return "", "", false, err
		}
		rest, ok = strings.CutPrefix(rest, ":")
		return author, strings.TrimSpace(rest), ok, nil
	}
	first, rest, _ := strings.Cut(line, " ")
	author, ok = strings.CutSuffix(first, ":")
	return author, strings.TrimSpace(rest), ok, nil
}

// nameOf splits a text behind its first word, which is a string of JSON if it begins as one.
func nameOf(text string) (name, rest string, err error) {
	if !strings.HasPrefix(text, `"`) {
		name, rest, _ = strings.Cut(text, " ")
		return name, strings.TrimSpace(rest), nil
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	if err := decoder.Decode(&name); err != nil {
		return "", "", fmt.Errorf("%s is no string of JSON: %w", text, err)
	}
	return name, strings.TrimSpace(text[decoder.InputOffset():]), nil
}

// mayStep reads "read NAME, NAME" or "not read NAME, NAME".
func mayStep(text string) (func(*stage) error, error) {
	text, not := strings.CutPrefix(text, "not ")
	text, ok := strings.CutPrefix(strings.TrimSpace(text), "read ")
	var names []string
	for rest := strings.TrimSpace(text); ok; {
		if rest == "" {
			return nil, fmt.Errorf("want a name behind \"may read\"")
		}
		name, behind, err := readerOf(rest)
		if err != nil {
			return nil, err
		}
		names = append(names, name)
		if behind == "" {
			break
		}
		if rest, ok = strings.CutPrefix(behind, ","); ok {
			rest = strings.TrimSpace(rest)
		}
	}
	if !ok {
		return nil, fmt.Errorf("want \"may read NAME, NAME\" or \"may not read NAME\"")
	}
	return func(s *stage) error { return s.mayRead(names, !not) }, nil
}

// readerOf splits a text behind a name that ends before a comma.
func readerOf(text string) (name, rest string, err error) {
	if text[0] == '"' {
		return nameOf(text)
	}
	if comma := strings.IndexByte(text, ','); comma >= 0 {
		return strings.TrimSpace(text[:comma]), text[comma:], nil
	}
	return text, "", nil
}
