package syncserver_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/module/builtin"
	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
	"skerry/shared/msgpack"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/memlog"
)

type toldUse struct {
	Module, Name, Version string
	Seq, Since            uint64
}

type toldModule struct {
	toldUse
	Code    string
	History []toldUse
	Earlier int
}

// publish takes a space over to a module, in place of another unless that is zero, and returns what was answered.
func (r *rig) publish(as string, id space.ID, from, to digest.Digest, more ...string) (status int, told toldModule) {
	body := `{"module":"` + to.String() + `"`
	if !from.IsZero() {
		body += `,"replaces":"` + from.String() + `"`
	}
	return r.moduleOf(as, http.MethodPut, id, body+strings.Join(more, "")+"}")
}

func (r *rig) moduleOf(as, method string, id space.ID, body string) (status int, told toldModule) {
	request, err := http.NewRequest(method, "http://skerry.test"+spacePath(id)+"/module", strings.NewReader(body))
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
	if err := json.NewDecoder(response.Body).Decode(&told); err != nil {
		r.t.Error(err)
	}
	return response.StatusCode, told
}

// TestPublish: of many who saw the same module and each upgrade from that, one succeeds and the others are told that it is stale, with
// nothing written; what a space runs and ran is told alike before and after a restart.
func TestPublish(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		log := open()
		r := start(t, log, tokens, runsModules(t, log, nil))
		alice := r.dial("alice")
		first := upload(t, log, moduletest.Members(nil))
		id := alice.createOf(first)
		const publishers = 8
		var next []digest.Digest
		for n := range publishers {
			next = append(next, upload(t, log, membersAs(fmt.Sprintf("1.%d.0", n+1), nil)))
		}
		if _, told := r.moduleOf("alice", http.MethodGet, id, ""); told.Module != first.String() || told.Name != "members" || told.Version != "1.0.0" || told.Seq != 0 || len(told.History) != 1 {
			t.Fatalf("at first: %+v", told)
		}
		var all sync.WaitGroup
		won := make(chan int, publishers)
		for n := range publishers {
			all.Go(func() {
				for {
					status, told := r.publish("alice", id, first, next[n])
					switch {
					case told.Code == "upgrading" && status == 503:
						continue // another one is being prepared
					case status == 200 && told.Module == next[n].String() && told.Seq == 1:
						won <- n
					case status != 409 || told.Code != "stale":
						t.Errorf("publisher %d: %d %+v", n, status, told)
					}
					return
				}
			})
		}
		all.Wait()
		if len(won) != 1 {
			t.Fatalf("%d succeeded", len(won))
		}
		winner := <-won
		if head, err := log.Head(t.Context(), id); err != nil || head.Seq != 2 { // $module, $checkpoint
			t.Fatalf("the log ends at %d: %v", head.Seq, err)
		}
		// Back to what it was; stale once more; by the socket; and what is not said to replace anything is not stale.
		if status, told := r.publish("alice", id, next[winner], first); status != 200 || told.Seq != 3 {
			t.Fatalf("back: %d %+v", status, told)
		}
		if status, told := r.publish("alice", id, next[winner], first); status != 409 || told.Code != "stale" {
			t.Errorf("stale: %d %+v", status, told)
		}
		if v := alice.verdict(id, alice.of(module.TypeModule, module.UpgradeFrom(next[winner], next[0], nil))); v.Code != wire.CodeStale || v.Kind != wire.Rejected {
			t.Errorf("stale over the socket: %+v", v)
		}
		if v := alice.verdict(id, alice.of(module.TypeModule, module.UpgradeFrom(first, next[0], nil))); v.Kind != wire.Accepted || v.Position.Seq != 5 {
			t.Errorf("over the socket: %+v", v)
		}
		event := `,"event":"01ARZ3NDEKTSV4RRFFQ69G5FAV"`
		for range 2 { // asked again it is the same event, and not stale
			if status, told := r.publish("alice", id, next[0], next[1], event); status != 200 || told.Seq != 7 {
				t.Fatalf("with an id: %d %+v", status, told)
			}
		}
		if status, told := r.publish("alice", id, digest.Digest{}, next[2], `,"params":"wA=="`); status != 200 || told.Seq != 9 {
			t.Errorf("in place of any: %d %+v", status, told)
		}
		want := []digest.Digest{first, next[winner], first, next[0], next[1], next[2]}
		for range 2 {
			_, told := r.moduleOf("alice", http.MethodGet, id, "")
			if told.Module != next[2].String() || told.Version != "1.3.0" || told.Seq != 9 || told.Earlier != 0 || len(told.History) != len(want) {
				t.Fatalf("told: %+v", told)
			}
			var seq []uint64
			for n, use := range told.History {
				if seq = append(seq, use.Seq); use.Module != want[n].String() || use.Name != "members" || n > 0 && (use.Since == 0 || use.Since < told.History[n-1].Since && n > 1) {
					t.Errorf("%d: %+v", n, use)
				}
			}
			if fmt.Sprint(seq) != "[0 1 3 5 7 9]" {
				t.Errorf("at %v", seq)
			}
			records, err := log.Read(t.Context(), id, 8, 1, 1)
			if err != nil || records[0].ReceivedAt != told.Since {
				t.Errorf("since %d: %v", told.Since, err)
			}
			r.stop()
			log = open()
			r = start(t, log, tokens, runsModules(t, log, nil))
		}
	})
}

// TestPublishRefused: who may not is refused as over a socket, and so is what cannot be; nothing is written.
func TestPublishRefused(t *testing.T) {
	log := memlog.New()
	r := start(t, log, tokens, runsModules(t, log, nil))
	alice := r.dial("alice")
	first := upload(t, log, moduletest.Members(func(m *program.Manifest) { m.Raw = false }))
	id := alice.createOf(first)
	alice.append(id, alice.of("add", moduletest.MembersAdd("bob")))
	next, silent := upload(t, log, membersAs("1.1.0", nil)), upload(t, log, membersAs("1.2.0", func(m *program.Manifest) { m.Upgrade = "" }))
	replaces := func(value []byte) []byte {
		payload := module.Upgrade(next, nil)
		payload[0]++
		return append(msgpack.AppendString(payload, "replaces"), value...)
	}
	for _, c := range []struct {
		as, body string
		status   int
		code     string
	}{
		{"", `{"module":"` + next.String() + `"}`, 401, "auth_required"},
		{"bob", `{"module":"` + next.String() + `"}`, 403, "forbidden"},
		{"bob", `{"module":"` + next.String() + `","replaces":"` + next.String() + `"}`, 403, "forbidden"}, // and learns nothing
		{"alice", `{"module":"` + next.String() + `","replaces":"` + next.String() + `"}`, 409, "stale"},
		{"alice", `{"module":"` + digest.Of([]byte("x")).String() + `"}`, 503, "module_missing"},
		{"alice", `{"module":"` + silent.String() + `"}`, 422, "bad_upgrade"},
		{"alice", `{"module":"12"}`, 400, "bad_argument"},
		{"alice", `{}`, 400, "bad_argument"},
		{"alice", `{"module":"` + next.String() + `","event":"x"}`, 400, "bad_argument"},
		{"alice", `{"module":"` + strings.Repeat(" ", 256<<10) + `"}`, 413, "too_large"},
	} {
		if status, told := r.moduleOf(c.as, http.MethodPut, id, c.body); status != c.status || told.Code != c.code {
			t.Errorf("%s, %.100s: %d %+v", c.as, c.body, status, told)
		}
	}
	for name, payload := range map[string][]byte{"of 3 bytes": replaces(msgpack.AppendBinary(nil, []byte("abc"))), "text": replaces(msgpack.AppendString(nil, "abc"))} {
		if v := alice.verdict(id, alice.of(module.TypeModule, payload)); v.Code != wire.CodeBadPayload {
			t.Errorf("replaces %s: %+v", name, v)
		}
	}
	if status, told := r.moduleOf("carol", http.MethodGet, id, ""); status != 403 || told.Code != "forbidden" {
		t.Errorf("who may not read it: %d %+v", status, told)
	}
	if status, told := r.moduleOf("alice", http.MethodPut, space.ID{1}, `{"module":"`+next.String()+`"}`); status != 404 || told.Code != "unknown_space" {
		t.Errorf("no space: %d %+v", status, told)
	}
	if status, told := r.moduleOf("alice", http.MethodGet, space.ID{1}, ""); status != 404 || told.Code != "unknown_space" {
		t.Errorf("no space: %d %+v", status, told)
	}
	if head, err := log.Head(t.Context(), id); err != nil || head.Seq != 1 {
		t.Errorf("the log ends at %d: %v", head.Seq, err)
	}
	// A log has what an older server took, whatever is called that way: everybody applies it.
	if v := alice.verdict(id, alice.of(module.TypeModule, replaces([]byte{0xc0}))); v.Kind != wire.Accepted {
		t.Errorf("replaces nil: %+v", v)
	}
}

// TestPublishFromOpen: a space of open has a module too, which is told of and replaced.
func TestPublishFromOpen(t *testing.T) {
	log := memlog.New()
	r := start(t, log, tokens, runsModules(t, log, nil))
	alice := r.dial("alice")
	id := alice.create()
	if _, told := r.moduleOf("", http.MethodGet, id, ""); told.Name != "open" || told.Module != module.Open.String() || told.Since == 0 {
		t.Errorf("open: %+v", told)
	}
	personal, _ := builtin.ByName("personal")
	kv, _ := builtin.ByName("kv")
	if status, told := r.publish("alice", id, kv, personal); status != 409 {
		t.Errorf("stale: %d %+v", status, told)
	}
	if status, told := r.publish("alice", id, module.Open, personal); status != 200 || told.Name != "personal" || told.Version == "" {
		t.Errorf("it goes over: %d %+v", status, told)
	}
}

// TestPublishIsLimited: an upgrade without a connection is charged as one with it.
func TestPublishIsLimited(t *testing.T) {
	log := memlog.New()
	r := start(t, log, tokens, runsModules(t, log, nil), func(c *syncserver.Config) {
		c.Rates.IdentityEvents = syncserver.Rate{Burst: 1024, PerHour: 1}
	})
	alice := r.dial("alice")
	id := alice.create()
	alice.append(id, alice.transaction(1023))
	personal, _ := builtin.ByName("personal")
	if status, told := r.publish("alice", id, module.Open, personal); status != 200 {
		t.Fatalf("%d %+v", status, told)
	}
	if status, told := r.publish("alice", id, personal, module.Open); status != 429 || told.Code != "rate_limited" {
		t.Errorf("over the rate: %d %+v", status, told)
	}
}

// TestReplacedInOldLogs: what a log has under the name that says what is replaced does not matter to who applies it.
func TestReplacedInOldLogs(t *testing.T) {
	to := digest.Of([]byte("next"))
	payload := module.UpgradeFrom(digest.Of([]byte("first")), to, []byte{0xc0})
	if name, ok := module.UpgradeTo(payload); !ok || name != to {
		t.Errorf("it names %v, %t", name, ok)
	}
	if !bytes.HasPrefix(payload[1:], module.Upgrade(to, []byte{0xc0})[1:]) {
		t.Errorf("it is %x", payload)
	}
}

// TestModuleSpaces: metrics count the spaces of each module, as they are when the server begins: those that are built in by name, of others
// the 20 that judge most, and the rest together. Nothing of that is chosen by who uploads a module.
func TestModuleSpaces(t *testing.T) {
	log := memlog.New()
	r := start(t, log, tokens, runsModules(t, log, nil))
	alice := r.dial("alice")
	create := func(of digest.Digest, n int) (last space.ID) {
		for range n {
			last = alice.createOf(of)
		}
		return last
	}
	create(module.Open, 2)
	gone := create(module.Open, 1)
	if v := alice.verdict(gone, alice.of(module.TypeDelete, []byte{0x80})); v.Kind != wire.Accepted {
		t.Fatalf("%+v", v)
	}
	first, second := upload(t, log, moduletest.Members(nil)), upload(t, log, membersAs("1.1.0", nil))
	create(first, 3)
	if status, told := r.publish("alice", create(first, 1), first, second); status != 200 {
		t.Fatalf("%d %+v", status, told)
	}
	personal, _ := builtin.ByName("personal")
	create(personal, 1)
	var rare []digest.Digest
	for n := range 21 {
		rare = append(rare, upload(t, log, membersAs(fmt.Sprintf("2.%d.0", n), nil)))
		create(rare[n], 1)
	}
	r.stop()
	r = start(t, log, tokens, runsModules(t, log, nil))
	for !strings.Contains(r.metrics(), "skerry_module_spaces{") { // it counts beside all else
	}
	metrics := r.metrics()
	for _, line := range []string{`"open"} 2`, `"personal"} 1`, `"` + first.String()[:16] + `"} 3`, `"other"} 3`} {
		if !strings.Contains(metrics, "skerry_module_spaces{module="+line+"\n") {
			t.Errorf("/metrics lacks %s", line)
		}
	}
	if n := strings.Count(metrics, "\nskerry_module_spaces{"); n != 4+20 { // with that of the system space
		t.Errorf("%d series", n)
	}
	if strings.Contains(metrics, "members") {
		t.Error("/metrics tells what modules call themselves")
	}
}
