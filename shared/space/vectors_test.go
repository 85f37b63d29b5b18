package space

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"lukechampine.com/blake3"

	"skerry/shared/digest"
)

var update = flag.Bool("update", false, "write testdata/vectors anew; committed vectors are frozen")

const vectorDir = "testdata/vectors"

// A vector is one input with what follows from it. Bytes are lower-case hexadecimal, integers of 64 bits decimal
// text, so that any language reads them. Fields that a kind of vector does not need are absent.
type vector struct {
	Name string `json:"name"`

	N       *int   `json:"n,omitempty"`       // compact
	Encoded string `json:"encoded,omitempty"` // what is hashed, signed or parsed
	Refused bool   `json:"refused,omitempty"`

	ULID    string `json:"ulid,omitempty"`
	Creator string `json:"creator,omitempty"`
	Module  string `json:"module,omitempty"`
	Params  string `json:"params,omitempty"`

	Space         string        `json:"space,omitempty"`
	Author        string        `json:"author,omitempty"`
	API           string        `json:"api,omitempty"`
	ClientVersion string        `json:"client_version,omitempty"`
	Events        []vectorEvent `json:"events,omitempty"`

	Previous   string `json:"previous,omitempty"` // chain
	Seq        string `json:"seq,omitempty"`
	ReceivedAt string `json:"received_at,omitempty"`
	Index      uint32 `json:"index,omitempty"`
	Count      uint32 `json:"count,omitempty"`

	Secret string `json:"secret,omitempty"` // seal
	Chain  string `json:"chain,omitempty"`

	Nonce  string `json:"nonce,omitempty"` // proof
	Server string `json:"server,omitempty"`
	Host   string `json:"host,omitempty"`

	Digest string `json:"digest,omitempty"` // the expected hash
}

type vectorEvent struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Schema  string `json:"schema"`
	Payload string `json:"payload"`
}

// plain is a second construction of every hashed form, from its description alone: slices put end to end and
// another implementation of BLAKE3.
func plain(parts ...any) []byte {
	var b []byte
	for _, part := range parts {
		switch p := part.(type) {
		case string: // with its length
			b = append(append(b, plainCompact(len(p))...), p...)
		case []byte: // as it is
			b = append(b, p...)
		case uint64:
			b = binary.LittleEndian.AppendUint64(b, p)
		case uint32:
			b = binary.LittleEndian.AppendUint32(b, p)
		default:
			panic("a part of another kind")
		}
	}
	return b
}

func plainCompact(n int) []byte {
	size := 1
	mode := 0
	if n > 63 {
		size, mode = 2, 1
	}
	if n > 16383 {
		size, mode = 4, 2
	}
	b := make([]byte, size)
	for i, v := 0, n*4+mode; i < size; i, v = i+1, v/256 {
		b[i] = byte(v % 256)
	}
	return b
}

func plainHash(b []byte) []byte { sum := blake3.Sum256(b); return sum[:] }

func plainKeyed(key, b []byte) []byte {
	h := blake3.New(32, key)
	h.Write(b)
	return h.Sum(nil)
}

func unhex(text string) []byte {
	b, err := hex.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return b
}

func hex32(text string) (b [32]byte) { copy(b[:], unhex(text)); return b }

func unsigned(text string) uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func (v *vector) transaction() Transaction {
	t := Transaction{Author: v.Author, API: v.API, ClientVersion: v.ClientVersion}
	for _, e := range v.Events {
		t.Events = append(t.Events, Event{ID: mustULID(e.ID), Type: e.Type, Schema: Schema(unhex(e.Schema)), Payload: unhex(e.Payload)})
	}
	return t
}

// A kind makes a vector's expected values from its inputs, once with the package (into v) and once plainly.
type kind struct {
	file  string
	fill  func(v *vector)
	plain func(v *vector) (encoded, sum []byte)
	cases []vector
}

var kinds = []kind{
	{"compact.json", func(v *vector) {
		if !v.Refused {
			v.Encoded = hex.EncodeToString(AppendCompact(nil, *v.N))
		}
	}, func(v *vector) ([]byte, []byte) {
		if v.Refused {
			return unhex(v.Encoded), nil
		}
		return plainCompact(*v.N), nil
	}, []vector{
		{Name: "zero", N: new(0)}, {Name: "last of one byte", N: new(63)}, {Name: "first of two bytes", N: new(64)},
		{Name: "last of two bytes", N: new(16383)}, {Name: "first of four bytes", N: new(16384)}, {Name: "last", N: new(1<<30 - 1)},
		{Name: "63 in two bytes", Encoded: "fd00", Refused: true}, {Name: "16383 in four bytes", Encoded: "feff0000", Refused: true},
		{Name: "big integer form", Encoded: "0300000040", Refused: true}, {Name: "cut short", Encoded: "0200", Refused: true},
	}},
	{"genesis.json", func(v *vector) {
		g := Genesis{Stamp: mustULID(v.ULID), Creator: v.Creator, Module: hex32(v.Module), Params: unhex(v.Params)}
		v.Encoded, v.Digest = hex.EncodeToString(g.Append(nil)), g.ID().String()
	}, func(v *vector) ([]byte, []byte) {
		stamp := mustULID(v.ULID)
		var reversed []byte
		for _, c := range stamp {
			reversed = append([]byte{c}, reversed...)
		}
		b := plain(reversed, v.Creator, unhex(v.Module), string(unhex(v.Params)))
		return b, plainHash(b)
	}, []vector{
		{
			Name: "leaf", ULID: "01ARZ3NDEKTSV4RRFFQ69G5FAV", Creator: "did:plc:ewvi7nxzyoun6zhxrhs64oiz",
			Module: "262f081583741b6a0e06564e45b7ad4fc13d06d4189863a3fab5e860b83541c9",
		},
		{Name: "zero", ULID: "00000000000000000000000000", Module: strings.Repeat("00", 32)},
		{Name: "last stamp, creator that is not ASCII, params", ULID: "7ZZZZZZZZZZZZZZZZZZZZZZZZZ", Creator: "zoë 🌊", Module: strings.Repeat("ff", 32), Params: "81a17401"},
		{Name: "two-byte lengths", ULID: "01ARZ3NDEKTSV4RRFFQ69G5FAV", Creator: strings.Repeat("c", 64), Module: strings.Repeat("ab", 32), Params: strings.Repeat("c0", 64)},
		{Name: "four-byte length", ULID: "01ARZ3NDEKTSV4RRFFQ69G5FAV", Creator: "a", Module: strings.Repeat("ab", 32), Params: strings.Repeat("c0", 16384)},
	}},
	{"transaction.json", func(v *vector) {
		t := v.transaction()
		v.Digest = TransactionDigest(hex32(v.Space), &t).String()
	}, func(v *vector) ([]byte, []byte) {
		b := plain([]byte("skerry.tx.1"), unhex(v.Space), v.Author, v.API, v.ClientVersion, uint32(len(v.Events)))
		for _, e := range v.Events {
			id := mustULID(e.ID)
			b = append(b, plain(id[:], unhex(e.Schema), plainHash(unhex(e.Payload)), e.Type)...)
		}
		return nil, plainHash(b)
	}, []vector{
		{Name: "one event, empty fields", Space: strings.Repeat("11", 32), Events: []vectorEvent{{"01ARZ3NDEKTSV4RRFFQ69G5FAV", "t", "0000000000000000", ""}}},
		{Name: "two events", Space: strings.Repeat("22", 32), Author: "alice", API: "1.0.0", ClientVersion: "3.1.4", Events: []vectorEvent{
			{"01ARZ3NDEKTSV4RRFFQ69G5FAV", "todo.added", "0102030405060708", "81a474657874a46d696c6b"},
			{"01ARZ3NDEKTSV4RRFFQ69G5FAW", "todo.ünïcode", "0000000000000000", "c0"},
		}},
		{Name: "long fields", Space: strings.Repeat("33", 32), Author: strings.Repeat("a", 256), API: strings.Repeat("1", 32), ClientVersion: strings.Repeat("v", 64), Events: []vectorEvent{
			{"7ZZZZZZZZZZZZZZZZZZZZZZZZZ", strings.Repeat("t", 128), "ffffffffffffffff", strings.Repeat("ab", 1025)},
		}},
	}},
	{"chain.json", func(v *vector) {
		t := v.transaction()
		r := Record{
			Event: t.Events[0], Seq: unsigned(v.Seq), ReceivedAt: unsigned(v.ReceivedAt), Index: v.Index, Count: v.Count,
			Author: t.Author, API: t.API, ClientVersion: t.ClientVersion,
		}
		v.Digest = Chain(hex32(v.Previous), &r).String()
	}, func(v *vector) ([]byte, []byte) {
		e := v.Events[0]
		id := mustULID(e.ID)
		return nil, plainHash(plain([]byte("skerry.chain.1"), unhex(v.Previous), unsigned(v.Seq), unsigned(v.ReceivedAt), v.Index, v.Count,
			id[:], unhex(e.Schema), plainHash(unhex(e.Payload)), v.Author, e.Type, v.API, v.ClientVersion))
	}, []vector{
		{Name: "first record of a space", Previous: strings.Repeat("44", 32), Seq: "1", ReceivedAt: "1700000000000", Count: 1, Author: "alice", API: "1.0.0", ClientVersion: "3.1.4",
			Events: []vectorEvent{{"01ARZ3NDEKTSV4RRFFQ69G5FAV", "todo.added", "0102030405060708", "81a474657874a46d696c6b"}}},
		{Name: "last of three, empty fields", Previous: strings.Repeat("55", 32), Seq: "3", ReceivedAt: "0", Index: 2, Count: 3,
			Events: []vectorEvent{{"00000000000000000000000000", "t", "0000000000000000", ""}}},
		{Name: "largest numbers", Previous: strings.Repeat("66", 32), Seq: "4294967295", ReceivedAt: "18446744073709551615", Index: 1023, Count: 1024, Author: strings.Repeat("a", 256), API: strings.Repeat("1", 32), ClientVersion: strings.Repeat("v", 64),
			Events: []vectorEvent{{"7ZZZZZZZZZZZZZZZZZZZZZZZZZ", strings.Repeat("t", 128), "ffffffffffffffff", strings.Repeat("ab", 1025)}}},
	}},
	{"seal.json", func(v *vector) {
		v.Digest = Seal(hex32(v.Secret), hex32(v.Space), unsigned(v.Seq), hex32(v.Chain)).String()
	}, func(v *vector) ([]byte, []byte) {
		return nil, plainKeyed(unhex(v.Secret), plain(unhex(v.Space), unsigned(v.Seq), unhex(v.Chain)))
	}, []vector{
		{Name: "one", Secret: strings.Repeat("77", 32), Space: strings.Repeat("11", 32), Seq: "1", Chain: strings.Repeat("44", 32)},
		{Name: "zero", Secret: strings.Repeat("00", 32), Space: strings.Repeat("00", 32), Seq: "0", Chain: strings.Repeat("00", 32)},
		{Name: "last", Secret: strings.Repeat("0f", 32), Space: strings.Repeat("ab", 32), Seq: "4294967295", Chain: strings.Repeat("cd", 32)},
	}},
	{"genesis_sig.json", func(v *vector) { v.Encoded = hex.EncodeToString(GenesisMessage(hex32(v.Space))) },
		func(v *vector) ([]byte, []byte) { return plain([]byte("skerry.genesis.1"), unhex(v.Space)), nil },
		[]vector{{Name: "message to sign", Space: "c1668bf41355f0071318f1a3b659e651dbff04a6bf25a268bcbce515a3fe0bb3"}}},
	{"proof.json", func(v *vector) {
		v.Encoded = hex.EncodeToString(ProofMessage(hex32(v.Nonce), hex32(v.Server), v.Host))
	}, func(v *vector) ([]byte, []byte) {
		return plain([]byte("skerry.proof.1"), unhex(v.Nonce), unhex(v.Server), v.Host), nil
	}, []vector{
		{Name: "message to sign", Nonce: strings.Repeat("88", 32), Server: strings.Repeat("99", 32), Host: "sync.example.org"},
		{Name: "host with a port", Nonce: strings.Repeat("88", 32), Server: strings.Repeat("99", 32), Host: "localhost:8080"},
		{Name: "host of 64 bytes", Nonce: strings.Repeat("88", 32), Server: strings.Repeat("99", 32), Host: strings.Repeat("h", 64)},
	}},
	{"ulid.json", func(v *vector) {
		if !v.Refused {
			id := mustULID(v.ULID)
			v.Encoded = hex.EncodeToString(id[:])
		}
	}, func(v *vector) ([]byte, []byte) {
		if v.Refused {
			return nil, nil
		}
		var b [17]byte // 130 bits of text, of which the first two are zero
		for i, c := range strings.ToUpper(v.ULID) {
			value := strings.IndexRune("0123456789ABCDEFGHJKMNPQRSTVWXYZ", c)
			for bit := range 5 {
				at := i*5 + bit + 6
				b[at/8] |= byte(value>>(4-bit)&1) << (7 - at%8)
			}
		}
		return b[1:], nil
	}, []vector{
		{Name: "example", ULID: "01ARZ3NDEKTSV4RRFFQ69G5FAV"}, {Name: "lower case is read", ULID: "01arz3ndektsv4rrffq69g5fav"},
		{Name: "first", ULID: "00000000000000000000000000"}, {Name: "last", ULID: "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"},
		{Name: "over 128 bits", ULID: "80000000000000000000000000", Refused: true}, {Name: "a letter outside the alphabet", ULID: "01ARZ3NDEKTSV4RRFFQ69G5FAU", Refused: true},
		{Name: "too short", ULID: "01ARZ3NDEKTSV4RRFFQ69G5FA", Refused: true},
	}},
}

func TestVectors(t *testing.T) {
	if *update {
		if err := os.MkdirAll(vectorDir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]bool{}
	for _, k := range kinds {
		want[k.file] = true
		for i := range k.cases {
			v := &k.cases[i]
			k.fill(v)
			encoded, sum := k.plain(v)
			if encoded != nil && hex.EncodeToString(encoded) != v.Encoded {
				t.Errorf("%s: %s: encoded %s, plainly %x", k.file, v.Name, v.Encoded, encoded)
			}
			if hex.EncodeToString(sum) != v.Digest {
				t.Errorf("%s: %s: digest %s, plainly %x", k.file, v.Name, v.Digest, sum)
			}
		}
		var out bytes.Buffer
		encoder := json.NewEncoder(&out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(k.cases); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(vectorDir, k.file)
		if *update {
			if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		frozen, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(frozen, out.Bytes()) {
			t.Errorf("%s: the code no longer makes what is frozen", path)
		}
		var read []vector
		if err := json.Unmarshal(frozen, &read); err != nil || len(read) == 0 || !reflect.DeepEqual(read, k.cases) {
			t.Errorf("%s: %d vectors, %v", path, len(read), err)
		}
	}
	files, err := os.ReadDir(vectorDir)
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors in %s: %v", vectorDir, err)
	}
	for _, file := range files {
		if !want[file.Name()] {
			t.Errorf("%s is read by no test", file.Name())
		}
	}
}

func TestRefusedVectors(t *testing.T) {
	for _, k := range kinds {
		for _, v := range k.cases {
			var err error
			switch {
			case !v.Refused:
				continue
			case v.ULID != "":
				_, err = ParseULID(v.ULID)
			default:
				_, _, err = Compact(unhex(v.Encoded))
			}
			if err == nil {
				t.Errorf("%s: %s was taken", k.file, v.Name)
			}
		}
	}
}

// The one digest that other implementations published.
func TestGenesisIDVector(t *testing.T) {
	g := Genesis{
		Stamp: mustULID("01ARZ3NDEKTSV4RRFFQ69G5FAV"), Creator: "did:plc:ewvi7nxzyoun6zhxrhs64oiz",
		Module: digest.Digest(unhex("262f081583741b6a0e06564e45b7ad4fc13d06d4189863a3fab5e860b83541c9")),
	}
	const want = "c1668bf41355f0071318f1a3b659e651dbff04a6bf25a268bcbce515a3fe0bb3"
	if got := g.ID().String(); got != want {
		t.Fatalf("ID = %s, want %s", got, want)
	}
}
