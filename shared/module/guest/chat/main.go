// Command chat is a module: a small chat, as an example of what one looks like in Go. Who joined may write, authors
// change what is theirs, and who joined may read.
//
//	skerry module build ./shared/module/guest/chat -o chat.wasm
//
// Stable: nothing; it is there to be read, and does what the tests' module of the same name does that is written by hand.
package main

import "skerry/shared/module/guest"

// What the tables have.
type (
	Message struct {
		Seq                uint64
		Author, Room, Text string
	}
	User struct {
		Author, Name string
		Age          *int64
	}
	Room struct {
		Room        string
		Count, Last uint64
	}
)

var (
	messages = &guest.Table[Message]{
		Name: "messages", Key: []string{"seq"},
		Indexes: []guest.Index{{Name: "by_room", Columns: []string{"room"}}, {Name: "by_author", Columns: []string{"author", "room"}}},
	}
	users = &guest.Table[User]{
		Name: "users", Key: []string{"author"},
		Indexes: []guest.Index{{Name: "by_name", Columns: []string{"name"}, Unique: true}, {Name: "by_age", Columns: []string{"age"}}},
	}
	rooms = &guest.Table[Room]{Name: "rooms", Key: []string{"room"}}
)

// The payloads of events.
type (
	post struct{ Room, Text string }
	edit struct {
		Seq  uint64
		Text string
	}
	remove struct{ Seq uint64 }
	join   struct {
		Name string
		Age  *int64
	}
	stats struct{ Room string }
)

func init() {
	guest.Register(guest.Module{
		Name: "chat", Version: "1.0.0",
		Events: []guest.AnyEventType{
			guest.EventType[post]{
				Name: "message",
				Authorize: func(e *guest.Event, p post) {
					mustHaveJoined(e)
					if p.Text == "" {
						guest.Fail(2, "")
					}
				},
				Apply: func(e *guest.Event, p post) { messages.Put(Message{e.Seq, e.Author, p.Room, p.Text}) },
			},
			guest.EventType[edit]{
				Name:      "edit",
				Authorize: func(e *guest.Event, p edit) { mustOwn(e, p.Seq) },
				Apply: func(e *guest.Event, p edit) {
					m, _ := messages.Get(p.Seq)
					m.Text = p.Text
					messages.Put(m)
				},
			},
			guest.EventType[remove]{
				Name:      "remove",
				Authorize: func(e *guest.Event, p remove) { mustOwn(e, p.Seq) },
				Apply:     func(e *guest.Event, p remove) { messages.Delete(p.Seq) },
			},
			guest.EventType[join]{
				Name: "join",
				Authorize: func(e *guest.Event, p join) {
					if p.Name == "" {
						guest.Fail(1, "")
					}
				},
				Apply: func(e *guest.Event, p join) { users.Put(User{e.Author, p.Name, p.Age}) },
			},
			guest.EventType[stats]{
				Name:      "stats",
				Authorize: func(e *guest.Event, _ stats) { mustHaveJoined(e) },
				Apply:     count,
			},
		},
		Tables: []guest.AnyTable{messages, users, rooms},
		Init:   guest.Init[[]byte](func(s *guest.Space, _ []byte) { users.Put(User{Author: s.Creator, Name: s.Creator}) }),
		Readable: func(identity string) bool {
			_, joined := users.Get(identity)
			return joined
		},
		ReadableBy: []string{"users"}, Audience: "users", Upgrade: guest.Carry,
	})
}

func mustHaveJoined(e *guest.Event) {
	if _, joined := users.Get(e.Author); !joined {
		guest.Fail(1, "join first")
	}
}

func mustOwn(e *guest.Event, seq uint64) {
	mustHaveJoined(e)
	m, found := messages.Get(seq)
	if !found {
		guest.Fail(4, "no such message")
	}
	if m.Author != e.Author {
		guest.Fail(3, "not yours")
	}
}

// count notes how many messages a room has, and the last.
func count(_ *guest.Event, p stats) {
	room := Room{Room: p.Room}
	for m := range messages.Scan("by_room", p.Room) {
		room.Count, room.Last = room.Count+1, m.Seq
	}
	rooms.Put(room)
	guest.Log(p.Room)
}

func main() {} // is not called
