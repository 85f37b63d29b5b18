package syncserver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
	"skerry/shared/msgpack"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/memlog"
	"skerry/syncserver/wasmengine"
)

// runsModules returns a configuration with an engine for the modules that a log has, which counts the records applied.
func runsModules(t testing.TB, log syncserver.Log, applied *counted) func(*syncserver.Config) {
	t.Helper()
	engine, err := wasmengine.New(func(ctx context.Context, name digest.Digest) ([]byte, error) {
		content, err := log.Blob(ctx, name)
		if errors.Is(err, syncserver.ErrNoBlob) {
			return nil, module.ErrMissing
		}
		return content, err
	}, wasmengine.Options{CacheDir: compiled()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	return func(c *syncserver.Config) {
		c.Engine = engine
		if applied != nil {
			applied.Engine = engine
			c.Engine = applied
		}
	}
}

// compiled is where the tests of this process keep compiled modules; TestMain deletes it.
var compiled = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "skerry-compiled-")
	if err != nil {
		panic(err)
	}
	compiledDir.Store(dir)
	return dir
})

var compiledDir atomic.Value

// counted is an engine that tells where instances begin, and how many records they apply.
type counted struct {
	*wasmengine.Engine
	mu      sync.Mutex
	began   []uint64
	applied int
}

func (c *counted) Begin(genesis *space.Genesis, at program.Origin) (module.Instance, error) {
	i, err := c.Engine.Begin(genesis, at)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.began, c.applied = append(c.began, i.Applied()), 0
	return &countedInstance{i.(program.Materializer), c}, nil
}

// since returns where the newest instance began, and what it applied since the last call.
func (c *counted) since() (began uint64, applied int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	applied, c.applied = c.applied, 0
	return c.began[len(c.began)-1], applied
}

type countedInstance struct {
	program.Materializer
	of *counted
}

func (i *countedInstance) Apply(records []space.Record) error {
	i.of.mu.Lock()
	i.of.applied += len(records)
	i.of.mu.Unlock()
	return i.Materializer.Apply(records)
}

// upload stores a module and returns its digest.
func upload(t testing.TB, log syncserver.Log, content []byte) digest.Digest {
	t.Helper()
	name := digest.Of(content)
	if err := log.PutBlob(context.Background(), name, content); err != nil {
		t.Fatal(err)
	}
	return name
}

// uploads sends a module as clients do, and returns the code with which it was refused; zero: it is there.
func (p *peer) uploads(content []byte) wire.Code {
	p.t.Helper()
	p.uploaded++
	p.send(&wire.BlobPut{Ref: p.uploaded, Digest: digest.Of(content), Total: uint64(len(content)), Bytes: content})
	for {
		switch f := p.receive().(type) {
		case *wire.Refused:
			return f.Code
		case *wire.BlobPart:
			return 0
		}
	}
}

// freshModules makes modules each of which is another one.
func freshModules(major string) func() []byte {
	made := 0
	return func() []byte {
		made++
		return membersAs(fmt.Sprintf("%s.%d.0", major, made), func(m *program.Manifest) { m.Doc = "one of many" })
	}
}

// createOf creates a space of a module.
func (p *peer) createOf(name digest.Digest) space.ID {
	p.t.Helper()
	g := p.genesis()
	g.Module = name
	answer := p.pushed(wire.Push{Space: g.ID(), Genesis: g})
	if answer.Genesis == nil || answer.Genesis.Kind != wire.Accepted {
		p.t.Fatalf("creating a space: %+v", answer.Genesis)
	}
	return g.ID()
}

// of makes a transaction of events of one type.
func (p *peer) of(kind string, payloads ...[]byte) space.Transaction {
	t := space.Transaction{Author: p.identity, API: wire.APIHigh}
	for _, payload := range payloads {
		t.Events = append(t.Events, space.Event{ID: p.ulid(), Type: kind, Payload: payload})
	}
	return t
}

// messages appends so many messages to a chat, 100 in a transaction.
func (p *peer) messages(id space.ID, n int) {
	p.t.Helper()
	for n > 0 {
		var payloads [][]byte
		for range min(n, 100) {
			payloads = append(payloads, moduletest.ChatMessage("room", strings.Repeat("text ", 10)))
		}
		p.append(id, p.of("message", payloads...))
		n -= len(payloads)
	}
}

// keptAt waits for the row that tells of a checkpoint at or past a record.
func (p *peer) keptAt(id space.ID, seq uint64) *wire.SpaceRow {
	p.t.Helper()
	for {
		for _, row := range await[*wire.Spaces](p).Rows {
			if row.Genesis.ID() == id && row.CheckpointSeq >= seq {
				return &row
			}
		}
	}
}

// fetchBlob fetches bytes by their digest.
func (p *peer) fetchBlob(name digest.Digest) []byte {
	p.t.Helper()
	p.send(&wire.Blob{Ref: 7, Digest: name})
	var content []byte
	for {
		part := await[*wire.BlobPart](p)
		content = append(content, part.Bytes...)
		if uint64(len(content)) >= part.Total {
			if digest.Of(content) != name {
				p.t.Fatal("a blob has another digest")
			}
			return content
		}
	}
}

// TestCheckpoints: a space is opened at its newest checkpoint, of which subscribers are told and which they can have; a server
// that begins again there goes on with the same tables.
func TestCheckpoints(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		log := open()
		applied := &counted{}
		r := start(t, log, runsModules(t, log, applied))
		alice := r.dial("alice")
		id := alice.createOf(upload(t, log, moduletest.Chat()))
		alice.subscribe(id, space.Start(id))
		alice.messages(id, 950)
		alice.append(id, alice.of("message", moduletest.ChatMessage("a", "b"), moduletest.ChatMessage("a", "b")))
		alice.messages(id, 1100)
		row := alice.keptAt(id, 2000)
		if row.CheckpointSeq != 2052 {
			t.Fatalf("the checkpoint is of record %d", row.CheckpointSeq)
		}
		alice.messages(id, 20)

		root := alice.fetchBlob(row.Checkpoint)
		of, pages, err := tables.ReadRoot(root)
		if err != nil || of.Space != id || of.Seq != row.CheckpointSeq || len(pages) == 0 {
			t.Fatalf("the root is %+v, %v", of, err)
		}
		set, _, err := tables.ReadCheckpoint(root, moduletest.ChatManifest().Tables, func(d digest.Digest) ([]byte, error) { return alice.fetchBlob(d), nil })
		if err != nil || set.Len(0) != int(row.CheckpointSeq) {
			t.Fatalf("the tables: %v", err)
		}
		r.stop()

		log = open()
		r = start(t, log, runsModules(t, log, applied))
		applied.since()
		alice = r.dial("alice")
		alice.messages(id, 1)
		if began, n := applied.since(); began != row.CheckpointSeq || n != 20 {
			t.Errorf("opened at %d, %d records applied", began, n)
		}
		alice.subscribe(id, space.Start(id))
		if again := alice.keptAt(id, 1); again.Checkpoint != row.Checkpoint {
			t.Error("a new subscriber is told of another checkpoint")
		}
		r.stop()
		if want, got := tablesOf(t, log, id, false), tablesOf(t, log, id, true); want != got {
			t.Error("from the checkpoint the tables are others than from the log")
		}
		if wrong := wrongCheckpoints(t, log, id); len(wrong) > 0 {
			t.Errorf("nothing is wrong, and found is %q", wrong)
		}
	})
}

// TestACheckpointAtEachPlace: a transaction that ends behind a multiple of a thousand does not take the next place away.
func TestACheckpointAtEachPlace(t *testing.T) {
	log := memlog.New()
	r := start(t, log, runsModules(t, log, nil))
	alice := r.dial("alice")
	id := alice.createOf(upload(t, log, moduletest.Chat()))
	alice.subscribe(id, space.Start(id))
	alice.messages(id, 960)
	alice.messages(id, 100) // over 1,000
	if row := alice.keptAt(id, 1); row.CheckpointSeq != 1060 {
		t.Errorf("the checkpoint is of record %d", row.CheckpointSeq)
	}
	alice.messages(id, 940) // to 2,000
	if row := alice.keptAt(id, 1061); row.CheckpointSeq != 2000 {
		t.Errorf("the next checkpoint is of record %d", row.CheckpointSeq)
	}
}

// TestLargeRowsAreInACheckpoint: rows of which each is larger than a record is worth are in one all the same, at the latest when the log
// is twice as long as with the newest.
func TestLargeRowsAreInACheckpoint(t *testing.T) {
	log := memlog.New()
	r := start(t, log, runsModules(t, log, nil))
	alice := r.dial("alice")
	id := alice.createOf(upload(t, log, moduletest.Chat()))
	alice.subscribe(id, space.Start(id))
	large := moduletest.ChatMessage("room", strings.Repeat("text ", 800))
	hundred := slices.Repeat([][]byte{large}, 100)
	records := uint64(0)
	for _, at := range []uint64{1000, 2000, 4000} {
		for ; records < at; records += 100 {
			alice.append(id, alice.of("message", hundred...))
		}
		if row := alice.keptAt(id, at); row.CheckpointSeq != at {
			t.Errorf("at %d the checkpoint is of record %d", at, row.CheckpointSeq)
		}
	}
}

// TestWhoHasTheLogIsToldOfTheCheckpoint: also a subscriber who has all that is in the checkpoint, and the space in the
// directory: it has tables to compare.
func TestWhoHasTheLogIsToldOfTheCheckpoint(t *testing.T) {
	log := memlog.New()
	r := start(t, log, runsModules(t, log, nil))
	alice := r.dial("alice")
	id := alice.createOf(upload(t, log, moduletest.Chat()))
	alice.messages(id, 1100)
	alice.subscribe(id, space.Start(id))
	_, head := alice.follow(id, space.Start(id), 1100)
	alice = r.dial("alice")
	alice.send(&wire.Directory{Ref: 1})
	await[*wire.Spaces](alice)
	alice.subscribe(id, head)
	if row := alice.keptAt(id, 1); row.CheckpointSeq != 1000 {
		t.Errorf("the checkpoint is of record %d", row.CheckpointSeq)
	}
}

// tablesOf returns the digest of a space's tables at the head, made of the log or from the newest checkpoint.
func tablesOf(t *testing.T, log syncserver.Log, id space.ID, fromCheckpoint bool) digest.Digest {
	t.Helper()
	ctx := context.Background()
	var c syncserver.Config
	runsModules(t, log, nil)(&c)
	genesis, _, err := log.Genesis(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	history := func(after, to uint64, f func([]space.Record) error) error {
		records, err := log.Read(ctx, id, after, int(to-after), 1<<30)
		if err != nil {
			return err
		}
		return f(records)
	}
	origin := program.Origin{Upgraded: true, History: history}
	if fromCheckpoint {
		value, err := log.Key(ctx, "checkpoint/"+id.String())
		if err != nil || len(value) < 40 {
			t.Fatalf("there is no checkpoint: %v", err)
		}
		if origin.Root, err = log.Page(ctx, digest.Digest(value[8:40])); err != nil {
			t.Fatal(err)
		}
		origin.Page = func(d digest.Digest) ([]byte, error) { return log.Page(ctx, d) }
	}
	i, err := c.Engine.(program.Beginner).Begin(&genesis, origin)
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	head, err := log.Head(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	if head.Seq > i.Applied() {
		records, err := log.Read(ctx, id, i.Applied(), 1<<20, 1<<30)
		if err == nil {
			err = i.Apply(records)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return i.(program.Materializer).Digest(id, head.Position())
}

// TestDamagedCheckpoints: whatever is wrong with a checkpoint, the space is opened, by an older one or the log, and the next
// checkpoint is good again.
// TestCheckpointOfOtherTables: a checkpoint that is whole, and not what the log makes, is found by applying that.
func TestCheckpointOfOtherTables(t *testing.T) {
	log := memlog.New()
	r := start(t, log, runsModules(t, log, nil))
	alice := r.dial("alice")
	name := upload(t, log, moduletest.Chat())
	id, other := alice.createOf(name), alice.createOf(name)
	for n, id := range []space.ID{id, other} {
		alice.subscribe(id, space.Start(id))
		alice.append(id, alice.of("message", moduletest.ChatMessage("room", fmt.Sprint(n))))
		alice.messages(id, 999)
		alice.keptAt(id, 1000)
	}
	r.stop()
	if wrong := wrongCheckpoints(t, log, id); len(wrong) > 0 {
		t.Fatalf("nothing is wrong, and found is %q", wrong)
	}
	// The tables of the other space, under the name of this one.
	roots := map[space.ID][]byte{}
	for _, of := range []space.ID{id, other} {
		value, err := log.Key(t.Context(), "checkpoint/"+of.String())
		if err != nil {
			t.Fatal(err)
		}
		if roots[of], err = log.Page(t.Context(), digest.Digest(value[8:40])); err != nil {
			t.Fatal(err)
		}
	}
	header := len("skerry checkpoint 2\n") + 32 + 8 + 32
	if bytes.Equal(roots[id][header:], roots[other][header:]) {
		t.Fatal("the tables are the same")
	}
	forged := append(bytes.Clone(roots[id][:header]), roots[other][header:]...)
	_, pages, err := tables.ReadRoot(forged)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range pages {
		content, err := log.Page(t.Context(), name)
		if err == nil {
			err = log.PutPages(t.Context(), id, []syncserver.Page{{Name: name, Bytes: content}})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := renamed(log, id, forged); err != nil {
		t.Fatal(err)
	}
	if wrong := wrongCheckpoints(t, log, id); len(wrong) != 1 || !strings.Contains(wrong[0], "of record 1000, and there is") {
		t.Fatalf("found is %q", wrong)
	}
}

// wrongCheckpoints returns what is found wrong with the checkpoints of a space, which has some.
func wrongCheckpoints(t *testing.T, log syncserver.Log, id space.ID) (wrong []string) {
	t.Helper()
	config := syncserver.Config{}
	runsModules(t, log, nil)(&config)
	has, err := syncserver.CheckCheckpoints(t.Context(), log, config.Engine, id, func(what string) { wrong = append(wrong, what) })
	if err != nil || !has {
		t.Fatalf("there are %v, %v", has, err)
	}
	return wrong
}

func TestDamagedCheckpoints(t *testing.T) {
	ctx := context.Background()
	damage := map[string]func(log syncserver.Log, id space.ID, root digest.Digest, pages []digest.Digest) error{
		"pages are missing": func(log syncserver.Log, id space.ID, _ digest.Digest, pages []digest.Digest) error {
			return log.DeletePages(ctx, id, pages)
		},
		"pages have other bytes": func(log syncserver.Log, id space.ID, _ digest.Digest, pages []digest.Digest) error {
			for _, name := range pages {
				content, err := log.Page(ctx, name)
				if err != nil {
					return err
				}
				content[len(content)/2] ^= 1
				err = errors.Join(log.DeletePages(ctx, id, []digest.Digest{name}), log.PutPages(ctx, id, []syncserver.Page{{Name: name, Bytes: content}}))
				if err != nil {
					return err
				}
			}
			return nil
		},
		"it is of a form that is not known": func(log syncserver.Log, id space.ID, root digest.Digest, _ []digest.Digest) error {
			content, err := log.Page(ctx, root)
			if err != nil {
				return err
			}
			content[len("skerry checkpoint ")] = '1'
			return renamed(log, id, content)
		},
		"the root is missing": func(log syncserver.Log, id space.ID, root digest.Digest, _ []digest.Digest) error {
			return log.DeletePages(ctx, id, []digest.Digest{root})
		},
		"the root has other bytes": func(log syncserver.Log, id space.ID, root digest.Digest, _ []digest.Digest) error {
			content, err := log.Page(ctx, root)
			if err != nil {
				return err
			}
			content[60] ^= 1
			return errors.Join(log.DeletePages(ctx, id, []digest.Digest{root}), log.PutPages(ctx, id, []syncserver.Page{{Name: root, Bytes: content}}))
		},
		"it is of another history": func(log syncserver.Log, id space.ID, root digest.Digest, pages []digest.Digest) error {
			content, err := log.Page(ctx, root)
			if err != nil {
				return err
			}
			content[len("skerry checkpoint 1\n")+32+8] ^= 1 // its chain
			return renamed(log, id, content)
		},
		"it is of a record that the log has not": func(log syncserver.Log, id space.ID, root digest.Digest, pages []digest.Digest) error {
			content, err := log.Page(ctx, root)
			if err != nil {
				return err
			}
			content[len("skerry checkpoint 1\n")+32+3] = 1 // its number, far up
			key := "checkpoint/" + id.String()
			value, err := log.Key(ctx, key)
			if err != nil {
				return err
			}
			other := digest.Of(content)
			if err := log.PutPages(ctx, id, []syncserver.Page{{Name: other, Bytes: content}}); err != nil {
				return err
			}
			number := bytes.Clone(value[:8])
			number[4] = 1
			_, err = log.CompareAndSet(ctx, key, value, append(number, append(other[:], value[40:]...)...))
			return err
		},
	}
	for name, spoil := range damage {
		t.Run(name, func(t *testing.T) {
			log := memlog.New()
			applied := &counted{}
			r := start(t, log, runsModules(t, log, applied))
			alice := r.dial("alice")
			id := alice.createOf(upload(t, log, moduletest.Chat()))
			alice.subscribe(id, space.Start(id))
			alice.messages(id, 1000)
			alice.keptAt(id, 1000)
			alice.messages(id, 1000)
			row := alice.keptAt(id, 2000)
			alice.messages(id, 10)
			root := alice.fetchBlob(row.Checkpoint)
			_, pages, err := tables.ReadRoot(root)
			if err != nil {
				t.Fatal(err)
			}
			r.stop()
			if err := spoil(log, id, row.Checkpoint, pages); err != nil {
				t.Fatal(err)
			}
			if len(wrongCheckpoints(t, log, id)) == 0 {
				t.Error("it is not found")
			}
			r = start(t, log, runsModules(t, log, applied))
			alice = r.dial("alice")
			alice.messages(id, 90)
			began, n := applied.since()
			if began == row.CheckpointSeq || began+uint64(n) != 2010 {
				t.Errorf("opened at %d, %d records applied", began, n)
			}
			if text := r.metrics(); !strings.Contains(text, "skerry_checkpoints_unusable_total 1") && !strings.Contains(text, "skerry_checkpoints_unusable_total 2") {
				t.Errorf("the metrics do not say that a checkpoint was not good: %s", text[strings.LastIndex(text, "skerry_checkpoints_unusable_total "):][:36])
			}
			alice.subscribe(id, space.Start(id))
			alice.messages(id, 900)
			alice.keptAt(id, 3000)
			r.stop()
			if tablesOf(t, log, id, false) != tablesOf(t, log, id, true) {
				t.Error("the next checkpoint is not good")
			}
			// What is opened at a checkpoint reads a page when it needs it: that the tables are equal says nothing of the pages.
			if next, err := log.Key(ctx, "checkpoint/"+id.String()); err != nil {
				t.Fatal(err)
			} else if root, err = log.Page(ctx, digest.Digest(next[8:40])); err != nil {
				t.Fatal(err)
			} else if _, pages, err = tables.ReadRoot(root); err != nil {
				t.Fatal(err)
			}
			for _, name := range pages {
				if content, err := log.Page(ctx, name); err != nil || digest.Of(content) != name {
					t.Errorf("page %v of the next checkpoint: %d other bytes, %v", name, len(content), err)
				}
			}
		})
	}
}

// renamed stores another root as that of the newest checkpoint.
func renamed(log syncserver.Log, id space.ID, root []byte) error {
	ctx := context.Background()
	key := "checkpoint/" + id.String()
	value, err := log.Key(ctx, key)
	if err != nil {
		return err
	}
	other := digest.Of(root)
	if err := log.PutPages(ctx, id, []syncserver.Page{{Name: other, Bytes: root}}); err != nil {
		return err
	}
	_, err = log.CompareAndSet(ctx, key, value, append(bytes.Clone(value[:8]), append(other[:], value[40:]...)...))
	return err
}

// TestPagesThatAreReadLate: a space that was opened at a checkpoint finds what it did not read yet when that checkpoint has long
// been forgotten. Damage that nobody sees before does no harm but to have the space opened anew: nobody is told anything else.
func TestPagesThatAreReadLate(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		edit := func(text string) []byte {
			b := msgpack.AppendUint(msgpack.AppendString(msgpack.AppendMap(nil, 2), "seq"), 1)
			return msgpack.AppendString(msgpack.AppendString(b, "text"), text)
		}
		log := open()
		applied := &counted{}
		r := start(t, log, runsModules(t, log, applied))
		alice := r.dial("alice")
		id := alice.createOf(upload(t, log, moduletest.Chat()))
		alice.subscribe(id, space.Start(id))
		alice.messages(id, 2000)
		alice.keptAt(id, 2000)
		r.stop()

		log = open()
		r = start(t, log, runsModules(t, log, applied))
		alice = r.dial("alice")
		alice.subscribe(id, space.Start(id))
		for seq := uint64(3000); seq <= 5000; seq += 1000 {
			alice.messages(id, 1000)
			alice.keptAt(id, seq)
		}
		alice.append(id, alice.of("edit", edit("late")))
		if began, n := applied.since(); began != 2000 || n != 0 {
			t.Fatalf("opened at %d, %d records applied", began, n)
		}
		checkPages(t, log, id)
		r.stop()

		log = open()
		r = start(t, log, runsModules(t, log, applied))
		alice = r.dial("alice")
		alice.messages(id, 1)
		ctx := context.Background()
		names, err := log.Pages(ctx, id)
		if err == nil {
			err = log.DeletePages(ctx, id, names)
		}
		if err != nil {
			t.Fatal(err)
		}
		alice.append(id, alice.of("edit", edit("later")), alice.of("message", moduletest.ChatMessage("a", "b")))
		if began, n := applied.since(); began != 0 || n != 5003 {
			t.Errorf("opened at %d, %d records applied", began, n)
		}
		if text := r.metrics(); !strings.Contains(text, "skerry_checkpoints_unusable_total 2") {
			t.Error("the metrics do not say that the checkpoints were not good")
		}
		alice.subscribe(id, space.Start(id))
		alice.messages(id, 1000)
		alice.keptAt(id, 6000)
		r.stop()
		checkPages(t, log, id)
		if tablesOf(t, log, id, false) != tablesOf(t, log, id, true) {
			t.Error("the next checkpoint is not good")
		}
	})
}

// metrics returns what the server tells of itself.
func (r *rig) metrics() string { return body(r.t, get(r.t, r.server, "/metrics")) }

// until waits for something that nobody tells of.
func (r *rig) until(what string, happened func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !happened(); runtime.Gosched() {
		if time.Now().After(deadline) {
			r.t.Fatalf("%s does not happen", what)
		}
	}
}

// stopping is a log that takes pages, or keys, until it is told to take no more.
type stopping struct {
	syncserver.Log
	mu    sync.Mutex
	calls int // of PutPages and CompareAndSet for checkpoints
	most  int // that are taken
}

func (s *stopping) call() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls++; s.calls > s.most {
		return errBroken
	}
	return nil
}

func (s *stopping) PutPages(ctx context.Context, id space.ID, pages []syncserver.Page) error {
	if err := s.call(); err != nil {
		return err
	}
	return s.Log.PutPages(ctx, id, pages)
}

func (s *stopping) DeletePages(ctx context.Context, id space.ID, names []digest.Digest) error {
	if err := s.call(); err != nil {
		return err
	}
	return s.Log.DeletePages(ctx, id, names)
}

func (s *stopping) CompareAndSet(ctx context.Context, key string, old, value []byte) (bool, error) {
	if strings.HasPrefix(key, "checkpoint/") {
		if err := s.call(); err != nil {
			return false, err
		}
	}
	return s.Log.CompareAndSet(ctx, key, old, value)
}

// TestCheckpointCutShort stops the log at every step of writing a checkpoint, as a crash does. The space is opened by the one
// before, or the log, and what the next leaves behind is two checkpoints and nothing else.
func TestCheckpointCutShort(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		for most := range 7 {
			if _, inMemory := open().(*memlog.Log); !inMemory && most%3 != 2 {
				continue // they take their time
			}
			t.Run(fmt.Sprint(most), func(t *testing.T) {
				inner := open()
				log := &stopping{Log: inner, most: most}
				r := start(t, log, runsModules(t, log, nil))
				alice := r.dial("alice")
				id := alice.createOf(upload(t, log, moduletest.Chat()))
				for n := range 2 {
					alice.messages(id, 1000)
					r.until(fmt.Sprintf("checkpoint %d", n), func() bool {
						log.mu.Lock()
						defer log.mu.Unlock()
						return log.calls > log.most || strings.Contains(r.metrics(), fmt.Sprintf("skerry_checkpoints_total %d", n+1))
					})
				}
				want := tablesOf(t, log, id, false)
				r.stop()
				log = &stopping{Log: inner, most: 1 << 30}
				applied := &counted{}
				r = start(t, log, runsModules(t, log, applied))
				alice = r.dial("alice")
				alice.subscribe(id, space.Start(id))
				if ended := await[*wire.CaughtUp](alice); ended.Position.Seq != 2000 {
					t.Fatalf("caught up at %d", ended.Position.Seq)
				}
				if began, n := applied.since(); began+uint64(n) != 2000 {
					t.Errorf("opened at %d, %d applied", began, n)
				}
				if got := tablesOf(t, log, id, false); got != want {
					t.Error("the tables are others")
				}
				alice.messages(id, 1000)
				alice.keptAt(id, 3000)
				r.stop()
				if tablesOf(t, log, id, false) != tablesOf(t, log, id, true) {
					t.Error("the newest checkpoint is not good")
				}
				checkPages(t, log, id)
			})
		}
	})
}

// checkPages wants a space to have the pages of its checkpoints and no others.
func checkPages(t *testing.T, log syncserver.Log, id space.ID) {
	t.Helper()
	ctx := context.Background()
	value, err := log.Key(ctx, "checkpoint/"+id.String())
	if err != nil || len(value) == 0 || len(value) > 80 {
		t.Fatalf("the key has %d bytes, %v", len(value), err)
	}
	want := map[digest.Digest]bool{}
	for ; len(value) > 0; value = value[40:] {
		name := digest.Digest(value[8:40])
		root, err := log.Page(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		_, pages, err := tables.ReadRoot(root)
		if err != nil {
			t.Fatal(err)
		}
		want[name] = true
		for _, page := range pages {
			want[page] = true
		}
	}
	names, err := log.Pages(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !want[name] {
			t.Errorf("page %v is nobody's", name)
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("%d pages are missing", len(want))
	}
}
