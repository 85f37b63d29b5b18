package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"skerry/shared/module"
	"skerry/shared/space"
	"skerry/shared/wire"
)

const (
	floodConnections = 20
	floodIdentities  = 5
	floodInFlight    = 256         // creations that each connection keeps unanswered
	floodFrom        = "127.0.0.2" // another than the honest client's, so that it has limits of its own
	floodWanted      = 2.0         // times as long as without
	floodSettles     = time.Second // until the abuser has used up what everybody is given at once
	floodTurn        = 2 * time.Second
)

// flood creates spaces without end, as an abuser does who does not wait when told to. Its first line says that it has begun, its last how many
// creations were answered.
func flood(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	set := flag.NewFlagSet("syncload flood", flag.ContinueOnError)
	url := set.String("url", "http://127.0.0.1:8080", "`address` of the server")
	from := set.String("from", floodFrom, "`address` to connect from")
	connections := set.Int("connections", floodConnections, "`number` of connections")
	identities := set.Int("identities", floodIdentities, "`number` of identities")
	if err := parse(set, args, stderr); err != nil {
		return err
	}
	http.DefaultTransport.(*http.Transport).DialContext = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(*from)}}).DialContext
	var answered atomic.Int64
	var abusers sync.WaitGroup
	for i := range *connections {
		abusers.Go(func() {
			for ctx.Err() == nil { // it is thrown out again and again
				floods(ctx, *url, memberOf("abuser-"+strconv.Itoa(i%*identities)), &answered)
			}
		})
	}
	fmt.Fprintln(stdout, "floods")
	abusers.Wait()
	fmt.Fprintln(stdout, answered.Load())
	return nil
}

// floods creates spaces over one connection until that is closed.
func floods(ctx context.Context, url string, as member, answered *atomic.Int64) {
	p, err := dial(ctx, url, as)
	if err != nil {
		return
	}
	defer p.close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	unanswered := make(chan struct{}, floodInFlight)
	go func() {
		defer cancel()
		for {
			frame, err := p.receive(ctx)
			if err != nil {
				return
			}
			if _, ok := frame.(*wire.Pushed); ok {
				answered.Add(1)
				<-unanswered
			}
		}
	}()
	for ctx.Err() == nil {
		genesis := &space.Genesis{Creator: as.identity, Module: module.Open}
		rand.Read(genesis.Stamp[1:])
		signature, _ := as.sign(ctx, space.GenesisMessage(genesis.ID()))
		select {
		case unanswered <- struct{}{}:
		case <-ctx.Done():
			return
		}
		if p.send(ctx, &wire.Push{Space: genesis.ID(), N: 1, Genesis: genesis, GenesisSignature: signature}) != nil {
			return
		}
	}
}

// abuse measures what an abuser costs others.
func (b *benchmark) abuse(ctx context.Context) error {
	b.printf("## An abuser\n\n")
	b.printf("One client writes an event of %d bytes, waits for the verdict, and goes on, while another without any rest creates spaces over %d\n", payloadSize, floodConnections)
	b.printf("connections of one address, with limits as they come. With and without take turns of %v on one server. The abuser runs in a\n", floodTurn)
	b.printf("process with the lowest priority, since it shares the machine with who suffers from it; the floor is what the same process costs\n")
	b.printf("them while it floods another server, which shares the machine too.\n\n")
	b.printf("| | verdicts without, p50 / p99 | with | times as long | creations answered/s | wanted | |\n| --- | --: | --: | --: | --: | --: | --- |\n")
	var limits = []string{"serve", "--limits"}
	return b.on(ctx, func(server *child) error {
		return b.on(ctx, func(other *child) error {
			p, err := dial(ctx, server.url, memberOf("honest"))
			if err != nil {
				return err
			}
			defer p.close()
			h := &honest{peer: p, writer: (&load{seed: 1, payload: payloadSize}).writer(0), as: memberOf("honest")}
			if h.space, err = p.create(ctx, h.as, h.writer.ulid()); err != nil {
				return err
			}
			h.n = 1
			for _, row := range []struct{ what, url string }{{"the same server", server.url}, {"floor: another server", other.url}} {
				calm, busy, perSecond, err := b.turns(ctx, h, row.url)
				if err != nil {
					return err
				}
				calm50, calm99 := percentiles(calm)
				busy50, busy99 := percentiles(busy)
				wanted, verdict := "", ""
				if row.url == server.url {
					wanted, verdict = fmt.Sprintf("%.0f x", floodWanted), met(busy50 <= floodWanted*calm50 && busy99 <= floodWanted*calm99)
				}
				b.printf("| %s | %.2f / %.2f ms | %.2f / %.2f ms | %.1f / %.1f | %s | %s | %s |\n", row.what, calm50, calm99, busy50, busy99,
					busy50/calm50, busy99/calm99, thousands(perSecond), wanted, verdict)
			}
			b.printf("\n")
			return nil
		}, limits...)
	}, limits...)
}

// turns measures an honest client without and with a flood, in turns.
func (b *benchmark) turns(ctx context.Context, h *honest, url string) (calm, busy []time.Duration, perSecond float64, err error) {
	for range max(int(b.time/floodTurn), 1) {
		took, err := h.appends(ctx, floodTurn)
		if err != nil {
			return nil, nil, 0, err
		}
		calm = append(calm, took...)
		abuser, err := spawnNice(ctx, b.stderr, "flood", "--url", url)
		if err != nil {
			return nil, nil, 0, err
		}
		_, err = h.appends(ctx, floodSettles)
		if err == nil {
			took, err = h.appends(ctx, floodTurn)
		}
		answered, ended := abuser.end()
		if err = errors.Join(err, ended); err != nil {
			return nil, nil, 0, err
		}
		busy = append(busy, took...)
		perSecond += answered / (floodSettles + floodTurn).Seconds() / float64(max(int(b.time/floodTurn), 1))
	}
	return calm, busy, perSecond, nil
}

// honest is a client that waits for each verdict.
type honest struct {
	peer   *peer
	writer *writer
	as     member
	space  space.ID
	n      uint64
}

func (h *honest) appends(ctx context.Context, limit time.Duration) (took []time.Duration, err error) {
	for began := time.Now(); time.Since(began) < limit; {
		h.n++
		push := &wire.Push{Space: h.space, N: h.n, Transactions: []space.Transaction{{Author: h.as.identity, API: wire.APIHigh, Events: h.writer.events(1)}}}
		at := time.Now()
		if err := h.peer.send(ctx, push); err != nil {
			return nil, err
		}
		pushed, err := expect[*wire.Pushed](ctx, h.peer)
		if err != nil {
			return nil, err
		}
		if v := &pushed.Verdicts[0]; v.Kind != wire.Accepted {
			return nil, errors.New(describe(v))
		}
		took = append(took, time.Since(at))
	}
	return took, nil
}
