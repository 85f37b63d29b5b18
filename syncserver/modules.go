package syncserver

import (
	"context"
	"encoding/binary"
	"slices"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/msgpack"
	"skerry/shared/space"
)

// What modules a space went over to is noted under the key module/<space>, before the record that says so is appended: so a
// module that some log names is always found here, or in a genesis. A note whose append failed names one too many, which is
// why the record is looked at where that matters.

func moduleKey(id space.ID) string { return "module/" + id.String() }

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

// moduleAt returns the module that judges a space at the end of its log.
func moduleAt(ctx context.Context, log Log, id space.ID, genesis *space.Genesis) (digest.Digest, error) {
	list, _, err := modulesOf(ctx, log, id)
	if err != nil {
		return digest.Digest{}, err
	}
	for n := len(list) - 1; n >= 0; n-- {
		records, err := log.Read(ctx, id, list[n].seq-1, 1, 1)
		if err != nil {
			return digest.Digest{}, err
		}
		if len(records) > 0 && records[0].Type == module.TypeModule {
			if name, ok := upgradeTo(records[0].Payload); ok && name == list[n].name {
				return name, nil
			}
		}
	}
	return genesis.Module, nil
}

// nameModules notes the modules that records name, and reports whether there are any.
func (h *hotSpace) nameModules(ctx context.Context, records []space.Record) (any bool, err error) {
	for i := range records {
		if records[i].Type != module.TypeModule {
			continue
		}
		name, ok := upgradeTo(records[i].Payload)
		if !ok {
			continue // it is never accepted
		}
		any = true
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

// upgradeTo reads the module that an upgrade names.
func upgradeTo(payload []byte) (name digest.Digest, ok bool) {
	r := msgpack.Reader{Rest: payload}
	for range r.Map() {
		if r.Text() != "hash" {
			r.Skip(1)
			continue
		}
		b := r.Binary()
		if ok = len(b) == digest.Size; ok {
			name = digest.Digest(b)
		}
	}
	return name, ok && r.Err == nil
}
