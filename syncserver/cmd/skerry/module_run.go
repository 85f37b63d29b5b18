package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
)

// logLine is an event of a log that a module is tried with: what `space log --json` prints, of which only type is needed.
type logLine struct {
	ID            string          `json:"id"`
	ReceivedAt    uint64          `json:"received_at"`
	Index         uint32          `json:"index"`
	Count         uint32          `json:"count"`
	Author        string          `json:"author"`
	Type          string          `json:"type"`
	ClientVersion string          `json:"client_version"`
	Payload       json.RawMessage `json:"payload"`
}

// moduleRun judges the events of a file by a module, as a server does, and prints the verdicts and then the tables. Where the
// events take the space over to another module, that is among the files.
func moduleRun(ctx context.Context, c *console, args []string) error {
	set := c.flags("module run")
	creator := set.String("creator", "", "the creator's identity (default: the author of the first event)")
	stamp := set.String("stamp", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "the space's `ULID`")
	params := set.String("params-hex", "", "the space's parameters, msgpack in hexadecimal")
	if err := c.parse(set, args); err != nil {
		return err
	}
	last := set.NArg() - 1
	if last < 1 {
		return usagef("needs the files (or built-ins' names) of a module and of those that the space goes over to, and one of events (- is standard input)")
	}
	engine, err := newTryEngine(c.logged)
	if err != nil {
		return err
	}
	defer engine.engine.Close()
	var first digest.Digest
	for i, name := range set.Args()[:last] {
		content, err := c.moduleBytes(ctx, name)
		if err != nil {
			return err
		}
		if d := engine.add(content); i == 0 {
			first = d
		}
	}
	transactions, err := readTransactions(c.in, set.Arg(last))
	if err != nil {
		return err
	}
	if *creator == "" && len(transactions) > 0 {
		*creator = transactions[0][0].Author
	}
	genesis, err := (&genesisText{*stamp, *creator, first.String(), *params}).parse()
	if err != nil {
		return err
	}
	made, err := engine.begin(&genesis, c.logged)
	if err != nil {
		return err
	}
	defer made.Close()
	return c.run(ctx, made, transactions)
}

// readTransactions reads events, a line of JSON each, into transactions.
func readTransactions(stdin io.Reader, name string) ([][]space.Record, error) {
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		stdin = file
	}
	var all [][]space.Record
	lines := bufio.NewScanner(stdin)
	lines.Buffer(nil, 4<<20)
	for number := 1; lines.Scan(); number++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		r, err := readRecord(lines.Bytes(), number)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, number, err)
		}
		if last := len(all) - 1; r.Index > 0 && last >= 0 && int(r.Index) == len(all[last]) {
			all[last] = append(all[last], *r)
		} else if r.Index > 0 {
			return nil, fmt.Errorf("%s:%d: event %d of a transaction does not follow the one before", name, number, r.Index)
		} else {
			all = append(all, []space.Record{*r})
		}
	}
	return all, lines.Err()
}

func readRecord(line []byte, number int) (*space.Record, error) {
	var l logLine
	if err := json.Unmarshal(line, &l); err != nil {
		return nil, fmt.Errorf("not an event as JSON: %w", err)
	}
	if l.Type == "" {
		return nil, fmt.Errorf("an event without a type")
	}
	r := &space.Record{ReceivedAt: l.ReceivedAt, Index: l.Index, Count: max(l.Count, 1), Author: l.Author, API: wire.APIHigh, ClientVersion: l.ClientVersion}
	r.Type = l.Type
	var err error
	if l.ID == "" {
		r.ID = space.ULID{14: byte(number >> 8), 15: byte(number)}
	} else if r.ID, err = space.ParseULID(l.ID); err != nil {
		return nil, err
	}
	var raw struct {
		Hex *string `json:"$hex"`
	}
	switch {
	case len(l.Payload) == 0:
	case json.Unmarshal(l.Payload, &raw) == nil && raw.Hex != nil:
		r.Payload, err = hex.DecodeString(*raw.Hex)
	default:
		r.Payload, err = readPayload(nil, bytes.NewReader(l.Payload), true)
	}
	return r, err
}

// verdictView is what a module said to a transaction, as --json prints it.
type verdictView struct {
	ID      string `json:"id"`
	Seq     uint64 `json:"seq,omitempty"`
	Author  string `json:"author"`
	Type    string `json:"type"`
	Events  int    `json:"events"`
	Verdict string `json:"verdict"`
	Code    string `json:"code,omitempty"`
	Reason  string `json:"reason,omitempty"`
	Fuel    uint64 `json:"fuel"`
}

func (c *console) run(ctx context.Context, s *trySpace, transactions [][]space.Record) error {
	for _, records := range transactions {
		if err := ctx.Err(); err != nil {
			return err
		}
		first := &records[0]
		verdict, fuel, err := s.judge(records)
		if err != nil {
			return err
		}
		v := verdictView{ID: first.ID.String(), Author: first.Author, Type: first.Type, Events: len(records), Verdict: "accepted", Fuel: fuel}
		text := fmt.Sprint(first.Seq)
		if verdict.Allowed() {
			v.Seq = first.Seq
		} else {
			text, v.Verdict, v.Code, v.Reason = "-", "refused", verdict.Code.String(), verdict.Reason
		}
		why := v.Code
		if v.Reason != "" {
			why += ": " + v.Reason
		}
		if err := c.print(v, "%s  %s  %s  %s  %d fuel  %s", text, v.Author, v.Type, v.Verdict, v.Fuel, why); err != nil {
			return err
		}
	}
	return c.printTables(s.Committed())
}

// printTables prints all rows of all tables.
func (c *console) printTables(set *tables.Set) error {
	for i := range set.Schemas() {
		schema := &set.Schemas()[i]
		if !c.json {
			fmt.Fprintf(c.out, "%s: %d rows\n", schema.Name, set.Len(i))
		}
		var failed error
		err := set.Scan(i, 0, "", "", false, func(_, row string) bool {
			failed = c.printRow(schema, row)
			return failed == nil
		})
		if err == nil {
			err = failed
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *console) printRow(schema *tables.Schema, row string) error {
	values, err := schema.Values([]byte(row))
	if err != nil {
		return err
	}
	var b bytes.Buffer
	object := map[string]any{}
	for i, value := range values {
		if content, ok := value.([]byte); ok {
			value = map[string]string{"$hex": hex.EncodeToString(content)}
		}
		name := schema.Columns[i].Name
		object[name] = value
		text, err := json.Marshal(value)
		if err != nil {
			text = fmt.Append(nil, value) // a float that JSON does not have
			object[name] = string(text)
		}
		fmt.Fprintf(&b, "  %s=%s", name, text)
	}
	return c.print(struct {
		Table string         `json:"table"`
		Row   map[string]any `json:"row"`
	}{schema.Name, object}, "%s", b.String())
}
