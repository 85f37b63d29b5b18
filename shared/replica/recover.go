package replica

import (
	"fmt"
	"slices"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// This file is about a server that has lost records which this replica holds. The tab that leads brings them back, from its store and a
// piece at a time: it asks how much the server has, shows from the last piece to the first that they are what the server once stored, and
// has them taken as they were. Where the server's log went on without them, their transactions are judged anew: what is refused of
// them is kept here, among the rejected or the lost, and the replica goes over to the server's branch. Nothing is dropped before that is stored.

const (
	recoveriesAtOnce = 4
	firstRecoveryRef = 1 << 40   // above every other ref but that of auth_refresh
	pieceBytes       = 256 << 10 // of records in one message, unless one transaction alone is bigger
	recoverRetry     = 20_000    // after which it is asked again whether somebody else has brought what is not here, in ms
	onlyDirection    = "what it lacks is not on this device as a whole; another one may bring it"
)

type recoveryStage uint8

const (
	probing   recoveryStage = iota // whether the server has all is asked
	tracing                        // what is stored is read, to know the chain between pieces
	locating                       // where the server's log ends, or left, is asked
	bringing                       // a piece is brought
	keeping                        // what was refused is being stored
	switching                      // the server's own branch is awaited
)

// recovery is where giving records back stands.
type recovery struct {
	stage    recoveryStage
	position space.Position   // that points are of
	points   []space.Position // where pieces of a stretch begin and end; the seals are those that the server gave
	modules  []digest.Digest  // that the records name

	low, high int // the server has what is before points[low], unless gap says otherwise, and not what is before points[high]
	piece     int // from points[piece] to the next is brought
	forward   bool
	left      bool // the server's log went on without what is here
	looked    bool // the server said so when it was asked last
	reclaims  bool
	base      space.Position // of the next piece that is judged anew
	upto      uint64         // the last record of the server's branch that one of these is
	fork      space.Position // where the server's branch left what is here, as far as that is known
	gap       bool           // see gap.go; likewise below
	keeps     bool
	from, to  space.Position // the stretch of which points are

	busy     bool           // an answer of the server or the store is awaited
	ref      uint64         // of the request
	size     uint64         // and of its message
	asked    space.Position // of the space, when the server was asked what it has
	records  []space.Record
	retryAt  uint64
	failures int
}

// TraceEffect asks to read the records stored of a space behind From, up to Last and without holes, and to fold the chain over them; [Traced] answers.
type TraceEffect struct {
	Space      space.ID
	From       space.Position
	Last       uint64
	PieceBytes int
}

// Traced answers one of Effects.Trace. Points are From, then ends of transactions in distances of PieceBytes or a transaction's size, and the end of
// what was read. Modules are those that the records name.
type Traced struct {
	Space   space.ID
	Points  []space.Position
	Modules []digest.Digest
	Err     error
}

// ReadRecordsEffect asks for the records of a space behind After, up to Last; [RecordsRead] answers.
type ReadRecordsEffect struct {
	Space       space.ID
	After, Last uint64
}

// RecordsRead answers one of Effects.ReadRecords.
type RecordsRead struct {
	Space   space.ID
	After   uint64
	Records []space.Record
	Err     error
}

func (Traced) input()      {}
func (RecordsRead) input() {}

// Trace makes the answer to a [TraceEffect] of what read returns: the records behind a number, as stores do.
func Trace(in TraceEffect, read func(after uint64) ([]space.Record, error)) Traced {
	t := Traced{Space: in.Space, Points: []space.Position{in.From}}
	at, size := in.From, 0
	for at.Seq < in.Last {
		records, err := read(at.Seq)
		if err != nil {
			t.Err = err
			return t
		}
		if len(records) == 0 {
			break
		}
		for i := range records {
			r := &records[i]
			if at.Seq == in.Last {
				break
			}
			if r.Seq != at.Seq+1 {
				t.Err = fmt.Errorf("record %d is not here", at.Seq+1)
				return t
			}
			at = space.Position{Seq: r.Seq, Chain: space.Chain(at.Chain, r)}
			size += r.Size()
			if d, ok := module.UpgradeTo(r.Payload); r.Type == module.TypeModule && ok && !slices.Contains(t.Modules, d) {
				t.Modules = append(t.Modules, d)
			}
			if size >= in.PieceBytes && r.Last() {
				t.Points = append(t.Points, at)
				size = 0
			}
		}
	}
	if t.Points[len(t.Points)-1].Seq != at.Seq {
		t.Points = append(t.Points, at)
	}
	return t
}

// recover begins to find out what the server lacks of a space, and to bring it.
func (r *Replica) recover(s *spaceState) {
	if !r.leads || r.conn.phase != online || s.info.Position.Seq == 0 || s.cut != nil || s.info.Damaged > 0 && !s.info.healing() {
		return
	}
	if s.recovery == nil {
		s.recovery = &recovery{}
	}
	if s.problem == 0 {
		s.problem = wire.CodeRecovering
	}
	if !slices.Contains(r.recoveries, s) {
		r.recoveries = append(r.recoveries, s)
	}
}

// resetRecovery forgets what held for one connection. What is known of the pieces stays.
func (s *spaceState) resetRecovery() {
	if c := s.recovery; c != nil && c.keeps {
		*c = recovery{}
	} else if c != nil {
		*c = recovery{position: c.position, points: c.points, modules: c.modules, from: c.from, to: c.to}
	}
}

// cursor returns from where on the server is asked for records.
func (s *spaceState) cursor() space.Position {
	if s.switches() {
		return s.recovery.fork
	}
	return s.info.Position
}

// switches reports whether s is about to go over to the server's branch.
func (s *spaceState) switches() bool { return s.recovery != nil && s.recovery.stage == switching }

func (r *Replica) advanceRecoveries() {
	if r.conn.phase != online || r.sync.full() {
		return
	}
	busy := 0
	for _, s := range slices.Clone(r.recoveries) {
		c := s.recovery
		if c != nil && !c.busy && c.stage != switching && c.retryAt <= r.now && busy < recoveriesAtOnce {
			r.stepRecovery(s)
		}
		if s.recovery != nil && s.recovery.busy {
			busy++
		}
	}
}

func (r *Replica) recoveriesWakeAt() uint64 {
	wake := uint64(never)
	if r.conn.phase == online && !r.sync.full() {
		for _, s := range r.recoveries {
			if c := s.recovery; c != nil && !c.busy && c.stage != switching {
				wake = min(wake, c.retryAt)
			}
		}
	}
	return wake
}

// stepRecovery does what is next.
func (r *Replica) stepRecovery(s *spaceState) {
	c := s.recovery
	if c.stage > tracing && c.position != s.info.Position {
		*c = recovery{} // another tab, perhaps
	}
	switch c.stage {
	case probing:
		r.locate(s, s.info.sides())
	case tracing:
		c.busy = true
		pieces := r.pieceBytes()
		if c.keeps {
			pieces = 1
		}
		r.out.Trace = append(r.out.Trace, TraceEffect{s.id, c.from, c.to.Seq, pieces})
	case locating:
		step := (c.high-c.low-2)/wire.MaxPoints + 1
		var points []space.Position
		for i := c.low + 1; i < c.high; i += step {
			points = append(points, c.points[i])
		}
		r.locate(s, points)
	case bringing:
		if c.records != nil {
			r.bring(s) // it waited for room in the window
			return
		}
		c.busy = true
		r.out.ReadRecords = append(r.out.ReadRecords, ReadRecordsEffect{s.id, c.points[c.piece].Seq, c.points[c.next()].Seq})
	case keeping:
		c.busy = true
		r.sync.dirty(r, s)
	}
}

func (r *Replica) pieceBytes() int {
	return int(max(1, min(pieceBytes, r.conn.limits.Message/4)))
}

func (r *Replica) locate(s *spaceState, points []space.Position) {
	s.recovery.ref, s.recovery.busy, s.recovery.asked = r.recoveryRef(), true, s.info.Position
	r.send(&wire.Locate{Ref: s.recovery.ref, Space: s.id, Position: s.info.Position, Points: points})
}

func (r *Replica) recoveryRef() uint64 {
	r.recoveryRefs++
	return firstRecoveryRef + r.recoveryRefs
}

// recoveryOf returns the space of which a request was.
func (r *Replica) recoveryOf(ref uint64) *spaceState {
	for _, s := range r.recoveries {
		if c := s.recovery; c != nil && c.busy && c.ref == ref && ref != 0 {
			r.conn.unanswered -= c.size
			c.busy, c.ref, c.size = false, 0, 0
			return s
		}
	}
	return nil
}

// located takes the answer to locate.
func (r *Replica) located(f *wire.Located) {
	s := r.recoveryOf(f.Ref)
	if s == nil {
		return
	}
	c := s.recovery
	if c.stage == probing {
		if f.Common.Seq == c.asked.Seq && f.Common.Chain == c.asked.Chain {
			r.endRecovery(s) // what is behind it, by now, another tab has had from the server since
			return
		}
		r.recovers(s)
		c.left = c.left || c.looked
		switch base := s.info.Base(s.id); {
		case c.looked:
			c.stage = bringing
		case f.Common.Seq < base.Seq:
			r.bridge(s, f)
		case c.position == s.info.Position && len(c.points) > 1 && c.points[0].Seq >= base.Seq: // else what is before it was dropped
			r.narrow(s, f.Common)
		default:
			c.stage, c.from, c.to = tracing, base, s.info.Position
		}
		return
	}
	r.narrow(s, f.Common)
}

// recovers notes for people that the server lacks what is here.
func (r *Replica) recovers(s *spaceState) {
	s.problem = wire.CodeRecovering
	r.changed(s)
	r.statusChanged()
}

// narrow takes up to where the server has what is here.
func (r *Replica) narrow(s *spaceState, common space.Position) {
	c := s.recovery
	if c.stage == probing {
		c.low, c.high = 0, len(c.points)-1
	}
	for c.low+1 < c.high && c.points[c.low+1].Seq <= common.Seq {
		c.low++
	}
	if c.stage == locating {
		step := (c.high-c.low-2)/wire.MaxPoints + 1
		c.high = min(c.high, c.low+step)
	}
	if c.high > c.low+1 {
		c.stage = locating
		return
	}
	c.stage, c.piece = bringing, len(c.points)-2
	if !c.gap || c.keeps && c.from.Seq <= c.fork.Seq {
		c.fork = c.points[c.low]
	}
	if c.keeps {
		c.piece = c.low
	}
}

// traced takes where the pieces end.
func (r *Replica) traced(in Traced) {
	s := r.spaces[in.Space]
	if s == nil || s.recovery == nil || s.recovery.stage != tracing || !s.recovery.busy {
		return
	}
	c := s.recovery
	c.busy = false
	if last := len(in.Points) - 1; in.Err != nil || last < 1 || in.Points[last].Seq != c.to.Seq || in.Points[last].Chain != c.to.Chain {
		r.recoverLater(s, onlyDirection)
		return
	}
	c.position, c.points, c.modules = s.info.Position, in.Points, in.Modules
	c.points[len(c.points)-1] = c.to // with its seal
	c.stage, c.low, c.high = locating, 0, len(c.points)-1
	if c.gap && c.from.Seq > c.fork.Seq || c.position.Seal.IsZero() { // the server has nothing of it
		c.high = 1
	}
	if c.high == 1 {
		r.narrow(s, space.Position{})
	}
}

// recordsRead takes the records of a piece.
func (r *Replica) recordsRead(in RecordsRead) {
	s := r.spaces[in.Space]
	if s == nil || s.recovery == nil || s.recovery.stage != bringing || !s.recovery.busy || s.recovery.ref != 0 {
		return
	}
	c := s.recovery
	c.busy = false
	if in.Err != nil || in.After != c.points[c.piece].Seq || uint64(len(in.Records)) != c.points[c.next()].Seq-in.After {
		r.recoverLater(s, onlyDirection)
		return
	}
	if c.keeps {
		r.keep(s, in.Records)
		return
	}
	c.records = in.Records
	r.bring(s)
}

// bring sends the piece that was read.
func (r *Replica) bring(s *spaceState) {
	c := s.recovery
	base, end := c.points[c.piece], c.points[c.piece+1]
	ref := r.recoveryRef()
	var message []byte
	if c.reclaims {
		message = wire.Append(nil, &wire.Reclaim{Ref: ref, Space: s.id, Base: c.base, End: end, Records: c.records})
	} else {
		adopt := wire.Adopt{Ref: ref, Space: s.id, Base: base, End: end, Records: c.records}
		if base.Seq == 0 || c.gap && c.piece == 0 {
			adopt.Genesis, adopt.GenesisSignature = s.info.Genesis, s.info.GenesisSignature
		}
		message = wire.Append(nil, &adopt)
	}
	size := uint64(len(message))
	switch {
	case size > r.conn.limits.Message || size > r.conn.limits.PushWindow:
		r.recoverLater(s, "one transaction is larger than the server takes now")
		return
	case r.conn.unanswered > 0 && r.conn.unanswered+size > r.conn.limits.PushWindow:
		c.retryAt = r.now + 100
		return
	}
	c.busy, c.ref, c.size = true, ref, size
	if r.conn.unanswered += size; !c.reclaims {
		c.records = nil
	}
	r.out.Send = append(r.out.Send, message)
}

// adopted takes what became of a piece.
func (r *Replica) adopted(f *wire.Adopted) {
	s := r.recoveryOf(f.Ref)
	if s == nil {
		return
	}
	c := s.recovery
	last := len(c.points) - 2
	c.failures, r.lastSync = 0, r.now
	if f.Base.Seq == c.points[c.piece].Seq && f.Base.Chain == c.points[c.piece].Chain {
		c.points[c.piece].Seal = f.Base.Seal
	}
	switch {
	case f.Outcome == wire.AdoptTaken && c.piece == last:
		r.endRecovery(s)
	case f.Outcome == wire.AdoptTaken:
		c.forward, c.piece = true, c.piece+1
		r.changed(s)
	case f.Outcome == wire.AdoptEarlier && c.piece > c.low && !c.forward:
		c.piece--
	case f.Outcome == wire.AdoptEarlier && c.gap && !c.forward: // there is nobody who brings what is before it
		c.reclaims, c.base = true, c.points[c.low]
	case f.Outcome == wire.AdoptLook && !c.left, f.Outcome == wire.AdoptEarlier:
		c.stage, c.looked, c.forward = probing, f.Outcome == wire.AdoptLook, false
		c.retryAt = r.now + r.random(retryFloor)
	default:
		c.left = true
	}
	if c.left && c.stage == bringing && f.Outcome != wire.AdoptEarlier {
		r.showAll(s)
	}
}

// showAll goes on to show what is here, without more, until all pieces that the server does not have are shown; then they are to be judged.
func (r *Replica) showAll(s *spaceState) {
	c := s.recovery
	if c.piece > c.low {
		c.piece--
		return
	}
	c.reclaims, c.base = true, c.points[c.low]
}

// reclaimed takes the verdicts on what was judged anew. What was refused is stored before anything else happens.
func (r *Replica) reclaimed(f *wire.Reclaimed) {
	s := r.recoveryOf(f.Ref)
	if s == nil {
		return
	}
	c := s.recovery
	records := c.records
	c.records = nil
	var wait uint64
	for i := range f.Verdicts {
		n := int(records[0].Count)
		if n == 0 || n > len(records) {
			break
		}
		v := &f.Verdicts[i]
		switch v.Kind {
		case wire.Accepted, wire.Duplicate:
			c.upto = max(c.upto, v.Position.Seq)
		case wire.Rejected:
			r.refuseRecords(s, records[:n], v, ByServer)
		case wire.Deferred:
			if v.Code == wire.CodeModuleMissing {
				r.offerModules(s)
			}
			if wait == 0 {
				wait = max(v.RetryAfterMS, retryFloor)
				s.reason = v.Code.String()
			}
		}
		records = records[n:]
		if len(records) == 0 {
			break
		}
	}
	r.lastSync = r.now
	switch {
	case wait > 0:
		c.failures++
		c.retryAt = max(r.now+min(wait, recoverRetry), r.tryAgainAt(c.failures))
	case len(records) > 0 || f.End.Seq != c.points[c.piece+1].Seq:
		r.drop(wire.CodeBadServerMessage, "verdicts came for transactions that were not brought")
		return
	default:
		c.failures = 0
		c.base = f.End
		c.piece++
	}
	r.keepPiece(s)
	r.changed(s)
}

// keepPiece has stored what was refused of a piece before anything else happens.
func (r *Replica) keepPiece(s *spaceState) {
	if len(s.pending.refuse)+len(s.pending.lost) == 0 {
		r.afterPiece(s)
		return
	}
	s.recovery.stage, s.recovery.busy = keeping, true
	r.sync.dirty(r, s)
}

// refuseRecords has a transaction kept that the server does not take back. The server's own word is no one's.
func (r *Replica) refuseRecords(s *spaceState, records []space.Record, v *wire.Verdict, by string) {
	t := space.TransactionOf(records)
	switch {
	case t.Author == "" || records[0].Expired: // or there is nothing to be kept
	case r.mine(t.Author):
		s.pending.refuse = append(s.pending.refuse, RejectedRow{
			ID: t.ID(), Transaction: t, AppendedAt: records[0].ReceivedAt, Code: v.Code, Reason: v.Reason, By: by,
		})
	default:
		s.pending.lost = append(s.pending.lost, LostRow{
			ID: t.ID(), Transaction: t, ReceivedAt: records[0].ReceivedAt, Code: v.Code, Reason: v.Reason, By: by,
		})
	}
}

// afterPiece goes on when what was refused of a piece is stored: with the next one, or over to the server's branch.
func (r *Replica) afterPiece(s *spaceState) {
	c := s.recovery
	c.busy = false
	if c.stage = bringing; c.piece < len(c.points)-1 {
		return
	}
	if c.keeps && c.to.Seq < s.info.Position.Seq {
		r.keepFrom(s, c.to.Seq)
		return
	}
	c.stage = switching
	s.problem, s.reason = 0, ""
	r.recoveryDone(s)
	s.feed.retryAt = 0
	r.subscribe([]*spaceState{s})
	if !s.feed.asked {
		s.resetRecovery() // nobody needs it now; what is stored stays as it is until then
		s.recovery = nil
	}
	r.statusChanged()
}

// recovered goes on when a commit has stored what recovery waits for.
func (r *Replica) recovered(s *spaceState, part *SpaceCommit) {
	c := s.recovery
	switch {
	case c == nil:
	case part.Fork != nil:
		s.info.Branch++
		s.rebranch()
		s.info.Damaged = 0
		s.recovery = nil
		if part.Position.Seq == 0 { // the server has no log that a checkpoint is of
			s.told, s.place = ServerCheckpoint{}, space.Position{}
			r.notify(CheckpointChanged{s.id})
		}
	case c.stage == keeping && len(part.Refuse)+len(part.Lost) > 0:
		r.afterPiece(s)
		r.refresh(s) // for those who look at the rejected, and the lost
	}
}

// dropRecovery begins anew with a space of which something changed meanwhile.
func (r *Replica) dropRecovery(s *spaceState) {
	r.recoveryDone(s)
	if s.recovery != nil && (s.problem == wire.CodeRecovering || s.problem == wire.CodeDiverged) {
		s.problem, s.reason = 0, ""
	}
	s.feed.crossed = s.feed.crossed || s.feed.asked && s.switches()
	s.recovery = nil
}

// recoveryDone takes a space off the list.
func (r *Replica) recoveryDone(s *spaceState) {
	r.recoveries = slices.DeleteFunc(r.recoveries, func(other *spaceState) bool { return other == s })
	r.keepListed()
}

// endRecovery goes on syncing: the server has what is here.
func (r *Replica) endRecovery(s *spaceState) {
	r.dropRecovery(s)
	if !s.info.Created {
		r.sync.setCreated(r, s, true)
	}
	s.feed.retryAt = 0
	if s.feed.asked { // what came meanwhile was passed over
		r.resubscribe(s)
	} else {
		r.pull(s)
	}
	r.wantPush(s)
	r.changed(s)
	r.statusChanged()
}

// recoverLater tries again in a while: another replica may have brought everything by then.
func (r *Replica) recoverLater(s *spaceState, reason string) {
	c := s.recovery
	c.stage, c.records, c.busy = probing, nil, false
	c.retryAt = r.now + recoverRetry + r.random(recoverRetry)
	if s.reason = reason; s.problem == 0 {
		s.problem = wire.CodeRecovering
	}
	r.changed(s)
}

// offerModules offers the server every module that the space ever had, as far as it is here.
func (r *Replica) offerModules(s *spaceState) {
	all := s.recovery.modules
	if s.info.Genesis != nil {
		all = append(all[:len(all):len(all)], s.info.Genesis.Module)
	}
	for _, d := range append(all, s.module()) {
		if !d.IsZero() && d != module.Open {
			r.modules.offer.want(d)
		}
	}
}

// recoveryRefused takes a refusal and reports whether it was of one of these requests.
func (r *Replica) recoveryRefused(f *wire.Refused) bool {
	s := r.recoveryOf(f.Ref)
	if s == nil {
		return f.Ref >= firstRecoveryRef && f.Ref < refreshRef
	}
	c := s.recovery
	c.failures++
	c.records = nil
	switch f.Code {
	case wire.CodeDiverged, wire.CodeUnproven: // what is here never was that server's
		if r.bridgeRefused(s, f.Code) {
			break
		}
		r.recoveryDone(s)
		s.recovery = nil
		s.problem, s.reason = wire.CodeDiverged, f.Reason
		if f.Code == wire.CodeUnproven {
			s.problem = f.Code
		}
	case wire.CodeDeleted:
		r.recoveryDone(s)
		s.recovery = nil
		s.problem, s.reason = f.Code, f.Reason
		r.spaceDeleted(s)
	default:
		if f.Code == wire.CodeModuleMissing {
			r.offerModules(s)
		}
		c.stage, c.left, c.looked, c.forward, c.reclaims = probing, false, false, false, false
		c.retryAt = r.tryAgainAt(c.failures)
		s.reason = f.Code.String()
	}
	r.changed(s)
	r.statusChanged()
	return true
}

// Recovering is how far bringing records back has come.
type Recovering struct{ Left, Total uint64 } // records that the server is not known to have, and that it lacked

// recoveringOf says how far it has come.
func (s *spaceState) recoveringOf() (of Recovering) {
	c := s.recovery
	if c == nil || c.stage < bringing || c.keeps {
		return of
	}
	of.Total = c.points[len(c.points)-1].Seq - c.points[c.low].Seq
	if of.Left = of.Total; c.forward || c.reclaims {
		of.Left = c.points[len(c.points)-1].Seq - c.points[min(c.piece, len(c.points)-1)].Seq
	}
	return of
}

// probe asks the server about spaces of which it says less than is here, or nothing, though nobody looks at them: it may have lost
// something, and nobody else may have it.
func (r *Replica) probe(s *spaceState) {
	if s.known && s.info.Created && !s.info.Position.Seal.IsZero() && !s.feed.asked && s.problem == 0 && s.info.Damaged == 0 && !s.info.Deleted {
		r.recover(s)
		s.problem = 0 // until it is known
	}
}

// probeUnlisted probes what a directory that was told from its beginning does not have.
func (r *Replica) probeUnlisted() {
	for _, s := range r.sorted() {
		if s.listed {
			continue
		}
		if s.known && s.info.Position.Seq == 0 && s.info.Genesis != nil && !s.feed.asked && s.problem == 0 && !s.info.Deleted {
			r.sync.setCreated(r, s, false) // nobody has anything of it but what it was made from
			r.wantPush(s)
			continue
		}
		r.probe(s)
	}
}
