package main

import (
	"context"
	"errors"
	"sync"
	"syscall/js"
	"time"

	"skerry/shared/digest"
	"skerry/shared/module/builtin"
	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/wasmclient"
)

const (
	// changeInterval is the least time between two messages about changes: what happens within it is told at once.
	changeInterval = 20 * time.Millisecond
	// transferFrom is the size from which handing bytes over beats copying them.
	transferFrom = 20 << 10
)

// A bridge answers one page. Messages are taken up in their order by one goroutine; whatever has to wait does so in a
// goroutine of its own.
type bridge struct {
	ctx    context.Context
	script js.Value // the loading script: send, and deliver which we set
	inbox  chan struct{}
	// moments of the page's life: few enough that the bridge never waits for room.
	moments chan moment
	tokens  chan js.Value // the page's answers to where it was asked for a token
	client  *wasmclient.Client
	store   wasmclient.Store

	lives   lives
	mu      sync.Mutex
	queue   []js.Value
	spaces  map[space.ID]*handle
	changed map[space.ID]struct{}
	blocked bool          // the database lets nobody in, since another tab holds it
	wake    chan struct{} // has a token when changed or the status may have changed
}

func newBridge(ctx context.Context, script js.Value) *bridge {
	return &bridge{
		ctx: ctx, script: script,
		inbox: make(chan struct{}, 1), moments: make(chan moment, 64), tokens: make(chan js.Value, 1), wake: make(chan struct{}, 1),
		spaces: map[space.ID]*handle{}, changed: map[space.ID]struct{}{},
	}
}

// listen takes messages from the script: those that it queued while this program was loading, and then each as it
// comes. The function that it sets lives as long as the worker.
func (b *bridge) listen() {
	b.script.Set("deliver", js.FuncOf(func(_ js.Value, args []js.Value) any {
		b.mu.Lock()
		b.queue = append(b.queue, args[0])
		b.mu.Unlock()
		signal(b.inbox)
		return nil
	}))
	b.script.Call("ready")
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// next returns the next message, or false when the context is done.
func (b *bridge) next() (js.Value, bool) {
	for {
		b.mu.Lock()
		if len(b.queue) > 0 {
			message := b.queue[0]
			b.queue[0] = js.Value{}
			b.queue = b.queue[1:]
			b.mu.Unlock()
			return message, true
		}
		b.mu.Unlock()
		select {
		case <-b.inbox:
		case <-b.ctx.Done():
			return js.Value{}, false
		}
	}
}

// serve handles messages until the page closes the client.
func (b *bridge) serve() {
	for {
		message, ok := b.next()
		if !ok {
			return
		}
		ref := message.Index(0).Int()
		method := message.Index(1).String()
		if method == "close" {
			b.reply(ref, b.close(), nil)
			return
		}
		b.handle(ref, method, message)
	}
}

func (b *bridge) close() error {
	if b.client == nil {
		return nil
	}
	return errors.Join(b.client.Close(b.ctx), b.store.Close())
}

// handle answers one message. The page is of the same build, so arguments are what they should be; values that come
// from the page's own caller are checked.
func (b *bridge) handle(ref int, method string, message js.Value) {
	if method == "open" { // config -> [identity, status, infos]
		b.reply2(ref)(b.open(message.Index(2)))
		return
	}
	if method == "ping" { // the page wonders whether this worker lives -> [bytes of memory]
		b.reply(ref, nil, appendUint(appendArray(nil, 1), uint64(b.script.Call("memory").Float())))
		return
	}
	if method == "token" { // token, milliseconds that it lasts, why there is none
		select {
		case b.tokens <- message:
		default: // nobody waits for it any more
		}
		b.reply(ref, nil, nil)
		return
	}
	if b.client == nil {
		b.reply(ref, wire.Errorf(wire.CodeClosed, "the client is not open"), nil)
		return
	}
	if method == "lifecycle" { // one of visible, hidden, freeze, resume, pagehide, pageshow
		b.moments <- moment{ref, message.Index(2).String()}
		return
	}
	if method == "poke" { // the network came back
		b.client.Poke()
		b.reply(ref, nil, nil)
		return
	}
	if method == "lastTry" { // the page is about to close
		b.client.LastTry()
		b.reply(ref, nil, nil)
		return
	}
	if method == "create" { // module, params, stamp -> info
		name := message.Index(2).String()
		options := wasmclient.SpaceOptions{Params: bytesOf(message.Index(3))}
		copy(options.Stamp[:], bytesOf(message.Index(4)))
		go func() { b.reply2(ref)(b.create(name, options)) }()
		return
	}
	if method == "login" { // 0: log in; 1: log out; 2: and have all forgotten; 3: whatever is lost by it
		go func() {
			var err error
			switch how := message.Index(2).Int(); how {
			case 0:
				err = b.client.Login(b.ctx)
			case 1:
				err = b.client.Logout(b.ctx)
			default:
				err = b.client.Erase(b.ctx, how == 3)
			}
			b.reply(ref, err, nil)
		}()
		return
	}
	if method == "putModule" { // bytes -> digest
		go b.putModule(ref, bytesOf(message.Index(2)))
		return
	}
	if method == "export" { // id or "" -> Blob
		go b.export(ref, message.Index(2).String())
		return
	}
	if method == "import" { // Blob -> what became of each space
		go b.importBlob(ref, message.Index(2))
		return
	}
	id, err := digest.Parse(message.Index(2).String())
	if err != nil {
		b.reply(ref, wire.Errorf(wire.CodeBadArgument, "a space's ID is 64 hexadecimal digits"), nil)
		return
	}
	if method == "space" { // id -> info: the page looks at it from now on
		info := b.look(id).Info()
		b.reply(ref, nil, appendInfo(nil, &info))
		return
	}
	if method == "endLive" { // id, number
		b.endLive(message.Index(3).Int())
		b.reply(ref, nil, nil)
		return
	}
	if method == "leave" { // id: the page looks at it no more
		b.leave(id)
		b.reply(ref, nil, nil)
		return
	}
	if method == "forget" { // id, whether what was never sent may be lost
		force := message.Index(3).Bool()
		go func() { b.reply(ref, b.client.Forget(b.ctx, id, force), nil) }()
		return
	}
	s := b.space(id)
	switch method {
	case "tables": // id -> what its module says of itself
		go b.tables(ref, s)
	case "query": // id, query -> delta
		go b.query(ref, s, queryOf(message, 3))
	case "live": // id, number, query -> delta, when there is one, or nothing once it is ended
		go b.nextDelta(ref, s, message.Index(3).Int(), queryOf(message, 4))
	case "pin": // id, pinned
		pinned := message.Index(3).Bool()
		go func() { b.reply(ref, s.Pin(b.ctx, pinned), nil) }()
	case "sendEphemeral": // id, bytes
		b.reply(ref, s.SendEphemeral(b.ctx, bytesOf(message.Index(3))), nil)
	case "append": // id, transaction, whether it may have been appended before -> (applied), then (durable), then [seq] (synced)
		b.append(ref, s, bytesOf(message.Index(3)), message.Index(4).Bool())
	case "receipt": // id, transaction's id -> the same
		named, ok := b.transactionID(ref, message)
		if !ok {
			return
		}
		follower, taken := b.follower(ref)
		taken(s.Follow(b.ctx, named, follower))
	case "read": // id, after, limit, bytes -> records
		after, limit, size := uint64(message.Index(3).Float()), message.Index(4).Int(), message.Index(5).Int()
		go func() {
			records, _, _, err := s.ReadEncoded(b.ctx, after, limit, size)
			b.reply(ref, err, records)
		}()
	case "readBefore": // id, before, limit, bytes -> records, ascending
		before, limit, size := uint64(message.Index(3).Float()), message.Index(4).Int(), message.Index(5).Int()
		go func() {
			records, err := s.ReadBefore(b.ctx, before, limit, size)
			b.reply(ref, err, appendRecords(nil, records))
		}()
	case "pending": // id, limit, newest -> rows, the oldest first
		limit, newest := message.Index(3).Int(), message.Index(4).Bool()
		go func() {
			rows, err := s.Pending(b.ctx, limit, newest)
			packed := appendArray(nil, len(rows))
			for i := range rows {
				packed = appendOutboxRow(packed, &rows[i])
			}
			b.reply(ref, err, packed)
		}()
	case "check": // id -> [seq, what is damaged]
		go func() {
			check, err := s.Check(b.ctx)
			b.reply(ref, err, appendText(appendUint(appendArray(nil, 2), check.Seq), check.Damage))
		}()
	case "rejected": // id -> rows
		go func() {
			rows, err := s.Rejected(b.ctx)
			packed := appendArray(nil, len(rows))
			for i := range rows {
				packed = appendRejectedRow(packed, &rows[i])
			}
			b.reply(ref, err, packed)
		}()
	case "lost": // id -> rows
		go func() {
			rows, err := s.Lost(b.ctx)
			packed := appendArray(nil, len(rows))
			for i := range rows {
				row := &rows[i]
				packed = appendRejectedRow(packed, &replica.RejectedRow{
					ID: row.ID, Transaction: row.Transaction, AppendedAt: row.ReceivedAt, Code: row.Code, Reason: row.Reason, By: row.By,
				})
			}
			b.reply(ref, err, packed)
		}()
	case "retry", "discard", "discardLost": // id, transaction's id
		do := s.Retry
		if method == "discard" {
			do = s.Discard
		} else if method == "discardLost" {
			do = s.DiscardLost
		}
		named, ok := b.transactionID(ref, message)
		if !ok {
			return
		}
		go func() { b.reply(ref, do(b.ctx, named), nil) }()
	default:
		b.reply(ref, wire.Errorf(wire.CodeBadArgument, "the worker knows no method %s", method), nil)
	}
}

// open opens the replica: config is {url, database, identity, clientVersion, log}.
func (b *bridge) open(config js.Value) ([]byte, error) {
	client, store, err := openClient(b.ctx, b, config)
	if err != nil {
		return nil, err
	}
	b.client, b.store = client, store
	client.OnChange(func(change wasmclient.Change) {
		if change.Refusal != nil {
			b.push("refused", toJS(appendRefusal(nil, change.Space, change.Refusal)))
			return
		}
		if change.Space != (space.ID{}) {
			b.mu.Lock()
			b.changed[change.Space] = struct{}{}
			b.mu.Unlock()
		}
		signal(b.wake)
	})
	client.OnSpaceLifecycle(func(l wasmclient.SpaceLifecycle) {
		b.push("lifecycle", toJS(appendInfo(appendText(appendArray(nil, 2), l.What), &l.Info)))
	})
	client.OnEphemeral(func(e wasmclient.Ephemeral) { b.push("ephemeral", toJS(appendEphemeral(nil, &e))) })
	go b.tellChanges()
	go b.live()
	packed := appendArray(nil, 3)
	packed = appendText(packed, client.Identity())
	packed = b.appendStatus(packed)
	infos := client.Spaces()
	packed = appendArray(packed, len(infos))
	for i := range infos {
		packed = appendInfo(packed, &infos[i])
	}
	return packed, nil
}

// tellChanges sends [status, infos of the spaces that changed] whenever something did, never more often than each
// changeInterval.
func (b *bridge) tellChanges() {
	for {
		select {
		case <-b.wake:
		case <-b.ctx.Done():
			return
		}
		b.mu.Lock()
		changed := b.changed
		b.changed = map[space.ID]struct{}{}
		b.mu.Unlock()
		packed := b.appendStatus(appendArray(nil, 2))
		infos := b.infos(changed)
		packed = appendArray(packed, len(infos))
		for i := range infos {
			packed = appendInfo(packed, &infos[i])
		}
		b.push("change", toJS(packed))
		time.Sleep(changeInterval)
	}
}

// setBlocked notes what the store says of its database.
func (b *bridge) setBlocked(blocked bool) {
	b.mu.Lock()
	b.blocked = blocked
	b.mu.Unlock()
	signal(b.wake)
}

// disconnected looks into the store, whose database was closed by somebody else: it may have been deleted.
func (b *bridge) disconnected() {
	if b.client != nil {
		b.client.Poke()
	}
}

func (b *bridge) appendStatus(packed []byte) []byte {
	status := b.client.Status()
	if status.Code == wire.CodeForgotten {
		b.push("failed", js.ValueOf([]any{status.Code.String(), status.Reason}))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.blocked {
		status.Storage = "blocked"
	}
	return appendStatus(packed, &status)
}

// infos returns the rows of some spaces without opening those that the page has not.
func (b *bridge) infos(of map[space.ID]struct{}) []wasmclient.SpaceInfo {
	var infos []wasmclient.SpaceInfo
	for id := range of {
		infos = append(infos, b.client.Info(id))
	}
	return infos
}

// A handle is a space as the page uses it.
type handle struct {
	*wasmclient.Space
	looked bool // the page looks at it
}

// space returns the space that id names, for something that is no looking at it.
func (b *bridge) space(id space.ID) *wasmclient.Space {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := b.spaces[id]
	if h == nil {
		h = &handle{Space: b.client.Space(id)}
		h.Close()
		b.spaces[id] = h
	}
	return h.Space
}

// look opens the space that id names, if the page has not.
func (b *bridge) look(id space.ID) *wasmclient.Space {
	b.mu.Lock()
	defer b.mu.Unlock()
	if h := b.spaces[id]; h == nil || !h.looked {
		b.spaces[id] = &handle{b.client.Space(id), true}
	}
	return b.spaces[id].Space
}

// leave closes what look opened.
func (b *bridge) leave(id space.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if h := b.spaces[id]; h != nil {
		h.Close()
		h.looked = false
	}
}

func (b *bridge) create(name string, options wasmclient.SpaceOptions) ([]byte, error) {
	var known bool
	if options.Module, known = builtin.ByName(name); !known {
		var err error
		if options.Module, err = digest.Parse(name); err != nil {
			return nil, wire.Errorf(wire.CodeBadArgument, "a module is a built-in's name or 64 hexadecimal digits, not %q", name)
		}
	}
	s, err := b.client.CreateSpace(b.ctx, options)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	if h := b.spaces[s.ID()]; h != nil {
		h.Close()
	}
	b.spaces[s.ID()] = &handle{s, true}
	b.mu.Unlock()
	info := s.Info()
	return appendInfo(nil, &info), nil
}

// append hands a transaction over in the order of the page's calls, then tells its three moments, each with the same
// ref. The first failure is the last answer.
func (b *bridge) append(ref int, s *wasmclient.Space, packed []byte, again bool) {
	t, err := wire.DecodeTransaction(packed)
	if err != nil {
		b.reply(ref, wire.Errorf(wire.CodeBadArgument, "the transaction is malformed"), nil)
		return
	}
	follower, taken := b.follower(ref)
	taken(s.AppendFollowed(b.ctx, t.Events, follower, again))
}

// follower tells when a transaction is durable, and then what became of it. taken, which is called with the outcome of
// taking it up, tells that before, also if the loop was quicker.
func (b *bridge) follower(ref int) (f wasmclient.Follower, taken func(error)) {
	told := false
	taken = func(err error) {
		if !told {
			told = true
			b.reply(ref, err, nil)
		}
	}
	f.Durable = func(err error) {
		taken(nil)
		b.reply(ref, err, nil)
	}
	f.Synced = func(position space.Position, err error) {
		b.reply(ref, err, appendUint(appendArray(nil, 1), position.Seq))
	}
	return f, taken
}

// transactionID returns the transaction's id that a message names, or answers that it names none.
func (b *bridge) transactionID(ref int, message js.Value) (space.ULID, bool) {
	id, err := space.ParseULID(message.Index(3).String())
	if err != nil {
		b.reply(ref, wire.Errorf(wire.CodeBadArgument, "a transaction's id is a ULID"), nil)
	}
	return id, err == nil
}

// reply2 returns a function that replies with a result and an error in Go's order.
func (b *bridge) reply2(ref int) func([]byte, error) {
	return func(result []byte, err error) { b.reply(ref, err, result) }
}

// reply answers the message with the given ref.
func (b *bridge) reply(ref int, err error, result []byte) {
	switch {
	case err != nil:
		code, reason := explain(err)
		b.script.Call("send", ref, js.ValueOf([]any{code, reason}), js.Null())
	case result == nil:
		b.script.Call("send", ref, js.Null(), js.Null())
	case len(result) >= transferFrom:
		bytes := toJS(result)
		b.script.Call("send", ref, js.Null(), bytes, js.ValueOf([]any{bytes.Get("buffer")}))
	default:
		b.script.Call("send", ref, js.Null(), toJS(result))
	}
}

// push sends what was not asked for.
// token asks the page for a token. One is asked for at a time; an answer to an earlier question will do.
func (b *bridge) token(ctx context.Context) (string, time.Duration, error) {
	b.push("token", js.Null())
	select {
	case m := <-b.tokens:
		if reason := m.Index(4).String(); reason != "" {
			return "", 0, errors.New(reason)
		}
		return m.Index(2).String(), time.Duration(m.Index(3).Float()) * time.Millisecond, nil
	case <-ctx.Done():
		return "", 0, ctx.Err()
	}
}

func (b *bridge) push(what string, value js.Value) { b.script.Call("send", 0, what, value) }

// explain returns an error's code and reason.
func explain(err error) (code, reason string) {
	coded, ok := errors.AsType[*wire.CodeError](err)
	switch {
	case ok:
		return coded.Code.String(), coded.Reason
	case errors.Is(err, wasmclient.ErrFull):
		return wire.CodeQuota.String(), err.Error()
	case errors.Is(err, wasmclient.ErrReplicaLost):
		return wire.CodeReplicaLost.String(), err.Error()
	case errors.Is(err, wasmclient.ErrDamaged):
		return wire.CodeDamaged.String(), err.Error()
	case errors.Is(err, wasmclient.ErrForgotten):
		return wire.CodeForgotten.String(), err.Error()
	case errors.Is(err, wasmclient.ErrNewerStore):
		return wire.CodeUpgradeRequired.String(), err.Error()
	case errors.Is(err, wasmclient.ErrStoreClosed), errors.Is(err, context.Canceled):
		return wire.CodeClosed.String(), err.Error()
	}
	return wire.CodeInternal.String(), err.Error()
}

var uint8Array = js.Global().Get("Uint8Array")

func toJS(b []byte) js.Value {
	value := uint8Array.New(len(b))
	js.CopyBytesToJS(value, b)
	return value
}

func bytesOf(value js.Value) []byte {
	if value.Type() != js.TypeObject {
		return nil
	}
	b := make([]byte, value.Length())
	js.CopyBytesToGo(b, value)
	return b
}
