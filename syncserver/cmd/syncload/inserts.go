package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/url"
	"path/filepath"
	"time"

	"github.com/ncruces/go-sqlite3"

	"skerry/shared/space"
	"skerry/syncserver/sqlitelog"
)

// insertRow writes one event as the log does.
const insertRow = `INSERT INTO events(id, space, ulid, origin, received_at, idx, cnt, schema, chain, type, payload)
	VALUES (?, ?, ?, 1, 0, 0, 1, 0, NULL, 'note.edited', ?)`

// inserts is the floor of ingest: the same rows in the same table with the same durability, a row a statement, and
// nothing else. It prints events per second.
func inserts(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	set := flag.NewFlagSet("syncload inserts", flag.ContinueOnError)
	data := set.String("data", "", "`directory` of the log")
	spaces := set.Int("spaces", 1, "`number` of spaces that a transaction's rows are spread over")
	rows := set.Int("rows", 100, "rows in a transaction")
	payload := set.Int("payload", 200, "`bytes` of a payload")
	limit := set.Duration("time", time.Second, "how long")
	if err := parse(set, args, stderr); err != nil {
		return err
	}
	log, err := sqlitelog.Open(ctx, sqlitelog.Config{Dir: *data}) // makes the tables
	if err != nil {
		return err
	}
	if err := log.Close(); err != nil {
		return err
	}
	uri := url.URL{Scheme: "file", Path: filepath.Join(*data, sqlitelog.FileName), OmitHost: true}
	db, err := sqlite3.OpenFlags(uri.String(), sqlite3.OPEN_READWRITE|sqlite3.OPEN_URI|sqlite3.OPEN_NOMUTEX)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.Exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 8000;
		PRAGMA cache_size = -65536; PRAGMA temp_store = MEMORY`); err != nil {
		return err
	}
	s, _, err := db.PrepareFlags(insertRow, sqlite3.PREPARE_PERSISTENT)
	if err != nil {
		return err
	}
	defer s.Close()
	w := (&load{seed: 1, payload: *payload}).writer(0)
	seqs := make([]int64, *spaces)
	total := 0
	began := time.Now()
	for time.Since(began) < *limit && ctx.Err() == nil {
		if err := db.Exec("BEGIN IMMEDIATE"); err != nil {
			return err
		}
		for i, e := range w.events(*rows) {
			no := i * *spaces / *rows
			seqs[no]++
			if err := insert(s, int64(no+1), seqs[no], &e); err != nil {
				return err
			}
		}
		if err := db.Exec("COMMIT"); err != nil {
			return err
		}
		total += *rows
	}
	return json.NewEncoder(stdout).Encode(float64(total) / time.Since(began).Seconds())
}

func insert(s *sqlite3.Stmt, no, seq int64, e *space.Event) error {
	if err := errors.Join(s.BindInt64(1, no<<32|seq), s.BindInt64(2, no), s.BindBlob(3, e.ID[:]), s.BindBlob(4, e.Payload)); err != nil {
		return err
	}
	return s.Exec()
}
