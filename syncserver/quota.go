package syncserver

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"skerry/shared/digest"
	"skerry/shared/hub"
	"skerry/shared/wire"
)

// Quotas are how much one identity may have on the server: spaces that it created, bytes of events that it wrote ([space.Record.Size]), and
// modules that it uploaded. What is deleted counts no more, once it is freed. They hold over restarts, since they are counted by what is in the log.
type Quotas struct {
	Spaces, Modules int
	Bytes           uint64
}

// DefaultQuotas are those of a server that was not configured otherwise.
var DefaultQuotas = Quotas{Spaces: 20_000, Modules: 1000, Bytes: 4 << 30}

// quotaRetry is how long whoever is over a quota is told to wait before they ask again: they may have deleted something, or somebody else.
const quotaRetry = 10 * time.Second

// maxAccounts is how many identities' accounts are kept in memory without being in use.
const maxAccounts = 10_000

// accounts are what identities take of the log, as far as it is known. They are loaded from the log before an identity's transactions are
// judged, and changed with it. An error goes to the side of too much; whoever is refused by one has it counted again. It is safe for
// concurrent use.
type accounts struct {
	server *Server

	mu sync.Mutex
	of map[string]*account
}

// taken is what an identity takes.
type taken struct {
	spaces, modules int
	bytes           uint64
}

// account is one identity's: what is in the log, and what may soon be.
type account struct {
	stored, reserved taken
	uploads          bool      // modules are counted: they are for those who upload any
	changes          int       // how often stored was changed
	counting         bool      // it is counted again
	refused          bool      // somebody was told that it is full
	countedAt        time.Time // the last time that was done
}

// load sees that an identity has an account, and if it uploads a module, that its modules are counted.
func (a *accounts) load(ctx context.Context, identity string, uploads bool) error {
	a.mu.Lock()
	of := a.of[identity]
	known := of != nil && (of.uploads || !uploads)
	a.mu.Unlock()
	if known || identity == "" {
		return nil
	}
	stored, err := a.count(ctx, identity, uploads)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if of := a.of[identity]; of != nil {
		if uploads && !of.uploads { // nothing was reserved before it was known what there is
			of.uploads, of.stored.modules = true, stored.modules
		}
		return nil
	}
	if len(a.of) >= maxAccounts {
		for other, account := range a.of {
			if account.reserved == (taken{}) && !account.counting {
				delete(a.of, other)
			}
			if len(a.of) < maxAccounts/2 {
				break
			}
		}
	}
	a.of[identity] = &account{stored: stored, uploads: uploads}
	return nil
}

// count counts what an identity has in the log.
func (a *accounts) count(ctx context.Context, identity string, uploads bool) (taken, error) {
	usage, err := a.server.log.Usage(ctx, identity)
	if err != nil {
		return taken{}, fmt.Errorf("count what an identity has: %w", err)
	}
	modules := 0
	if uploads {
		modules, err = a.server.modulesBy(ctx, identity)
	}
	return taken{spaces: usage.Spaces, modules: modules, bytes: usage.Bytes}, err
}

// room says why an identity cannot have more than it has, "" if it can. An identity without an account has one soon.
func (a *accounts) room(identity string, more taken) (reason string, code wire.Code) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.roomLocked(identity, more)
}

func (a *accounts) roomLocked(identity string, more taken) (reason string, code wire.Code) {
	of := a.of[identity]
	if of == nil {
		return "it is not known yet how much the identity has", wire.CodeOverloaded
	}
	quotas := &a.server.config.Quotas
	switch sum := of.stored.plus(of.reserved).plus(more); {
	case more.spaces > 0 && sum.spaces > quotas.Spaces:
		reason = fmt.Sprintf("the identity has %d spaces, at most %d", of.stored.spaces, quotas.Spaces)
	case more.modules > 0 && sum.modules > quotas.Modules:
		reason = fmt.Sprintf("the identity has %d modules, at most %d", of.stored.modules, quotas.Modules)
	case more.bytes > 0 && sum.bytes > quotas.Bytes:
		reason = fmt.Sprintf("the identity has %d bytes, and may have %d", of.stored.bytes, quotas.Bytes)
	default:
		return "", 0
	}
	of.refused = true
	a.recountLocked(identity, of)
	return reason, wire.CodeOverQuota
}

// reserve takes what is about to be stored for identities, for all of them or none: then it says why. Whoever calls it with success calls settle.
// An identity without an account, which was let go since it was asked for, is not counted, and taken out of the map: settle must not give
// back what was never taken.
func (a *accounts) reserve(of map[string]taken) (reason string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for identity, more := range of {
		if reason, code := a.roomLocked(identity, more); code == wire.CodeOverQuota {
			return reason
		}
	}
	a.takeLocked(of)
	return ""
}

// force takes what is about to be stored for identities, whatever their quotas are. Whoever calls it calls settle.
func (a *accounts) force(of map[string]taken) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.takeLocked(of)
}

func (a *accounts) takeLocked(of map[string]taken) {
	for identity, more := range of {
		if account := a.of[identity]; account != nil {
			account.reserved = account.reserved.plus(more)
		} else {
			delete(of, identity)
		}
	}
}

// settle tells what became of what was reserved: it is stored, perhaps, or certainly not.
func (a *accounts) settle(of map[string]taken, stored bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for identity, more := range of {
		account := a.of[identity]
		if account == nil {
			continue
		}
		account.reserved = account.reserved.minus(more)
		if account.changes++; stored {
			account.stored = account.stored.plus(more)
		}
	}
}

// recount has the accounts counted again that were full, since something was deleted.
func (a *accounts) recount() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for identity, account := range a.of {
		if account.refused {
			account.countedAt = time.Time{}
			a.recountLocked(identity, account)
		}
	}
}

// recountLocked counts an account anew, not more than once in a while.
func (a *accounts) recountLocked(identity string, of *account) {
	if of.counting || time.Since(of.countedAt) < time.Second {
		return
	}
	before, uploads := of.changes, of.uploads
	of.counting = a.server.spawn(func() {
		stored, err := a.count(a.server.work, identity, uploads)
		a.mu.Lock()
		defer a.mu.Unlock()
		of.counting, of.countedAt = false, time.Now()
		if err != nil {
			a.server.logger.Error("cannot count what an identity has", "error", err)
		} else if of.changes == before && of.uploads == uploads { // else it may have been counted in part
			of.stored, of.refused = stored, false
		}
	})
}

func (t taken) plus(o taken) taken {
	return taken{t.spaces + o.spaces, t.modules + o.modules, min(t.bytes, math.MaxUint64-o.bytes) + o.bytes}
}

func (t taken) minus(o taken) taken {
	return taken{t.spaces - o.spaces, t.modules - o.modules, t.bytes - o.bytes}
}

// room is what the hub asks about bytes.
func (s *Server) room(author string, bytes int) (reason string, retryAfterMS uint64) {
	reason, code := s.accounts.room(author, taken{bytes: uint64(bytes)})
	if code == wire.CodeOverloaded {
		return reason, milliseconds(retryFailed)
	}
	return reason, milliseconds(quotaRetry)
}

// takenBy returns what an append takes of those who have quotas.
func (s *Server) takenBy(r *hub.Append) map[string]taken {
	by := map[string]taken{}
	for i := range r.Records {
		if author := r.Records[i].Author; author != "" && author != s.identity && !r.Deletes {
			by[author] = by[author].plus(taken{bytes: uint64(r.Records[i].Size())})
		}
	}
	return by
}

// Who uploaded a module is noted before it is stored, under uploads/<of the identity>/<digest>, and under uploader/<digest> by whom.

func uploadsPrefix(identity string) string {
	return "uploads/" + digest.Of([]byte(identity)).String() + "/"
}

func uploaderKey(name digest.Digest) string { return "uploader/" + name.String() }

// noteUploader notes who uploads a module.
func (s *Server) noteUploader(ctx context.Context, identity string, name digest.Digest) error {
	if identity == "" {
		return nil
	}
	prefix := uploadsPrefix(identity)
	_, err := s.log.CompareAndSet(ctx, prefix+name.String(), nil, []byte{1})
	for done := false; err == nil && !done; {
		var was []byte
		if was, err = s.log.Key(ctx, uploaderKey(name)); err == nil {
			done, err = s.log.CompareAndSet(ctx, uploaderKey(name), was, []byte(prefix))
		}
	}
	return err
}

// dropUploader drops the notes of who uploaded a module that was deleted.
func (s *Server) dropUploader(ctx context.Context, name digest.Digest) error {
	prefix, err := s.log.Key(ctx, uploaderKey(name))
	if err != nil || prefix == nil {
		return err
	}
	if _, err = s.log.CompareAndSet(ctx, string(prefix)+name.String(), []byte{1}, nil); err == nil {
		_, err = s.log.CompareAndSet(ctx, uploaderKey(name), prefix, nil)
	}
	return err
}

// modulesBy returns how many modules are stored that an identity uploaded.
func (s *Server) modulesBy(ctx context.Context, identity string) (n int, err error) {
	prefix := uploadsPrefix(identity)
	err = scan(ctx, s.log, prefix, func(key string, _ []byte) error {
		name, bad := digest.Parse(key[len(prefix):])
		if bad != nil {
			return nil
		}
		by, err := s.log.Key(ctx, uploaderKey(name)) // somebody else, if the server was killed when it was deleted
		has := false
		if err == nil {
			has, err = s.log.HasBlob(ctx, name) // not if it was killed before
		}
		if err == nil && has && string(by) == prefix {
			n++
		}
		return err
	})
	return n, err
}
