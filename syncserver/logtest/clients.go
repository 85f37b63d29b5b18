package logtest

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"

	"skerry/shared/wire"
	"skerry/syncserver"
)

// NewClient returns a row for a connection.
func NewClient(rng *rand.Rand, identity string, claims []byte) syncserver.Client {
	c := syncserver.Client{Identity: identity, Since: rng.Uint64N(1 << 40), Claims: claims}
	copy(c.Connection[:], randomBytes(rng, len(c.Connection)))
	return c
}

// AllClients reads all rows, a few at a time.
func AllClients(ctx context.Context, log syncserver.Log) (all []syncserver.Client, err error) {
	for {
		var after wire.ConnectionID
		if len(all) > 0 {
			after = all[len(all)-1].Connection
		}
		page, err := log.Clients(ctx, after, 3)
		if err != nil || len(page) == 0 {
			return all, err
		}
		all = append(all, page...)
	}
}

func (s *suite) clients(want ...syncserver.Client) {
	s.Helper()
	want = slices.Clone(want)
	slices.SortFunc(want, func(a, b syncserver.Client) int {
		if c := bytes.Compare(a.Connection[:], b.Connection[:]); c != 0 {
			return c
		}
		return strings.Compare(a.Identity, b.Identity)
	})
	got, err := AllClients(s.ctx, s.log)
	if s.must("Clients", err); len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
		s.Fatalf("clients are\n%v, want\n%v", got, want)
	}
}

// testClients: rows come and go with appends, and stay over a restart.
func testClients(s *suite) {
	a := s.space()
	change := func(changes syncserver.ClientChanges) {
		s.Helper()
		records, next := a.batch(1)
		s.must("AppendClients", s.log.AppendClients(s.ctx, a.id, a.head, records, next, changes))
		a.head = next
	}
	s.clients()
	var all []syncserver.Client
	for range 7 {
		all = append(all, NewClient(s.rng, "did:key:z6Mk", nil))
	}
	both := all[3]
	both.Identity, both.Claims = "ada", []byte("\x81\xa1a\x01")
	change(syncserver.ClientChanges{Connected: append(slices.Clone(all), both)})
	s.clients(append(slices.Clone(all), both)...)
	anew := both
	anew.Claims, anew.Since = nil, 7
	change(syncserver.ClientChanges{Connected: []syncserver.Client{anew}})
	s.clients(append(slices.Clone(all), anew)...)
	for _, claims := range [][]byte{{0x81, 1, 2}, {0x80}, nil} {
		anew.Claims = claims
		s.must("SetClaims", s.log.SetClaims(s.ctx, anew.Connection, anew.Identity, claims))
		s.must("SetClaims of nobody", s.log.SetClaims(s.ctx, anew.Connection, "eve", claims))
		s.clients(append(slices.Clone(all), anew)...)
	}
	change(syncserver.ClientChanges{Connected: []syncserver.Client{both}, Gone: []wire.ConnectionID{all[3].Connection, all[0].Connection, {9}}})
	left := append(slices.Clone(all[1:3]), append(slices.Clone(all[4:]), both)...)
	s.clients(left...)
	if s.Opened.Reopen != nil {
		s.must("Close", s.log.Close())
		s.log = s.Opened.Reopen()
		s.clients(left...)
	}
	s.must("DropClients", s.log.DropClients(s.ctx, []wire.ConnectionID{all[1].Connection, both.Connection, {9}}))
	s.clients(append(slices.Clone(all[2:3]), all[4:]...)...)
	change(syncserver.ClientChanges{Connected: []syncserver.Client{all[3]}})
	s.clients(all[2:]...) // the claims of the one before are gone with it
	if head, err := s.log.Head(s.ctx, a.id); err != nil || head != a.head {
		s.Fatalf("Head = %v, %v", head, err)
	}
}

// testClientsWithRecords: an append that is refused changes no row.
func testClientsWithRecords(s *suite) {
	a := s.space()
	was := NewClient(s.rng, "ada", []byte{0x80})
	records, next := a.batch(2)
	s.must("AppendClients", s.log.AppendClients(s.ctx, a.id, a.head, records, next, syncserver.ClientChanges{Connected: []syncserver.Client{was}}))
	previous := a.head
	a.head = next
	changes := syncserver.ClientChanges{Connected: []syncserver.Client{NewClient(s.rng, "bob", nil)}, Gone: []wire.ConnectionID{was.Connection}}
	if actual := headError(s.log.AppendClients(s.ctx, a.id, previous, records, next, changes)); actual == nil || *actual != a.head {
		s.Fatalf("an append on an old head: %v", actual)
	}
	stale, after := a.batch(3)
	stale[1].ID = records[1].ID
	if known := knownError(s.log.AppendClients(s.ctx, a.id, a.head, stale, after, changes)); len(known) != 1 {
		s.Fatalf("an append of a known id: %v", known)
	}
	if err := s.log.AppendClients(s.ctx, a.id, a.head, nil, a.head, changes); err == nil {
		s.Fatal("an append without records changed who is connected")
	}
	other := newAuthor(s.fork())
	strange, end := other.batch(1)
	if err := s.log.AppendClients(s.ctx, other.id, other.head, strange, end, changes); !errors.Is(err, syncserver.ErrNoSpace) {
		s.Fatalf("an append to no space: %v", err)
	}
	s.clients(was)
	s.check(s.log, a, records)
}

// testClientsOfManyWriters: each writer's rows are what it made of them.
func testClientsOfManyWriters(s *suite) {
	var mu sync.Mutex
	var want []syncserver.Client
	var running sync.WaitGroup
	for range 8 {
		a, rng := s.space(), s.fork()
		running.Go(func() {
			var mine []syncserver.Client
			for range soak(30, 1000) {
				c := NewClient(rng, "ada", []byte{0x80})
				changes := syncserver.ClientChanges{Connected: []syncserver.Client{c}}
				if len(mine) > 2 {
					changes.Gone = append(changes.Gone, mine[0].Connection)
					mine = mine[1:]
				}
				records, next := a.batch(1, 2)
				if err := s.log.AppendClients(s.ctx, a.id, a.head, records, next, changes); err != nil {
					s.Errorf("AppendClients: %v", err)
					return
				}
				a.head = next
				mine = append(mine, c)
			}
			mu.Lock()
			defer mu.Unlock()
			want = append(want, mine...)
		})
	}
	running.Wait()
	s.clients(want...)
}
