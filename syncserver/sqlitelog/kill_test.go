package sqlitelog

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"

	"skerry/shared/space"
	"skerry/syncserver/logtest"
)

// TestMain serves as the process to be killed when TestKill says so.
func TestMain(m *testing.M) {
	if dir := os.Getenv("SKERRY_KILL_DIR"); dir != "" {
		if err := writeUntilKilled(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// killSpaces is how many goroutines the process to be killed writes with, each to a space of its own.
const killSpaces = 8

// killHistory returns the genesis of a space, and a function that makes its history batch by batch, the same one in
// every process.
func killHistory(i int) (space.Genesis, func(space.Head) ([]space.Record, space.Head)) {
	rng := rand.New(rand.NewPCG(7, uint64(i)))
	genesis := logtest.NewGenesis(rng)
	return genesis, func(head space.Head) ([]space.Record, space.Head) {
		return logtest.Batch(rng, head, 1+rng.IntN(3), 1+rng.IntN(3))
	}
}

// writeUntilKilled appends from eight goroutines, each to its space, and prints (space, seq) for every
// acknowledgement.
func writeUntilKilled(dir string) error {
	ctx := context.Background()
	log, err := Open(ctx, Config{Dir: dir})
	if err != nil {
		return err
	}
	errs := make(chan error)
	var mu sync.Mutex // keeps what is printed in whole
	for i := range killSpaces {
		go func() {
			genesis, next := killHistory(i)
			if _, err := log.Create(ctx, &genesis, nil); err != nil {
				errs <- err
				return
			}
			id := genesis.ID()
			stored, err := log.Head(ctx, id)
			if err != nil {
				errs <- err
				return
			}
			head := space.Head{Chain: id}
			for {
				records, after := next(head)
				if after.Seq > stored.Seq { // what an earlier life stored is only made again
					if err := log.Append(ctx, id, head, records, after); err != nil {
						errs <- err
						return
					}
					mu.Lock()
					_, err := os.Stdout.Write(binary.LittleEndian.AppendUint64([]byte{byte(i)}, after.Seq))
					mu.Unlock()
					if err != nil {
						errs <- err
						return
					}
				}
				head = after
			}
		}()
	}
	return <-errs
}

// TestKill kills a process that writes, again and again in one directory. What this process heard to be
// acknowledged must be there, and all there is must be what the other wrote.
func TestKill(t *testing.T) {
	_, rounds := seeded(t, 4, 40)
	dir := t.TempDir()
	acknowledged := make([]uint64, killSpaces)
	for round := range rounds {
		listenAndKill(t, dir, acknowledged, 1+rand.IntN(400))
		log := open(t, Config{Dir: dir})
		for i, seq := range acknowledged {
			genesis, next := killHistory(i)
			stored, err := log.Head(t.Context(), genesis.ID())
			if err != nil {
				if seq == 0 {
					continue
				}
				t.Fatal(err)
			}
			if stored.Seq < seq {
				t.Fatalf("round %d: %d was acknowledged, the log ends at %d", round, seq, stored.Seq)
			}
			all := logtest.CheckSpace(t.Context(), t, log, genesis.ID())
			head := space.Head{Chain: genesis.ID()}
			for head.Seq < stored.Seq {
				var records []space.Record
				records, head = next(head)
				for j := range records {
					if !logtest.SameRecord(&all[records[j].Seq-1], &records[j]) {
						t.Fatalf("round %d: record %d is not what was written", round, records[j].Seq)
					}
				}
			}
			if head != stored {
				t.Fatalf("round %d: the log ends inside an append", round)
			}
		}
		integrity(t, log)
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// listenAndKill starts a process that writes, notes what it says, and kills it after n acknowledgements.
func listenAndKill(t *testing.T, dir string, acknowledged []uint64, n int) {
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "SKERRY_KILL_DIR="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(out)
	for heard := 0; ; heard++ {
		if heard == n {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		var line [9]byte // after the kill, what was said before it is still in the pipe
		if _, err := io.ReadFull(in, line[:]); err != nil {
			break
		}
		acknowledged[line[0]] = binary.LittleEndian.Uint64(line[1:])
	}
	if err := child.Wait(); err == nil {
		t.Fatal("the process ended by itself")
	}
}
