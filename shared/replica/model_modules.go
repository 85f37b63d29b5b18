package replica

import (
	"bytes"

	"skerry/shared/digest"
)

// UnnamedModules is for how long, in milliseconds, a module is kept that no space here is of: whoever put it may be about to
// make one, and a log may name it that is applied from its beginning.
const UnnamedModules = 30 * 24 * 60 * 60 * 1000

// Module reads the bytes of a module, nil where they are not here or are not what they were.
func (m *Model) Module(d digest.Digest) []byte {
	b, ok := m.modules[d]
	if !ok || digest.Of(b) != d {
		return nil
	}
	return b
}

// PutModule keeps the bytes of a module, and reports whether their digest is d, without which it keeps nothing.
func (m *Model) PutModule(d digest.Digest, b []byte) bool {
	if digest.Of(b) != d {
		return false
	}
	m.modules[d] = bytes.Clone(b)
	delete(m.unnamed, d)
	return true
}

// ModuleNames are the modules that spaces are of, or were made with.
type ModuleNames struct {
	Sent   map[digest.Digest]bool // by a space that the server has
	Unsent map[digest.Digest]bool // by one that it has not: its module may be nowhere but here
}

// Add notes the modules of a space.
func (n *ModuleNames) Add(info *SpaceInfo) {
	into := &n.Unsent
	if info.Created {
		into = &n.Sent
	}
	if *into == nil {
		*into = map[digest.Digest]bool{}
	}
	(*into)[info.Module] = true
	if info.Genesis != nil {
		(*into)[info.Genesis.Module] = true
	}
}

// Has reports whether a space names a module.
func (n *ModuleNames) Has(d digest.Digest) bool { return n.Sent[d] || n.Unsent[d] }

// Again reports whether the server has a module for certain, so that it can be fetched again.
func (n *ModuleNames) Again(d digest.Digest) bool { return n.Sent[d] && !n.Unsent[d] }

func (m *Model) moduleNames() *ModuleNames {
	names := &ModuleNames{}
	for _, s := range m.spaces {
		names.Add(&s.info)
	}
	return names
}

// DropModules deletes the modules that the server has for certain, and reports whether there was one.
func (m *Model) DropModules() (dropped bool) {
	names := m.moduleNames()
	for d := range m.modules {
		if names.Again(d) {
			delete(m.modules, d)
			dropped = true
		}
	}
	return dropped
}

// CollectModules deletes the modules that no space names, and that none named when it was called [UnnamedModules] ago. What
// no space names now it notes.
func (m *Model) CollectModules(now uint64) {
	names := m.moduleNames()
	for d := range m.modules {
		since, noted := m.unnamed[d]
		switch {
		case names.Has(d):
			delete(m.unnamed, d)
		case !noted:
			m.unnamed[d] = now
		case now >= since+UnnamedModules:
			delete(m.modules, d)
			delete(m.unnamed, d)
		}
	}
}

// DamageModule changes a bit of what is kept of a module, as a disk does.
func (m *Model) DamageModule(d digest.Digest) {
	if b := bytes.Clone(m.modules[d]); len(b) > 0 {
		b[len(b)/2] ^= 1
		m.modules[d] = b
	}
}
