package replica

import (
	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/wire"
)

// This file is about the bytes of modules. The tab that leads fetches those that judge the spaces it pulls, and sends the
// server those that it has and the server asks for by deferring: nobody has to see to it that a space made offline, of a
// module that only this device has, comes to be. One module at a time goes each way. What is fetched is hashed before it
// is stored, and the store hashes it whenever it is read; on each connection it is looked for again, so what was damaged
// meanwhile is fetched again.

// ModuleBytes is the size of the largest module.
const ModuleBytes = 4 << 20

// uploadPiece is how much of a module goes to the server in one message unless configured.
const uploadPiece = 128 << 10

// StoreModuleEffect asks to store the bytes of a module, whose digest was checked; [ModuleStored] answers.
type StoreModuleEffect struct {
	Digest digest.Digest
	Bytes  []byte
}

// ModuleRead answers one of Effects.ReadModules. Bytes is nil where the store does not have them.
type ModuleRead struct {
	Digest digest.Digest
	Bytes  []byte
	Err    error
}

// ModuleStored answers one of Effects.StoreModules.
type ModuleStored struct {
	Digest digest.Digest
	Err    error
	Full   bool // Err means a full device
}

// ModulePut tells that the app put a module into the store.
type ModulePut struct{ Digest digest.Digest }

// ModuleNeeded tells that somebody misses a module of a space that is here: one that its log went over to and from again,
// or that was dropped.
type ModuleNeeded struct{ Digest digest.Digest }

func (ModuleRead) input()   {}
func (ModuleStored) input() {}
func (ModulePut) input()    {}
func (ModuleNeeded) input() {}

// moduleTask is a module that is to come here, or to go to the server. It lasts as long as a connection.
type moduleTask struct {
	digest   digest.Digest
	open     bool // it waits for its turn, or has it
	retryAt  uint64
	failures int
	absent   bool // the store had no bytes to send
	code     Code // why the server will not have it on this connection
	reason   string
}

// modulePipe works off tasks, one at a time.
type modulePipe struct {
	tasks   map[digest.Digest]*moduleTask
	waiting []*moduleTask
	current *moduleTask
	reading bool   // the store looks for the current one
	storing bool   // the store writes it
	ref     uint64 // of the request that waits for an answer
	sent    uint64 // where the last piece sent began

	bytes []byte // of the module with this digest, those that are here
	of    digest.Digest
	total int // how many there are, as the server said; 0: it did not yet
}

// want gives a module a turn, unless it waits for one.
func (p *modulePipe) want(d digest.Digest) {
	task := p.tasks[d]
	if task == nil {
		if task = (&moduleTask{digest: d}); p.tasks == nil {
			p.tasks = map[digest.Digest]*moduleTask{}
		}
		p.tasks[d] = task
	}
	if !task.open && task.code == 0 {
		task.open = true
		p.waiting = append(p.waiting, task)
	}
}

// next begins the first task that is due and reports whether there is one.
func (p *modulePipe) next(now uint64) bool {
	if p.current != nil {
		return false
	}
	for i, task := range p.waiting {
		if task.retryAt <= now {
			p.waiting = append(p.waiting[:i], p.waiting[i+1:]...)
			p.current, p.reading = task, true
			return true
		}
	}
	return false
}

// done ends the current task.
func (p *modulePipe) done() *moduleTask {
	task := p.current
	task.open = false
	p.current, p.ref = nil, 0
	return task
}

// again puts the current task off.
func (p *modulePipe) again(r *Replica) {
	task := p.done()
	task.wait(r)
	p.want(task.digest)
}

// wait makes the task's next turn come later with each time.
func (t *moduleTask) wait(r *Replica) {
	t.retryAt = r.tryAgainAt(t.failures)
	t.failures++
}

// reset forgets what belonged to a connection. What was received of a module stays.
func (p *modulePipe) reset() { *p = modulePipe{bytes: p.bytes, of: p.of, total: p.total} }

// drop forgets what is held of a module.
func (p *modulePipe) drop() { p.bytes, p.of, p.total = nil, digest.Digest{}, 0 }

func (p *modulePipe) wakeAt() uint64 {
	wake := uint64(never)
	for _, task := range p.waiting {
		if p.current == nil {
			wake = min(wake, task.retryAt)
		}
	}
	return wake
}

// moduleLane is both ways.
type moduleLane struct {
	fetch, offer modulePipe
	refs         uint64 // the last ref used on this connection
	full         bool   // what was fetched found no room
}

// firstModuleRef is above every ref that the directory is asked with.
const firstModuleRef = 1 << 32

func (l *moduleLane) reset() {
	l.fetch.reset()
	l.offer.reset()
	l.offer.drop()
	l.refs, l.full = firstModuleRef, false
}

func (l *moduleLane) ref() uint64 {
	l.refs++
	return l.refs
}

// module returns the digest of the module that judges s, zero where it is not known or part of every build.
func (s *spaceState) module() digest.Digest {
	d := s.info.CurrentModule()
	if d == module.Open {
		return digest.Digest{}
	}
	return d
}

// CurrentModule returns the digest of the module that judges a space, as far as is known here, zero where nothing is.
func (i *SpaceInfo) CurrentModule() digest.Digest {
	if i.Module.IsZero() && i.Genesis != nil {
		return i.Genesis.Module
	}
	return i.Module
}

// needModule has the modules of a space that is pulled looked for, once on each connection: that which judges it now, and
// that with which its log begins. Those between the two are met in the log.
func (r *Replica) needModule(s *spaceState) {
	r.wantModule(s.module())
	if s.info.Genesis != nil {
		r.wantModule(s.info.Genesis.Module)
	}
}

func (r *Replica) wantModule(d digest.Digest) {
	if !d.IsZero() && d != module.Open && r.modules.fetch.tasks[d] == nil {
		r.modules.fetch.want(d)
	}
}

// moduleNeeded looks for a module that somebody misses, also where it was here on this connection.
func (r *Replica) moduleNeeded(in ModuleNeeded) {
	if r.leads {
		r.modules.fetch.want(in.Digest)
	}
}

// moduleMissing notes that the server puts a space off because it does not have a module, and offers it.
func (r *Replica) moduleMissing(s *spaceState, d digest.Digest) {
	if s.push.missing = d; !d.IsZero() {
		r.modules.offer.want(s.push.missing)
	}
}

// moduleTaken notes that the server judges s: its module will not be missed again.
func (r *Replica) moduleTaken(s *spaceState) {
	if s.push.missing.IsZero() {
		return
	}
	if task := r.modules.offer.tasks[s.push.missing]; task != nil && !task.open {
		delete(r.modules.offer.tasks, task.digest)
	}
	s.push.missing = digest.Digest{}
}

// whyMissing says what is being done about a module that the server does not have.
func (r *Replica) whyMissing(d digest.Digest) (Code, string) {
	switch task := r.modules.offer.tasks[d]; {
	case task == nil:
	case task.code != 0:
		return task.code, "the server does not take the space's module: " + task.reason
	case task.absent:
		return wire.CodeModuleMissing, "the server does not have the space's module, nor does this device"
	}
	return wire.CodeModuleMissing, "the server does not have the space's module yet: it is being sent"
}

func (r *Replica) advanceModules() {
	if r.conn.phase != online || r.sync.full() {
		return
	}
	for _, p := range []*modulePipe{&r.modules.fetch, &r.modules.offer} {
		if p.next(r.now) {
			r.out.ReadModules = append(r.out.ReadModules, p.current.digest)
		}
	}
}

func (r *Replica) modulesWakeAt() uint64 {
	if r.conn.phase != online || r.sync.full() {
		return never
	}
	return min(r.modules.fetch.wakeAt(), r.modules.offer.wakeAt())
}

// moduleRead takes what the store has of a module: what it has need not be fetched, what it has not cannot be sent.
func (r *Replica) moduleRead(in ModuleRead) {
	for _, p := range []*modulePipe{&r.modules.fetch, &r.modules.offer} {
		if p.current == nil || !p.reading || p.current.digest != in.Digest {
			continue
		}
		p.reading = false
		switch fetches := p == &r.modules.fetch; {
		case in.Err != nil:
			p.again(r)
		case fetches && in.Bytes != nil:
			p.done()
		case fetches:
			r.fetchModule()
		case in.Bytes == nil:
			p.done().absent = true
			r.statusChanged()
		default:
			p.current.absent = false
			p.bytes, p.of, p.total = in.Bytes, in.Digest, len(in.Bytes)
			r.sendPiece(0)
		}
	}
}

// fetchModule asks the server for what is not here of the current module.
func (r *Replica) fetchModule() {
	p := &r.modules.fetch
	if p.of != p.current.digest {
		p.drop()
		p.of = p.current.digest
	}
	if p.total > 0 && len(p.bytes) == p.total {
		r.storeModule() // it found no room
		return
	}
	p.ref = r.modules.ref()
	r.send(&wire.Blob{Ref: p.ref, Digest: p.of, Offset: uint64(len(p.bytes))})
}

func (r *Replica) storeModule() {
	p := &r.modules.fetch
	p.storing = true
	r.out.StoreModules = append(r.out.StoreModules, StoreModuleEffect{p.of, p.bytes})
}

// blobPart takes a piece of a module, or the answer to one that was sent.
func (r *Replica) blobPart(f *wire.BlobPart) {
	switch {
	case f.Ref == 0:
	case f.Ref == r.modules.fetch.ref:
		r.modulePiece(f)
	case f.Ref == r.modules.offer.ref:
		r.pieceTaken(f)
	default:
		r.checkpointPiece(f)
	}
}

// isNext reports whether a piece of what was asked for is the one behind those that are here.
func isNext(f *wire.BlobPart, total, here uint64) bool {
	return f.Total == total && f.Offset == here && len(f.Bytes) > 0 && uint64(len(f.Bytes)) <= total-here
}

// modulePiece adds what came to what is here. At the end it is hashed: nothing else reaches the store.
func (r *Replica) modulePiece(f *wire.BlobPart) {
	p := &r.modules.fetch
	if p.total == 0 && f.Total <= ModuleBytes {
		p.total = int(f.Total)
		p.bytes = make([]byte, 0, p.total)
	}
	if !isNext(f, uint64(p.total), uint64(len(p.bytes))) {
		p.drop()
		p.again(r)
		return
	}
	p.bytes = append(p.bytes, f.Bytes...)
	if len(p.bytes) < p.total {
		return
	}
	p.ref = 0
	if digest.Of(p.bytes) != p.of {
		p.drop()
		p.again(r)
		return
	}
	r.storeModule()
}

// moduleStored goes on when a module is here: those who look at its spaces are told, in all tabs.
func (r *Replica) moduleStored(in ModuleStored) {
	p := &r.modules.fetch
	if p.current != nil && p.storing && p.current.digest == in.Digest {
		p.storing = false
		r.modules.full = in.Full
		if in.Err != nil {
			p.again(r)
			r.statusChanged()
			return
		}
		p.done()
	}
	if in.Err != nil {
		return
	}
	if p.of == in.Digest && p.current == nil {
		p.drop()
	}
	for _, s := range r.sorted() {
		if s.feed.asked && s.module() == in.Digest {
			s.pending.touch = true
			r.sync.dirty(r, s)
		}
	}
	r.statusChanged()
}

// modulePut has tabs look again whose spaces wait for a module that the app has put into the store.
func (r *Replica) modulePut(in ModulePut) {
	for _, s := range r.sorted() {
		if s.known && s.module() == in.Digest && (s.open || s.creates() || s.lookedUntil > r.now || s.info.Pinned) {
			r.append(appendOperation{space: s.id})
		}
		if s.push.missing == in.Digest {
			r.moduleMissing(s, in.Digest)
		}
	}
}

// sendPiece sends the current module from an offset on, as much as goes into one message.
func (r *Replica) sendPiece(from uint64) {
	p := &r.modules.offer
	to := min(from+uint64(r.config.UploadPiece), uint64(p.total))
	p.ref, p.sent = r.modules.ref(), from
	r.send(&wire.BlobPut{Ref: p.ref, Digest: p.of, Total: uint64(p.total), Offset: from, Bytes: p.bytes[from:to]})
}

// pieceTaken goes on from where the server says that it is. When it has all, those that waited for it are pushed again
// at once. Should it miss the module again before it judges one of them, the next upload waits.
func (r *Replica) pieceTaken(f *wire.BlobPart) {
	p := &r.modules.offer
	switch {
	case f.Total != uint64(p.total) || f.Offset > f.Total || f.Offset <= p.sent:
		p.drop()
		p.again(r)
	case f.Offset < f.Total:
		r.sendPiece(f.Offset)
	default:
		p.drop()
		task := p.done()
		task.wait(r)
		for _, s := range r.sorted() {
			if s.push.missing == task.digest {
				if s.feed.retryAt > 0 {
					s.feed.retryAt = r.now
				}
				r.delay(s, r.now)
			}
		}
	}
}

// moduleRefused takes a refusal and reports whether it was one of these requests.
func (r *Replica) moduleRefused(f *wire.Refused) bool {
	switch fetch, offer := &r.modules.fetch, &r.modules.offer; {
	case f.Ref == 0:
		return false
	case f.Ref == fetch.ref:
		if f.Code == wire.CodeNotFound {
			fetch.drop()
		}
		fetch.again(r)
	case f.Ref == offer.ref:
		offer.drop()
		switch f.Code {
		case wire.CodeTooMany, wire.CodeInternal, wire.CodeOverloaded, wire.CodeServerFull, wire.CodeRateLimited, wire.CodeOverQuota:
			offer.again(r)
		default:
			task := offer.done()
			task.code, task.reason = f.Code, f.Reason
		}
	default:
		return false
	}
	r.statusChanged()
	return true
}
