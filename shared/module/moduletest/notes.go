package moduletest

import (
	"skerry/shared/module/program"
	"skerry/shared/msgpack"
	"skerry/shared/tables"
)

// Notes returns a module that keeps what it gets, of version 1.0.1 or 1.1.2. In the newer one same is what it was; more has an optional field more; the fields of letter have
// swapped their names; amount of price means something else, and when's at is of another type. Packages notes101 and notes112 are what the generator makes of them.
func Notes(version string) []byte {
	field := func(name string, kind tables.Kind) program.Field { return program.Field{Name: name, Kind: kind} }
	texts := func(names ...string) (fields []program.Field) {
		for _, name := range names {
			fields = append(fields, field(name, tables.Text))
		}
		return fields
	}
	same := program.EventType{Name: "same", Fields: texts("text")}
	types := []program.EventType{
		same, {Name: "more", Fields: texts("text")}, {Name: "letter", Fields: texts("from", "to")}, {Name: "price", Fields: []program.Field{field("amount", tables.U64)}},
		{Name: "when", Fields: []program.Field{field("at", tables.U64)}},
	}
	if version == "1.1.2" {
		stars := field("stars", tables.U64)
		stars.Optional = true
		nothing := msgpack.AppendString(nil, "")
		types = []program.EventType{
			same, {Name: "more", Fields: append(texts("text"), stars), Older: []program.Older{{Fields: types[1].Fields}}},
			{Name: "letter", Fields: texts("to", "from"), Older: []program.Older{{Fields: types[2].Fields, Rename: []program.Renamed{{From: "from", To: "to"}, {From: "to", To: "from"}}}}},
			{Name: "price", Fields: append([]program.Field{field("amount", tables.U64)}, texts("currency")...), Older: []program.Older{{
				Fields: types[3].Fields, Drop: []string{"amount"}, Given: []program.Given{{Name: "amount", Value: []byte{0}}, {Name: "currency", Value: nothing}},
			}}},
			{Name: "when", Fields: texts("at"), Older: []program.Older{{Fields: types[4].Fields, Drop: []string{"at"}, Given: []program.Given{{Name: "at", Value: nothing}}}}},
		}
	}
	return Kept(version, types, func(m *program.Manifest) { m.Name = "notes" })
}
