package syncserver

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"skerry/shared/digest"
	"skerry/shared/hub"
	"skerry/shared/module"
	"skerry/shared/module/builtin"
	"skerry/shared/module/program"
	"skerry/shared/module/system"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
)

// The keys of the log under which the server keeps its system space: what that is made from, which is noted before it is made, and
// the policy that it has since, if that is another.
const (
	keySystem = "server/system" // the stamp, the module and the params
	keyPolicy = "server/policy" // the module and the params
)

// systemSpace is the space that the server writes to. There is none if the engine runs no modules.
type systemSpace struct {
	on     bool
	id     space.ID
	policy []byte // as keyPolicy has it, of the configuration
	stale  bool   // the space has another
	audits bool   // the policy takes what becomes of spaces
	was    []byte // what keyPolicy has
}

// openSystem makes the system space, or finds it, and looks at the policy that it is to have.
func (s *Server) openSystem(ctx context.Context) (sys systemSpace, err error) {
	if s.config.Policy.IsZero() {
		s.setUp.Store(true)
		return sys, nil
	}
	if sys.audits, err = s.checkPolicy(ctx); err != nil {
		return sys, err
	}
	sys.on, sys.policy = true, append(slices.Clone(s.config.Policy[:]), s.config.PolicyParams...)
	var made []byte
	for made == nil {
		if made, err = s.log.Key(ctx, keySystem); err != nil || made != nil {
			break
		}
		stamp, err := space.NewIDSource(rand.Reader).New(s.wall())
		if err != nil {
			return sys, err
		}
		if _, err := s.log.CompareAndSet(ctx, keySystem, nil, append(stamp[:], sys.policy...)); err != nil {
			return sys, err
		}
	}
	if err != nil {
		return sys, err
	}
	genesis, err := systemGenesis(made, s.identity)
	if err != nil {
		return sys, err
	}
	first := made[len(space.ULID{}):]
	sys.id = genesis.ID()
	if _, err := s.log.Create(ctx, &genesis, s.secrets.sign(space.GenesisMessage(sys.id))); err != nil {
		return sys, err
	}
	known, err := s.log.Known(ctx, sys.id, []space.ULID{setupID})
	if err != nil {
		return sys, err
	}
	s.setUp.Store(known[0].Seq > 0)
	if sys.was, err = s.log.Key(ctx, keyPolicy); err != nil {
		return sys, err
	}
	has := first
	if sys.was != nil {
		has = sys.was
	}
	sys.stale = !bytes.Equal(has, sys.policy)
	return sys, nil
}

// systemGenesis reads keySystem.
func systemGenesis(made []byte, identity string) (space.Genesis, error) {
	if len(made) < len(space.ULID{})+digest.Size {
		return space.Genesis{}, fmt.Errorf("%s has %d bytes", keySystem, len(made))
	}
	stamp, policy := made[:len(space.ULID{})], made[len(space.ULID{}):]
	return space.Genesis{
		Stamp: space.ULID(stamp), Creator: identity, Module: digest.Digest(policy[:digest.Size]), Params: policy[digest.Size:],
	}, nil
}

// SystemSpace returns the ID of the system space of a log, and false if it has none. It only reads, so it may look into a log that a
// server uses.
func SystemSpace(ctx context.Context, log Log) (space.ID, bool, error) {
	made, err := log.Key(ctx, keySystem)
	if err != nil || made == nil {
		return space.ID{}, false, err
	}
	seed, err := log.Key(ctx, keyServer)
	if err == nil && len(seed) != ed25519.SeedSize {
		err = fmt.Errorf("%s has %d bytes", keyServer, len(seed))
	}
	if err != nil {
		return space.ID{}, false, err
	}
	var s secrets
	s.setKey(seed)
	genesis, err := systemGenesis(made, s.identity())
	return genesis.ID(), err == nil, err
}

// checkPolicy says what is wrong with the module that is to be the policy, and whether it takes what becomes of spaces.
func (s *Server) checkPolicy(ctx context.Context) (audits bool, err error) {
	content := builtin.Bytes(s.config.Policy)
	if content == nil {
		if content, err = s.log.Blob(ctx, s.config.Policy); err != nil {
			return false, fmt.Errorf("the policy %s: %w", s.config.Policy, err)
		}
	}
	p, err := program.Load(content)
	if err != nil {
		return false, fmt.Errorf("the policy %s: %w", s.config.Policy, err)
	}
	s.administered = p.Manifest.Event(module.TypeSetup) >= 0
	for _, name := range []string{module.TypeConnect, module.TypeDisconnect} {
		if n := p.Manifest.Event(name); n < 0 || !slices.EqualFunc(p.Manifest.Events[n].Fields, connectFields, sameField) {
			return false, fmt.Errorf("the policy %s does not declare %s with connection_id bytes and identity text", s.config.Policy, name)
		}
	}
	return p.Manifest.Event(module.TypeSpace) >= 0, nil
}

func sameField(a, b program.Field) bool {
	return a.Name == b.Name && a.Kind == b.Kind && a.Optional == b.Optional
}

var connectFields = []program.Field{{Name: "connection_id", Kind: tables.Bytes}, {Name: "identity", Kind: tables.Text}}

// System returns the ID of the system space, and false if there is none.
func (s *Server) System() (space.ID, bool) { return s.system.id, s.system.on }

func (s *Server) isSystem(id space.ID) bool { return s.system.on && s.system.id == id }

// prepareSystem does what comes before the first connection: who was connected when the server ended is gone, and the policy is the
// one of the configuration. Only the end of ctx, Close, and a policy that cannot take over keep it from that.
func (s *Server) prepareSystem(ctx context.Context) error {
	if !s.system.on {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-s.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	err := s.sweepClients(ctx)
	if err == nil && s.system.stale {
		err = s.changePolicy(ctx)
	}
	if err != nil {
		return err
	}
	for err = s.tellNotes(ctx); err != nil; err = s.tellNotes(ctx) {
		s.logger.Error("cannot read what became of spaces", "error", err)
		if !pause(ctx) {
			return ctx.Err()
		}
	}
	return nil
}

// changePolicy takes the system space over to the policy of the configuration.
func (s *Server) changePolicy(ctx context.Context) error {
	ids := space.NewIDSource(rand.Reader)
	for {
		id, err := ids.New(s.wall())
		if err != nil {
			return err
		}
		params := s.config.PolicyParams
		if params == nil {
			params = []byte{}
		}
		v, err := s.recordNow(ctx, []space.Event{{ID: id, Type: module.TypeModule, Payload: module.Upgrade(s.config.Policy, params)}})
		switch {
		case err != nil:
			return err
		case v.Kind == wire.Rejected:
			return fmt.Errorf("the system space cannot be taken over to the policy %s: %v: %s", s.config.Policy, v.Code, v.Reason)
		case v.Kind == wire.Accepted:
			s.logger.Info("the policy is another", "module", s.config.Policy)
			_, err := s.log.CompareAndSet(ctx, keyPolicy, s.system.was, s.system.policy)
			return err
		}
		s.logger.Error("the policy cannot be changed now", "code", v.Code, "reason", v.Reason)
		if !pause(ctx) {
			return ctx.Err()
		}
	}
}

// pause waits before something is tried again, and reports whether ctx goes on.
func pause(ctx context.Context) bool {
	timer := time.NewTimer(retryFailed)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// unjudged is what a space says of a transaction when it begins anew.
var unjudged = wire.Verdict{Kind: wire.Deferred, Code: wire.CodeOverloaded}

// record writes events to the system space, as the server, and calls then with the verdict when that is final and durable, on the
// pipeline of that space.
func (s *Server) record(events []space.Event, claims [][]byte, beside *ClientChanges, then func(wire.Verdict)) {
	r := hub.Record{Transaction: space.Transaction{Author: s.identity, API: wire.APIHigh, Events: events}, Claims: claims}
	if beside != nil {
		r.Beside = beside
	}
	s.locked(s.system.id, func(h *hotSpace) {
		r.Ref = h.awaitLocked(then)
		h.postLocked(r)
	})
}

// try is record that writes nothing: then is called with how the events would be judged now.
func (s *Server) try(events []space.Event, claims [][]byte, then func(wire.Verdict)) {
	t := hub.Try{Transaction: space.Transaction{Author: s.identity, API: wire.APIHigh, Events: events}, Claims: claims}
	s.locked(s.system.id, func(h *hotSpace) {
		t.Ref = h.awaitLocked(then)
		h.postLocked(t)
	})
}

// awaitLocked returns the number under which a verdict is handed to then.
func (h *hotSpace) awaitLocked(then func(wire.Verdict)) uint64 {
	h.lastAsk++
	if h.records == nil {
		h.records = map[uint64]func(wire.Verdict){}
	}
	h.records[h.lastAsk] = then
	return h.lastAsk
}

// recordNow is record that waits.
func (s *Server) recordNow(ctx context.Context, events []space.Event) (wire.Verdict, error) {
	answered := make(chan wire.Verdict, 1)
	s.record(events, nil, nil, func(v wire.Verdict) { answered <- v })
	select {
	case v := <-answered:
		return v, nil
	case <-ctx.Done():
		return wire.Verdict{}, ctx.Err()
	}
}

// setupID is the id of the one $setup that there ever is: by it a log tells whether a server was set up.
var setupID = space.ULID{0x7f, 0xff, 0xff, 0xff, 0xff, 0xff}

// SetUp names the first administrator, and reports whether this call did: false, if the server has one, also where two calls meet.
// The policy's refusal of the identity is a [*wire.CodeError]; other errors are of the log, or of ctx, and leave it open whether it
// was done. The server runs.
func (s *Server) SetUp(ctx context.Context, identity string) (bool, error) {
	if !s.system.on {
		return false, errors.New("syncserver: without a policy there is no administrator")
	}
	v, err := s.recordNow(ctx, []space.Event{{ID: setupID, Type: module.TypeSetup, Payload: system.Identity(identity)}})
	switch {
	case err != nil:
		return false, err
	case v.Kind == wire.Accepted, v.Kind == wire.Duplicate, v.Code == wire.CodeIDReused, v.Code == wire.CodeForbidden:
		s.setUp.Store(true)
		return v.Kind == wire.Accepted, nil
	}
	return false, wire.Errorf(v.Code, "%s", v.Reason)
}

// IsSetUp reports whether the server has an administrator, or no policy that could have one.
func (s *Server) IsSetUp() bool { return s.setUp.Load() }

// recorded gives a verdict to whoever waits for it.
func (h *hotSpace) recorded(r hub.Recorded) {
	h.mu.Lock()
	then := h.records[r.Ref]
	delete(h.records, r.Ref)
	h.mu.Unlock()
	if then != nil {
		then(r.Verdict)
	}
}

// closeSystem lets go of the system space when nothing runs any more.
func (s *Server) closeSystem() {
	if !s.system.on {
		return
	}
	s.spaces.mu.Lock()
	defer s.spaces.mu.Unlock()
	if h := s.spaces.hot[s.system.id]; h != nil {
		h.hub.Close()
		delete(s.spaces.hot, s.system.id)
	}
}
