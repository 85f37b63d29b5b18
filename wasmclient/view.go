package wasmclient

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/module/program"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
)

const (
	// viewsLast is how long tables stay that nobody asks for.
	viewsLast = time.Minute
	// layEvery is how much time lies between two times that the overlay is laid again.
	layEvery = 50 * time.Millisecond
	// viewStep is how long tables are worked on in one go, so that the page's messages come through.
	viewStep = 8 * time.Millisecond
	// previewWaits is how long what is appended waits for tables that are being made, from when that began. The page's
	// words are not stored meanwhile.
	previewWaits = 500 * time.Millisecond
	// viewAgain is how long to wait after something failed that nobody tells the end of.
	viewAgain = time.Second
	// passTries is how often tables are begun anew in one go.
	passTries = 3
	// mostTouched is how many places are noted one by one; what touches more concerns every query.
	mostTouched = 4096
	// mostTogether is how many records are applied in one go.
	mostTogether = 32
)

// view is what a space means, in this tab: the tables that its module makes of the records that are stored here, and over
// them the overlay, which is what it makes of the transactions that wait, in the order of the outbox.
//
// Its goroutine reads from the store what is new, applies it, and lays the overlay again. What is appended in this tab goes
// onto the overlay at once, if all that was before is there.
type view struct {
	client *Client
	id     space.ID
	wake   chan struct{} // has a token when something may be new
	ctx    context.Context
	cancel context.CancelFunc

	outcomes struct {
		sync.Mutex
		of []outcome
	}

	mu       sync.Mutex        // held while the tables are worked on; the loop does not wait for it
	life     uint64            // of the replica that the instance is of
	branch   uint64            // of the log, likewise
	instance *program.Instance // nil until the module is loaded
	// What of the outbox the instance has as proposals, in order, and whether that is all that waits. A transaction that the
	// module does not allow any more counts as laid, and is not seen.
	laid     []space.ULID
	whole    bool
	turning  bool // one of them is an upgrade: who judges what comes behind it is not known
	coming   bool // err is that tables are missing that are on their way
	laying   bool // what is written now is of the overlay
	written  map[place]struct{}
	appended []*appended

	shown   *tables.Set        // what queries read; nil until there was a first time when all was there
	overlay map[place]struct{} // what of it transactions wrote that wait; it is written until the overlay is taken off
	touched []place            // what was written since
	all     bool               // too much for touched
	unnoted bool               // something was, with no query to tell of it
	err     error              // why there is nothing newer
	lives   map[*Live]struct{}
	spoiled error         // a query found that the tables lack a page
	changed chan struct{} // closed after each pass
	passed  bool          // there was one
	began   time.Time     // when the view was made
	used    time.Time     // when somebody asked last
	anew    atomic.Bool   // somebody else tells of the server's checkpoint now: to wait for that begins again
	// Of the goroutine alone.
	together int                 // how many records are applied at a time
	kept     uint64              // the last record of the checkpoint that the store has
	chain    digest.Digest       // after what was applied
	unproven bool                // chain is a checkpoint's word, and what followed: it was not seen to be the log's
	root     digest.Digest       // of the checkpoint that the instance began with; zero: with none
	distrust digest.Digest       // of one that is of another log, or lacks a page
	missed   digest.Digest       // a checkpoint of the server that the store did not have,
	useless  digest.Digest       // and one that cannot be begun with
	ahead    uint64              // the last record of a checkpoint of the server, as long as the log does not have it
	awaits   time.Time           // since when word of the server's checkpoint is waited for
	asked    time.Time           // when a checkpoint of the server was wanted last,
	askedFor digest.Digest       // and which
	looked   bool                // for a checkpoint in the store, to begin with: while the server's comes another look would find
	found    *replica.Checkpoint // the same
	comes    bool                // coming, of the error that is being made
	needs    uint64              // not 0: tables that were made here diverged there, and only the server's are gone on from
	marks    []mark              // places that were passed, oldest first
	compared digest.Digest       // the checkpoint of the server that was found to be what it is here
	ended    bool
}

// place is the key of a row, or its key in an index.
type place struct {
	table, index int
	key          string
}

// appended is a transaction of this tab that the store was not seen to have yet.
type appended struct {
	transaction *space.Transaction
	at          uint64
	durable     bool // before the outbox was read last
}

// outcome is what became of storing a transaction.
type outcome struct {
	id  space.ULID
	err error
}

// view returns the view of a space, made if need be. The loop calls it.
func (c *Client) view(id space.ID) *view {
	v := c.views[id]
	if v == nil {
		v = &view{client: c, id: id, wake: make(chan struct{}, 1), lives: map[*Live]struct{}{}, changed: make(chan struct{}), used: time.Now(), began: time.Now()}
		v.ctx, v.cancel = context.WithCancel(c.ctx)
		c.views[id] = v
		c.work.Go(v.run)
	}
	return v
}

func (v *view) signal() {
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// run works until nobody needs the view.
func (v *view) run() {
	defer v.drop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		began := time.Now()
		took, err := v.pass()
		v.told(err)
		if err == nil {
			v.keep()
		}
		timer.Reset(viewsLast)
		if err != nil && (!lasting(err) || v.needs > 0) {
			timer.Reset(viewAgain)
		}
		select {
		case <-v.wake:
		case <-timer.C:
			if v.left() {
				return
			}
		case <-v.ctx.Done():
			return
		}
		if !sleep(v.ctx, max(layEvery, 3*took)-time.Since(began)) {
			return
		}
	}
}

// left ends the view if nobody has asked for it for a while.
func (v *view) left() bool {
	v.mu.Lock()
	v.ended = len(v.lives) == 0 && len(v.appended) == 0 && time.Since(v.used) >= viewsLast
	ended := v.ended
	v.mu.Unlock()
	if ended {
		v.client.call(v.ctx, func() { delete(v.client.views, v.id) })
	}
	return ended
}

// drop frees what the view holds.
func (v *view) drop() {
	v.cancel()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.reset()
}

// reset begins anew. What is shown stays.
func (v *view) reset() {
	if v.instance != nil {
		v.instance.Close()
	}
	v.unproven, v.ahead, v.root, v.marks = false, 0, digest.Digest{}, nil
	v.instance, v.laid, v.whole, v.turning, v.written, v.all = nil, nil, false, false, nil, true
}

// lasting reports whether nothing but another module would change an error.
func lasting(err error) bool {
	switch wire.CodeOf(err) {
	case wire.CodeBadModule, wire.CodeBadGenesis, wire.CodeModuleDiverged, wire.CodeNotFound:
		return true
	}
	return false
}

// told notes how a pass ended.
func (v *view) told(err error) {
	if err == errBooting {
		err = nil // nothing is missing but time
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if (err == nil) != (v.err == nil) || err != nil && err.Error() != v.err.Error() {
		v.err = err
		for l := range v.lives {
			l.dirty = true
			l.tell()
		}
	}
	v.coming, v.passed = v.comes, true
	close(v.changed)
	v.changed = make(chan struct{})
}

var (
	errAgain   = errors.New("the tables are begun anew")
	errBooting = errors.New("the server's checkpoint is on its way")
)

// pass brings the view to where the store is. It also returns how long laying the overlay took.
func (v *view) pass() (took time.Duration, err error) {
	for n := 0; n < passTries; n++ {
		took, err = v.try()
		if l, ok := errors.AsType[*lacking](err); ok {
			if err = l.of.read(v.ctx, l.page); err == nil {
				n--
				continue
			}
		}
		d, differ := errors.AsType[*differs](err)
		switch {
		case differ, err == errAgain:
		case errors.Is(err, tables.ErrPage):
			v.client.log("the checkpoint of " + v.id.String() + " is of no use: " + err.Error())
			v.distrust = v.root
		default:
			return took, err
		}
		v.mu.Lock()
		v.reset()
		v.mu.Unlock()
		if differ {
			v.diverges(&d.Divergence)
		}
	}
	return took, err
}

// try is pass until the tables turn out to be no good, or there are better ones.
func (v *view) try() (took time.Duration, err error) {
	v.mu.Lock()
	err = v.spoiled
	v.spoiled = nil
	v.mu.Unlock()
	if err != nil {
		return 0, err
	}
	v.comes = false
	v.takeOutcomes()
	info, told := v.client.Info(v.id), v.client.checkpointOf(v.id, askCheckpoint)
	if err := v.load(&info, told); err != nil {
		return 0, err
	}
	// The outbox first: a transaction that becomes records in between is seen twice, and not never.
	rows, err := v.outbox(&info)
	if err != nil {
		return 0, err
	}
	recorded, err := v.apply(&told)
	if err != nil {
		return 0, err
	}
	if !v.trust() {
		v.distrust = v.root
		return 0, errAgain
	}
	if err := v.compare(&told); err != nil {
		return 0, err
	}
	applied := v.instance.Applied()
	rows = slices.DeleteFunc(rows, func(row replica.OutboxRow) bool {
		return recorded[row.ID] || row.State == replica.Accepted && row.Position.Seq <= applied
	})
	began := time.Now()
	err = v.lay(rows, recorded)
	return time.Since(began), err
}

// load makes an instance, if there is none for the replica that is here now.
func (v *view) load(info *SpaceInfo, told replica.ServerCheckpoint) error {
	life := v.client.life.Load()
	v.mu.Lock()
	if life != v.life {
		v.needs, v.distrust = 0, digest.Digest{}
	}
	if v.ahead <= info.Position.Seq {
		v.ahead = 0
	}
	at, base := info.Position.Seq, info.Oldest-1
	if v.instance != nil {
		applied := v.instance.Applied()
		switch {
		case applied < base && base <= at: // what follows on it is not here
			v.reset()
		case v.life != life, info.Branch != v.branch, at < applied && v.ahead == 0: // it was destroyed, went over to another branch, or was cut where it was damaged
			v.reset()
		case told.State == replica.CheckpointStored && v.isFar(&told, max(at, applied)):
			v.reset()
		default:
			at = max(at, applied)
		}
	}
	here := v.instance != nil
	v.mu.Unlock()
	switch {
	case here:
		if v.isFar(&told, at) {
			v.want(told)
		}
		return nil
	case info.Genesis == nil:
		return wire.Errorf(wire.CodeUnknownSpace, "what space %v was made from is not known on this device yet", v.id)
	case info.Module == module.Open:
		return noTables(v.id)
	}
	instance, err := v.start(info, told)
	if err != nil {
		return err
	}
	instance.Load, instance.History = v.borrow, v.history
	v.mu.Lock()
	defer v.mu.Unlock()
	v.life, v.branch, v.instance, v.all = life, info.Branch, instance, true
	v.observe()
	return nil
}

// start makes an instance: of a checkpoint, or else before the first record.
func (v *view) start(info *SpaceInfo, told replica.ServerCheckpoint) (*program.Instance, error) {
	if v.needs > 0 {
		return v.rebuild(info, told)
	}
	if !v.looked || told.State == replica.CheckpointStored {
		kept, err := v.keptCheckpoint()
		if err != nil {
			return nil, err
		}
		v.found, v.looked = kept, true
	}
	if v.found != nil && v.found.Seq < info.Oldest-1 {
		v.found = nil // the log behind it is not here
	}
	if err := v.boot(info, told, v.found); err != nil {
		return nil, err
	}
	instance, err := v.resume(v.found, info)
	if instance == nil && err == nil && info.Oldest > 1 {
		err = v.complete(info, told)
	}
	if instance == nil && err == nil {
		instance, err = v.begin(info)
	}
	v.found, v.looked = nil, false
	return instance, err
}

func noTables(id space.ID) error {
	return wire.Errorf(wire.CodeNotFound, "the module of space %v is open, which makes no tables", id)
}

// begin makes an instance before the first record.
func (v *view) begin(info *SpaceInfo) (*program.Instance, error) {
	loaded, err := v.borrow(info.Genesis.Module)
	if err != nil {
		return nil, err
	}
	instance, err := program.Begin(loaded, info.Genesis)
	if err != nil && loaded.Release != nil {
		loaded.Release()
	}
	v.chain, v.kept = digest.Digest(v.id), 0
	return instance, err
}

// observe has the tables tell of what is written from now on. Those of another module tell nothing yet.
func (v *view) observe() { v.instance.Tables().Observe(v.touch) }

// borrow gives a program to the instance, which releases it.
func (v *view) borrow(d digest.Digest) (*program.Loaded, error) {
	if d == module.Open {
		return &program.Loaded{}, nil
	}
	m, err := v.client.borrowModule(v.ctx, d)
	if wire.CodeOf(err) == wire.CodeModuleMissing {
		v.client.post(func() { v.client.step(replica.ModuleNeeded{Digest: d}) })
	}
	if err != nil {
		return nil, err
	}
	return &program.Loaded{Program: m.program, Machines: m.machines, Release: func() { v.client.giveBackModule(m) }}, nil
}

// history reads the log behind a record, to record to.
func (v *view) history(after, to uint64, f func([]space.Record) error) error {
	for after < to {
		s := &Space{client: v.client, id: v.id}
		if _, err := s.Read(v.ctx, after, 1, 1); err != nil { // which has fetched what is missing
			return err
		}
		records, err := v.read(after)
		if err == nil && len(records) == 0 {
			err = wire.Errorf(wire.CodeDamaged, "record %d is not here", after+1)
		}
		if err != nil {
			return err
		}
		for len(records) > 0 && records[len(records)-1].Seq > to {
			records = records[:len(records)-1]
		}
		after = records[len(records)-1].Seq
		if err := v.inTurns(records, f); err != nil {
			return err
		}
	}
	return nil
}

// outbox reads the transactions that wait.
func (v *view) outbox(info *SpaceInfo) ([]replica.OutboxRow, error) {
	if info.Pending == 0 {
		return nil, nil
	}
	return (&Space{client: v.client, id: v.id}).Pending(v.ctx, math.MaxInt, false)
}

// read reads records behind one, whole transactions; none at the end of what is stored.
func (v *view) read(after uint64) ([]space.Record, error) {
	s := &Space{client: v.client, id: v.id}
	for limit, size := 1000, 256<<10; ; limit, size = 2*limit, 2*size {
		records, err := s.readHere(v.ctx, after, limit, size)
		if err != nil {
			return nil, err
		}
		if len(records) == 0 && holed(s.Info().Holes, after+1) {
			return nil, errAgain // the space has begun anew at a checkpoint
		}
		if len(records) == 0 {
			return nil, nil
		}
		if records[0].Seq != after+1 {
			if lacks, err := s.lacks(v.ctx, after+1); err != nil {
				return nil, err
			} else if lacks {
				return nil, errAgain // likewise, or what is wanted was dropped
			}
			return nil, wire.Errorf(wire.CodeDamaged, "record %d is not here, and what follows it means nothing without it", after+1)
		}
		n := len(records)
		for n > 0 && !records[n-1].Last() {
			n--
		}
		if n > 0 { // else it ends in the middle of one large transaction
			return records[:n], nil
		}
	}
}

// apply applies the records that are stored and not applied yet, and returns which transactions of this identity they are.
func (v *view) apply(told *replica.ServerCheckpoint) (recorded map[space.ULID]bool, err error) {
	v.mu.Lock()
	after := v.instance.Applied()
	v.mu.Unlock()
	recorded = map[space.ULID]bool{}
	for {
		records, err := v.read(after)
		if err != nil || len(records) == 0 {
			return recorded, err
		}
		for i := range records {
			if records[i].Index == 0 && records[i].Author == v.client.identity {
				recorded[records[i].ID] = true
			}
		}
		after = records[len(records)-1].Seq
		if err := v.inTurns(records, func(some []space.Record) error { return v.applyRecords(some, told) }); err != nil {
			return nil, err
		}
		*told = v.client.checkpointOf(v.id, askCheckpoint)
		if told.State == replica.CheckpointStored && v.isFar(told, after) && v.isFar(told, v.client.Info(v.id).Position.Seq) {
			return nil, errAgain // most of what is to be applied is in it
		}
	}
}

// inTurns calls f with records, a few whole transactions at a time, and lets others have their turn in between: a module may
// take long for each.
func (v *view) inTurns(records []space.Record, f func([]space.Record) error) error {
	for began := time.Now(); len(records) > 0; {
		if err := rest(v.ctx, &began, 4*viewStep); err != nil { // to read the next ones lets others in as well
			return err
		}
		n := min(max(v.together, 1), len(records))
		for n < len(records) && records[n].Index > 0 {
			n++
		}
		called := time.Now()
		if err := f(records[:n]); err != nil {
			return err
		}
		records = records[n:]
		if v.together = min(2*n, mostTogether); time.Since(called) >= viewStep {
			v.together = 1
		}
	}
	return nil
}

func (v *view) applyRecords(records []space.Record, told *replica.ServerCheckpoint) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.takeOff()
	for len(records) > 0 {
		n := 1
		for n < len(records) && records[n].Type != module.TypeCheckpoint {
			n++
		}
		if records[0].Type == module.TypeCheckpoint {
			if err := v.witness(&records[0]); err != nil {
				return err
			}
		}
		judge := v.instance.Program()
		err := v.instance.Apply(records[:n])
		if v.instance.Program() != judge {
			v.all = true
			v.observe()
		}
		v.remember(records[:v.instance.Applied()+1-records[0].Seq], told) // before a failure too
		if err != nil {
			return v.cannotApply(err)
		}
		records = records[n:]
	}
	return nil
}

// takeOff takes the overlay off.
func (v *view) takeOff() {
	if len(v.laid) > 0 {
		v.instance.Rollback()
		for p := range v.written {
			v.note(p)
		}
	}
	v.laid, v.written, v.whole, v.turning = nil, nil, false, false
}

// lay lays the overlay again if it is another one than that which is there, and shows what comes of it.
func (v *view) lay(rows []replica.OutboxRow, recorded map[space.ULID]bool) error {
	stored := make(map[space.ULID]bool, len(rows))
	for i := range rows {
		stored[rows[i].ID] = true
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.appended = slices.DeleteFunc(v.appended, func(a *appended) bool {
		id := a.transaction.ID()
		return recorded[id] || a.durable
	})
	waiting := make([]*appended, 0, len(rows)+len(v.appended))
	for i := range rows {
		waiting = append(waiting, &appended{transaction: &rows[i].Transaction, at: rows[i].AppendedAt})
	}
	for _, a := range v.appended {
		if !stored[a.transaction.ID()] {
			waiting = append(waiting, a)
		}
	}
	if !v.isLaid(waiting) {
		v.takeOff()
		v.instance.Tables() // which stay as they are below the overlay, or taking it off would be as much work as laying it
		if err := v.propose(waiting); err != nil {
			return err
		}
	}
	v.err = nil
	v.show()
	return nil
}

// isLaid reports whether the overlay is made of the given transactions, of which more may have been added meanwhile.
func (v *view) isLaid(waiting []*appended) bool {
	return v.whole && slices.EqualFunc(v.laid, waiting, func(id space.ULID, a *appended) bool { return id == a.transaction.ID() })
}

// propose lays transactions onto the overlay, and then those that are appended meanwhile. It lets go of v.mu in between.
func (v *view) propose(waiting []*appended) error {
	known := len(v.appended)
	for began := time.Now(); ; {
		for len(waiting) > 0 && time.Since(began) < viewStep {
			if _, err := v.add(waiting[0]); err != nil {
				return err
			}
			waiting = waiting[1:]
		}
		if len(waiting) == 0 {
			waiting = v.appended[known:]
			known = len(v.appended)
		}
		if len(waiting) == 0 {
			v.whole = true
			return nil
		}
		if time.Since(began) >= viewStep {
			v.mu.Unlock()
			sleep(v.ctx, time.Millisecond)
			v.mu.Lock()
			began = time.Now()
		}
	}
}

// add lays one transaction onto the overlay, if the module allows it as things are. An upgrade is not seen before the server
// has taken it: it may take long to make, and longer to take back.
func (v *view) add(a *appended) (module.Verdict, error) {
	if a.transaction.Events[0].Type == module.TypeModule {
		v.turning = true
		v.laid = append(v.laid, a.transaction.ID())
		return module.Verdict{}, nil
	}
	v.laying = true
	verdict, err := v.instance.Judge(module.Caller{Identity: a.transaction.Author}, a.records(v.instance.Next()))
	v.laying = false
	if err == nil {
		v.laid = append(v.laid, a.transaction.ID())
	}
	return verdict, err
}

// records returns a transaction as records, as far as they are known before they are: their numbers are those that they
// would get now, and their time that of appending.
func (a *appended) records(seq uint64) []space.Record {
	t := a.transaction
	records := make([]space.Record, len(t.Events))
	for i := range records {
		records[i] = space.Record{
			Event: t.Events[i], Seq: seq + uint64(i), Author: t.Author, API: t.API, ClientVersion: t.ClientVersion,
			ReceivedAt: a.at, Index: uint32(i), Count: uint32(len(t.Events)),
		}
	}
	return records
}

// touch is told by the tables of each place that is written.
func (v *view) touch(table, index int, key string) {
	p := place{table, index, key}
	v.note(p)
	if v.laying {
		if v.written == nil {
			v.written = map[place]struct{}{}
		}
		v.written[p] = struct{}{}
	}
}

func (v *view) note(p place) {
	switch {
	case v.all:
	case len(v.lives) == 0:
		v.unnoted = true
	case len(v.touched) == mostTouched:
		v.touched, v.all = nil, true
	default:
		v.touched = append(v.touched, p)
	}
}

// show lets queries see the tables as they are now.
func (v *view) show() {
	first := v.shown == nil
	v.shown = v.instance.Tables()
	v.overlay = v.written
	for l := range v.lives {
		if first || v.all || slices.ContainsFunc(v.touched, l.concerns) {
			l.dirty = true
			l.tell()
		}
	}
	v.touched, v.all, v.unnoted = v.touched[:0], false, false
}

// await waits a little while for tables that nobody has asked for lately, so that what they refuse is refused here.
func (v *view) await(ctx context.Context) {
	v.mu.Lock()
	passed, changed := v.passed, v.changed
	v.mu.Unlock()
	if passed {
		return
	}
	timer := time.NewTimer(previewWaits - time.Since(v.began))
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-ctx.Done():
	case <-v.ctx.Done():
	}
}

// preview asks the module what it thinks of a transaction that is about to be appended, and shows it at once if it is
// allowed. It returns why it is refused, or nil: that may also be since nobody knows yet.
func (v *view) preview(t *space.Transaction, at uint64, info *SpaceInfo, again bool) *replica.Refusal {
	refusal, err := v.look(t, at, info, again)
	for err != nil {
		refusal, err = v.look(t, at, info, !v.supply(v.ctx, err))
	}
	return refusal
}

// look is preview. Its error is that tables were lacking, and nothing was done.
func (v *view) look(t *space.Transaction, at uint64, info *SpaceInfo, again bool) (*replica.Refusal, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ended {
		return nil, nil // nobody looks
	}
	v.used = time.Now()
	a := &appended{transaction: t, at: at}
	current := !again && !v.turning && v.whole && v.err == nil && v.instance.Applied() == info.Position.Seq && info.Head <= info.Position.Seq
	if current {
		verdict, err := v.add(a)
		switch {
		case errors.Is(err, tables.ErrPage):
			return nil, err
		case err != nil || verdict.Code == wire.CodeUnknownType, verdict.Code == wire.CodeSchemaUnknown: // a newer module may know it
			current = false
		case !verdict.Allowed():
			v.laid = v.laid[:len(v.laid)-1]
			return &replica.Refusal{Code: verdict.Code, Reason: verdict.Reason}, nil
		}
	}
	v.appended = append(v.appended, a)
	if current {
		v.show()
	} else {
		v.whole = false
		v.signal()
	}
	return nil, nil
}

// stored notes what became of storing a transaction that was previewed. The loop calls it, which waits for nothing.
func (v *view) stored(id space.ULID, err error) {
	v.outcomes.Lock()
	v.outcomes.of = append(v.outcomes.of, outcome{id, err})
	v.outcomes.Unlock()
	v.signal()
}

// takeOutcomes takes over what stored noted. What is durable now, and then not in the outbox, has left it.
func (v *view) takeOutcomes() {
	v.outcomes.Lock()
	outcomes := v.outcomes.of
	v.outcomes.of = nil
	v.outcomes.Unlock()
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, o := range outcomes {
		i := slices.IndexFunc(v.appended, func(a *appended) bool { return a.transaction.ID() == o.id })
		switch {
		case i < 0:
		case o.err != nil:
			v.appended, v.whole = slices.Delete(v.appended, i, i+1), false
		default:
			v.appended[i].durable = true
		}
	}
}
