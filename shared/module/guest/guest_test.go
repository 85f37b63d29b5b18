package guest

import (
	"encoding/binary"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"skerry/shared/module/program"
	"skerry/shared/tables"
)

type role uint64

type every struct {
	Flag     bool
	Signed   int64 `doc:"with a sign"`
	Unsigned role
	Float    float64
	Text     string `skerry:"word"`
	Bytes    []byte
	NoFlag   *bool
	NoSigned *int64
	NoNumber *uint64
	NoFloat  *float64
	NoText   *string
	NoBytes  []byte `skerry:",optional"`
}

var everySchema = tables.Schema{Name: "all", Columns: []tables.Column{
	{Name: "flag", Kind: tables.Bool}, {Name: "signed", Kind: tables.I64}, {Name: "unsigned", Kind: tables.U64}, {Name: "float", Kind: tables.F64},
	{Name: "word", Kind: tables.Text}, {Name: "bytes", Kind: tables.Bytes}, {Name: "no_flag", Kind: tables.Bool, Optional: true},
	{Name: "no_signed", Kind: tables.I64, Optional: true}, {Name: "no_number", Kind: tables.U64, Optional: true},
	{Name: "no_float", Kind: tables.F64, Optional: true}, {Name: "no_text", Kind: tables.Text, Optional: true},
	{Name: "no_bytes", Kind: tables.Bytes, Optional: true},
}, Key: []int{2, 4}, Indexes: []tables.Index{{Name: "by_float", Columns: []int{3, 10}, Unique: true}}}

func everyTable() *Table[every] {
	return &Table[every]{Name: "all", Key: []string{"unsigned", "word"}, Indexes: []Index{{"by_float", []string{"float", "no_text"}, true}}}
}

// TestRows: rows are those of package tables, there and back.
func TestRows(t *testing.T) {
	s, err := shapeOf(reflect.TypeFor[every]())
	if err != nil {
		t.Fatal(err)
	}
	flag, signed, number, float, text := true, int64(math.MinInt64), uint64(math.MaxUint64), -0.5, "ümläut"
	for _, e := range []every{
		{},
		{Bytes: []byte{}},
		{true, -2, 3, math.Inf(1), "a", []byte{0}, &flag, &signed, &number, &float, &text, []byte{}},
		{Float: math.Float64frombits(0xfff8_0000_0000_0001), NoBytes: []byte("bytes")},
	} {
		row := s.append(nil, unsafe.Pointer(&e))
		values, err := everySchema.Values(row)
		if err != nil {
			t.Fatalf("%+v: %v", e, err)
		}
		if values[1] != e.Signed || values[2] != uint64(e.Unsigned) || values[4] != e.Text || (values[11] == nil) != (e.NoBytes == nil) || (values[8] == nil) != (e.NoNumber == nil) {
			t.Errorf("%+v is %v", e, values)
		}
		in := input{rest: row}
		var back every
		s.read(&in, unsafe.Pointer(&back))
		if again := s.append(nil, unsafe.Pointer(&back)); string(again) != string(row) || int(in.at) != len(row) {
			t.Errorf("%+v came back as %+v", e, back)
		}
		if back.NoBytes != nil != (e.NoBytes != nil) || back.NoFlag != nil != (e.NoFlag != nil) || back.NoFlag != nil && !*back.NoFlag {
			t.Errorf("%+v came back as %+v", e, back)
		}
	}
	if got := ReadRow[struct{ Text string }]([]byte{2, 0, 0, 0, 'h', 'i'}); got.Text != "hi" {
		t.Errorf("%+v", got)
	}
}

// TestKeys: the columns of keys are those of package tables, and one of another type is refused.
func TestKeys(t *testing.T) {
	of, err := everyTable().declare(0)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		index  int
		values []any
	}{
		{0, nil}, {0, []any{5}}, {0, []any{uint64(5), "a"}}, {1, []any{0.5, nil}}, {1, []any{-1.0, ""}}, {1, []any{1.0}},
	} {
		if _, n, err := everySchema.KeyOf(c.index, of.values(c.index, c.values, false)); err != nil || n != len(c.values) {
			t.Errorf("%v: %d, %v", c.values, n, err)
		}
	}
	for f, values := range map[string][]any{
		"flag": {1, nil, "true"}, "signed": {uint64(1), 1.0, nil}, "unsigned": {-1, int64(1), nil}, "float": {1, nil}, "word": {[]byte("a"), nil}, "bytes": {"a", nil},
		"no_text": {5}, "no_flag": {"x"}, "no_signed": {0.5},
	} {
		for _, v := range values {
			if of.shape[of.shape.place(f)].appendValue(v) {
				t.Errorf("%s may be a %T", f, v)
			}
		}
	}
	for f, values := range map[string][]any{
		"flag": {true}, "signed": {-1, int64(1)}, "unsigned": {1, uint64(1)}, "float": {0.5}, "word": {"a"}, "bytes": {[]byte("a")}, "no_flag": {nil, false},
	} {
		for _, v := range values {
			if !of.shape[of.shape.place(f)].appendValue(v) {
				t.Errorf("%s may not be a %T", f, v)
			}
		}
	}
	panics := func(what string, f func()) {
		t.Helper()
		defer func() {
			if got, _ := recover().(string); !strings.Contains(got, what) {
				t.Errorf("%q, want %q", got, what)
			}
		}()
		f()
	}
	panics("table all: 1 columns of a key of 2", func() { of.values(0, []any{5}, true) })
	panics("table all: 3 columns of a key of 2", func() { of.values(0, []any{5, "a", "b"}, false) })
	panics("table all: column word is text, not int", func() { of.values(0, []any{5, 5}, true) })
	panics("table all: column word is text, not nil", func() { of.values(0, []any{5, nil}, true) })
	panics("table all has no index by_word", func() { of.index("by_word") })
	panics("of no module that is registered", func() { new(Table[every]).Get(5, "a") })
	panics("only a module has a host", func() { Log("hello") })
}

func TestColumnNames(t *testing.T) {
	for name, want := range map[string]string{
		"Seq": "seq", "ReceivedAt": "received_at", "ID": "id", "RoomID": "room_id", "HTMLText": "html_text", "X2": "x2", "Übung": "übung", "ABTest": "ab_test",
	} {
		if got := columnName(name); got != want {
			t.Errorf("%s is %s, not %s", name, got, want)
		}
	}
}

// register registers a module in place of another one, and returns what is wrong with it.
func register(t *testing.T, m Module) error {
	t.Helper()
	before := registered
	t.Cleanup(func() { registered = before })
	registered.module, registered.events, registered.tables, registered.params = nil, nil, nil, nil
	Register(m)
	return registered.problem
}

// TestManifest: what is declared is what the host reads.
func TestManifest(t *testing.T) {
	m := Module{
		Name: "m", Version: "1.2.3", Doc: "for people", Tables: []AnyTable{everyTable()}, Others: &OtherTypes{Authorize: func(*Event, Undeclared) {}},
		Events:   []AnyEventType{EventType[every]{Name: "e", Doc: "all", Authorize: Anyone[every]}, EventType[struct{}]{Name: "nothing", Authorize: Anyone[struct{}]}},
		Init:     Init[struct{ Word *string }](func(*Space, struct{ Word *string }) {}),
		Readable: func(string) bool { return true }, ReadableBy: []string{"all"}, Audience: "all", Upgrade: Replay,
	}
	if err := register(t, m); err != nil {
		t.Fatal(err)
	}
	got, err := program.ReadManifest(registered.manifest)
	if err != nil {
		t.Fatal(err)
	}
	want := &program.Manifest{
		Name: "m", Version: "1.2.3", ABI: program.ABISchemas, IO: program.DefaultIO, Doc: "for people", Raw: true, Tables: []tables.Schema{everySchema},
		Events: []program.EventType{{Name: "e", Doc: "all"}, {Name: "nothing"}}, Params: []program.Field{{Name: "word", Kind: tables.Text, Optional: true}},
		Readable: []string{"all"}, Audience: "all", Upgrade: program.Replay,
	}
	for _, c := range everySchema.Columns {
		f := program.Field{Name: c.Name, Kind: c.Kind, Optional: c.Optional}
		if c.Name == "signed" {
			f.Doc = "with a sign"
		}
		want.Events[0].Fields = append(want.Events[0].Fields, f)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the manifest is\n%+v\nwant\n%+v", got, want)
	}
	for _, params := range []struct {
		init AnyInit
		want []program.Field
	}{
		{nil, nil}, {Init[[]byte](func(*Space, []byte) {}), nil}, {Init[struct{}](func(*Space, struct{}) {}), []program.Field{}},
	} {
		m.Init = params.init
		if err := register(t, m); err != nil {
			t.Fatal(err)
		}
		if got, err := program.ReadManifest(registered.manifest); err != nil || !reflect.DeepEqual(got.Params, params.want) {
			t.Errorf("params %v, %v, want %v", got.Params, err, params.want)
		}
	}
}

// TestOlderDeclarations: what was declared before, and how it is read, is what the host reads.
func TestOlderDeclarations(t *testing.T) {
	type was struct {
		Body  string
		Stars uint64 `default:"3"`
	}
	type now struct {
		Text   string
		Mood   string  `default:"calm"`
		Loud   bool    `default:"true"`
		Weight float64 `default:"-0.5"`
		Sum    int64   `default:"-7"`
		Sign   []byte  `default:"ab"`
	}
	err := register(t, Module{Name: "m", Version: "2.0.0", Events: []AnyEventType{
		EventType[now]{Name: "note", Authorize: Anyone[now], Older: []Older{
			{Was: was{}, Rename: map[string]string{"body": "text"}, Drop: []string{"stars"}, Default: map[string]any{"sum": 1, "mood": "old", "sign": []byte{1}}},
			{Was: struct{ Sound []byte }{}, Refused: true},
		}},
		EventType[was]{Name: "gone", Removed: true},
	}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := program.ReadManifest(registered.manifest)
	if err != nil {
		t.Fatal(err)
	}
	body := []program.Field{{Name: "body", Kind: tables.Text}, {Name: "stars", Kind: tables.U64, Default: []byte{3}}}
	want := []program.EventType{
		{
			Name: "note",
			Fields: []program.Field{
				{Name: "text", Kind: tables.Text}, {Name: "mood", Kind: tables.Text, Default: []byte("\xa4calm")}, {Name: "loud", Kind: tables.Bool, Default: []byte{0xc3}},
				{Name: "weight", Kind: tables.F64, Default: []byte{0xcb, 0xbf, 0xe0, 0, 0, 0, 0, 0, 0}}, {Name: "sum", Kind: tables.I64, Default: []byte{0xf9}},
				{Name: "sign", Kind: tables.Bytes, Default: []byte("\xc4\x02ab")},
			},
			Older: []program.Older{
				{
					Fields: body, Rename: []program.Renamed{{From: "body", To: "text"}}, Drop: []string{"stars"},
					Given: []program.Given{{Name: "mood", Value: []byte("\xa3old")}, {Name: "sign", Value: []byte("\xc4\x01\x01")}, {Name: "sum", Value: []byte{1}}},
				},
				{Fields: []program.Field{{Name: "sound", Kind: tables.Bytes}}, Refused: true},
			},
		},
		{Name: "gone", Fields: body, Removed: true},
	}
	if !reflect.DeepEqual(got.Events, want) {
		t.Errorf("the events are\n%+v\nwant\n%+v", got.Events, want)
	}
	for what, e := range map[string]AnyEventType{
		"a default of another type": EventType[struct {
			A uint64 `default:"-1"`
		}]{Name: "e", Removed: true},
		"optional with a default": EventType[struct {
			A *string `default:"a"`
		}]{Name: "e", Removed: true},
		"nothing that was":          EventType[was]{Name: "e", Removed: true, Older: []Older{{}}},
		"a default of no type":      EventType[was]{Name: "e", Removed: true, Older: []Older{{Was: now{}, Default: map[string]any{"stars": 'x'}}}},
		"what was is no struct":     EventType[was]{Name: "e", Removed: true, Older: []Older{{Was: 7}}},
		"nobody says who writes it": EventType[was]{Name: "e"},
	} {
		if err := register(t, Module{Name: "m", Version: "1.0.0", Events: []AnyEventType{e}}); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
}

// TestBadDeclarations: what is wrong is told when the module is built, and not by a trap.
func TestBadDeclarations(t *testing.T) {
	type inner struct{ A int64 }
	table := func(change func(*Table[every])) Module {
		all := everyTable()
		change(all)
		return Module{Tables: []AnyTable{all}}
	}
	type word struct{ Word string }
	for want, m := range map[string]Module{
		"has no Authorize":               {Events: []AnyEventType{EventType[every]{Name: "e"}}},
		"Others without":                 {Others: &OtherTypes{}},
		"string is no struct":            {Events: []AnyEventType{EventType[string]{Name: "e", Authorize: Anyone[string]}}},
		"is int;":                        {Tables: []AnyTable{&Table[struct{ A int }]{}}},
		"is *[]uint8":                    {Tables: []AnyTable{&Table[struct{ A *[]byte }]{}}},
		"is **bool":                      {Tables: []AnyTable{&Table[struct{ A **bool }]{}}},
		"embedded":                       {Tables: []AnyTable{&Table[struct{ inner }]{}}},
		".a is embedded or not exported": {Tables: []AnyTable{&Table[struct{ a string }]{}}},
		"the tag option unique": {Tables: []AnyTable{&Table[struct {
			A string `skerry:"a,unique"`
		}]{}}},
		"only bytes have the tag option optional": {Tables: []AnyTable{&Table[struct {
			A string `skerry:"a,optional"`
		}]{}}},
		"there is no column seq":                table(func(all *Table[every]) { all.Key = []string{"seq"} }),
		"there is no column color":              table(func(all *Table[every]) { all.Indexes[0].Columns[0] = "color" }),
		"params: ":                              {Init: Init[int](func(*Space, int) {})},
		"the params of Init and Migrate differ": {Init: Init[word](func(*Space, word) {}), Migrate: Migrate[inner](func(*Migration, inner) {})},
	} {
		if err := register(t, m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if err := register(t, Module{}); err != nil {
		t.Fatal(err)
	}
	if Register(Module{}); registered.problem == nil {
		t.Error("two modules are registered")
	}
}

// TestInput: what calls get is read in the order of the ABI.
func TestInput(t *testing.T) {
	var told []string
	see := func(what string) func(*Event, every) {
		return func(e *Event, p every) {
			told = append(told, what, e.Type, e.Author, string(e.ClientVersion), string(e.Claims), p.Text)
			if e.ID[0] != 1 || e.Index != 2 || e.Count != 3 || what == "apply" && (e.Seq != 4 || e.ReceivedAt != 5) {
				t.Errorf("%s: %+v", what, e)
			}
		}
	}
	other := func(e *Event, p Undeclared) { told = append(told, e.Type, string(p.Payload), string(p.Schema[:1])) }
	s, _ := shapeOf(reflect.TypeFor[every]())
	if err := register(t, Module{
		Events: []AnyEventType{EventType[every]{Name: "e", Authorize: see("authorize"), Apply: see("apply")}}, Others: &OtherTypes{other, other},
		Init: Init[[]byte](func(s *Space, params []byte) { told = append(told, s.Creator, string(s.Stamp[0]), string(params)) }),
		Migrate: Migrate[[]byte](func(m *Migration, params []byte) {
			told = append(told, m.Creator, string(params), m.Version, m.Table, string(slices.Concat(m.Rows...)))
		}),
	}); err != nil {
		t.Fatal(err)
	}
	text := func(b []byte, texts ...string) []byte {
		for _, text := range texts {
			b = appendText(b, text)
		}
		return b
	}
	head := func(place uint32) []byte {
		b := append(binary.LittleEndian.AppendUint32(nil, place), append([]byte{1}, make([]byte, 15)...)...)
		return text(binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, 2), 3), "author", "1.0.0")
	}
	numbers := func(b []byte) []byte { return appendWord(appendWord(b, 4), 5) }
	stamp := append([]byte{115}, make([]byte, 15)...)
	payload := s.append(nil, unsafe.Pointer(&every{Text: "text"}))
	undeclared := text(append(text(nil, "type"), stamp[:8]...), "bytes")
	run := func(f func(*input), b []byte) {
		event = Event{} // as all memory is anew for each call
		f(entry(int32(copy(region[:], b))))
		for i := range told {
			told[i] = strings.Clone(told[i]) // what a call reads lies in its memory
		}
	}
	run(callAuthorize, append(text(head(0), "claims"), payload...))
	run(callApply, append(numbers(head(0)), payload...))
	run(callAuthorize, append(text(head(1<<32-1), ""), undeclared...))
	run(callApply, append(numbers(head(1<<32-1)), undeclared...))
	run(registered.init, text(append(text(nil, "creator"), stamp...), "params"))
	rows := text(append(text(append(text(nil, "creator"), stamp...), "params", "2.0.0", "table"), 2, 0, 0, 0), "row", "s")
	run(registered.migrate, rows)
	want := []string{"authorize", "e", "author", "1.0.0", "claims", "text", "apply", "e", "author", "1.0.0", "", "text",
		"type", "bytes", "s", "type", "bytes", "s", "creator", "s", "params", "creator", "params", "2.0.0", "table", "rows"}
	if !slices.Equal(told, want) {
		t.Errorf("%q\nwant %q", told, want)
	}
	var answer []byte
	for piece := range answers() {
		answer = append(answer, piece...)
	}
	if answer[0] != hasModule|hasInit|hasMigrate || string(answer[1:]) != string(registered.manifest) {
		t.Errorf("the answer is %q", answer)
	}
}
