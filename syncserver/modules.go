package syncserver

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/module/builtin"
	"skerry/shared/space"
)

// What modules a space went over to is noted under the key module/<space>, before the record that says so is appended: so a
// module that some log names is always found here, or in a genesis. A note whose append failed names one too many, which is
// why the record is looked at where that matters.

const modulePrefix = "module/"

func moduleKey(id space.ID) string { return modulePrefix + id.String() }

// since is a module that a space has from a record on, or would have had.
type since struct {
	seq  uint64
	name digest.Digest
}

const sinceSize = 8 + digest.Size

// modulesOf returns the modules that a space went over to, or was about to, as they were noted, and the value of the key.
func modulesOf(ctx context.Context, log Log, id space.ID) (list []since, value []byte, err error) {
	if value, err = log.Key(ctx, moduleKey(id)); err != nil {
		return nil, nil, err
	}
	for rest := value; len(rest) >= sinceSize; rest = rest[sinceSize:] {
		list = append(list, since{binary.BigEndian.Uint64(rest), digest.Digest(rest[8:sinceSize])})
	}
	return list, value, nil
}

// ModuleAt returns the module that judges a space at the end of its log: the one of its genesis, or the last one that it went
// over to. Errors are the log's. It only reads, so it may look into a log that a server uses.
func ModuleAt(ctx context.Context, log Log, id space.ID, genesis *space.Genesis) (digest.Digest, error) {
	list, _, err := modulesOf(ctx, log, id)
	if err != nil {
		return digest.Digest{}, err
	}
	for n := len(list) - 1; n >= 0; n-- {
		_, went, err := wentOver(ctx, log, id, list[n])
		if err != nil {
			return digest.Digest{}, err
		}
		if went {
			return list[n].name, nil
		}
	}
	return genesis.Module, nil
}

// nameModules notes the modules that records name, and reports whether there are any.
func (h *hotSpace) nameModules(ctx context.Context, records []space.Record) (any bool, err error) {
	h.server.naming.RLock()
	defer h.server.naming.RUnlock()
	for i := range records {
		if records[i].Type != module.TypeModule {
			continue
		}
		name, ok := module.UpgradeTo(records[i].Payload)
		if !ok {
			continue // it is never accepted
		}
		any = true
		if has, err := h.server.hasBlob(ctx, name); err != nil || !has {
			return any, errors.Join(err, module.ErrMissing)
		}
		for done := false; !done; {
			list, value, err := modulesOf(ctx, h.server.log, h.id)
			if err != nil {
				return any, err
			}
			if slices.Contains(list, since{records[i].Seq, name}) {
				break
			}
			next := append(binary.BigEndian.AppendUint64(slices.Clone(value), records[i].Seq), name[:]...)
			if done, err = h.server.log.CompareAndSet(ctx, moduleKey(h.id), value, next); err != nil {
				return any, err
			}
		}
	}
	return any, nil
}

// unusedKey is the key under which it is noted since when no space names a module, in seconds since 1970.
func unusedKey(name digest.Digest) string { return "unused/" + name.String() }

const unusedSize = 8

// collectModules deletes the modules that no space has named for Config.ModulesKept. It notes which ones it finds unused, so
// that the time goes on while the server does not run, and what is uploaded again or named begins anew.
func (s *Server) collectModules(ctx context.Context) error {
	named, err := s.namedModules(ctx)
	if err != nil {
		return err
	}
	now := uint64(s.config.Now().Unix())
	var old []digest.Digest
	err = s.eachBlob(ctx, func(name digest.Digest) error {
		since, err := s.log.Key(ctx, unusedKey(name))
		switch {
		case err != nil:
			return err
		case named[name] && since != nil:
			_, err = s.log.CompareAndSet(ctx, unusedKey(name), since, nil)
		case named[name]:
		case len(since) != unusedSize:
			_, err = s.log.CompareAndSet(ctx, unusedKey(name), since, binary.BigEndian.AppendUint64(nil, now))
		case now >= binary.BigEndian.Uint64(since)+uint64(s.config.ModulesKept/time.Second):
			old = append(old, name)
		}
		return err
	})
	if err != nil || len(old) == 0 {
		return err
	}
	defer s.accounts.recount()
	s.naming.Lock() // nobody begins to name one of them now
	defer s.naming.Unlock()
	if named, err = s.namedModules(ctx); err != nil {
		return err
	}
	for _, name := range old {
		since, err := s.log.Key(ctx, unusedKey(name))
		if err != nil {
			return err
		}
		if named[name] || since == nil { // or uploaded again
			continue
		}
		if err := s.log.DeleteBlob(ctx, name); err != nil {
			return err
		}
		if err := s.dropUploader(ctx, name); err != nil {
			return err
		}
		s.metrics.collected.Inc()
		s.logger.Info("a module was deleted that no space names", "module", name)
		if _, err := s.log.CompareAndSet(ctx, unusedKey(name), since, nil); err != nil {
			return err
		}
	}
	return nil
}

// used forgets since when a module is not used: somebody has just brought it.
func (s *Server) used(ctx context.Context, name digest.Digest) error {
	since, err := s.log.Key(ctx, unusedKey(name))
	if err == nil && since != nil {
		_, err = s.log.CompareAndSet(ctx, unusedKey(name), since, nil)
	}
	return err
}

func (s *Server) eachBlob(ctx context.Context, f func(digest.Digest) error) error {
	for after := (digest.Digest{}); ; {
		names, err := s.log.Blobs(ctx, after, 1000)
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := f(name); err != nil {
				return err
			}
			after = name
		}
		if len(names) < 1000 {
			return nil
		}
	}
}

// namedModules returns every module that a space begins with, or went over to.
func (s *Server) namedModules(ctx context.Context) (map[digest.Digest]bool, error) {
	begun, err := s.log.Modules(ctx)
	if err != nil {
		return nil, err
	}
	named := map[digest.Digest]bool{}
	for name := range begun {
		named[name] = true
	}
	return named, scan(ctx, s.log, modulePrefix, func(_ string, value []byte) error {
		for rest := value; len(rest) >= sinceSize; rest = rest[sinceSize:] {
			named[digest.Digest(rest[8:sinceSize])] = true
		}
		return nil
	})
}

// modulesCounted is how many modules that are not built in metrics tell of.
const modulesCounted = 20

// countModules counts, for metrics, the spaces that each module judges.
func (s *Server) countModules() {
	s.counting.Lock()
	defer s.counting.Unlock()
	spaces, err := s.spacesByModule(s.work)
	if err != nil {
		if s.work.Err() == nil {
			s.logger.Error("cannot count the spaces of modules", "error", err)
		}
		return
	}
	order := slices.SortedFunc(maps.Keys(spaces), func(a, b digest.Digest) int {
		return cmp.Or(cmp.Compare(spaces[b], spaces[a]), bytes.Compare(a[:], b[:]))
	})
	named := map[digest.Digest]string{}
	for _, name := range builtin.Names() {
		d, _ := builtin.ByName(name)
		named[d] = name
	}
	counts := map[string]int{}
	told := 0
	for _, d := range order {
		label := named[d]
		switch {
		case label != "":
		case told < modulesCounted:
			told++
			label = d.String()[:16]
		default:
			label = "other"
		}
		counts[label] += spaces[d]
	}
	for label := range s.counted {
		if counts[label] == 0 {
			s.metrics.modules.DeleteLabelValues(label)
		}
	}
	for label, n := range counts {
		s.metrics.modules.WithLabelValues(label).Set(float64(n))
	}
	s.counted = counts
}

// spacesByModule returns how many spaces each module judges. It looks at those alone that went over to another one: there may be a million others.
func (s *Server) spacesByModule(ctx context.Context) (map[digest.Digest]int, error) {
	spaces, err := s.log.Modules(ctx)
	if err != nil {
		return nil, err
	}
	return spaces, scan(ctx, s.log, modulePrefix, func(key string, _ []byte) error {
		id, bad := digest.Parse(key[len(modulePrefix):])
		if bad != nil {
			return nil
		}
		genesis, _, err := s.log.Genesis(ctx, id)
		if err != nil {
			return fmt.Errorf("read the genesis of %s: %w", id, err)
		}
		d, err := ModuleAt(ctx, s.log, id, &genesis)
		if err == nil {
			_, err = s.log.Head(ctx, id)
		}
		switch {
		case errors.Is(err, ErrDeleted):
		case err != nil:
			return fmt.Errorf("read the module of %s: %w", id, err)
		case spaces[genesis.Module] > 0: // it may have been made since they were counted
			if spaces[genesis.Module]--; spaces[genesis.Module] == 0 {
				delete(spaces, genesis.Module)
			}
			spaces[d]++
		}
		return nil
	})
}
