package wire

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"skerry/shared/space"
)

var update = flag.Bool("update", false, "write testdata/vectors anew; committed vectors are frozen")

const vectorDir = "testdata/vectors"

// A vector is one message with what it means, as its file holds it. Hex is the message. Shape names the frame or
// structure of PROTOCOL.md that it is; Value has its elements by name: bytes as lower-case hexadecimal, integers as
// decimal text, absent ones null. Canonical is what a writer makes of Value where that differs from Hex. A refused
// message has Error, the code's name, instead.
type vector struct {
	Name      string `json:"name"`
	About     string `json:"about"`
	Shape     string `json:"shape,omitempty"`
	Hex       string `json:"hex"`
	Canonical string `json:"canonical,omitempty"`
	Value     any    `json:"value,omitempty"`
	Error     string `json:"error,omitempty"`
}

func (v *vector) message() []byte {
	b, err := hex.DecodeString(v.Hex)
	if err != nil {
		panic(err)
	}
	return b
}

func (v *vector) canonical() string {
	if v.Canonical != "" {
		return v.Canonical
	}
	return v.Hex
}

// decodeShape reads message as the frame or structure that name says, with the package's own codec.
func decodeShape(name string, message []byte) (any, error) {
	switch name {
	case "record":
		records, err := DecodeRecords(message)
		if err == nil && len(records) != 1 {
			err = ErrMalformed
		}
		if err != nil {
			return nil, err
		}
		return &records[0], nil
	case "transaction":
		v, err := DecodeTransaction(message)
		return &v, err
	case "genesis":
		v, err := DecodeGenesis(message)
		return &v, err
	case "position":
		v, err := DecodePosition(message)
		return &v, err
	case "said":
		v, err := DecodeSaid(message)
		return &v, err
	}
	return Decode(message)
}

func appendShape(value any) []byte {
	switch v := value.(type) {
	case *space.Record:
		return AppendRecord(nil, v)
	case *space.Transaction:
		return AppendTransaction(nil, v)
	case *space.Genesis:
		return AppendGenesis(nil, v)
	case *space.Position:
		return AppendPosition(nil, v)
	case *Said:
		return AppendSaid(nil, v)
	}
	return Append(nil, value.(Frame))
}

func shapeOf(value any) string {
	return snake(reflect.TypeOf(value).Elem().Name())
}

// fieldsOf yields the elements that a Go type carries, by the protocol's names, with how to reach them.
func fieldsOf(kind reflect.Type) iter.Seq2[string, []int] {
	return func(yield func(string, []int) bool) {
		for _, f := range reflect.VisibleFields(kind) {
			if !f.Anonymous && !yield(snake(f.Name), f.Index) {
				return
			}
		}
	}
}

// neutral returns a Go value in the vectors' neutral form.
func neutral(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return neutral(v.Elem())
	case reflect.Uint64, reflect.Uint32:
		return strconv.FormatUint(v.Uint(), 10)
	case reflect.String:
		return v.String()
	case reflect.Bool:
		return v.Bool()
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			b := make([]byte, v.Len())
			reflect.Copy(reflect.ValueOf(b), v)
			return hex.EncodeToString(b)
		}
		list := make([]any, v.Len())
		for i := range list {
			list[i] = neutral(v.Index(i))
		}
		return list
	case reflect.Struct:
		object := map[string]any{}
		for name, index := range fieldsOf(v.Type()) {
			object[name] = neutral(v.FieldByIndex(index))
		}
		if verdict, ok := v.Interface().(Verdict); ok && verdict.Kind != Accepted && verdict.Kind != Duplicate {
			object["position"] = nil
		}
		return object
	}
	panic("a kind without a neutral form: " + v.Kind().String())
}

func vectorPath(name string) string { return filepath.Join(vectorDir, name+".json") }

// readVectors reads every vector file; there must be some.
func readVectors(t testing.TB) []vector {
	t.Helper()
	paths, err := filepath.Glob(vectorPath("*"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no vectors in %s: %v", vectorDir, err)
	}
	vectors := make([]vector, len(paths))
	for i, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&vectors[i]); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if vectorPath(vectors[i].Name) != path {
			t.Errorf("%s calls itself %s", path, vectors[i].Name)
		}
	}
	return vectors
}

// TestVectorsAreFrozen holds the files to the list in cases_test.go, byte by byte.
func TestVectorsAreFrozen(t *testing.T) {
	want := map[string][]byte{}
	for _, c := range cases() {
		v := vector{Name: c.name, About: c.about, Shape: c.shape, Hex: hex.EncodeToString(c.message)}
		if value, err := decodeShape(c.shape, c.message); err != nil {
			if v.Error = CodeOf(err).String(); v.Error == "unknown" {
				v.Error = "bad_frame" // structures outside of frames have no code of their own
			}
		} else {
			v.Shape, v.Value = shapeOf(value), neutral(reflect.ValueOf(value))
			if canonical := hex.EncodeToString(appendShape(value)); canonical != v.Hex {
				v.Canonical = canonical
			}
		}
		if v.Error != c.err {
			t.Errorf("%s: error %q, want %q", c.name, v.Error, c.err)
		}
		if want[c.name] != nil {
			t.Errorf("%s is there twice", c.name)
		}
		var out bytes.Buffer
		encoder := json.NewEncoder(&out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(v); err != nil {
			t.Fatal(err)
		}
		want[c.name] = out.Bytes()
	}
	if *update && !t.Failed() {
		if err := os.MkdirAll(vectorDir, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range want {
			if err := os.WriteFile(vectorPath(name), text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, v := range readVectors(t) {
		frozen, err := os.ReadFile(vectorPath(v.Name))
		if err != nil || !bytes.Equal(frozen, want[v.Name]) {
			t.Errorf("%s: the code no longer makes what is frozen (%v)", v.Name, err)
		}
		delete(want, v.Name)
	}
	for name := range want {
		t.Errorf("%s has no file", name)
	}
}

func TestVectorsCoverEveryFrame(t *testing.T) {
	shapes, _ := protocol(t)
	seen, codes := map[string]bool{}, map[string]bool{}
	for _, v := range readVectors(t) {
		seen[v.Shape] = v.Error == "" || seen[v.Shape]
		codes[v.Error] = true
	}
	for name, s := range shapes {
		if s.number != 0 && !seen[name] {
			t.Errorf("no vector of %s", name)
		}
	}
	if !codes["bad_frame"] || !codes["unknown_frame"] {
		t.Errorf("refused vectors have the codes %v only", codes)
	}
}

func TestVectorsDecodeAndEncode(t *testing.T) {
	for _, v := range readVectors(t) {
		value, err := decodeShape(v.Shape, v.message())
		if v.Error != "" {
			if err == nil {
				t.Errorf("%s was taken as %+v", v.Name, value)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		if got := neutral(reflect.ValueOf(value)); !reflect.DeepEqual(got, v.Value) {
			t.Errorf("%s: value %v, want %v", v.Name, got, v.Value)
		}
		if got := hex.EncodeToString(appendShape(value)); got != v.canonical() {
			t.Errorf("%s: written as %.200s", v.Name, got)
		}
	}
}

// TestVectorsInAnotherLibrary reads and writes every accepted vector by nothing but the tables of PROTOCOL.md and
// vmihailenco/msgpack.
func TestVectorsInAnotherLibrary(t *testing.T) {
	shapes, _ := protocol(t)
	p := peer{shapes}
	for _, v := range readVectors(t) {
		if v.Error != "" {
			continue
		}
		input := bytes.NewReader(v.message())
		got, err := p.read(msgpack.NewDecoder(input), v.Shape)
		if err != nil || !reflect.DeepEqual(got, v.Value) {
			t.Errorf("%s: read as %v, %v", v.Name, got, err)
			continue
		}
		if rest, _ := io.ReadAll(input); len(rest) != 0 {
			t.Errorf("%s: %d bytes left over", v.Name, len(rest))
		}
		var out bytes.Buffer
		encoder := msgpack.NewEncoder(&out)
		encoder.UseCompactInts(true)
		if err := p.write(encoder, v.Shape, v.Value); err != nil || hex.EncodeToString(out.Bytes()) != v.canonical() {
			t.Errorf("%s: written as %.200x, %v", v.Name, out.Bytes(), err)
		}
	}
}

// peer is the protocol once more, made from its description.
type peer struct{ shapes map[string]*shape }

// split takes apart the kinds "[x]", "x or nil" and "bytes(n)".
func split(kind string) (element, nilable string, size int) {
	if inner, ok := strings.CutPrefix(kind, "["); ok {
		return strings.TrimSuffix(inner, "]"), "", 0
	}
	if inner, ok := strings.CutSuffix(kind, " or nil"); ok {
		return "", inner, 0
	}
	fmt.Sscanf(kind, "bytes(%d)", &size)
	return "", "", size
}

// mayEnd takes apart the kind "x or none", of an element that is left out where it is zero.
func mayEnd(kind string) (inner string, is bool) { return strings.CutSuffix(kind, " or none") }

func (p peer) read(d *msgpack.Decoder, kind string) (any, error) {
	kind, _ = mayEnd(kind)
	element, nilable, size := split(kind)
	switch {
	case element != "":
		n, err := d.DecodeArrayLen()
		list := []any{}
		for ; n > 0 && err == nil; n-- {
			var v any
			v, err = p.read(d, element)
			list = append(list, v)
		}
		return list, err
	case nilable != "":
		if c, err := d.PeekCode(); err != nil || c == 0xc0 {
			return nil, d.DecodeNil()
		}
		return p.read(d, nilable)
	case kind == "uint":
		n, err := d.DecodeUint64()
		return strconv.FormatUint(n, 10), err
	case kind == "text":
		return d.DecodeString()
	case kind == "bool":
		return d.DecodeBool()
	case kind == "bytes", size > 0:
		b, err := d.DecodeBytes()
		if len(b) == 0 {
			b = make([]byte, size)
		}
		return hex.EncodeToString(b), err
	}
	s := p.shapes[kind]
	if s == nil {
		return nil, fmt.Errorf("PROTOCOL.md does not describe %q", kind)
	}
	n, err := d.DecodeArrayLen()
	if s.number != 0 && err == nil {
		n--
		if number, err := d.DecodeUint64(); err != nil || number != s.number {
			return nil, fmt.Errorf("frame %d is not %s: %v", number, kind, err)
		}
	}
	object := map[string]any{}
	for _, f := range s.fields {
		if n--; n < 0 {
			object[f.name] = p.zero(f.kind)
		} else if err == nil {
			object[f.name], err = p.read(d, f.kind)
		}
	}
	for ; n > 0 && err == nil; n-- {
		err = d.Skip()
	}
	return object, err
}

func (p peer) zero(kind string) any {
	kind, _ = mayEnd(kind)
	element, nilable, size := split(kind)
	switch {
	case element != "":
		return []any{}
	case nilable != "":
		return nil
	case kind == "uint":
		return "0"
	case kind == "bool":
		return false
	case kind == "text", kind == "bytes", size > 0:
		return strings.Repeat("00", size)
	}
	object := map[string]any{}
	for _, f := range p.shapes[kind].fields {
		object[f.name] = p.zero(f.kind)
	}
	return object
}

func (p peer) write(e *msgpack.Encoder, kind string, value any) error {
	kind, _ = mayEnd(kind)
	element, nilable, size := split(kind)
	switch {
	case element != "":
		list := value.([]any)
		err := e.EncodeArrayLen(len(list))
		for _, v := range list {
			if err == nil {
				err = p.write(e, element, v)
			}
		}
		return err
	case nilable != "" && value == nil:
		return e.EncodeNil()
	case nilable != "":
		return p.write(e, nilable, value)
	case kind == "uint":
		n, err := strconv.ParseUint(value.(string), 10, 64)
		if err != nil {
			return err
		}
		return e.EncodeUint(n)
	case kind == "text":
		return e.EncodeString(value.(string))
	case kind == "bool":
		return e.EncodeBool(value.(bool))
	case kind == "bytes", size > 0:
		b, err := hex.DecodeString(value.(string))
		if err != nil {
			return err
		}
		return e.EncodeBytes(b)
	}
	s := p.shapes[kind]
	n := len(s.fields)
	for n > 0 {
		last := s.fields[n-1]
		if _, may := mayEnd(last.kind); !may || !reflect.DeepEqual(value.(map[string]any)[last.name], p.zero(last.kind)) {
			break
		}
		n--
	}
	fields := s.fields[:n]
	if s.number != 0 {
		n++
	}
	err := e.EncodeArrayLen(n)
	if s.number != 0 && err == nil {
		err = e.EncodeUint(s.number)
	}
	for _, f := range fields {
		if err == nil {
			err = p.write(e, f.kind, value.(map[string]any)[f.name])
		}
	}
	return err
}
