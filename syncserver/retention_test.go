package syncserver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"skerry/shared/module"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/authtest"
	"skerry/syncserver/memlog"
	"skerry/syncserver/sqlitelog"
)

// later is a clock that is set by hand.
type later struct{ by atomic.Int64 }

func (l *later) configure(c *syncserver.Config) {
	c.Now = func() time.Time { return time.Now().Add(time.Duration(l.by.Load())) }
}

// retained has what is over expire, waits until it is freed, and returns up to where.
func (r *rig) retained(id space.ID) uint64 {
	r.t.Helper()
	ctx := context.Background()
	if err := r.server.Retain(ctx, id); err != nil {
		r.t.Fatal(err)
	}
	r.until("the end of the expiry", func() bool {
		note, err := r.log.Key(ctx, "expiring/"+id.String())
		return err == nil && note == nil
	})
	gone, err := r.log.Expired(ctx, id)
	if err != nil {
		r.t.Fatal(err)
	}
	return gone
}

func (r *rig) head(id space.ID) uint64 {
	r.t.Helper()
	head, err := r.log.Head(context.Background(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return head.Seq
}

// TestRetention: what is over what a space keeps expires, by number, bytes and age; whole transactions, and nothing twice. Where nothing is
// written nothing goes on expiring.
func TestRetention(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		for _, test := range []struct {
			name  string
			keeps syncserver.Retention
			write func(ann *peer, id space.ID, clock *later) // under and at the limit, and then over it
			want  uint64
		}{
			{"records", syncserver.Retention{Records: 40}, func(ann *peer, id space.ID, _ *later) { ann.append(id, notes("ann", 57)...) }, 57 - 40},
			{"no record over", syncserver.Retention{Records: 40}, func(ann *peer, id space.ID, _ *later) { ann.append(id, notes("ann", 56)...) }, 0},
			{"records in transactions", syncserver.Retention{Records: 45}, func(ann *peer, id space.ID, _ *later) {
				ann.append(id, notes("ann", 10)...)
				ann.append(id, ann.transaction(20), ann.transaction(40))
			}, 10},
			{"a transaction that is all", syncserver.Retention{Records: 2}, func(ann *peer, id space.ID, _ *later) { ann.append(id, ann.transaction(100)) }, 0},
			{"bytes", syncserver.Retention{Bytes: 10_000}, func(ann *peer, id space.ID, _ *later) {
				for range 20 {
					one := privateEvent("ann", "note", "text", strings.Repeat("x", 1000-len("ann")-64-len("note")-len(wire.APIHigh)-9))
					ann.append(id, one)
				}
			}, 10},
			{"few bytes", syncserver.Retention{Bytes: 10_000}, func(ann *peer, id space.ID, _ *later) { ann.append(id, notes("ann", 50)...) }, 0},
			{"age", syncserver.Retention{Age: time.Hour}, func(ann *peer, id space.ID, clock *later) {
				ann.append(id, notes("ann", 7)...)
				clock.by.Add(int64(time.Hour - time.Minute))
				ann.append(id, notes("ann", 5)...)
				clock.by.Add(int64(2 * time.Minute))
			}, 7},
			{"nothing old", syncserver.Retention{Age: time.Hour}, func(ann *peer, id space.ID, clock *later) {
				ann.append(id, notes("ann", 7)...)
				clock.by.Add(int64(time.Hour - time.Minute))
			}, 0},
			{"all old", syncserver.Retention{Age: time.Hour, Records: 1000}, func(ann *peer, id space.ID, clock *later) {
				ann.append(id, notes("ann", 7)...)
				clock.by.Add(int64(2 * time.Hour))
			}, 7},
			{"everything", syncserver.Retention{}, func(ann *peer, id space.ID, clock *later) {
				ann.append(id, notes("ann", 700)...)
				clock.by.Add(int64(200 * 24 * time.Hour))
			}, 0},
		} {
			t.Run(test.name, func(t *testing.T) {
				log := open()
				clock := new(later)
				r := start(t, log, runsModules(t, log, nil), clock.configure, func(c *syncserver.Config) { c.Retention = test.keeps })
				ann := r.dial("ann")
				id := ann.create()
				test.write(ann, id, clock)
				before := r.head(id)
				if got := r.retained(id); got != test.want {
					t.Fatalf("expired up to %d, want %d", got, test.want)
				}
				after := r.head(id)
				if test.want > 0 && after != before+2 || test.want == 0 && after != before {
					t.Errorf("the log went from %d to %d", before, after)
				}
				clock.by.Add(int64(test.keeps.Age)) // what the expiry itself wrote is old
				for range 3 {
					r.retained(id)
					clock.by.Add(int64(test.keeps.Age))
				}
				if idle := r.head(id); test.name != "age" && test.name != "nothing old" && idle != after {
					t.Errorf("nobody wrote, and the log went from %d to %d", after, idle)
				}
				if test.want > 0 {
					records, err := log.Read(t.Context(), id, before, 2, 1<<20)
					if err != nil || records[0].Type != module.TypeExpire || !strings.HasPrefix(records[0].Author, "did:key:") {
						t.Errorf("the server writes %+v, %v", records, err)
					}
				}
				r.stop()
			})
		}
	})
}

// TestRetentionOfASpace: administrators set what a space keeps, over the server's settings and back; nobody else does.
func TestRetentionOfASpace(t *testing.T) {
	log := memlog.New()
	r := start(t, log, runsModules(t, log, nil), tokens, func(c *syncserver.Config) { c.Retention.Records = 1000 })
	if done, err := r.server.SetUp(t.Context(), "root"); err != nil || !done {
		t.Fatal(err)
	}
	ann := r.dial("ann")
	id := ann.create()
	ann.append(id, notes("ann", 100)...)
	path := "/api/v1/spaces/" + id.String() + "/retention"
	type answer struct {
		AgeMS                   uint64 `json:"age_ms"`
		Records, Bytes, Expired uint64
		Own                     bool
		Code                    string
	}
	ask := func(as, method, path, content string) (int, answer) {
		t.Helper()
		request, err := http.NewRequest(method, "http://skerry.test"+path, strings.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		if as != "" {
			request.Header.Set("Authorization", "Bearer token of "+as)
		}
		response, err := r.client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		var a answer
		if err := json.Unmarshal([]byte(body(t, response)), &a); err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, a
	}
	for _, test := range []struct {
		as, method, path, body string
		status                 int
		want                   answer
	}{
		{"root", "GET", path, "", 200, answer{Records: 1000}},
		{"", "GET", path, "", 401, answer{Code: "auth_required"}},
		{"ann", "GET", path, "", 403, answer{Code: "forbidden"}},
		{"ann", "PUT", path, `{"records": 1}`, 403, answer{Code: "forbidden"}},
		{"ann", "DELETE", path, "", 403, answer{Code: "forbidden"}},
		{"root", "PUT", path, "{", 400, answer{Code: "bad_argument"}},
		{"root", "PUT", path, `{"age_ms": 10000000000000}`, 400, answer{Code: "bad_argument"}},
		{"root", "PUT", path, `{"x": "` + strings.Repeat("x", 5000) + `"}`, 413, answer{Code: "too_large"}},
		{"root", "PUT", strings.Replace(path, id.String()[:8], "00000000", 1), "{}", 404, answer{Code: "unknown_space"}},
		{"root", "PUT", path, `{"age_ms": 3600000, "records": 500, "bytes": 9}`, 200, answer{AgeMS: 3600000, Records: 500, Bytes: 9, Own: true}},
		{"root", "PUT", path, `{}`, 200, answer{Own: true}},
		{"root", "DELETE", path, "", 200, answer{Records: 1000}},
		{"root", "PUT", path, `{"records": 20}`, 200, answer{Records: 20, Own: true}},
	} {
		status, got := ask(test.as, test.method, test.path, test.body)
		if got.Expired = 0; status != test.status || got != test.want {
			t.Errorf("%s %s of %q: %d %+v, want %d %+v", test.method, test.body, test.as, status, got, test.status, test.want)
		}
	}
}

// TestSystemSpaceExpires: who connected long ago is not in the system space any more, the policy goes on by its tables, and once the data
// is compacted nobody finds who it was in any file, nor what their credentials claimed. A backup does not have that before either.
func TestSystemSpaceExpires(t *testing.T) {
	const claim, visitor = "a-claim-of-somebody", "a-visitor-who-is-gone"
	dir := t.TempDir()
	open := func() syncserver.Log {
		log, err := sqlitelog.Open(t.Context(), sqlitelog.Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return log
	}
	log := open()
	clock := new(later)
	claims := map[string][]byte{visitor: packed("email", claim), "ann": packed("email", "ann@example.org")}
	configure := []func(*syncserver.Config){runsModules(t, log, nil), clock.configure, func(c *syncserver.Config) { c.Auth = authtest.Names{Claims: claims} }}
	r := start(t, log, configure...)
	if done, err := r.server.SetUp(t.Context(), "root"); err != nil || !done {
		t.Fatal(err)
	}
	system, _ := r.server.System()
	stays := r.dial("ann")
	for range 30 {
		r.dial(visitor).close()
	}
	r.until("the end of the visits", func() bool { return r.server.Connections() == 1 })
	backup := filepath.Join(t.TempDir(), "backup")
	if err := sqlitelog.Backup(t.Context(), sqlitelog.Config{Dir: dir}, backup, nil); err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(backup); err != nil || bytes.Contains(content, []byte(claim)) {
		t.Errorf("a backup has a claim, or cannot be read: %v", err)
	}
	before := r.head(system)
	if gone := r.retained(system); gone != 0 {
		t.Fatalf("at once %d records expire", gone)
	}
	clock.by.Store(int64(91 * 24 * time.Hour))
	r.server.RetainAll()
	r.until("the expiry", func() bool {
		gone, err := log.Expired(t.Context(), system)
		note, failed := log.Key(t.Context(), "expiring/"+system.String())
		return err == nil && failed == nil && gone == before && note == nil
	})
	root := r.dial("root")
	row := root.gone(system, space.Start(system))
	if row.Expired != before {
		t.Errorf("an administrator is told %+v", row)
	}
	stays.close()
	r.until("the last end", func() bool { return r.server.Connections() == 1 })
	root.close()
	r.stop()
	// The checkpoints before have pages that name them: the next ones take their places.
	log.Close()
	for n := range 2 {
		clock.by.Add(int64(91 * 24 * time.Hour))
		log = open()
		had, err := log.Expired(t.Context(), system)
		if err != nil {
			t.Fatal(err)
		}
		r = start(t, log, append([]func(*syncserver.Config){runsModules(t, log, nil)}, configure[1:]...)...)
		r.dial("root").close()
		r.until("its end", func() bool { return r.server.Connections() == 0 })
		r.server.RetainAll()
		r.until(fmt.Sprint("expiry ", n), func() bool {
			gone, err := log.Expired(t.Context(), system)
			note, failed := log.Key(t.Context(), "expiring/"+system.String())
			return err == nil && failed == nil && gone > had && note == nil
		})
		r.stop()
		if done := r.server.IsSetUp(); !done {
			t.Error("the server forgot its administrator")
		}
		log.Close()
	}
	if _, _, err := sqlitelog.Compact(t.Context(), sqlitelog.Config{Dir: dir}, nil); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, f := range files {
		content, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil && !f.IsDir() {
			t.Fatal(err)
		}
		for _, secret := range []string{claim, visitor} {
			if at := bytes.Index(content, []byte(secret)); at >= 0 {
				t.Errorf("%s has %q: %q", f.Name(), secret, content[max(0, at-60):min(len(content), at+60)])
			}
		}
	}
}
