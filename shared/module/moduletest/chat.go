package moduletest

import (
	_ "embed"
	"strings"

	"skerry/shared/module/program"
	"skerry/shared/tables"
)

//go:embed guests/chat.wasm
var chatBytes []byte

// Chat returns the bytes of a small chat. Its events are message{room, text}, edit{seq, text}, remove{seq}, join{name, age} and
// stats{room}; who joined may write, and authors change what is theirs.
func Chat() []byte { return ChatManifest().AppendSection(chatBytes) }

// ChatWithoutManifest returns what is Chat's but for its manifest, which no server takes.
func ChatWithoutManifest() []byte { return chatBytes }

// ChatManifest returns what Chat says of itself.
func ChatManifest() *program.Manifest {
	return &program.Manifest{
		Name: "chat", Version: "1.0.0", ABI: program.ABI, IO: program.DefaultIO,
		Events: []program.EventType{
			{Name: "message", Fields: []program.Field{{Name: "room", Kind: tables.Text}, {Name: "text", Kind: tables.Text}}},
			{Name: "edit", Fields: []program.Field{{Name: "seq", Kind: tables.U64}, {Name: "text", Kind: tables.Text}}},
			{Name: "remove", Fields: []program.Field{{Name: "seq", Kind: tables.U64}}},
			{Name: "join", Fields: []program.Field{{Name: "name", Kind: tables.Text}, {Name: "age", Kind: tables.I64, Optional: true}}},
			{Name: "stats", Fields: []program.Field{{Name: "room", Kind: tables.Text}}},
		},
		Tables: []tables.Schema{
			{
				Name: "messages",
				Columns: []tables.Column{{Name: "seq", Kind: tables.U64}, {Name: "author", Kind: tables.Text},
					{Name: "room", Kind: tables.Text}, {Name: "text", Kind: tables.Text}},
				Key:     []int{0},
				Indexes: []tables.Index{{Name: "by_room", Columns: []int{2}}, {Name: "by_author", Columns: []int{1, 2}}},
			},
			{
				Name: "users",
				Columns: []tables.Column{{Name: "author", Kind: tables.Text}, {Name: "name", Kind: tables.Text},
					{Name: "age", Kind: tables.I64, Optional: true}},
				Key:     []int{0},
				Indexes: []tables.Index{{Name: "by_name", Columns: []int{1}, Unique: true}, {Name: "by_age", Columns: []int{2}}},
			},
			{
				Name:    "rooms",
				Columns: []tables.Column{{Name: "room", Kind: tables.Text}, {Name: "count", Kind: tables.U64}, {Name: "last", Kind: tables.U64}},
				Key:     []int{0},
			},
		},
		Readable: []string{"users"}, Audience: "users", Upgrade: program.Carry,
	}
}

// ChatMessage returns the payload of a message.
func ChatMessage(room, text string) []byte { return payload("room", room, "text", text) }

// ChatJoin returns the payload of a join.
func ChatJoin(name string) []byte { return payload("name", name) }

// ChatRemove returns the payload that removes the message of a record.
func ChatRemove(seq int) []byte { return payload("seq", seq) }

func message(room, text string) event { return event{"message", ChatMessage(room, text)} }
func edit(seq int, text string) event { return event{"edit", payload("seq", seq, "text", text)} }
func remove(seq int) event            { return event{"remove", ChatRemove(seq)} }
func join(name string, age any) event { return event{"join", payload("name", name, "age", age)} }
func stats(room string) event         { return event{"stats", payload("room", room)} }

// chatCases are those of a module that does what Chat does.
func chatCases(chat []byte) []testCase {
	return []testCase{
		{"an afternoon", func(s *session) {
			space := s.space(chat, nil)
			space.push("creator", message("tea", "is anybody there?"))
			space.push("anne", message("tea", "yes")) // has not joined
			space.push("anne", join("Anne", 41))
			space.push("anne", message("tea", "yes"), message("cake", "and here"), message("tea", strings.Repeat("long ", 100)))
			space.push("bob", join("Anne", -3)) // the name is taken
			space.push("bob", join("Bob", -3))
			space.push("bob", join("Robert", nil)) // another name for the same
			space.push("bob", message("tea", "\u00fcml\u00e4ut and \U0001f375"))
			space.push("bob", edit(3, "no")) // somebody else's
			space.push("anne", edit(3, "yes, I am"))
			space.push("anne", edit(99, "no"))
			space.push("bob", stats("tea"))
			space.push("bob", stats("nowhere"))
			space.push("anne", remove(3))
			space.push("anne", remove(3))
			space.push("anne", message("tea", "")) // refused by what authorize gives
			space.push("bob", stats("tea"))
			for _, identity := range []string{"creator", "anne", "nobody", ""} {
				space.mayRead(identity)
			}
			space.again(func(m program.Machines) program.Machines { return m })
			space.again(func(m program.Machines) program.Machines { return fresh{m} })
		}},
		{"a refusal in the middle drops all", func(s *session) {
			space := s.space(chat, nil)
			space.push("creator", message("a", "1"), message("a", "2"), edit(9, "3"), message("a", "4"))
			space.push("creator", message("a", "1"), edit(1, "2"), remove(1), message("a", "4"))
			space.push("creator", message("a", "1"), event{"message", payload("room", "a")})
			space.push("creator", message("a", "1"), event{"else", nil})
			space.push("creator", stats("a"))
			space.again(func(m program.Machines) program.Machines { return fresh{m} })
		}},
		{"proposals", func(s *session) {
			space := s.space(chat, nil)
			space.judge("creator", message("a", "1"))
			space.judge("creator", edit(1, "2"))
			space.judge("anne", join("Anne", nil))
			space.instance.Commit(1)
			s.tell("committed %d: tables %s", space.instance.Applied(), space.digest(space.instance.Committed()))
			space.instance.Rollback()
			space.log = space.log[:1]
			s.tell("rolled back: tables %s", space.digest(space.instance.Tables()))
			space.push("anne", message("a", "not joined any more"))
			space.push("creator", edit(1, "3"))
			space.again(func(m program.Machines) program.Machines { return m })
		}},
		{"payloads", func(s *session) { payloadCase(s, chat) }},
	}
}

// payloadCase is what the host finds wrong with payloads before any module sees them.
func payloadCase(s *session, chat []byte) {
	space := s.space(chat, nil)
	deep := func(n int) raw { // an array in an array, n of them
		return append(raw(strings.Repeat("\x91", n)), 0xc0)
	}
	for _, bytes := range [][]byte{
		nil,
		payload("room", "a", "text", "b"),
		payload("text", "b", "room", "a"),
		payload("room", "a", "text", "b", "other", 5, 7, 8, "more", raw{0x92, 1, 2}),
		payload("room", "a", "text", "b", "text", "c"),
		payload("room", "a", "text", "b", raw("\xd9\x04text"), "c"), // the same name in a longer form
		payload("room", "a", "text", "b", "in", raw(payload("x", 1, "x", 2))),
		payload("room", "a", "text", "b", 7, 1, raw{0xcc, 7}, 2), // other bytes, so another key
		payload("room", "a"),
		payload("room", "a", "text", nil),
		payload("room", "a", "text", 5),
		payload("room", "a", "text", []byte("b")),
		payload("room", "a", "text", true),
		payload("room", "a", "text", raw("\xa2\xc3\x28")),
		payload("room", "a", "text", "b", "x", raw("\xa1\xff")),
		append(payload("room", "a", "text", "b"), 0xc0),
		payload("room", "a", "text", "b")[:8],
		payload("room", "a", "text", "b", "x", deep(14)),
		payload("room", "a", "text", "b", "x", deep(15)),
		payload("room", "a", "text", "b", "x", raw{0xc1}),
		{0x93, 1, 2, 3},
		{0xc0},
		payload("room", "a", "text", strings.Repeat("x", 65_000)),
		payload("room", "a", "text", strings.Repeat("x", 66_000)),
		payload("room", strings.Repeat("r", 493), "text", "b"), // its key by author is of 7, 2, 493, 2 and 8 bytes
		payload("room", strings.Repeat("r", 494), "text", "b"),
	} {
		space.push("creator", event{"message", bytes})
	}
	for _, seq := range []any{uint64(1<<64 - 1), -1, 1.0, 1.5, "1"} {
		space.push("creator", event{"remove", payload("seq", seq)})
	}
	for _, age := range []any{1<<63 - 1, -1 << 63, uint64(1 << 63), 3.0, nil, false} {
		space.push("creator", join("me", age))
	}
	space.again(func(m program.Machines) program.Machines { return m })
}
