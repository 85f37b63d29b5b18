package wasmclient

import (
	"context"
	"sync"
	"time"

	"skerry/shared/replica"
	"skerry/shared/wire"
)

const (
	dialTimeout = 15 * time.Second
	// sendFrame is the largest WebSocket message sent: some browsers truncate bigger ones.
	sendFrame = 32 << 10
)

// socket is one connection with the goroutines that read and write it. What they have to say is dropped once the
// loop has moved on to another socket.
type socket struct {
	client *Client
	cancel context.CancelFunc
	ctx    context.Context

	mu    sync.Mutex
	queue [][]byte // bounded by the server's push window and the little that is sent beside pushes
	wake  chan struct{}
}

// dial opens a socket beside the loop.
func (c *Client) dial() {
	s := &socket{client: c, wake: make(chan struct{}, 1)}
	s.ctx, s.cancel = context.WithCancel(c.ctx)
	c.socket = s
	c.work.Go(func() {
		defer s.cancel()
		ctx, cancel := context.WithTimeout(s.ctx, dialTimeout)
		conn, err := c.config.Dialer.Dial(ctx, c.config.URL)
		cancel()
		if err != nil {
			s.gone(err.Error())
			return
		}
		s.post(replica.Connected{})
		var writer sync.WaitGroup
		writer.Go(func() { s.write(conn) })
		reason := s.read(conn)
		s.cancel()
		conn.Close(reason)
		writer.Wait()
		s.gone(reason)
	})
}

// post gives the core an input, unless the loop has moved on.
func (s *socket) post(input replica.Input) bool {
	return s.client.post(func() {
		if s.client.socket == s {
			s.client.step(input)
		}
	})
}

// gone tells the core that this socket is no more.
func (s *socket) gone(reason string) {
	s.client.post(func() {
		if s.client.socket == s {
			s.client.socket = nil
			s.client.step(replica.Disconnected{Reason: reason})
		}
	})
}

// close ends the socket; nothing of it reaches the core any more.
func (s *socket) close(string) { s.cancel() }

func (s *socket) read(conn Conn) string {
	joiner := wire.Joiner{Limit: wire.MaxServerMessage}
	for {
		piece, err := conn.Read(s.ctx)
		if err != nil {
			return err.Error()
		}
		message, err := joiner.Add(piece)
		if message == nil && err == nil {
			continue
		}
		var frame wire.Frame
		if err == nil {
			frame, err = wire.Decode(message)
		}
		if err != nil {
			s.post(replica.Unreadable{Reason: err.Error()})
			return err.Error()
		}
		if !s.post(replica.Received{Frame: frame, Size: len(message)}) {
			return "the client closes"
		}
	}
}

func (s *socket) send(message []byte) {
	s.mu.Lock()
	s.queue = append(s.queue, message)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *socket) write(conn Conn) {
	for {
		s.mu.Lock()
		queue := s.queue
		s.queue = nil
		s.mu.Unlock()
		for _, message := range queue {
			for _, piece := range wire.Split(message, sendFrame) {
				if conn.Write(s.ctx, piece) != nil {
					s.cancel() // the reader says so
					return
				}
			}
		}
		select {
		case <-s.wake:
		case <-s.ctx.Done():
			return
		}
	}
}
