package idbstore

import (
	"context"
	"errors"

	"skerry/shared/replica"
	"skerry/wasmclient"
	"skerry/wasmclient/internal/jsbind"
)

// Changes implements wasmclient.Store: one value is read, and the versions of all spaces only where too much changed.
func (s *Store) Changes(ctx context.Context, after uint64) (*replica.Changes, error) {
	changes := new(replica.Changes)
	err := s.viewRows(ctx, func(t *transaction) error {
		epoch, value, login := t.getMeta(metaEpoch), t.getMeta(metaChanges), t.getMeta(metaLogin)
		least, session := t.getMeta(metaMinReader), t.getMeta(metaSession)
		if err := t.turn(); err != nil {
			return err
		}
		err := tooOld(least.bytes())
		if errors.Is(err, wasmclient.ErrForgotten) {
			return err
		}
		if err := t.ours(session); err != nil {
			return err
		}
		if changes.Login, err = decodeNumber(login.bytes()); err != nil {
			return err
		}
		if changes.Epoch, err = decodeNumber(epoch.bytes()); err != nil {
			return err
		}
		log, err := decodeChangeLog(value.bytes())
		if err != nil {
			return err
		}
		changes.Number = log.number
		known := false
		if changes.Spaces, known = log.since(after); !known {
			changes.Spaces, err = t.versions()
		}
		return err
	}, storeMeta)
	if err != nil {
		return nil, err
	}
	return changes, nil
}

// versions reads the versions of all spaces.
func (t *transaction) versions() ([]replica.Changed, error) {
	all := between(versionPrefix, versionPrefix+"g", false, true) // hexadecimal digits come before g
	names, values := t.getAllKeys(storeMeta, all, 0), t.getAll(storeMeta, all, 0)
	if err := t.turn(); err != nil {
		return nil, err
	}
	name, value := names.result(), values.result()
	changed := make([]replica.Changed, 0, name.Length())
	for i := range cap(changed) {
		id, ok := spaceOf(versionPrefix, name.Index(i).String())
		version, err := decodeNumber(jsbind.ToBytes(value.Index(i)))
		if err != nil {
			return nil, err
		}
		if ok {
			changed = append(changed, replica.Changed{Space: id, Version: version})
		}
	}
	return changed, nil
}

// note writes which spaces a commit touched.
func (t *transaction) note(value reply, parts []*part) error {
	if len(parts) == 0 {
		return nil
	}
	log, err := decodeChangeLog(value.bytes())
	if err != nil {
		return err
	}
	log.begin()
	for _, p := range parts {
		log.note(p.Space, p.counter)
	}
	t.putMeta(metaChanges, appendChangeLog(nil, &log))
	return nil
}
