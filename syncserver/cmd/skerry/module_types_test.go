package main

import (
	"bytes"
	"context"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
	"skerry/shared/msgpack"
	"skerry/shared/tables"
)

// given returns a field of each kind that has a default, of which some are as large as can be.
func given() (fields []program.Field) {
	for kind, value := range [][]byte{tables.Bool: {0xc3}, tables.I64: {0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0}, tables.U64: {0xcf, 255, 255, 255, 255, 255, 255, 255, 255},
		tables.F64: {0xcb, 0xbf, 0xe0, 0, 0, 0, 0, 0, 0}, tables.Text: {0xa3, '"', '\n', '$'}, tables.Bytes: {0xc4, 2, 0, 255}} {
		if value != nil {
			fields = append(fields, program.Field{Name: tables.Kind(kind).String(), Kind: tables.Kind(kind), Default: value})
		}
	}
	return fields
}

// oddModule declares one of everything, by names that no language likes.
func oddModule() []byte {
	every := func(optional bool) (fields []program.Field) {
		for kind := tables.Bool; kind <= tables.Bytes; kind++ {
			fields = append(fields, program.Field{Name: kind.String(), Kind: kind, Optional: optional, Doc: "of kind " + kind.String()})
		}
		return fields
	}
	var columns []tables.Column
	for _, f := range every(false) {
		columns = append(columns, tables.Column{Name: f.Name, Kind: f.Kind}, tables.Column{Name: f.Name + " or none", Kind: f.Kind, Optional: true})
	}
	m := program.Manifest{
		Name: "default", Version: "1.2.3-rc.1", ABI: program.ABISchemas, IO: program.DefaultIO, Doc: "Ends a comment: */\nand a line.",
		Raw: true, Params: []program.Field{{Name: "größe", Kind: tables.I64}, {Name: "hash", Kind: tables.Text, Optional: true}},
		Events: []program.EventType{
			{Name: "every", Doc: "One of each.", Fields: every(false)},
			{Name: "every.", Doc: "One of each, or none.", Fields: every(true)},
			{Name: "every?", Fields: append(every(false)[:2], every(true)[2:]...)},
			{Name: "nothing"},
			{Name: "日本", Fields: []program.Field{{Name: "1st", Kind: tables.Text}, {Name: "1-st", Kind: tables.Text}, {Name: "append", Kind: tables.Bool}, {Name: "event", Kind: tables.Bool}}},
			{Name: "uint8Array"}, {Name: "hash"}, {Name: "read every"},
			{Name: "given", Fields: given(), Older: []program.Older{
				{Fields: every(false), Given: []program.Given{{Name: "bytes", Value: []byte{0xc4, 1, 9}}}},
				{Fields: append(every(true), program.Field{Name: "gone", Kind: tables.Text}), Drop: []string{"gone"}},
				{Fields: []program.Field{{Name: "was", Kind: tables.Text}, {Name: "1", Kind: tables.I64}}, Rename: []program.Renamed{{From: "was", To: "text"}}, Drop: []string{"1"}},
				{Fields: given()[:2], Refused: true},
			}},
			{Name: "every older", Fields: every(true), Older: []program.Older{{Fields: every(false)}, {Fields: every(true)[:3], Given: []program.Given{{Name: "f64", Value: []byte{7}}, {Name: "u64", Value: []byte{7}}}}}},
			{Name: "removed", Fields: every(false)[:1], Removed: true},
			{Name: "infinite", Fields: []program.Field{
				{Name: "up", Kind: tables.F64, Default: msgpack.AppendFloat(nil, math.Inf(1))}, {Name: "down", Kind: tables.F64, Default: msgpack.AppendFloat(nil, math.Inf(-1))},
			}, Older: []program.Older{{Fields: every(false)[:1], Drop: []string{"bool"}}}},
		},
		Tables: []tables.Schema{
			{Name: "all", Columns: columns, Key: []int{4}, Indexes: []tables.Index{{Name: "by text", Columns: []int{8, 3}}, {Name: "flags", Columns: []int{0}}}},
			{Name: "every.", Columns: []tables.Column{{Name: "in", Kind: tables.Text}}, Key: []int{0}},
		},
	}
	return m.AppendSection(moduletest.ChatWithoutManifest())
}

// TestModuleTypes holds files that are compiled with the tests to what the command makes. SKERRY_UPDATE=1 writes them.
func TestModuleTypes(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	odd, chat := write("odd.wasm", oddModule()), write("chat.wasm", moduletest.Chat())
	notes101, notes112 := write("notes101.wasm", moduletest.Notes("1.0.1")), write("notes112.wasm", moduletest.Notes("1.1.2"))
	suite := filepath.Join("..", "..", "..", "shared", "module", "moduletest")
	web := filepath.Join("..", "..", "..", "web", "test")
	demo := filepath.Join("..", "..", "..", "web", "demo")
	for _, test := range []struct {
		args []string
		file string
	}{
		{[]string{"--lang", "go", "--package", "main_test", odd}, "odd_test.go"},
		{[]string{odd}, filepath.Join(web, "odd.ts")},
		{[]string{"--lang", "go", "--package", "notes101", notes101}, filepath.Join(suite, "notes101", "notes.go")},
		{[]string{"--lang", "go", "--package", "notes112", notes112}, filepath.Join(suite, "notes112", "notes.go")},
		{[]string{"--lang", "ts", chat}, filepath.Join(web, "chat.ts")},
		{[]string{filepath.Join(demo, "module", "chat.wasm")}, filepath.Join(demo, "chat.ts")},
	} {
		var out, errs bytes.Buffer
		if code := run(context.Background(), append([]string{"module", "types"}, test.args...), nil, &out, &errs); code != 0 {
			t.Fatalf("%v: exit %d: %s", test.args, code, &errs)
		}
		if os.Getenv("SKERRY_UPDATE") != "" {
			if err := os.WriteFile(test.file, out.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(test.file); err != nil || !bytes.Equal(want, out.Bytes()) {
			t.Errorf("%s is not what %v prints (%v): SKERRY_UPDATE=1 go test -run TestModuleTypes writes it", test.file, test.args, err)
		}
	}
}

// TestDemoModule plays the tests of the demo's module.
func TestDemoModule(t *testing.T) {
	var out, errs bytes.Buffer
	args := []string{"module", "test", filepath.Join("..", "..", "..", "web", "demo", "module", "chat.wasm")}
	if code := run(context.Background(), args, nil, &out, &errs); code != 0 || !strings.Contains(out.String(), "tests passed") {
		t.Fatalf("exit %d: %s%s", code, &out, &errs)
	}
}

func TestModuleTypesRefuses(t *testing.T) {
	chat := filepath.Join(t.TempDir(), "chat.wasm")
	if err := os.WriteFile(chat, moduletest.Chat(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args string
		code int
		want string
	}{
		{"", 2, "the file or the source of a module"},
		{"--lang rust " + chat, 2, `--lang is ts or go, not "rust"`},
		{"--package chat " + chat, 2, "--package is for --lang go"},
		{"--lang go --package my-chat " + chat, 2, `"my-chat" is no name of a package`},
		{"--lang go --package func " + chat, 2, `"func" is no name of a package`},
		{"--json " + chat, 2, "module inspect --json"},
		{"missing.wasm", 1, "missing.wasm"},
		{os.Args[0], 1, "bad_module"},
	} {
		var out, errs bytes.Buffer
		code := run(context.Background(), append([]string{"module", "types"}, strings.Fields(test.args)...), nil, &out, &errs)
		if code != test.code || !strings.Contains(errs.String(), test.want) || out.Len() > 0 {
			t.Errorf("%s: exit %d, %q, want %d and %q", test.args, code, &errs, test.code, test.want)
		}
	}
}
