// Command odd is a module that does what a program may do and a module should not, as it is told.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"skerry/shared/module/guest"
)

type act struct{ What string }

// every has a field of each kind.
type every struct {
	Flag     bool
	Signed   int64
	Unsigned uint64
	Float    float64
	Text     string
	Bytes    []byte
	NoFlag   *bool
	NoSigned *int64
	NoNumber *uint64
	NoFloat  *float64
	NoText   *string
	NoBytes  []byte `skerry:"no_bytes,optional" doc:"nil is absent"`
}

type said struct{ Key, Value string }

type begun struct{ Word string }

var (
	all = &guest.Table[every]{
		Name: "all", Key: []string{"text"},
		Indexes: []guest.Index{
			{Name: "numbers", Columns: []string{"signed", "unsigned", "float", "flag"}}, {Name: "none", Columns: []string{"no_signed", "no_text"}},
			{Name: "bytes", Columns: []string{"bytes", "no_bytes"}},
		},
	}
	notes = &guest.Table[said]{Name: "notes", Key: []string{"key"}}
)

func init() {
	println("starting")
	guest.Register(guest.Module{
		Name: "odd", Version: "1.2.3", Doc: "Does what it is told.",
		Events: []guest.AnyEventType{
			guest.EventType[act]{Name: "ask", Doc: "In authorize.", Authorize: do},
			guest.EventType[act]{Name: "act", Authorize: guest.Anyone[act], Apply: do},
			guest.EventType[every]{Name: "every", Authorize: guest.Anyone[every], Apply: func(_ *guest.Event, e every) { all.Put(e) }},
		},
		Others: &guest.OtherTypes{
			Authorize: func(e *guest.Event, _ guest.Undeclared) {
				if e.Author == "stranger" {
					guest.Fail(0, "not you")
				}
			},
			Apply: func(e *guest.Event, p guest.Undeclared) {
				note(e.Type, fmt.Sprintf("%x %x", p.Schema, p.Payload))
			},
		},
		Init: guest.Init[begun](func(s *guest.Space, p begun) {
			if p.Word == "" {
				guest.Fail(9, "no word")
			}
			note("word", p.Word+" of "+s.Creator)
		}),
		Tables:     []guest.AnyTable{all, notes},
		Readable:   func(identity string) bool { return identity != "stranger" },
		ReadableBy: []string{"notes"},
		Upgrade:    guest.Carry,
		Migrate: guest.Migrate[begun](func(m *guest.Migration, p begun) {
			if m.Table != "messages" {
				note(m.Table+" "+m.Version, p.Word)
				return
			}
			for _, row := range m.Rows {
				r := guest.ReadRow[struct {
					Seq                uint64
					Author, Room, Text string
				}](row)
				note(fmt.Sprint(r.Seq), r.Author+": "+r.Text)
			}
		}),
	})
}

func note(key, value string) { notes.Put(said{key, value}) }

var kept int // is never more than 1

func do(e *guest.Event, a act) {
	f := acts[a.What]
	if f == nil {
		guest.Fail(1, "what is "+a.What+"?")
	}
	f(e)
}

// acts are functions of their own: a branch costs the fuel of the function that it is in.
var acts = map[string]func(e *guest.Event){
	"panic": func(e *guest.Event) {
		panic("at the disco")
	},
	"error": func(e *guest.Event) {
		panic(errors.New("of a kind"))
	},
	"nil": func(e *guest.Event) {
		var p *said
		note(p.Key, "")
	},
	"index": func(e *guest.Event) {
		note(string("abc"[len(e.Author)-2]), "")
	},
	"exit": func(e *guest.Event) {
		os.Exit(0)
	},
	"deadlock": func(e *guest.Event) {
		<-make(chan int)
	},
	"forever": func(e *guest.Event) {
		for {
			kept++
		}
	},
	"deep": func(e *guest.Event) {
		note("deep", fmt.Sprint(deep(1)))
	},
	"deep enough": func(e *guest.Event) {
		note("deep", fmt.Sprint(deep(-100)))
	},
	"large": func(e *guest.Event) {
		note("large", fmt.Sprint(len(make([]byte, 32<<20))))
	},
	"large enough": func(e *guest.Event) {
		note("large", fmt.Sprint(len(make([]byte, 8<<20))))
	},
	"file": func(e *guest.Event) {
		os.ReadFile("/etc/passwd")
	},
	"input": func(e *guest.Event) {
		os.Stdin.Read(make([]byte, 1))
	},
	"write": func(e *guest.Event) {
		note("written", e.Type)
	},
	"fail": func(e *guest.Event) {
		guest.Fail(7, strings.Repeat("no ", 1000))
	},
	"code": func(e *guest.Event) {
		guest.Fail(1<<16, "")
	},
	"key": func(e *guest.Event) {
		notes.Get(5)
	},
	"keys": func(e *guest.Event) {
		notes.Get("a", "b")
	},
	"unregistered": func(e *guest.Event) {
		new(guest.Table[said]).Get("a")
	},
	"no index": func(e *guest.Event) {
		for range notes.Scan("by_color") {
		}
	},
	"scans": func(e *guest.Event) {
		nested(9)
	},
	"recover": func(e *guest.Event) {
		func() {
			defer func() { note("recovered", fmt.Sprint(recover())) }()
			panic("once")
		}()
	},
	"print": func(e *guest.Event) {
		fmt.Println("one\n\ntwo", 3)
		fmt.Fprint(os.Stderr, "not ended")
		println(" so far")
		guest.Log("four")
		fmt.Print(strings.Repeat("five ", 300), "\nsix")
	},
	"goroutines": func(e *guest.Event) {
		sum := make(chan int)
		for i := range 10 {
			go func() { sum <- i }()
		}
		n := 0
		for range 10 {
			n += <-sum
		}
		note("goroutines", fmt.Sprint(n))
	},
	"maps": func(e *guest.Event) {
		m := map[int]bool{}
		for i := range 100 {
			m[i] = true
		}
		order := make([]byte, 0, 1000)
		for i := range m {
			order = append(strconv.AppendInt(order, int64(i), 10), ' ')
		}
		note("order", string(order))
	},
	"random": func(e *guest.Event) {
		note("random", fmt.Sprint(rand.Uint64(), rand.IntN(100)))
	},
	"sleep": func(e *guest.Event) {
		time.Sleep(time.Second)
		note("slept", fmt.Sprint(time.Now().UTC().Round(time.Second)))
	},
	"surroundings": func(e *guest.Event) {
		note("surroundings", fmt.Sprint(len(os.Args), len(os.Environ()), os.Getenv("HOME")))
	},
	"kept": func(e *guest.Event) {
		kept++
		note("kept", fmt.Sprint(kept))
	},
	"collect": func(e *guest.Event) { runtime.GC() },
	"garbage": func(e *guest.Event) {
		n := 0
		for i := range 24 {
			b := bytes.Repeat([]byte{byte(i)}, 256<<10)
			n += len(b)
		}
		note("garbage", fmt.Sprint(n))
	},
	"hash": func(e *guest.Event) {
		note("hash", fmt.Sprintf("%x", guest.BLAKE3([]byte("abc"))))
	},
	"rows":   func(e *guest.Event) { rows() },
	"all":    func(e *guest.Event) { scans("all") },
	"back":   func(e *guest.Event) { scans("back") },
	"int":    func(e *guest.Event) { scans("int") },
	"zero":   func(e *guest.Event) { scans("zero") },
	"absent": func(e *guest.Event) { scans("absent") },
	"there":  func(e *guest.Event) { scans("there") },
	"bytes":  func(e *guest.Event) { scans("bytes") },
	"delete": func(e *guest.Event) { note("deleted", fmt.Sprint(all.Delete("empty"), all.Delete("empty"))) },
	"event": func(e *guest.Event) {
		note("event", fmt.Sprint(*e))
	},
	"fill": func(e *guest.Event) {
		for i := range 4 {
			note(fmt.Sprintf("row %02d", i), strings.Repeat(string(rune('a'+i)), 40_000))
		}
	},
	"read": func(e *guest.Event) {
		sum := ""
		for row := range notes.Backward("") {
			if strings.HasPrefix(row.Key, "row") {
				sum += row.Value[:1] + row.Value[39_999:]
			}
		}
		note("read", sum)
	},
}

func deep(n int) int {
	if n == 0 {
		return 0
	}
	return deep(n+1) + 1
}

// nested has so many scans open within each other.
func nested(n int) {
	for range notes.Scan("") {
		if n > 1 {
			nested(n - 1)
		}
		return
	}
}

// rows writes a row that has all and one that has nothing.
func rows() {
	flag, signed, unsigned, float, text := true, int64(-5), uint64(math.MaxUint64), math.Inf(-1), "x"
	all.Put(every{flag, signed, unsigned, float, "full", []byte{0, 1}, &flag, &signed, &unsigned, &float, &text, []byte{}})
	all.Put(every{Text: "empty"})
	got, ok := all.Get("full")
	show(fmt.Sprint("get ", ok), got)
	got, ok = all.Get("nothing")
	show(fmt.Sprint("get ", ok), got)
}

func show(name string, e every) {
	optional := "none"
	if e.NoText != nil {
		optional = fmt.Sprint(*e.NoFlag, *e.NoSigned, *e.NoNumber, *e.NoFloat, *e.NoText, e.NoBytes != nil)
	}
	note(name, fmt.Sprint(e.Flag, e.Signed, e.Unsigned, e.Float, e.Text, e.Bytes, optional))
}

// scans are all that there are of the rows.
func scans(name string) {
	for e := range map[string]func(func(every) bool){
		"all": all.Scan(""), "back": all.Backward(""), "int": all.Scan("numbers", -5, uint64(math.MaxUint64), math.Inf(-1), true),
		"zero": all.Scan("numbers", int64(0), 0), "absent": all.Scan("none", nil), "there": all.Scan("none", -5, "x"),
		"bytes": all.Scan("bytes", []byte{0, 1}, []byte{}),
	}[name] {
		note(name, notesOf(name)+e.Text+" ")
	}
}

func notesOf(key string) string {
	n, _ := notes.Get(key)
	return n.Value
}

func main() {}
