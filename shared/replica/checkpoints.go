package replica

import (
	"maps"

	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
)

// This file is about the checkpoints that the server keeps: the tables of a space at a place of its log. The server says
// which is the newest one, and those who make tables of the log compare theirs. Where they differ, or where most of the log
// is still to come, the tab that leads fetches the server's, for all tabs. One is fetched at a time. Every page is hashed
// before it is stored, and the root, which names the pages, has the digest that the server said. That it is of the
// log that the replica holds, or will hold, the reader checks: the root names the chain.

// ServerCheckpoint is the newest checkpoint of a space that the server has told of.
type ServerCheckpoint struct {
	Seq  uint64        // the last record that is in the tables; 0: nothing was told
	Root digest.Digest // the checkpoint's
	// State is how far it has come. While it is fetched, Here of Pages are here, both 0 until it is known how many there are.
	State       CheckpointState
	Here, Pages int
}

// CheckpointState is where a checkpoint of the server stands here.
type CheckpointState uint8

// The states of a checkpoint of the server.
const (
	CheckpointTold     CheckpointState = 0 // nobody wants it
	CheckpointFetching CheckpointState = 1
	CheckpointStored   CheckpointState = 2 // it was stored, and may have been replaced since
	CheckpointFailed   CheckpointState = 3 // it cannot be had now
	// CheckpointAwaited is that of one that is not known: the server is being asked about the space, and will tell of one if
	// there is one ahead.
	CheckpointAwaited CheckpointState = 4
)

// WantCheckpoint asks for the server's newest checkpoint of a space in the store. Missing tells that it is not there,
// though it was stored.
type WantCheckpoint struct {
	Space   space.ID
	Missing bool
}

// StoreCheckpointEffect asks to keep a checkpoint whose digests were checked; [CheckpointKept] answers.
type StoreCheckpointEffect struct {
	Space      space.ID
	Root       digest.Digest
	Checkpoint *Checkpoint
}

// CheckpointKept answers one of Effects.StoreCheckpoints.
type CheckpointKept struct {
	Space space.ID
	Root  digest.Digest
	Err   error
}

// CheckpointChanged tells that what [Replica.Space] says of the server's checkpoint of a space is another one, or stands
// elsewhere.
type CheckpointChanged struct{ Space space.ID }

func (WantCheckpoint) input()     {}
func (CheckpointKept) input()     {}
func (CheckpointChanged) notice() {}

const (
	pagesAtOnce = 8      // requests for pages that are under way
	pagesToTell = 32     // after so many pages it is told how many are here
	pauseLasts  = 10_000 // milliseconds for which the log waits for a checkpoint at most
)

// wantedCheckpoint is what is kept of fetching the checkpoint of a space.
type wantedCheckpoint struct {
	retryAt  uint64 // after a failure
	failures int
}

// checkpointLane fetches checkpoints, one at a time.
type checkpointLane struct {
	waiting []*spaceState
	current *spaceState
	last    *spaceState              // whose pages are here
	root    []byte                   // nil until it is here
	names   []digest.Digest          // of the pages, once the root is here
	next    int                      // those before are here, or were asked for
	pages   map[digest.Digest][]byte // those that are here; they stay when the connection goes, or another root comes
	size    int                      // of what is here and of what is on its way
	asked   map[uint64]*askedBlob    // by ref
	storing bool
}

type askedBlob struct {
	digest digest.Digest
	total  uint64
	bytes  []byte
}

// reset forgets what belonged to a connection. The pages that are here stay.
func (l *checkpointLane) reset() {
	l.waiting = nil
	l.end()
}

// drop forgets the pages too.
func (l *checkpointLane) drop() { l.last, l.pages = nil, nil }

// end ends fetching the current one.
func (l *checkpointLane) end() {
	l.current, l.root, l.names, l.asked, l.storing = nil, nil, nil, nil, false
}

// checkpointTold takes what a row says of a space's checkpoint.
func (r *Replica) checkpointTold(s *spaceState, row *wire.SpaceRow) {
	if row.CheckpointSeq == 0 && s.told.Seq > 0 { // it lost that one, perhaps with what was in it
		s.told, s.place = ServerCheckpoint{}, space.Position{}
		r.notify(CheckpointChanged{s.id})
	}
	if row.CheckpointSeq == 0 || row.Checkpoint == s.untrue || row.CheckpointSeq == s.told.Seq && row.Checkpoint == s.told.Root {
		return
	}
	wanted := s.told.State == CheckpointFetching
	s.told = ServerCheckpoint{Seq: row.CheckpointSeq, Root: row.Checkpoint}
	s.wanted.retryAt, s.place = 0, space.Position{} // one that follows on failures is asked for at once, but not waited for
	if wanted {
		s.told.State = CheckpointFetching
		if l := &r.checkpoints; l.current == s && !l.storing {
			l.begin(r, s)
		}
	}
	r.notify(CheckpointChanged{s.id})
	if s.feed.asked {
		r.boot(s)
	}
}

// checkpoint returns what is known of the server's checkpoint of s.
func (r *Replica) checkpoint(s *spaceState) ServerCheckpoint {
	told := s.told
	if told.Seq == 0 && r.leads && r.conn.phase != offline && !s.feed.answered && s.problem == 0 && (s.feed.asked || r.conn.phase != online) {
		told.State = CheckpointAwaited
	}
	return told
}

// wantCheckpoint has the server's checkpoint of a space fetched.
func (r *Replica) wantCheckpoint(in WantCheckpoint) {
	s := r.spaces[in.Space]
	if s == nil || s.told.Seq == 0 || r.conn.phase != online {
		return
	}
	switch t := &s.told; {
	case t.State == CheckpointFetching, t.State == CheckpointStored && !in.Missing, s.wanted.retryAt > r.now:
	default:
		t.State, t.Here, t.Pages = CheckpointFetching, 0, 0
		r.pause(s)
		r.checkpoints.waiting = append(r.checkpoints.waiting, s)
		r.notify(CheckpointChanged{s.id})
	}
}

// pause lets a checkpoint that is ahead of the log come first: on a slow line the log would have most of it. It waits for none where one did
// not come on this connection, as the next one may not either, nor where it was caught up with: what is ahead is on its way.
func (r *Replica) pause(s *spaceState) {
	if s.feed.asked && !s.feed.live && s.wanted.failures == 0 && s.feed.pausedAt == 0 && s.told.Seq > s.feed.verified.Seq {
		s.feed.pausedAt = r.now
		r.send(&wire.Unsubscribe{Spaces: []space.ID{s.id}})
	}
}

// unpause goes on with the log from what is here.
func (r *Replica) unpause(s *spaceState) {
	paused := s.feed.pausedAt > 0
	s.feed.pausedAt = 0
	if paused && s.feed.asked {
		r.resubscribe(s)
	}
}

// paused returns the spaces whose log waits.
func (l *checkpointLane) paused() (spaces []*spaceState) {
	for _, s := range append(l.waiting[:len(l.waiting):len(l.waiting)], l.current) {
		if s != nil && s.feed.pausedAt > 0 {
			spaces = append(spaces, s)
		}
	}
	return spaces
}

// pausedUntil returns how long the log of s waits for a checkpoint.
func (r *Replica) pausedUntil(s *spaceState) uint64 {
	if r.far(s) {
		return s.feed.pausedAt + bootPause
	}
	return s.feed.pausedAt + pauseLasts
}

func (r *Replica) checkpointsWakeAt() uint64 {
	wake := uint64(never)
	for _, s := range r.checkpoints.paused() {
		wake = min(wake, r.pausedUntil(s))
	}
	return wake
}

func (r *Replica) advanceCheckpoints() {
	l := &r.checkpoints
	if r.conn.phase != online {
		return
	}
	for _, s := range l.paused() {
		if r.pausedUntil(s) <= r.now {
			r.unpause(s)
		}
	}
	if r.sync.full() {
		return
	}
	for i := 0; l.current == nil && i < len(l.waiting); i++ {
		if s := l.waiting[i]; s.version > 0 { // else the store has no row for it yet
			l.waiting = append(l.waiting[:i], l.waiting[i+1:]...)
			l.begin(r, s)
		}
	}
	if l.current == nil || l.root == nil {
		return
	}
	for ; l.next < len(l.names) && len(l.asked) < pagesAtOnce; l.next++ {
		if d := l.names[l.next]; l.pages[d] == nil && !l.isAsked(d) {
			l.ask(r, d)
		}
	}
	if l.next == len(l.names) && len(l.asked) == 0 && !l.storing {
		l.store(r)
	}
}

// begin asks for the root of the checkpoint of a space.
func (l *checkpointLane) begin(r *Replica, s *spaceState) {
	if l.last != s || l.pages == nil {
		l.last, l.pages = s, map[digest.Digest][]byte{}
	}
	l.current, l.root, l.names, l.next, l.size, l.asked = s, nil, nil, 0, 0, map[uint64]*askedBlob{}
	l.ask(r, s.told.Root)
}

func (l *checkpointLane) ask(r *Replica, d digest.Digest) {
	ref := r.modules.ref()
	l.asked[ref] = &askedBlob{digest: d}
	r.send(&wire.Blob{Ref: ref, Digest: d})
}

func (l *checkpointLane) isAsked(d digest.Digest) bool {
	for _, a := range l.asked {
		if a.digest == d {
			return true
		}
	}
	return false
}

// checkpointPiece adds what came to what is here.
func (r *Replica) checkpointPiece(f *wire.BlobPart) {
	l := &r.checkpoints
	a := l.asked[f.Ref]
	if a == nil {
		return
	}
	if a.total == 0 {
		a.total = f.Total
		l.size += int(min(f.Total, MaxCheckpoint+1))
	}
	here := uint64(len(a.bytes))
	if !isNext(f, a.total, here) || l.size > MaxCheckpoint {
		r.checkpointFailed()
		return
	}
	if a.bytes = append(a.bytes, f.Bytes...); uint64(len(a.bytes)) < a.total {
		return
	}
	delete(l.asked, f.Ref)
	switch {
	case digest.Of(a.bytes) != a.digest:
		r.checkpointFailed()
	case l.root == nil:
		r.checkpointRoot(a.bytes)
	default:
		l.pages[a.digest] = a.bytes
		if t := &l.current.told; t.Here < t.Pages {
			if t.Here++; t.Here%pagesToTell == 0 {
				r.notify(CheckpointChanged{l.current.id})
			}
		}
	}
}

// checkpointRoot takes the root, which must be that of the place that the server said.
func (r *Replica) checkpointRoot(root []byte) {
	l := &r.checkpoints
	s := l.current
	of, names, err := tables.ReadRoot(root)
	if err != nil || of.Space != s.id || of.Seq != s.told.Seq {
		r.checkpointFailed()
		return
	}
	r.wantModule(of.Module)
	l.root, l.names = root, names
	s.place = space.Position{Seq: of.Seq, Chain: of.Chain}
	needed := map[digest.Digest]bool{}
	s.told.Here, s.told.Pages = 0, 0
	for _, d := range names {
		if needed[d] {
			continue
		}
		needed[d] = true
		s.told.Pages++
		if page := l.pages[d]; page != nil {
			s.told.Here++
			l.size += len(page)
		}
	}
	for d := range l.pages {
		if !needed[d] { // of an older one
			delete(l.pages, d)
		}
	}
	if l.size > MaxCheckpoint {
		r.checkpointFailed()
		return
	}
	r.notify(CheckpointChanged{s.id})
}

func (l *checkpointLane) store(r *Replica) {
	l.storing = true
	s := l.current
	r.out.StoreCheckpoints = append(r.out.StoreCheckpoints, StoreCheckpointEffect{
		s.id, s.told.Root, &Checkpoint{Seq: s.told.Seq, Root: l.root, Pages: maps.Clone(l.pages), Ahead: true},
	})
}

// checkpointKept goes on when a checkpoint is in the store, or found no room.
func (r *Replica) checkpointKept(in CheckpointKept) {
	s := r.spaces[in.Space]
	l := &r.checkpoints
	if l.current != nil && l.current == s && l.storing {
		l.storing = false
		switch {
		case in.Root != s.told.Root:
			l.begin(r, s) // there is a newer one
		case in.Err != nil:
			r.checkpointFailed()
		default:
			l.end()
			l.drop()
		}
	}
	if s != nil && in.Err == nil && in.Root == s.told.Root {
		s.told.State, s.wanted = CheckpointStored, wantedCheckpoint{}
		if !r.jump(s) {
			r.unpause(s)
		}
		r.notify(CheckpointChanged{s.id})
	}
}

// checkpointRefused takes a refusal and reports whether it was one of these requests.
func (r *Replica) checkpointRefused(f *wire.Refused) bool {
	if f.Ref == 0 || r.checkpoints.asked[f.Ref] == nil {
		return false
	}
	r.checkpointFailed()
	return true
}

// checkpointFailed gives the current checkpoint up, for a while: who wants it does without, or asks again.
func (r *Replica) checkpointFailed() {
	l := &r.checkpoints
	s := l.current
	l.end()
	l.drop()
	s.told.State = CheckpointFailed
	s.wanted.retryAt = r.tryAgainAt(s.wanted.failures)
	s.wanted.failures++
	r.unpause(s)
	r.notify(CheckpointChanged{s.id})
}
