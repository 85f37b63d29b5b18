package idbstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hack-pad/go-indexeddb/idb"

	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/wasmclient"
	"skerry/wasmclient/internal/gate"
	"skerry/wasmclient/internal/jsbind"
)

// blockedAfter is how long a call may wait for the database before OnBlocked is told.
const blockedAfter = 3 * time.Second

// attempts is how often a call is run on a new connection after the browser closed the old one.
const attempts = 4

// Config says which database to open.
type Config struct {
	// Name is the database's name: one for each server, name and identity.
	Name string
	// Identity is written when the database is made. Where another tab was first, the one it wrote counts: Load
	// tells.
	Identity string
	// Once keeps a database that was erased from being begun anew: Open fails with wasmclient.ErrForgotten. It is for identities
	// that are forgotten with it.
	Once bool

	// OnBlocked, when not nil, is called with true when a call has waited three seconds for the database, and with
	// false when that call is done.
	OnBlocked func(blocked bool)
	// OnDisconnected, when not nil, is called when the browser closed the connection, or another tab deletes the
	// database. The next call finds out what is there now.
	OnDisconnected func()
}

// Store is a handle on a database. It implements wasmclient.Store and what may be implemented besides.
type Store struct {
	config Config
	gate   gate.Gate // every call passes it; shut while suspended

	opening  chan struct{}  // room for one token: who puts it in opens a connection
	session  wire.SessionID // of the replica that this handle is of; guarded by opening
	patience time.Duration  // blockedAfter, but in tests

	mu     sync.Mutex // never held while waiting
	conn   *connection
	closed bool
	lost   bool   // another replica is where this handle's was
	lives  uint64 // how often the store went on with another replica
	recent recent
	// Which records were seen to be what was stored, see sound; as of so many times that recent was dropped.
	verified   map[space.ID]stretches
	verifiedAt uint64
	// verifications counts how often something was held to the chain.
	verifications int
	room          room

	// beforeCommit, when not nil, is called when all of a commit's writes are issued; its error takes them back.
	beforeCommit func(*transaction) error
}

var (
	_ wasmclient.Store     = (*Store)(nil)
	_ wasmclient.Suspender = (*Store)(nil)
	_ wasmclient.Renewer   = (*Store)(nil)
)

// Open opens the database, making it if there is none.
func Open(ctx context.Context, config Config) (*Store, error) {
	s := &Store{config: config, opening: make(chan struct{}, 1), patience: blockedAfter}
	if err := s.run(ctx, func(*connection) error { return nil }); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Unavailable reports whether Open failed because the browser gives this page no database: it is not allowed to have
// one, or there is no room to make it, or the browser cannot.
func Unavailable(err error) bool {
	return errors.Is(err, errNoIndexedDB) || errors.Is(err, wasmclient.ErrFull) || lossNamed(err) ||
		named(err, "SecurityError") || named(err, "NotAllowedError")
}

// Close implements wasmclient.Store. Transactions that run come to their end.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.disconnect()
	s.gate.Open()
	return nil
}

// Suspend implements wasmclient.Suspender: the connection is closed, which lets transactions that run come to their
// end. The first call after Resume opens another one.
func (s *Store) Suspend(ctx context.Context) error {
	err := s.gate.Shut(ctx)
	s.disconnect()
	return err
}

// Resume implements wasmclient.Suspender.
func (s *Store) Resume() { s.gate.Open() }

// Renew implements wasmclient.Renewer.
func (s *Store) Renew(ctx context.Context, identity string) error {
	select {
	case s.opening <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	s.mu.Lock()
	if s.lost {
		s.lost = false
		s.lives++
		s.session, s.config.Identity = wire.SessionID{}, identity
	}
	s.mu.Unlock()
	<-s.opening
	return s.run(ctx, func(*connection) error { return nil })
}

// disconnect closes the connection, if there is one.
func (s *Store) disconnect() {
	s.mu.Lock()
	conn := s.conn
	s.conn = nil
	s.recent.drop()
	s.mu.Unlock()
	if conn != nil {
		conn.close()
	}
}

// run calls f with an open connection, again with a new one if the browser closed it meanwhile. It never does so with
// another replica than the one that was there when it was called.
func (s *Store) run(ctx context.Context, f func(*connection) error) error {
	s.mu.Lock()
	life := s.lives
	s.mu.Unlock()
	var err error
	for range attempts {
		if err = s.attempt(ctx, life, f); !errors.Is(err, errConnectionLost) {
			break
		}
	}
	return storeError(err)
}

// attempt calls f once, when the store is not suspended.
func (s *Store) attempt(ctx context.Context, life uint64, f func(*connection) error) error {
	if err := s.gate.Enter(ctx); err != nil {
		return err
	}
	defer func() {
		if s.gate.Leave() {
			s.disconnect() // Suspend could not wait, and this call may have opened the connection since
		}
	}()
	defer s.watch()()
	conn, err := s.connection(ctx, life)
	if err != nil {
		return err
	}
	if err = f(conn); errors.Is(err, errConnectionLost) {
		s.drop(conn)
	}
	return err
}

// watch begins to count the time that a call waits; the function returned ends that.
func (s *Store) watch() (done func()) {
	if s.config.OnBlocked == nil {
		return func() {}
	}
	told := make(chan struct{})
	timer := time.AfterFunc(s.patience, func() {
		s.config.OnBlocked(true)
		close(told)
	})
	return func() {
		if !timer.Stop() {
			<-told
			s.config.OnBlocked(false)
		}
	}
}

// connection returns the open connection, and opens one if there is none.
func (s *Store) connection(ctx context.Context, life uint64) (*connection, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if conn, err := s.current(life); conn != nil || err != nil {
		return conn, err
	}
	select {
	case s.opening <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-s.opening }()
	if conn, err := s.current(life); conn != nil || err != nil {
		return conn, err // somebody else opened it while this one waited
	}
	conn, err := connect(ctx, s.config.Name, s.disconnected)
	if err != nil {
		return nil, err
	}
	if err := s.introduce(conn); err != nil {
		conn.close()
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		conn.close()
		return nil, wasmclient.ErrStoreClosed
	}
	s.conn = conn
	return conn, nil
}

// disconnected notes that the connection was closed by somebody else. It must not block.
func (s *Store) disconnected() {
	if s.config.OnDisconnected != nil {
		go s.config.OnDisconnected()
	}
}

// current returns the connection that is open, nil if there is none.
func (s *Store) current(life uint64) (*connection, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, wasmclient.ErrStoreClosed
	}
	if s.lost || s.lives != life {
		return nil, wasmclient.ErrReplicaLost
	}
	if s.conn != nil && s.conn.lost {
		s.conn = nil
		s.recent.drop()
	}
	return s.conn, nil
}

// drop forgets a connection that was lost.
func (s *Store) drop(conn *connection) {
	conn.abandon()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == conn {
		s.conn = nil
		s.recent.drop()
	}
}

// introduce writes what a new database is given: whose it is, under which session the server will know it, and
// which versions may touch it. In a database that has them it only reads.
func (s *Store) introduce(conn *connection) error {
	t, err := conn.begin(idb.TransactionReadOnly, idb.DurabilityDefault, storeMeta)
	if err != nil {
		return err
	}
	there, _, err := s.recognize(t)
	if there || err != nil {
		t.abort()
		conn.session = s.session
		return err
	}
	if err := t.commit(); err != nil {
		return err
	}

	if t, err = conn.begin(idb.TransactionReadWrite, idb.DurabilityStrict, storeMeta); err != nil {
		return err
	}
	there, erased, err := s.recognize(t)
	if there || err != nil { // another tab was first
		t.abort()
		conn.session = s.session
		return err
	}
	var session wire.SessionID
	if _, err := jsbind.Random.Read(session[:]); err != nil {
		return err
	}
	t.putMeta(metaIdentity, appendText([]byte(s.config.Identity)))
	t.putMeta(metaSession, appendText(session[:]))
	t.putMeta(metaMinReader, appendNumber(firstVersion))
	t.putMeta(metaMinWriter, appendNumber(firstVersion))
	if erased {
		t.putMeta(metaForgotten, appendNumber(1))
	}
	if err := t.commit(); err != nil {
		return err
	}
	s.session, conn.session = session, session
	return nil
}

// recognize reports whether a database has been introduced, and whether one that is to be was erased. One that was opened again must be
// the same: browsers delete databases under open pages, and to a caller an empty one in its place must not look like the one it knew.
func (s *Store) recognize(t *transaction) (there, erased bool, err error) {
	stored, reader, begunAnew := t.getMeta(metaSession), t.getMeta(metaMinReader), t.getMeta(metaForgotten)
	if err := t.turn(); err != nil {
		return false, false, err
	}
	tooOld := tooOld(reader.bytes())
	if errors.Is(tooOld, wasmclient.ErrForgotten) {
		if s.config.Once || s.session != (wire.SessionID{}) {
			return false, true, tooOld
		}
		return false, true, nil // whoever opens it now begins anew
	}
	text, err := decodeText(stored.bytes())
	if err != nil {
		return false, false, fmt.Errorf("the replica's session: %w", err)
	}
	var session wire.SessionID
	copy(session[:], text)
	if s.session != (wire.SessionID{}) && s.session != session {
		if begunAnew.bytes() != nil {
			return false, false, wasmclient.ErrForgotten
		}
		s.mu.Lock()
		s.lost = true
		s.recent.drop()
		s.mu.Unlock()
		return false, false, wasmclient.ErrReplicaLost
	}
	if text != nil {
		s.session = session
	}
	if errors.Is(tooOld, errCorrupt) {
		tooOld = fmt.Errorf("the replica's %s: %w", metaMinReader, tooOld)
	}
	return text != nil, false, tooOld
}

// ours returns ErrForgotten where another replica is in the database than the connection was opened for. A database that its browser
// deletes has no connections any more: somebody had it erased, and somebody else has begun anew.
func (t *transaction) ours(stored reply) error {
	text, err := decodeText(stored.bytes())
	if err != nil {
		return fmt.Errorf("the replica's session: %w", err)
	}
	if !bytes.Equal(text, t.c.session[:]) {
		return wasmclient.ErrForgotten
	}
	return nil
}

// tooOld returns ErrNewerStore if a version that is read or written at least is above this one, and ErrForgotten if the database
// was erased.
func tooOld(least []byte) error {
	n, err := decodeNumber(least)
	if err != nil {
		return err
	}
	if n == forgotten {
		return wasmclient.ErrForgotten
	}
	if n > version {
		return wasmclient.ErrNewerStore
	}
	return nil
}

// writable reads what was asked of min_reader and min_writer.
func writable(least rawRequest) error {
	for i := range least.result().Length() {
		if err := tooOld(jsbind.ToBytes(least.result().Index(i))); err != nil {
			return err
		}
	}
	return nil
}

// storeError gives the errors of the platform that callers tell apart their names.
func storeError(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, wasmclient.ErrFull) {
		return err
	}
	if named(err, "QuotaExceededError") {
		return fmt.Errorf("%w: %w", wasmclient.ErrFull, err)
	}
	return err
}
