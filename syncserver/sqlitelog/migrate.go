package sqlitelog

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"skerry/syncserver"
)

// migration is what data of an older format needs beyond the tables and indexes that it lacks, which it gets from schema. What it does has
// to be right, too, for data that has it already.
type migration struct {
	to      int      // the format version that it leads to
	name    string   // what it does, for the log and for errors
	columns []column // what its tables lack, added before missing tables and indexes are made
	sql     string   // run when all tables, columns and indexes are there, in a transaction
}

// column is a column that schema has in a table, as ALTER TABLE adds it: with a default.
type column struct{ table, name, definition string }

// migrations are run in their order on data whose format is older than what they lead to. A new one goes to the end, together with a new
// formatVersion; and with a new minReader or minWriter, where older builds would misread what it makes of the data.
var migrations = []migration{
	{to: 3, name: "count what everybody has written", sql: countUsage},
	addSums,
	{to: 6, name: "say which release the data needs", columns: []column{{"format", "release", "TEXT NOT NULL DEFAULT ''"}}},
}

// The files beside the database while it is migrated.
const (
	beforeSuffix = ".before-migration"        // the backup
	failedSuffix = ".before-migration.failed" // says why the backup was kept
)

// MigrationError tells that data of an older format could not be brought up to date. If Kept is empty it is as it was before. Else not
// even that could be had, and what was there before is in the file Kept: the directory is not opened until somebody saw to it.
type MigrationError struct {
	Name string // of the migration
	Dir  string
	Kept string
	Err  error
}

func (e *MigrationError) Error() string {
	if e.Kept == "" {
		return fmt.Sprintf("the migration %q of the data in %s failed, and the data is as it was before: %v", e.Name, e.Dir, e.Err)
	}
	return fmt.Sprintf("the migration %q of the data in %s failed, and so did putting back what was there before, which is kept as %s: %v; "+
		"see that the disk is sound and has room, delete %s, and start again: it is put back then", e.Name, e.Dir, e.Kept, e.Err, e.Kept+".failed")
}

func (e *MigrationError) Unwrap() error { return e.Err }

// bringUpToDate makes in the database what it lacks: all of it in a new one, missing tables in an older one, and what the migrations do,
// those behind a backup. How far that came is in the database itself: its user_version is 1 from before the first change until all is done,
// so that a backup beside it is put back if the power went, and is thrown away if it did not help any more, or not yet.
func (l *Log) bringUpToDate(c *conn) error {
	marked := 0
	if _, err := c.row("PRAGMA user_version", func(s *sqlite3.Stmt) { marked = s.ColumnInt(0) }); err != nil {
		return err
	}
	if marked != 0 {
		if !l.exists(beforeSuffix) {
			return fmt.Errorf("the data in %s is half migrated, and %s is gone, which would put it back: restore a backup of yours", l.config.Dir, l.path+beforeSuffix)
		}
		if err := l.putBack(c, "that was cut off", errors.New("the process or the machine stopped")); err != nil {
			return err
		}
		l.config.Logger.Warn("a migration was cut off; the data is as it was before, and is migrated again")
	}
	if l.exists(beforeSuffix) { // it was cut off, or not removed any more: but it is all there is if the data is damaged
		if err := l.checkFile(l.path, l.uri("mode", "ro")); err != nil {
			return l.keep("before this", err)
		}
		if err := l.removeBefore(); err != nil {
			return err
		}
	}
	before, err := tableNames(c)
	if err != nil {
		return err
	}
	from := 0
	if slices.Contains(before, "format") {
		if _, err := c.row("SELECT version FROM format", func(s *sqlite3.Stmt) { from = s.ColumnInt(0) }); err != nil {
			return err
		}
	}
	pending := slices.DeleteFunc(slices.Clone(l.config.migrations), func(m migration) bool { return m.to <= from })
	if len(before) > 0 && len(pending) > 0 {
		err = l.migrate(c, pending)
	} else if err = c.Exec("BEGIN IMMEDIATE; " + schema + setFormat(l.config.version) + "COMMIT"); err != nil {
		err = fmt.Errorf("create schema: %w", err)
	}
	if err != nil {
		return err
	}
	after, err := tableNames(c)
	if err != nil || len(before) == 0 {
		return err
	}
	if added := slices.DeleteFunc(after, func(name string) bool { return slices.Contains(before, name) }); len(added) > 0 {
		l.config.Logger.Info("the data of an older version got the tables that it lacked", "tables", strings.Join(added, ", "))
	}
	return nil
}

// setFormat is SQL that says what the data is, and that it is whole. A newer format stays.
func setFormat(version int) string {
	return fmt.Sprintf(`PRAGMA application_id = %d; PRAGMA user_version = 0;
		INSERT INTO format(one, version, min_reader, min_writer, release) VALUES (1, %d, %d, %d, '%s') ON CONFLICT DO UPDATE
			SET version = excluded.version, min_reader = excluded.min_reader, min_writer = excluded.min_writer, release = excluded.release
			WHERE version < excluded.version;`,
		applicationID, version, minReader, minWriter, releaseText(syncserver.Version, version, minReader, minWriter))
}

// migrate runs migrations behind a backup.
func (l *Log) migrate(c *conn, pending []migration) error {
	if err := l.backUpBefore(c); err != nil {
		return fmt.Errorf("the migration %q of the data in %s was not begun, for there is no backup: %w", pending[0].name, l.config.Dir, err)
	}
	at, err := l.runMigrations(c, pending)
	if err != nil {
		if err := l.putBack(c, at, err); err != nil {
			return err
		}
		return errors.Join(&MigrationError{Name: at, Dir: l.config.Dir, Err: err}, l.removeBefore())
	}
	for _, m := range pending {
		l.config.Logger.Info("the data of an older version was migrated", "migration", m.name, "format", m.to)
	}
	return l.removeBefore()
}

// runMigrations runs migrations, and returns the name of the one that it was at.
func (l *Log) runMigrations(c *conn, pending []migration) (at string, err error) {
	at = pending[0].name
	// Whoever finds the data half done must not take it for what its format says.
	if err := c.Exec("PRAGMA user_version = 1"); err != nil {
		return at, err
	}
	for _, m := range pending {
		at = m.name
		for _, add := range m.columns {
			if err := addColumn(c, add); err != nil {
				return at, err
			}
		}
	}
	if err := c.Exec("BEGIN IMMEDIATE; " + schema + "COMMIT"); err != nil {
		return at, err
	}
	for _, m := range pending {
		at = m.name
		if m.sql == "" {
			continue
		}
		if err := c.Exec("BEGIN IMMEDIATE; " + m.sql + "; COMMIT"); err != nil {
			return at, err
		}
	}
	if err := l.checkFile(l.path, l.uri("mode", "ro")); err != nil {
		return at, err
	}
	return at, c.Exec("BEGIN IMMEDIATE; " + setFormat(l.config.version) + "COMMIT")
}

// addColumn adds a column to a table that is there and lacks it.
func addColumn(c *conn, add column) error {
	columns, has := 0, 0
	_, err := c.row("SELECT count(*), coalesce(sum(name = ?2), 0) FROM pragma_table_info(?1)", func(s *sqlite3.Stmt) {
		columns, has = s.ColumnInt(0), s.ColumnInt(1)
	}, add.table, add.name)
	if err != nil || columns == 0 || has > 0 {
		return err
	}
	return c.Exec(fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s %s", add.table, add.name, add.definition))
}

// checkIntegrity has SQLite look through the whole database.
func checkIntegrity(c *conn) error {
	var found []string
	err := c.rows("PRAGMA integrity_check", func(s *sqlite3.Stmt) bool {
		if text := s.ColumnText(0); text != "ok" {
			found = append(found, text)
		}
		return true
	})
	if err == nil && len(found) > 0 {
		err = fmt.Errorf("the database is damaged: %s", strings.Join(found, "; "))
	}
	return err
}

// backUpBefore makes the backup that a migration runs behind, durably, and checks it.
func (l *Log) backUpBefore(c *conn) error {
	size := int64(0)
	if _, err := c.row("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", func(s *sqlite3.Stmt) { size = s.ColumnInt64(0) }); err != nil {
		return err
	}
	// As much again is needed to migrate, and to put the backup back.
	if free, known := l.config.free(l.config.Dir); known && free < 2*size {
		return fmt.Errorf("it needs %d MiB of room for a copy of the database and as much to work with, and there are %d", 2*size>>20+1, free>>20)
	}
	err := c.Backup("main", l.beforeURI("rwc"))
	if err == nil {
		err = l.config.syncDir(l.config.Dir) // the journal of the copy must not come back: it would undo it
	}
	if err == nil {
		err = l.checkFile(l.path+beforeSuffix, l.uri("mode", "ro", "immutable", "1"))
	}
	if err != nil {
		return errors.Join(err, l.removeBefore())
	}
	return nil
}

// beforeURI returns the name of the backup as SQLite takes it. What is only read is taken as it is, whatever journal is beside it.
func (l *Log) beforeURI(mode string) string {
	query := l.uri("mode", mode)
	if mode == "ro" {
		query.Set("immutable", "1")
	}
	u := url.URL{Scheme: "file", Path: l.path + beforeSuffix, RawQuery: query.Encode(), OmitHost: true}
	return u.String()
}

// checkFile reads a database through by a connection of its own, which takes nothing for granted.
func (l *Log) checkFile(path string, query url.Values) error {
	c, err := connect(path, sqlite3.OPEN_READONLY, query, "")
	if err != nil {
		return err
	}
	if err = checkFormat(c, l.config.Dir, true); err == nil {
		err = checkIntegrity(c)
	}
	return errors.Join(err, c.close())
}

// putBack puts the backup back in one transaction, for what went wrong at a migration. Its error is a [*MigrationError].
func (l *Log) putBack(c *conn, at string, cause error) error {
	var err error
	if !c.GetAutocommit() {
		err = c.Exec("ROLLBACK")
	}
	if err == nil {
		err = l.checkFile(l.path+beforeSuffix, l.uri("mode", "ro", "immutable", "1"))
	}
	if err == nil {
		if err = c.Restore("main", l.beforeURI("ro")); err == nil {
			if err = l.checkFile(l.path, l.uri("mode", "ro")); err != nil {
				err = errors.Join(err, c.Exec("PRAGMA user_version = 1"))
			}
		}
	}
	if err == nil {
		return nil
	}
	return l.keep(at, errors.Join(cause, err))
}

// keep keeps the backup, since the data can not be what it was, and has the next start refuse.
func (l *Log) keep(at string, cause error) error {
	failed := &MigrationError{Name: at, Dir: l.config.Dir, Kept: l.path + beforeSuffix, Err: cause}
	// If not even this can be noted, the next start tries to put the backup back, as after a loss of power.
	return errors.Join(failed, l.note(failed.Error()))
}

// note writes down why the backup was kept, so that the next start refuses.
func (l *Log) note(text string) (err error) {
	name := l.path + failedSuffix
	f, err := l.openFile(name, true)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err = f.WriteAt([]byte(text), 0); err == nil {
		err = f.sync()
	}
	return errors.Join(err, l.config.syncDir(l.config.Dir))
}

// keptBefore returns an error if a backup was kept since it could not be put back.
func (l *Log) keptBefore() (err error) {
	if !l.exists(failedSuffix) {
		return nil
	}
	name := l.path + failedSuffix
	f, err := l.openFile(name, false)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	text, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<16))
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return fmt.Errorf("the data is not opened as long as there is %s, which says: %s", name, text)
}

// removeBefore removes the backup, for good, and what SQLite may have left beside it.
func (l *Log) removeBefore() error {
	removed := false
	for _, suffix := range []string{"-journal", "-wal", ""} {
		if !l.exists(beforeSuffix + suffix) {
			continue
		}
		removed = true
		if err := vfs.Find(l.config.vfs).Delete(l.path+beforeSuffix+suffix, false); err != nil {
			return fmt.Errorf("remove %s: %w", l.path+beforeSuffix+suffix, err)
		}
	}
	if !removed {
		return nil
	}
	// A backup that came back after a loss of power would do no harm, for nothing is marked, but it takes room.
	return l.config.syncDir(l.config.Dir)
}

// exists reports whether there is a file beside the database, or the database itself.
func (l *Log) exists(suffix string) bool {
	found, err := vfs.Find(l.config.vfs).Access(l.path+suffix, vfs.ACCESS_EXISTS)
	return err == nil && found
}
