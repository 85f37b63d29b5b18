package idbstore

import (
	"context"
	"errors"
	"fmt"
	"syscall/js"

	"skerry/wasmclient"
	"skerry/wasmclient/internal/jsbind"
)

// What the server sends could fill the last byte of what a browser gives, and a user's next word would find no room. So
// some of it is kept free for what only this device has: what can be sent again is refused earlier.
const (
	keptFree  = 4 << 20   // bytes, where there is much; else a part of all
	keptPart  = 16        // of the quota, at most
	askAfter  = 256 << 10 // bytes written between two questions
	askNoMore = -1
)

var errNoEstimate = errors.New("idbstore: this browser does not tell how much room is left")

// room is what is known of the room that is left. The browser is asked beside the commits, so it is a little behind.
type room struct {
	asking  bool
	low     bool
	written int // since it was asked; askNoMore: it does not say
	drops   int // how often checkpoints or modules went
}

// leaveRoom fails for n bytes of records, or of a module, when too little room is left.
func (s *Store) leaveRoom(n int) error {
	if n == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.room.written == askNoMore {
		return nil
	}
	s.room.written += n
	if !s.room.asking && (s.room.low || s.room.written >= askAfter) {
		s.room.asking, s.room.written = true, 0
		go s.askForRoom()
	}
	if s.room.low {
		return fmt.Errorf("%w but for what is written here", wasmclient.ErrFull)
	}
	return nil
}

// withRoom runs write, which writes n bytes of records or of a module and whatever else. Where there is no room it runs it
// again without any checkpoints, which the log can make again; and, if it writes none of those bytes but what may be only
// here, without the modules that the server has.
func (s *Store) withRoom(ctx context.Context, n int, write func() error) error {
	before := s.drops()
	try := func() error {
		if err := s.leaveRoom(n); err != nil {
			return err
		}
		return write()
	}
	drops := []func() bool{func() bool { return s.dropCheckpoints(ctx, nil) }, func() bool { return s.dropModules(ctx) }}
	if n > 0 {
		drops = drops[:1]
	}
	err := try()
	for _, drop := range drops {
		if !errors.Is(err, wasmclient.ErrFull) {
			return err
		}
		if drop() {
			s.mu.Lock()
			s.room.drops++ // at once: who waits behind this looks next
			s.mu.Unlock()
			s.askForRoom()
		} else if s.drops() == before { // else another call made room at the same time
			continue
		}
		before = s.drops()
		err = try()
	}
	return err
}

func (s *Store) drops() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.room.drops
}

// askForRoom asks the browser how much room is left.
func (s *Store) askForRoom() {
	left, kept, err := estimate()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.room.asking = false
	if err != nil {
		s.room.written, s.room.low = askNoMore, false
		return
	}
	s.room.low = left < kept
}

// estimate returns how many bytes are left of this origin's quota, and how many of them are to be kept free.
func estimate() (left, kept float64, err error) {
	storage := js.Global().Get("navigator").Get("storage")
	if !storage.Truthy() { // WebKitGTK has none
		return 0, 0, errNoEstimate
	}
	promise, err := jsbind.Call(storage, "estimate")
	if err != nil {
		return 0, 0, err
	}
	estimated, err := jsbind.Await(context.Background(), promise)
	if err != nil {
		return 0, 0, err
	}
	err = jsbind.Try(func() {
		quota := estimated.Get("quota").Float()
		left, kept = quota-estimated.Get("usage").Float(), min(keptFree, quota/keptPart)
	})
	return left, kept, err
}
