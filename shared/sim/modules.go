package sim

import (
	"slices"

	"skerry/shared/digest"
	"skerry/shared/hub"
	"skerry/shared/module"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// Modules other than the one that is part of every build are bytes here and no more: they go from the device that has
// them to the server, and from there to all that pull a space of them. All judge as the open one does; but see tables.go.

const moduleCount = 4

// makeModules draws the modules that there are.
func (w *World) makeModules() {
	if w.options.Engine != nil {
		w.modules = w.options.Modules
		return
	}
	for range moduleCount {
		content := make([]byte, 1+w.random.IntN(6000))
		seeded{w.random}.Read(content)
		w.modules = append(w.modules, content)
	}
}

// chooseModule returns the module of a space that is made here. Of some the bytes are put into the store only later, and
// until then perhaps nobody has them.
func (t *tab) chooseModule() digest.Digest {
	w := t.device.world
	if w.chance(3) == (w.options.Engine != nil) {
		return module.Open
	}
	content := w.modules[w.random.IntN(len(w.modules))]
	if w.chance(3) {
		w.after(w.between(1, 30_000), func() { t.put(content) })
	} else {
		t.put(content)
	}
	return digest.Of(content)
}

// put keeps a module that the page has.
func (t *tab) put(content []byte) {
	t.device.store.PutModule(digest.Of(content), content)
	t.device.flush()
	t.device.world.logf("%s puts %s", t, short(digest.Of(content)))
	t.step(replica.ModulePut{Digest: digest.Of(content)})
}

// storeModule keeps a module that was fetched.
func (t *tab) storeModule(d digest.Digest, content []byte) {
	fault := t.device.fault()
	in := replica.ModuleStored{Digest: d}
	if fault != "" {
		in.Err, in.Full = errDisk, t.device.world.chance(2)
	}
	if fault != "before" {
		if !t.device.store.PutModule(d, content) {
			t.device.world.failf("%s: bytes were to be stored as module %s that they are not", t, short(d))
		}
		t.device.flush()
		t.device.world.logf("%s stores %s", t, short(d))
	}
	t.report(t.life, in)
}

// moduleOf returns the module of a space that somebody made, zero where it is part of every build.
func (w *World) moduleOf(id space.ID) digest.Digest {
	if m := w.made[id].Module; m != module.Open {
		return m
	}
	return digest.Digest{}
}

// modulesOf returns the modules that judge what the log has of a space, but for those that are part of every build.
func (st *storedSpace) modulesOf() []digest.Digest {
	list := []digest.Digest{st.genesis.Module}
	for i := range st.records {
		if st.records[i].Type == module.TypeModule {
			name, _ := module.UpgradeTo(st.records[i].Payload)
			list = append(list, name)
		}
	}
	return slices.DeleteFunc(list, func(d digest.Digest) bool { return d == module.Open })
}

// has reports whether the server can judge a space.
func (s *server) has(genesis *space.Genesis) bool {
	return genesis.Module == module.Open || s.blobs[genesis.Module] != nil
}

// collect forgets the modules that no space of the server is of, and the checkpoints that others have taken the place of.
func (s *server) collect() {
	used := map[digest.Digest]bool{}
	for _, st := range s.stored {
		used[st.placeRoot] = true
		for _, d := range st.modulesOf() {
			used[d] = true
		}
	}
	for _, d := range sortedIDs(s.blobs) {
		if !used[d] {
			s.world.logf("server forgets %s", short(d))
			delete(s.blobs, d)
		}
	}
}

// blob answers what a connection asks of modules.
func (s *server) blob(c *serverConn, effects *hub.ConnEffects) {
	if effects.Blob != nil {
		ask := *effects.Blob
		s.later(func() {
			read := hub.BlobRead{Ref: ask.Ref, Offset: ask.Offset, Code: wire.CodeNotFound}
			if content := s.blobs[ask.Digest]; content != nil && ask.Offset <= uint64(len(content)) {
				rest := content[ask.Offset:]
				read.Code, read.Total, read.Bytes = 0, uint64(len(content)), rest[:min(len(rest), ask.MaxBytes)]
			}
			s.stepConn(c, read)
		})
	}
	if effects.Store != nil {
		ask := *effects.Store
		s.later(func() {
			if ask.Bytes != nil && digest.Of(ask.Bytes) != ask.Digest {
				s.world.failf("what was uploaded as %s is not that", short(ask.Digest))
			} else if ask.Bytes != nil {
				s.world.logf("server stores %s", short(ask.Digest))
				s.blobs[ask.Digest] = ask.Bytes
			}
			s.stepConn(c, hub.BlobStored{Stored: s.blobs[ask.Digest] != nil})
		})
	}
}

// rotModule makes a module unreadable that the server has for sure.
func (d *device) rotModule() {
	for _, id := range sortedIDs(d.world.server.stored) {
		if m := d.world.moduleOf(id); !m.IsZero() && d.store.Module(m) != nil && d.world.chance(3) {
			d.world.logf("%s: module %s goes bad", d.name, short(m))
			d.store.DamageModule(m)
			d.flushed.DamageModule(m)
		}
	}
}
