// Package storetest is the suite that every [wasmclient.Store] passes.
//
// A store's own tests call [Run] with a [Factory]. Each test gets a storage of its own, opens one handle on it or
// several (as tabs do), commits, and compares what it then reads with what package wasmclient and [replica.Commit]
// promise; the random tests compare with [replica.Model], step by step.
//
// What is random prints its seed, and SKERRY_SEED=n repeats it. SKERRY_SOAK=1 makes the tests long. The suite
// reads no file, never sleeps and starts no program, so that it runs in a browser as well.
//
// Stable: Run, and that new demands on a Store arrive as new subtests.
package storetest

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"skerry/shared/digest"
	"skerry/wasmclient"
)

// Factory makes a new and empty storage for one test.
type Factory func(t *testing.T) Storage

// Storage is where stores under test keep their data.
type Storage struct {
	// Open returns a new handle on the storage, which sees what other handles did, open or closed. The suite closes
	// it, and calls Open again after the last one was closed to see what was kept.
	Open func() wasmclient.Store

	// Identity is the one that the storage was made for.
	Identity string

	// AbortNext makes the next commit of any handle fail after it wrote something and before it took effect, with
	// whatever error that gives. Nil skips those tests.
	AbortNext func()
	// FullNext makes the next commit of any handle fail for want of room. Nil skips those tests.
	FullNext func()
	// MakeNewer leaves the storage as a newer version of Skerry would that older ones must not write. Nil skips
	// those tests.
	MakeNewer func()
	// DamageModule changes some of the bytes that are kept of a module. Nil skips that.
	DamageModule func(digest.Digest)
	// DamagePage changes some of the bytes that are kept of a page or a root of a checkpoint, or loses them. Nil skips
	// that.
	DamagePage func(d digest.Digest, lose bool)
	// Delete destroys everything, as a browser does when its user clears a site's data. Nil skips those tests.
	Delete func()
}

// Run runs the suite.
func Run(t *testing.T, factory Factory) {
	for _, test := range []struct {
		name string
		run  func(*suite)
	}{
		{"Empty", testEmpty},
		{"Identity", testIdentity},
		{"Closed", testClosed},
		{"Cancelled", testCancelled},
		{"Reopen", testReopen},
		{"Fence", testFence},
		{"RaiseEpoch", testRaiseEpoch},
		{"Expect", testExpect},
		{"ExpectOneOfMany", testExpectOneOfMany},
		{"Server", testServer},
		{"BadCommits", testBadCommits},
		{"Versions", testVersions},
		{"Changes", testChanges},
		{"ManyChanges", testManyChanges},
		{"Insert", testInsert},
		{"SetCreatedAndModule", testSetCreatedAndModule},
		{"Pinned", testPinned},
		{"Deleted", testDeleted},
		{"Forget", testForget},
		{"ForgetKeeps", testForgetKeeps},
		{"Login", testLogin},
		{"Erase", testErase},
		{"SpacesAscend", testSpacesAscend},
		{"Append", testAppend},
		{"AppendTwice", testAppendTwice},
		{"AppendRejected", testAppendRejected},
		{"KeysRise", testKeysRise},
		{"OutboxPaging", testOutboxPaging},
		{"Mark", testMark},
		{"Reject", testReject},
		{"Refuse", testRefuse},
		{"Retry", testRetry},
		{"LostRows", testLostRows},
		{"Withdraw", testWithdraw},
		{"Settle", testSettle},
		{"FieldOrder", testFieldOrder},
		{"SameIDInTwoSpaces", testSameIDInTwoSpaces},
		{"LargeTransaction", testLargeTransaction},
		{"LargePayload", testLargePayload},
		{"CallerKeepsItsBytes", testCallerKeepsItsBytes},
		{"ReadPaging", testReadPaging},
		{"SmallRuns", testSmallRuns},
		{"LargeRuns", testLargeRuns},
		{"Hole", testHole},
		{"Holes", testHoles},
		{"HolesMeet", testHolesMeet},
		{"Drop", testDrop},
		{"Encoded", testEncoded},
		{"Damaged", testDamaged},
		{"Cut", testCut},
		{"CutStale", testCutStale},
		{"Fork", testFork},
		{"Modules", testModules},
		{"ModulesFull", testModulesFull},
		{"ModulesMakeRoom", testModulesMakeRoom},
		{"ModulesUnnamed", testModulesUnnamed},
		{"Checkpoints", testCheckpoints},
		{"CheckpointsAhead", testCheckpointsAhead},
		{"CheckpointsShare", testCheckpointsShare},
		{"CheckpointsNamed", testCheckpointsNamed},
		{"CheckpointsCut", testCheckpointsCut},
		{"CheckpointsDamaged", testCheckpointsDamaged},
		{"CheckpointsLarge", testCheckpointsLarge},
		{"CheckpointsFull", testCheckpointsFull},
		{"CheckpointsAbort", testCheckpointsAbort},
		{"Abort", testAbort},
		{"Full", testFull},
		{"Newer", testNewer},
		{"Suspend", testSuspend},
		{"Lost", testLost},
		{"TwoHandles", testTwoHandles},
		{"ConcurrentAppends", testConcurrentAppends},
		{"ConcurrentLeaders", testConcurrentLeaders},
		{"Random", testRandom},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.run(&suite{T: t, Storage: factory(t), ctx: context.Background()})
		})
	}
}

// suite is one test with its storage.
type suite struct {
	*testing.T
	Storage
	ctx context.Context
}

// open returns a handle that is closed when the test ends.
func (s *suite) open() handle {
	s.Helper()
	store := s.Open()
	s.Cleanup(func() { store.Close() })
	return handle{store, s}
}

// random returns a source of random choices that a failure can be repeated with.
func (s *suite) random() *rand.Rand {
	s.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("SKERRY_SEED"); text != "" {
		given, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			s.Fatalf("SKERRY_SEED: %v", err)
		}
		seed = given
	}
	s.Logf("SKERRY_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

func soak() bool { return os.Getenv("SKERRY_SOAK") != "" }
