package guest

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"strconv"

	"skerry/shared/msgpack"
)

// olderShape returns what a struct declares of which there is a value.
func olderShape(was any) (shape, error) {
	if was == nil {
		return nil, errors.New("the field Was is nil, and should be a value of the struct that the payload was")
	}
	return shapeOf(reflect.TypeOf(was))
}

// appendOlder appends earlier declarations, as manifests have them. Maps are written in the order of their names, so that a module is the same each time.
func appendOlder(b []byte, older []Older) []byte {
	b = msgpack.AppendArray(msgpack.AppendString(b, "older"), len(older))
	for i := range older {
		o := &older[i]
		s, _ := olderShape(o.Was) // was checked
		b = msgpack.AppendMap(b, 5)
		b = appendFields(msgpack.AppendString(b, "fields"), s)
		b = msgpack.AppendMap(msgpack.AppendString(b, "rename"), len(o.Rename))
		for _, from := range slices.Sorted(maps.Keys(o.Rename)) {
			b = msgpack.AppendString(msgpack.AppendString(b, from), o.Rename[from])
		}
		b = appendTexts(b, "drop", o.Drop)
		b = msgpack.AppendMap(msgpack.AppendString(b, "default"), len(o.Default))
		for _, name := range slices.Sorted(maps.Keys(o.Default)) {
			b = append(msgpack.AppendString(b, name), appendValue(nil, o.Default[name])...)
		}
		b = msgpack.AppendBool(msgpack.AppendString(b, "refused"), o.Refused)
	}
	return b
}

// appendValue appends a value, nothing for one of a type that no column has.
func appendValue(b []byte, value any) []byte {
	switch v := value.(type) {
	case bool:
		return msgpack.AppendBool(b, v)
	case int:
		return msgpack.AppendInt(b, int64(v))
	case int64:
		return msgpack.AppendInt(b, v)
	case uint64:
		return msgpack.AppendUint(b, v)
	case float64:
		return msgpack.AppendFloat(b, v)
	case string:
		return msgpack.AppendString(b, v)
	case []byte:
		return msgpack.AppendBinary(b, v)
	}
	return b
}

// defaultOf reads the tag of a field's default, as msgpack.
func defaultOf(k kind, text string) ([]byte, error) {
	switch k {
	case kindBool:
		v, err := strconv.ParseBool(text)
		return msgpack.AppendBool(nil, v), err
	case kindI64:
		v, err := strconv.ParseInt(text, 10, 64)
		return msgpack.AppendInt(nil, v), err
	case kindU64:
		v, err := strconv.ParseUint(text, 10, 64)
		return msgpack.AppendUint(nil, v), err
	case kindF64:
		v, err := strconv.ParseFloat(text, 64)
		return msgpack.AppendFloat(nil, v), err
	case kindText:
		return msgpack.AppendString(nil, text), nil
	}
	return msgpack.AppendBinary(nil, []byte(text)), nil
}
