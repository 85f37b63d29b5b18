// Package logtest is the suite that every [syncserver.Log] passes.
//
// A log's own tests call [Run] with a [Factory]. Each test of the suite opens a log of its own, does what a
// server does to it, alone and from many goroutines, and compares what it finds with what it was told: nothing
// acknowledged is missing, nothing is there twice, numbers have no holes, the chain over the records that are
// read is the chain of the head.
//
// What is random prints its seed, and SKERRY_SEED=n repeats it. SKERRY_SOAK=1 makes the tests long. No test sleeps.
//
// The suite knows nothing of crashes: a log that claims to be durable brings a storage of its own that loses
// what was not synced, see package sqlitelog. Stable: Run, and that new demands on a Log arrive as new subtests.
package logtest

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"skerry/shared/space"
	"skerry/syncserver"
)

// Factory opens a new and empty log for one test.
type Factory func(t *testing.T) Opened

// Opened is a log under test and what else can be done to its storage. The suite closes the log.
type Opened struct {
	Log syncserver.Log

	// Reopen opens the storage again after the log was closed. Nil where nothing survives that.
	Reopen func() syncserver.Log
	// Second opens another handle on the storage beside the first, which the factory closes. It need only read. Nil
	// where that is not possible.
	Second func() syncserver.Log
	// SetHead makes an empty space look as if it ended at head, so that the last numbers can be tried. Nil skips
	// those tests.
	SetHead func(id space.ID, head space.Head)
	// Hints tells that Watch loses no hint between handles of this process.
	Hints bool
}

// Run runs the suite.
func Run(t *testing.T, open Factory) {
	for _, test := range []struct {
		name string
		run  func(*suite)
	}{
		{"Create", testCreate},
		{"Spaces", testSpaces},
		{"AppendAndRead", testAppendAndRead},
		{"BadAppends", testBadAppends},
		{"ResendIsHeadError", testResend},
		{"KnownIDs", testKnownIDs},
		{"SameIDInTwoSpaces", testSameIDInTwoSpaces},
		{"Paging", testPaging},
		{"ChainBefore", testChainBefore},
		{"LargestSizes", testLargestSizes},
		{"LastNumbers", testLastNumbers},
		{"RaceForOneID", testRaceForOneID},
		{"RaceToResend", testRaceToResend},
		{"WritersOnOneSpace", testWritersOnOneSpace},
		{"WritersOnManySpaces", testWritersOnManySpaces},
		{"ReadersSeeNoHoles", testReadersSeeNoHoles},
		{"ReadYourAcknowledgement", testReadYourAcknowledgement},
		{"HintsDropped", testHintsDropped},
		{"Hints", testHints},
		{"UnknownOutcomes", testUnknownOutcomes},
		{"CancelledInCommit", testCancelledInCommit},
		{"CancelledBefore", testCancelledBefore},
		{"Blobs", testBlobs},
		{"BlobsDeleted", testBlobsDeleted},
		{"Pages", testPages},
		{"Delete", testDelete},
		{"DeletedForEver", testDeletedForEver},
		{"DeleteRaces", testDeleteRaces},
		{"DeleteUnderReaders", testDeleteUnderReaders},
		{"Expire", testExpire},
		{"ExpiredForEver", testExpiredForEver},
		{"ExpireLargest", testExpireLargest},
		{"ExpireUnderReaders", testExpireUnderReaders},
		{"ExpireRaces", testExpireRaces},
		{"Usage", testUsage},
		{"UsageOfManyWriters", testUsageOfManyWriters},
		{"Keys", testKeys},
		{"KeyRaces", testKeyRaces},
		{"Scan", testScan},
		{"Limit", testLimit},
		{"LimitAllOrNone", testLimitAllOrNone},
		{"LimitNeverPasses", testLimitNeverPasses},
		{"LimitRaces", testLimitRaces},
		{"Clients", testClients},
		{"ClientsWithRecords", testClientsWithRecords},
		{"ClientsOfManyWriters", testClientsOfManyWriters},
		{"Model", testModel},
		{"Reopen", testReopen},
		{"CloseWaits", testCloseWaits},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSuite(t, open(t))
			test.run(s)
			if err := s.log.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
}

// suite is one test: the log, and a seeded source of everything that is random in it.
type suite struct {
	*testing.T
	Opened
	log syncserver.Log
	ctx context.Context
	rng *rand.Rand
}

func newSuite(t *testing.T, opened Opened) *suite {
	seed := rand.Uint64()
	if text := os.Getenv("SKERRY_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("SKERRY_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("SKERRY_SEED=%d", seed)
	return &suite{T: t, Opened: opened, log: opened.Log, ctx: t.Context(), rng: rand.New(rand.NewPCG(seed, 1))}
}

// soak picks how much to do: short normally, long under SKERRY_SOAK.
func soak(short, long int) int {
	if os.Getenv("SKERRY_SOAK") != "" {
		return long
	}
	return short
}

// must fails the test at once if err is not nil.
func (s *suite) must(what string, err error) {
	s.Helper()
	if err != nil {
		s.Fatalf("%s: %v", what, err)
	}
}

// fork returns an independent source for another goroutine.
func (s *suite) fork() *rand.Rand { return rand.New(rand.NewPCG(s.rng.Uint64(), 2)) }

// space creates a space and returns its author.
func (s *suite) space() *author {
	s.Helper()
	a := newAuthor(s.fork())
	if created, err := s.log.Create(s.ctx, &a.genesis, nil); err != nil || !created {
		s.Fatalf("Create = %v, %v; want a new space", created, err)
	}
	return a
}

// append appends transactions of the given sizes after a's head and moves it there.
func (s *suite) append(a *author, sizes ...int) []space.Record {
	s.Helper()
	records, next := a.batch(sizes...)
	s.must("Append", s.log.Append(s.ctx, a.id, a.head, records, next))
	a.head = next
	return records
}

// readAll reads a whole space in pages of random size from log and checks that it is one history.
func readAll(ctx context.Context, t testing.TB, log syncserver.Log, id space.ID) []space.Record {
	t.Helper()
	var all []space.Record
	after := uint64(0)
	for {
		page, err := log.Read(ctx, id, after, 1+rand.IntN(700), 1+rand.IntN(1<<20))
		if err != nil {
			t.Fatalf("Read after %d: %v", after, err)
		}
		if len(page) == 0 {
			return all
		}
		for i := range page {
			if page[i].Seq != after+1+uint64(i) {
				t.Fatalf("Read after %d: record %d has number %d", after, i, page[i].Seq)
			}
		}
		if !page[len(page)-1].Last() {
			t.Fatalf("Read after %d: the page ends inside a transaction", after)
		}
		all = append(all, page...)
		after = page[len(page)-1].Seq
	}
}

// CheckSpace fails t unless the records of a space are one history without holes or repetitions, whose chain is
// that of the head. It returns the records.
func CheckSpace(ctx context.Context, t testing.TB, log syncserver.Log, id space.ID) []space.Record {
	t.Helper()
	all := readAll(ctx, t, log, id)
	head, err := log.Head(ctx, id)
	if err != nil {
		t.Fatalf("Head: %v", err)
	}
	if head.Seq != uint64(len(all)) {
		t.Fatalf("the head is %d, but %d records are read", head.Seq, len(all))
	}
	if chain := space.Fold(id, all); chain != head.Chain {
		t.Fatalf("the chain over %d records is not the head's", len(all))
	}
	ids := make([]space.ULID, len(all))
	seen := make(map[space.ULID]bool, len(all))
	for i := range all {
		if ids[i] = all[i].ID; seen[all[i].ID] {
			t.Fatalf("event %s is stored twice", all[i].ID)
		}
		seen[all[i].ID] = true
	}
	known, err := log.Known(ctx, id, ids)
	if err != nil {
		t.Fatalf("Known: %v", err)
	}
	for i, k := range known {
		r := &all[i]
		if want := (syncserver.Known{Seq: r.Seq, Index: r.Index, Count: r.Count, Author: r.Author}); k != want {
			t.Fatalf("Known(%s) = %+v, want %+v", r.ID, k, want)
		}
	}
	return all
}

// check is CheckSpace, and that the records are those of a.
func (s *suite) check(log syncserver.Log, a *author, want []space.Record) {
	s.Helper()
	s.same(CheckSpace(s.ctx, s.T, log, a.id), want)
}

// same fails the test unless records are want.
func (s *suite) same(records, want []space.Record) {
	s.Helper()
	if len(records) != len(want) {
		s.Fatalf("%d records, want %d", len(records), len(want))
	}
	for i := range want {
		if !SameRecord(&records[i], &want[i]) {
			s.Fatalf("record %d is\n%+v, want\n%+v", i, records[i], want[i])
		}
	}
}

// SameRecord reports whether two records agree in every field.
func SameRecord(a, b *space.Record) bool {
	return a.Expired == b.Expired && a.ID == b.ID && a.Type == b.Type && a.Schema == b.Schema && bytes.Equal(a.Payload, b.Payload) &&
		a.Seq == b.Seq && a.ReceivedAt == b.ReceivedAt && a.Index == b.Index && a.Count == b.Count &&
		a.Author == b.Author && a.API == b.API && a.ClientVersion == b.ClientVersion
}

// headError returns the head that err names, or nil if err is no HeadError.
func headError(err error) *space.Head {
	var e *syncserver.HeadError
	if errors.As(err, &e) {
		return &e.Actual
	}
	return nil
}

// knownError returns the ids that err names, or nil if err is no KnownError.
func knownError(err error) []space.ULID {
	var e *syncserver.KnownError
	if errors.As(err, &e) {
		return e.IDs
	}
	return nil
}
