package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// peer is one connection that speaks the protocol by hand.
type peer struct {
	socket *websocket.Conn
	joiner wire.Joiner
	buffer []byte // of the last frame sent
}

// dial connects and shakes hands.
func dial(ctx context.Context, server string, as member) (*peer, error) {
	address, err := syncURL(server)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	socket, _, err := websocket.Dial(ctx, address, &websocket.DialOptions{Subprotocols: []string{wire.Subprotocol}})
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	socket.SetReadLimit(wire.MaxServerMessage)
	p := &peer{socket: socket, joiner: wire.Joiner{Limit: wire.MaxServerMessage}}
	if err := p.handshake(ctx, address, as); err != nil {
		p.close()
		return nil, fmt.Errorf("handshake with %s: %w", address, err)
	}
	return p, nil
}

func (p *peer) handshake(ctx context.Context, address string, as member) error {
	challenge, err := expect[*wire.Challenge](ctx, p)
	if err != nil {
		return err
	}
	dialled, err := url.Parse(address)
	if err != nil {
		return err
	}
	hello := &wire.Hello{API: wire.APIHigh, ClientVersion: "syncload", Credit: 1 << 40, Proofs: []wire.Proof{as.proof(challenge, dialled.Host)}}
	rand.Read(hello.ConnectionID[:])
	rand.Read(hello.Session[:])
	if err := p.send(ctx, hello); err != nil {
		return err
	}
	_, err = expect[*wire.Welcome](ctx, p)
	return err
}

func (p *peer) close() { p.socket.CloseNow() }

// send has one caller at a time.
func (p *peer) send(ctx context.Context, frame wire.Frame) error {
	p.buffer = wire.Append(p.buffer[:0], frame)
	for _, piece := range wire.Split(p.buffer, 256<<10) {
		if err := p.socket.Write(ctx, websocket.MessageBinary, piece); err != nil {
			return fmt.Errorf("send: %w", err)
		}
	}
	return nil
}

// receive returns the next frame; a frame that ends the connection or refuses something is an error. It has one
// caller at a time, beside send's.
func (p *peer) receive(ctx context.Context) (wire.Frame, error) {
	for {
		_, piece, err := p.socket.Read(ctx)
		if err != nil {
			return nil, fmt.Errorf("receive: %w", err)
		}
		message, err := p.joiner.Add(piece)
		if err != nil {
			return nil, err
		}
		if message == nil {
			continue
		}
		frame, err := wire.Decode(message)
		if err != nil {
			return nil, err
		}
		switch f := frame.(type) {
		case *wire.Error:
			return nil, &wire.CodeError{Code: f.Code, Reason: f.Reason}
		case *wire.Refused:
			return nil, &wire.CodeError{Code: f.Code, Reason: f.Reason}
		case *wire.Ended:
			return nil, &wire.CodeError{Code: f.Code, Reason: f.Reason}
		case *wire.Bye:
			return nil, wire.Errorf(f.Code, "the server stops")
		}
		return frame, nil
	}
}

// expect returns the next frame of one type and passes over others.
func expect[F wire.Frame](ctx context.Context, p *peer) (F, error) {
	for {
		frame, err := p.receive(ctx)
		if err != nil {
			var none F
			return none, err
		}
		if f, ok := frame.(F); ok {
			return f, nil
		}
	}
}

// create creates a space of somebody.
func (p *peer) create(ctx context.Context, of member, stamp space.ULID) (space.ID, error) {
	return p.createOf(ctx, of, stamp, module.Open)
}

// createOf creates a space of a module.
func (p *peer) createOf(ctx context.Context, by member, stamp space.ULID, of digest.Digest) (space.ID, error) {
	genesis := &space.Genesis{Stamp: stamp, Creator: by.identity, Module: of}
	id := genesis.ID()
	signature, err := by.sign(ctx, space.GenesisMessage(id))
	if err != nil {
		return id, err
	}
	if err := p.send(ctx, &wire.Push{Space: id, N: 1, Genesis: genesis, GenesisSignature: signature}); err != nil {
		return id, err
	}
	answer, err := expect[*wire.Pushed](ctx, p)
	if err != nil {
		return id, err
	}
	if v := answer.Genesis; v == nil || v.Kind != wire.Accepted && v.Kind != wire.Duplicate {
		return id, fmt.Errorf("the server did not create a space: %s; a server's limits on creating are flags of its own", describe(v))
	}
	return id, nil
}

func describe(v *wire.Verdict) string {
	if v == nil {
		return "no verdict"
	}
	return (&wire.CodeError{Code: v.Code, Reason: v.Reason}).Error()
}

// startRaw connects, creates the spaces and returns how each client does its work.
func (l *load) startRaw(ctx context.Context) (work func(context.Context, int, *outcome) error, stop func(), err error) {
	peers := make([]*peer, 0, l.clients)
	stop = func() {
		for _, p := range peers {
			p.close()
		}
	}
	writers := make([]*writer, l.clients)
	ids := make([]space.ID, l.spaces)
	created := make(map[space.ID]int)
	for i := range l.clients {
		p, err := dial(ctx, l.url, l.member(i))
		if err != nil {
			return nil, stop, err
		}
		peers = append(peers, p)
		writers[i] = l.writer(i)
	}
	of := module.Open
	if l.judged {
		if of, err = peers[0].upload(ctx, chatModule); err != nil {
			return nil, stop, err
		}
	}
	for no := range ids {
		owner := no % l.clients
		if ids[no], err = peers[owner].createOf(ctx, l.member(owner), writers[owner].ulid(), of); err != nil {
			return nil, stop, err
		}
		created[ids[no]] = owner
	}
	return func(ctx context.Context, i int, o *outcome) error {
		r := &rawClient{load: l, peer: peers[i], writer: writers[i], identity: l.member(i).identity, outcome: o, waiting: map[space.ID][]sent{}}
		for _, no := range l.of(i) {
			r.spaces = append(r.spaces, ids[no])
		}
		r.n = make([]uint64, len(r.spaces))
		for at, id := range r.spaces {
			if created[id] == i {
				r.n[at] = 1
			}
			if l.chat == "edit" { // there is a message to edit
				r.n[at]++
				if err := r.pushFirst(ctx, id, r.n[at]); err != nil {
					return err
				}
			}
		}
		return r.run(ctx)
	}, stop, nil
}

// rawClient pushes over one connection.
type rawClient struct {
	load     *load
	peer     *peer
	writer   *writer
	identity string
	spaces   []space.ID
	n        []uint64 // pushes so far, by space
	outcome  *outcome

	mu      sync.Mutex
	waiting map[space.ID][]sent // in the order of their numbers
}

// sent is a push without an answer.
type sent struct {
	n   uint64
	ids []space.ULID
	at  time.Time
}

func (r *rawClient) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	free := make(chan struct{}, r.load.inFlight)
	for range r.load.inFlight {
		free <- struct{}{}
	}
	var reader sync.WaitGroup
	reader.Go(func() {
		for {
			if err := r.answer(ctx); err != nil {
				cancel(err)
				return
			}
			free <- struct{}{}
		}
	})
	err := r.push(ctx, free)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	r.peer.close() // ends the reader, which has nothing more to read
	reader.Wait()
	return err
}

// push pushes until nothing is left to do, and waits for the answers.
func (r *rawClient) push(ctx context.Context, free <-chan struct{}) error {
	held := 0
	for turn := 0; ; turn++ {
		select {
		case <-free:
		case <-ctx.Done():
			return nil
		}
		if !r.load.take() {
			held++
			break
		}
		at := turn % len(r.spaces)
		r.n[at]++
		events := r.writer.events(r.load.batch)
		push := &wire.Push{Space: r.spaces[at], N: r.n[at], Transactions: []space.Transaction{{
			Author: r.identity, API: wire.APIHigh, ClientVersion: "syncload", Events: events,
		}}}
		r.mu.Lock()
		r.waiting[push.Space] = append(r.waiting[push.Space], sent{push.N, idsOf(events), time.Now()})
		r.mu.Unlock()
		if err := r.peer.send(ctx, push); err != nil {
			return err
		}
	}
	for ; held < cap(free); held++ {
		select {
		case <-free:
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// answer takes the next verdict.
func (r *rawClient) answer(ctx context.Context) error {
	pushed, err := expect[*wire.Pushed](ctx, r.peer)
	if err != nil {
		return err
	}
	now := time.Now()
	r.mu.Lock()
	waiting := r.waiting[pushed.Space]
	if len(waiting) == 0 || waiting[0].n != pushed.N || len(pushed.Verdicts) != 1 {
		r.mu.Unlock()
		return fmt.Errorf("the server answered push %d with %d verdicts, out of turn", pushed.N, len(pushed.Verdicts))
	}
	first := waiting[0]
	r.waiting[pushed.Space] = slices.Delete(waiting, 0, 1)
	r.mu.Unlock()
	v := &pushed.Verdicts[0]
	if v.Kind != wire.Accepted {
		return fmt.Errorf("a transaction was not accepted: %s", describe(v))
	}
	r.outcome.acked[pushed.Space] = append(r.outcome.acked[pushed.Space], acked{first.ids, v.Position.Seq})
	r.outcome.latency = append(r.outcome.latency, now.Sub(first.at))
	r.load.acked.Add(int64(len(first.ids)))
	return nil
}
