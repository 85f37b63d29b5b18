package guest

import (
	"errors"
	"reflect"
	"strings"
	"unicode"
)

// kind is a type of value.
type kind uint8

const (
	kindBool kind = iota + 1
	kindI64
	kindU64
	kindF64
	kindText
	kindBytes
)

// kindNames are what manifests call them.
var kindNames = [...]string{kindBool: "bool", kindI64: "i64", kindU64: "u64", kindF64: "f64", kindText: "text", kindBytes: "bytes"}

// field is a column, or a field of a payload, and where it lies in a struct.
type field struct {
	name, doc string
	kind      kind
	optional  bool
	standard  []byte // its default, as msgpack; nil: none
	offset    uintptr
}

// shape is what a struct is as a row: it is found out once, when the module starts, so that a call has only to copy.
type shape []field

var kinds = map[reflect.Kind]kind{
	reflect.Bool: kindBool, reflect.Int64: kindI64, reflect.Uint64: kindU64, reflect.Float64: kindF64, reflect.String: kindText,
}

// shapeOf returns what a struct declares.
func shapeOf(t reflect.Type) (shape, error) {
	if t.Kind() != reflect.Struct {
		return nil, errors.New(t.String() + " is no struct")
	}
	s := make(shape, 0, t.NumField()) // not nil: no fields are declared fields
	for i := range t.NumField() {
		of := t.Field(i)
		f := field{name: columnName(of.Name), doc: of.Tag.Get("doc"), offset: of.Offset}
		name, option, _ := strings.Cut(of.Tag.Get("skerry"), ",")
		if name != "" {
			f.name = name
		}
		isOption := option == "optional"
		switch held := of.Type; {
		case isOption != (option != ""):
			return nil, errors.New(t.String() + "." + of.Name + " has the tag option " + option + "; there is only optional")
		case of.Anonymous || !of.IsExported():
			return nil, errors.New(t.String() + "." + of.Name + " is embedded or not exported")
		case held.Kind() == reflect.Slice && held.Elem().Kind() == reflect.Uint8:
			f.kind, f.optional = kindBytes, isOption
		case isOption:
			return nil, errors.New(t.String() + "." + of.Name + ": only bytes have the tag option optional; of other types a pointer is")
		case held.Kind() == reflect.Pointer:
			f.kind, f.optional = kinds[held.Elem().Kind()], true
		default:
			f.kind = kinds[held.Kind()]
		}
		if f.kind == 0 {
			return nil, errors.New(t.String() + "." + of.Name + " is " + of.Type.String() +
				"; there are bool, int64, uint64, float64, string, pointers to them, and []byte")
		}
		if text, ok := of.Tag.Lookup("default"); ok {
			var err error
			if f.standard, err = defaultOf(f.kind, text); err != nil || f.optional {
				return nil, errors.New(t.String() + "." + of.Name + " has the default " + text + ", which is no " + kindNames[f.kind] + ", or it is optional")
			}
		}
		s = append(s, f)
	}
	return s, nil
}

// columnName returns a field's name as manifests have it: ReceivedAt is received_at, and RoomID is room_id.
func columnName(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if i > 0 && unicode.IsUpper(r) && (!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

func (s shape) place(name string) int {
	for i := range s {
		if s[i].name == name {
			return i
		}
	}
	return -1
}
