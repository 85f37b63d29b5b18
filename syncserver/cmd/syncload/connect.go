package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"
)

// connect measures how fast clients come: each connects, shakes hands, and goes, again and again.
func (b *benchmark) connect(ctx context.Context) error {
	b.printf("## Connecting\n\n")
	b.printf("Clients that connect, shake hands and go at once, again and again. Each is let in by the policy, and a durable record says so\n")
	b.printf("before the welcome, another when it is gone. The floor: the same server without a policy, which writes nothing down.\n\n")
	b.printf("| clients | connections/s | floor | of the floor | until the welcome, p50 / p99 | floor | |\n")
	b.printf("| --: | --: | --: | --: | --: | --: | --- |\n")
	for _, n := range []int{1, 16, 256} {
		policed, err := b.comers(ctx, n)
		if err != nil {
			return err
		}
		floor, err := b.comers(ctx, n, "--no-modules")
		if err != nil {
			return err
		}
		b.printf("| %d | %s | %s | %.0f %% | %s / %s | %s / %s | |\n", n, thousands(policed.perSecond), thousands(floor.perSecond),
			100*policed.perSecond/floor.perSecond, took(policed.p50), took(policed.p99), took(floor.p50), took(floor.p99))
	}
	b.printf("\n")
	return nil
}

func took(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1000) }

// comings are how clients came.
type comings struct {
	perSecond float64
	p50, p99  time.Duration
}

func (b *benchmark) comers(ctx context.Context, n int, args ...string) (c comings, err error) {
	err = b.on(ctx, func(server *child) error {
		var mu sync.Mutex
		var all []time.Duration
		var failed error
		var running sync.WaitGroup
		begin := time.Now()
		for i := range n {
			running.Go(func() {
				for time.Since(begin) < b.time {
					at := time.Now()
					p, err := dial(ctx, server.url, memberOf("comer-"+strconv.Itoa(i)))
					took := time.Since(at)
					mu.Lock()
					if all = append(all, took); err != nil {
						failed = err
					}
					mu.Unlock()
					if err != nil {
						return
					}
					p.close()
				}
			})
		}
		running.Wait()
		if failed != nil {
			return failed
		}
		c.perSecond = float64(len(all)) / time.Since(begin).Seconds()
		slices.Sort(all)
		c.p50, c.p99 = all[len(all)/2], all[len(all)*99/100]
		return nil
	}, append([]string{"serve"}, args...)...)
	return c, err
}
