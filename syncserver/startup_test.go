package syncserver_test

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"skerry/shared/module"
	"skerry/shared/space"
	"skerry/syncserver"
	"skerry/syncserver/logtest"
	"skerry/syncserver/memlog"
)

// counting is a log that counts how often it is asked about one space.
type counting struct {
	*memlog.Log
	asked atomic.Int64
}

func (c *counting) Genesis(ctx context.Context, id space.ID) (space.Genesis, []byte, error) {
	c.asked.Add(1)
	return c.Log.Genesis(ctx, id)
}

func (c *counting) Head(ctx context.Context, id space.ID) (space.Head, error) {
	c.asked.Add(1)
	return c.Log.Head(ctx, id)
}

func (c *counting) Key(ctx context.Context, key string) ([]byte, error) {
	c.asked.Add(1)
	return c.Log.Key(ctx, key)
}

// TestAServerOfManySpacesDoesNotVisitEach: neither when it starts nor by the hour is a server's log asked about each space that it has: there may
// be a million. What a space says of itself, how much it keeps, is done all the same.
func TestAServerOfManySpacesDoesNotVisitEach(t *testing.T) {
	const spaces = 500
	synctest.Test(t, func(t *testing.T) {
		log := &counting{Log: memlog.New()}
		rng := rand.New(rand.NewPCG(1, 2))
		for range spaces {
			genesis := logtest.NewGenesis(rng)
			genesis.Module = module.Open
			if _, err := log.Create(context.Background(), &genesis, nil); err != nil {
				t.Fatal(err)
			}
		}
		log.asked.Store(0)
		r := start(t, log, func(c *syncserver.Config) { c.ModulesKept = 1000 * time.Hour })
		synctest.Wait()
		if text := r.metrics(); !strings.Contains(text, `skerry_module_spaces{module="open"} 500`+"\n") {
			t.Error("the spaces are not counted")
		}
		time.Sleep(3*time.Hour + time.Minute) // of the bubble's
		synctest.Wait()
		if n := log.asked.Load(); n >= spaces {
			t.Errorf("the log of %d spaces was asked about one %d times", spaces, n)
		} else {
			t.Logf("asked %d times", n)
		}
		r.stop()
	})
}
