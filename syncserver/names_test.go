package syncserver_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/module/builtin"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/memlog"
)

func spacePath(id space.ID) string { return "/api/v1/spaces/" + id.String() }

// call is a request as somebody, "" for nobody, with the status, the code and the name that came of it.
func (r *rig) call(as, method, path, content string) (status int, code, name string) {
	request, err := http.NewRequest(method, "http://skerry.test"+path, strings.NewReader(content))
	if err != nil {
		r.t.Error(err)
		return
	}
	if as != "" {
		request.Header.Set("Authorization", "Bearer token of "+as)
	}
	response, err := r.client.Do(request)
	if err != nil {
		r.t.Error(err)
		return
	}
	defer response.Body.Close()
	var told struct{ ID, Name, Code string }
	if err := json.NewDecoder(response.Body).Decode(&told); err != nil {
		r.t.Errorf("%s %s: %v", method, path, err)
	}
	return response.StatusCode, told.Code, told.Name
}

// nameIt gives a space a name.
func (r *rig) nameIt(as string, id space.ID, name string) (status int, code string) {
	body, err := json.Marshal(map[string]string{"name": name})
	if err != nil {
		r.t.Fatal(err)
	}
	status, code, _ = r.call(as, http.MethodPut, spacePath(id)+"/name", string(body))
	return status, code
}

// called fails the test unless that is what a space is called, wherever it is told.
func (r *rig) called(as string, id space.ID, want string) {
	r.t.Helper()
	if want == "" {
		want = id.String()
	}
	if _, _, name := r.call(as, http.MethodGet, spacePath(id), ""); name != want {
		r.t.Errorf("the space is called %q, want %q", name, want)
	}
	var answer ranged
	if r.fetch(as, eventsPath(id), &answer); answer.Space.Name != want {
		r.t.Errorf("with its events it is called %q, want %q", answer.Space.Name, want)
	}
	for _, e := range answer.Events {
		if e.Space.Name != want || e.Space.ID != id.String() {
			r.t.Errorf("an event is of %+v", e.Space)
		}
	}
	status, _, name := r.call(as, http.MethodGet, "/api/v1/names/"+url.PathEscape(want), "")
	if want == id.String() && status != 404 || want != id.String() && (status != 200 || name != want) {
		r.t.Errorf("looking for %q: %d %q", want, status, name)
	}
}

// TestNames: names are the same after normalization and case folding, and each is one space's alone, until that has another or is deleted.
func TestNames(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		var log syncserver.Log
		var r *rig
		begin := func() {
			if r != nil {
				r.stop()
			}
			log = open()
			r = start(t, log, tokens, runsModules(t, log, nil))
		}
		begin()
		ann := r.dial("ann")
		first, second := ann.create(), ann.create()
		ann.append(first, ann.transaction(2))
		r.called("ann", first, "")
		for _, test := range []struct {
			name, other string
			same        bool
		}{
			{"caf\u00e9", "cafe\u0301", true},                  // composed and not
			{"CAF\u00c9", "cafe\u0301", true},                  // and folded
			{"Stra\u00dfe", "STRASSE", true},                   // one letter is two
			{"Stra\u00dfe", "stra\u1e9ee", true},               // and a capital of it
			{"\u03a3\u0391\u03a3", "\u03c3\u03b1\u03c2", true}, // a sigma at the end
			{"INDIGO", "indigo", true},
			{"indigo", "\u0131ndigo", false},                    // without its dot it is another letter
			{"\u0130ndigo", "i\u0307ndigo", true},               // with a dot more it is what that says
			{"\u0130ndigo", "indigo", false},                    // and no other
			{"\u1e69", "\u0073\u0307\u0323", true},              // two marks in another order
			{"\ufb01x", "FIX", true},                            // a ligature
			{"\u212bngstr\u00f6m", "\u00e5ngstro\u0308m", true}, // the unit is the letter
			{"a\u200db", "ab", true},                            // what joins is not seen
			{"general", "general2", false},
			{"a/b", "a", false},
			{"a", "\u0430", false}, // Cyrillic
		} {
			r.call("ann", http.MethodDelete, spacePath(second)+"/name", "")
			if status, code := r.nameIt("ann", first, test.name); status != 200 {
				t.Fatalf("%q: %d %s", test.name, status, code)
			}
			status, code := r.nameIt("ann", second, test.other)
			if want := map[bool]int{true: 409, false: 200}[test.same]; status != want || test.same != (code == "name_taken") {
				t.Errorf("%+q beside %+q: %d %s, want %d", test.other, test.name, status, code, want)
			}
			r.called("ann", first, normal(test.name))
		}
		if status, code := r.nameIt("ann", first, "Harbour"); status != 200 {
			t.Fatal(status, code)
		}
		r.nameIt("ann", second, "Lighthouse")
		if status, _ := r.nameIt("ann", first, "HARBOUR"); status != 200 {
			t.Errorf("the same, written otherwise: %d", status)
		}
		r.called("ann", first, "HARBOUR")
		if status, _ := r.nameIt("ann", second, "harbour"); status != 409 {
			t.Errorf("taken: %d", status)
		}
		r.called("ann", second, "Lighthouse")
		begin()
		ann = r.dial("ann")
		r.called("ann", first, "HARBOUR")
		if status, _ := r.nameIt("ann", first, "Quay"); status != 200 {
			t.Errorf("another name: %d", status)
		}
		if status, _ := r.nameIt("ann", second, "harbour"); status != 200 {
			t.Errorf("a name that was given up: %d", status)
		}
		if status, _, name := r.call("ann", http.MethodDelete, spacePath(second)+"/name", ""); status != 200 || name != second.String() {
			t.Errorf("no name any more: %d %s", status, name)
		}
		r.called("ann", second, "")
		r.nameIt("ann", second, "harbour")
		if v := ann.verdict(second, deletes("ann")); v.Kind != wire.Accepted {
			t.Fatalf("%+v", v)
		}
		for i := 0; ; i++ { // freed beside
			if status, code := r.nameIt("ann", first, "harbour"); status == 200 {
				break
			} else if code != "name_taken" || i > 10_000 {
				t.Fatalf("the name of a space that was deleted: %d %s", status, code)
			}
		}
		r.called("ann", first, "harbour")
		if status, code := r.nameIt("ann", second, "gone"); status != 410 {
			t.Errorf("naming what was deleted: %d %s", status, code)
		}
	})
}

// normal is a name as it is shown: composed.
func normal(name string) string {
	return strings.NewReplacer("e\u0301", "\u00e9", "i\u0307", "i\u0307", "\u212b", "\u00c5", "o\u0308", "\u00f6", "\u0073\u0307\u0323", "\u1e69").Replace(name)
}

// TestNamesThatAreNone: what is no name is refused, and the longest is one.
func TestNamesThatAreNone(t *testing.T) {
	r := start(t, memlog.New(), tokens)
	id := r.dial("ann").create()
	for name, want := range map[string]int{
		strings.Repeat("x", 128):          200,
		strings.Repeat("x", 129):          413,
		strings.Repeat("e\u0301", 64):     200, // 128 bytes when they are composed
		strings.Repeat("e\u0301", 65):     413,
		strings.Repeat("x", 5000):         413,
		"":                                400,
		" ":                               400,
		" x":                              400,
		"x\u00a0":                         400,
		"x y":                             200,
		"x\ny":                            400,
		"x\x00":                           400,
		"x\u202ey":                        400, // written backwards
		"x\u200by":                        400,
		"\u200d":                          400,
		"\u0645\u06cc\u200c\u062e\u0648":  200,
		"\U0001f469\u200d\U0001f680 crew": 200,
		"x\ufffdy":                        400,
		id.String():                       400,
		strings.ToUpper(id.String()):      400,
		"..":                              400,
		"...":                             200,
		"a/../b?c#d":                      200,
	} {
		if status, code := r.nameIt("ann", id, name); status != want {
			t.Errorf("%+q: %d %s, want %d", name, status, code, want)
		}
		if want == 200 {
			r.called("ann", id, normal(name))
		}
	}
	for _, content := range []string{"", "x", `{"name": 1}`, `[]`} {
		if status, code, _ := r.call("ann", http.MethodPut, spacePath(id)+"/name", content); status != 400 || code != "bad_argument" {
			t.Errorf("%s: %d %s", content, status, code)
		}
	}
}

// TestWhoMayName: who may delete a space names it, and whoever may not even read it learns no more of a name than that it is taken.
func TestWhoMayName(t *testing.T) {
	log := memlog.New()
	r := start(t, log, tokens, runsModules(t, log, nil))
	ann, eve := r.dial("ann"), r.dial("eve")
	members, _ := builtin.ByName("members")
	upload(t, log, builtin.Bytes(members))
	private := ann.createOf(members)
	for who, role := range map[string]string{"bob": "writer", "cy": "admin"} {
		ann.wrote(private, "grant", "identity", who, "role", role)
	}
	public, own := ann.create(), eve.create()
	for _, test := range []struct {
		as     string
		id     space.ID
		status int
		code   string
	}{
		{"", public, 401, "auth_required"}, {"eve", public, 403, "forbidden"}, {"ann", public, 200, ""},
		{"", private, 401, "auth_required"}, {"eve", private, 403, "forbidden"}, {"bob", private, 403, "forbidden"}, {"ann", private, 200, ""},
		{"ann", digest.Of([]byte("no space")), 404, "unknown_space"},
	} {
		for method, content := range map[string]string{http.MethodPut: `{"name": "of ` + test.id.String()[:8] + `"}`, http.MethodDelete: ""} {
			if status, code, _ := r.call(test.as, method, spacePath(test.id)+"/name", content); status != test.status || code != test.code {
				t.Errorf("%s %s by %q: %d %s, want %d %s", method, test.id, test.as, status, code, test.status, test.code)
			}
		}
	}
	if system, on := r.server.System(); on {
		if status, _ := r.nameIt("ann", system, "system"); status != 403 {
			t.Errorf("the system space: %d", status)
		}
	}
	if status, _ := r.nameIt("ann", private, "Harbour"); status != 200 {
		t.Fatal(status)
	}
	if status, code := r.nameIt("eve", own, "harbour"); status != 409 || code != "name_taken" {
		t.Errorf("a name that is taken: %d %s", status, code)
	}
	r.called("bob", private, "Harbour")
	for _, as := range []string{"", "eve"} {
		var told [2][]byte
		for i, name := range []string{"harbour", "lighthouse"} { // one is there, the other is not
			response := r.open(as, "/api/v1/names/"+name)
			told[i] = fmt.Appendf(nil, "%d %s", response.StatusCode, body(t, response))
		}
		if !bytes.Equal(told[0], told[1]) {
			t.Errorf("%q is told of a name %s, and of none %s", as, told[0], told[1])
		}
	}
}

// TestNamesAtOnce: of many who want one name at once one gets it, and the others keep what they have.
func TestNamesAtOnce(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		r := start(t, open(), tokens)
		ann := r.dial("ann")
		var ids []space.ID
		for i := range 8 {
			ids = append(ids, ann.create())
			if i%2 == 0 {
				r.nameIt("ann", ids[i], fmt.Sprintf("before %d", i))
			}
		}
		for round := range 10 {
			var group sync.WaitGroup
			got := make([]int, len(ids))
			for i, id := range ids {
				group.Go(func() { got[i], _ = r.nameIt("ann", id, fmt.Sprintf("wanted %d", round)) })
			}
			group.Wait()
			winners := 0
			for i, status := range got {
				_, _, name := r.call("ann", http.MethodGet, spacePath(ids[i]), "")
				switch has := name == fmt.Sprintf("wanted %d", round); {
				case status == 200 && has:
					winners++
				case status != 409 || has:
					t.Errorf("round %d: %d was told %d and is called %q", round, i, status, name)
				}
			}
			if winners != 1 {
				t.Errorf("round %d: %d have the name", round, winners)
			}
		}
	})
}

// TestNameBetween: of two that want a name, each between the steps of the other, one gets it, and the other keeps what it had.
func TestNameBetween(t *testing.T) {
	log := &hooked{Log: memlog.New()}
	r := start(t, log, tokens)
	ann := r.dial("ann")
	a, b := ann.create(), ann.create()
	for _, test := range []struct {
		name      string
		readByB   bool // b looks while a has only claimed, and goes on when a has done
		winsA     bool
		hadBefore string
	}{{"harbour", true, true, ""}, {"quay", false, false, "harbour"}} {
		claimed, goes := make(chan struct{}), make(chan struct{})
		var once sync.Once
		log.keys(func(key string) error {
			if key == "named/"+a.String() {
				once.Do(func() { close(claimed); <-goes })
			}
			return nil
		})
		var group sync.WaitGroup
		var gotA, gotB int
		var doneA atomic.Bool
		group.Go(func() {
			gotA, _ = r.nameIt("ann", a, test.name)
			doneA.Store(true)
		})
		<-claimed
		if test.readByB {
			looked, goesB := make(chan struct{}), make(chan struct{})
			var onceB sync.Once
			log.key(func(key string) {
				if key == "named/"+a.String() {
					onceB.Do(func() { close(looked); <-goesB })
				}
			})
			group.Go(func() { gotB, _ = r.nameIt("ann", b, test.name) })
			<-looked
			log.key(nil)
			first, _ := log.Key(t.Context(), "name/"+test.name)
			close(goes)
			for now := first; bytes.Equal(now, first) && !doneA.Load(); { // a has it for good when its claim is another value
				now, _ = log.Key(t.Context(), "name/"+test.name)
			}
			close(goesB)
		} else {
			gotB, _ = r.nameIt("ann", b, test.name)
			close(goes)
		}
		group.Wait()
		log.keys(nil)
		want := map[bool]int{true: 200, false: 409}
		if gotA != want[test.winsA] || gotB != want[!test.winsA] {
			t.Errorf("%s: %d and %d", test.name, gotA, gotB)
		}
		_, _, nameA := r.call("ann", http.MethodGet, spacePath(a), "")
		_, _, nameB := r.call("ann", http.MethodGet, spacePath(b), "")
		if test.winsA && (nameA != test.name || nameB != b.String()) || !test.winsA && (nameA != test.hadBefore || nameB != test.name) {
			t.Errorf("%s: they are called %q and %q", test.name, nameA, nameB)
		}
	}
}

// TestNameTornByACrash kills the server at every step of renaming a space. Afterwards the space goes by the one name or the other, that
// one is nobody else's, and what the crash left of the other is in nobody's way.
func TestNameTornByACrash(t *testing.T) {
	crashed := errors.New("the server was killed")
	for steps := 0; ; steps++ {
		log := &hooked{Log: memlog.New()}
		r := start(t, log, tokens)
		ann := r.dial("ann")
		a, b := ann.create(), ann.create()
		if status, code := r.nameIt("ann", a, "harbour"); status != 200 {
			t.Fatal(status, code)
		}
		done := 0
		log.keys(func(key string) error {
			if !strings.HasPrefix(key, "name") {
				return nil
			}
			if done == steps {
				return crashed
			}
			done++
			return nil
		})
		status, _ := r.nameIt("ann", a, "quay")
		r.stop()
		log.keys(nil)
		r = start(t, log, tokens)
		_, _, name := r.call("ann", http.MethodGet, spacePath(a), "")
		other := map[string]string{"harbour": "quay", "quay": "harbour"}[name]
		if other == "" || status == 200 && name != "quay" {
			t.Fatalf("after %d steps the space is called %q", steps, name)
		}
		r.called("ann", a, name)
		if status, code := r.nameIt("ann", b, name); status != 409 {
			t.Errorf("after %d steps another takes the name %q: %d %s", steps, name, status, code)
		}
		if status, code := r.nameIt("ann", b, other); status != 200 {
			t.Errorf("after %d steps nobody gets the name %q: %d %s", steps, other, status, code)
		}
		r.called("ann", b, other)
		if status == 200 {
			if steps < 3 {
				t.Errorf("renaming took %d steps", steps)
			}
			return
		}
	}
}
