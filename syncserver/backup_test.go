package syncserver_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"skerry/shared/module/moduletest"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/sqlitelog"
)

// TestMove takes a server to another directory by a backup, as to another machine. It is the same server, and clients go on from where they were: with
// the positions that it gave them, to which it adds nothing again; what they send again is known.
func TestMove(t *testing.T) {
	here, there := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "data")
	open := func(dir string) *sqlitelog.Log {
		t.Helper()
		log, err := sqlitelog.Open(t.Context(), sqlitelog.Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return log
	}
	log := open(here)
	r := start(t, log, runsModules(t, log, nil))
	key := r.server.Key()
	alice, bob := r.dial("alice"), r.dial("bob")
	chat := alice.createOf(upload(t, log, moduletest.Chat()))
	id := alice.create()
	sent := alice.transaction(3)
	alice.append(id, sent)
	bob.subscribe(id, space.Start(id))
	_, at := bob.follow(id, space.Start(id), 3)
	alice.messages(chat, 50)
	r.stop()
	file := filepath.Join(t.TempDir(), "backup")
	if err := sqlitelog.Backup(t.Context(), sqlitelog.Config{Dir: here}, file, nil); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	backup, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer backup.Close()
	if err := sqlitelog.Restore(t.Context(), sqlitelog.Config{Dir: there}, backup, nil); err != nil {
		t.Fatal(err)
	}

	log = open(there)
	defer log.Close()
	r = start(t, log, runsModules(t, log, nil))
	if r.server.Key() != key {
		t.Fatal("it is another server")
	}
	alice, bob = r.dial("alice"), r.dial("bob")
	bob.subscribe(id, at)
	if v := alice.verdict(id, sent); v.Kind != wire.Duplicate || v.Position != at {
		t.Errorf("sent again: %+v, want %+v", v, at)
	}
	alice.append(id, alice.transaction(2))
	if records, end := bob.follow(id, at, 5); len(records) != 2 || end.Seq != 5 {
		t.Errorf("there are %d records up to %d", len(records), end.Seq)
	}
	alice.messages(chat, 1)
	r.stop()
}

// TestRestoredBackupWaits: a server on a backup that is marked as restored has writers wait, and says so, until its window is over.
func TestRestoredBackupWaits(t *testing.T) {
	here, there := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "data")
	log, err := sqlitelog.Open(t.Context(), sqlitelog.Config{Dir: here})
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, log)
	alice := r.dial("alice")
	id := alice.create()
	alice.append(id, alice.transaction(1))
	file := filepath.Join(t.TempDir(), "backup")
	if err := sqlitelog.Backup(t.Context(), sqlitelog.Config{Dir: here}, file, nil); err != nil { // beside the server
		t.Fatal(err)
	}
	r.stop()
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	backup, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer backup.Close()
	err = sqlitelog.Restore(t.Context(), sqlitelog.Config{Dir: there}, backup, func(ctx context.Context, log *sqlitelog.Log) error {
		return syncserver.MarkRestored(ctx, log, time.Now())
	})
	if err != nil {
		t.Fatal(err)
	}
	if log, err = sqlitelog.Open(t.Context(), sqlitelog.Config{Dir: there}); err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	r = start(t, log)
	if v := r.dial("alice").verdict(id, alice.transaction(1)); v.Kind != wire.Deferred || v.Code != wire.CodeRecovering {
		t.Errorf("while it waits for what was lost: %+v", v)
	}
	began := time.Now()
	r.stop()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it waits still when it stops: %v", took)
	}
}
