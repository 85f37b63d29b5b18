package main

import (
	"context"
	"fmt"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/module/program"
	"skerry/shared/space"
	"skerry/syncserver/wasmengine"
)

// tryEngine judges by modules that are at hand, by the same rules as a server, and keeps nothing.
type tryEngine struct {
	engine  *wasmengine.Engine
	modules map[digest.Digest][]byte
}

// newTryEngine returns an engine, to be closed. logged gets what modules log when they start.
func newTryEngine(logged func([]byte)) (*tryEngine, error) {
	e := &tryEngine{modules: map[digest.Digest][]byte{}}
	source := func(_ context.Context, d digest.Digest) ([]byte, error) {
		if e.modules[d] == nil {
			return nil, module.ErrMissing
		}
		return e.modules[d], nil
	}
	var err error
	e.engine, err = wasmengine.New(source, wasmengine.Options{Logged: logged})
	return e, err
}

// add has the engine know a module.
func (e *tryEngine) add(content []byte) digest.Digest {
	d := digest.Of(content)
	e.modules[d] = content
	return d
}

// trySpace is a space whose log is what its modules accepted so far.
type trySpace struct {
	*program.Instance
	log []space.Record
}

// begin makes a space, to be closed.
func (e *tryEngine) begin(genesis *space.Genesis, logged func([]byte)) (*trySpace, error) {
	s := new(trySpace)
	made, err := e.engine.Begin(genesis, program.Origin{Upgraded: true, History: func(after, to uint64, f func([]space.Record) error) error {
		return f(s.log[after:to])
	}})
	if err != nil {
		return nil, err
	}
	instance, ok := made.(*wasmengine.Instance)
	if !ok {
		made.Close()
		return nil, usagef("module %s is judged natively: there is nothing to run", genesis.Module)
	}
	instance.Logged = logged
	s.Instance = instance.Instance
	return s, nil
}

// judge has a transaction judged and, if it is allowed, appends it. It returns the fuel that this took. An error is a fault
// of the engine.
func (s *trySpace) judge(records []space.Record) (module.Verdict, uint64, error) {
	seq, spent := uint64(len(s.log)), s.Spent
	for i := range records {
		records[i].Seq = seq + 1 + uint64(i)
	}
	verdict, err := s.Judge(module.Caller{Identity: records[0].Author}, records)
	if err != nil {
		return verdict, 0, fmt.Errorf("%s: the engine failed: %w", records[0].ID, err)
	}
	if verdict.Allowed() {
		s.Commit(seq + uint64(len(records)))
		s.log = append(s.log, records...)
	}
	return verdict, s.Spent - spent, nil
}
