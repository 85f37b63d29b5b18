package sqlitelog

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// conn is a connection with its prepared statements. One goroutine uses it at a time.
type conn struct {
	*sqlite3.Conn
	prepared map[string]*sqlite3.Stmt
}

// busyTimeout is how long a connection waits for another process that writes.
const busyTimeout = 10 * time.Second

const (
	writerPragmas = `PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;
		PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -65536; PRAGMA temp_store = MEMORY`
	readerPragmas = `PRAGMA query_only = ON; PRAGMA cache_size = -8192; PRAGMA temp_store = MEMORY`
)

// connect opens path. query holds SQLite's URI parameters, without which a plain file is opened.
func connect(path string, flags sqlite3.OpenFlag, query url.Values, pragmas string) (*conn, error) {
	uri := url.URL{Scheme: "file", Path: path, RawQuery: query.Encode(), OmitHost: true}
	db, err := sqlite3.OpenFlags(uri.String(), flags|sqlite3.OPEN_URI|sqlite3.OPEN_NOMUTEX)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	c := &conn{Conn: db, prepared: map[string]*sqlite3.Stmt{}}
	err = c.BusyTimeout(busyTimeout)
	if err == nil {
		err = defineSum(c)
	}
	if err == nil && pragmas != "" {
		err = c.Exec(pragmas)
	}
	if err != nil {
		c.close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return c, nil
}

// stmt returns the prepared statement for sql.
func (c *conn) stmt(sql string) (*sqlite3.Stmt, error) {
	if s := c.prepared[sql]; s != nil {
		return s, nil
	}
	s, _, err := c.PrepareFlags(sql, sqlite3.PREPARE_PERSISTENT)
	if err != nil {
		return nil, fmt.Errorf("prepare %s: %w", sql, err)
	}
	c.prepared[sql] = s
	return s, nil
}

// bind prepares sql and binds args: int64, string, or []byte where nil is an empty blob.
func (c *conn) bind(sql string, args ...any) (*sqlite3.Stmt, error) {
	s, err := c.stmt(sql)
	if err != nil {
		return nil, err
	}
	for i, arg := range args {
		switch arg := arg.(type) {
		case int64:
			err = s.BindInt64(i+1, arg)
		case string:
			err = s.BindText(i+1, arg)
		case []byte:
			err = s.BindBlob(i+1, arg)
		default:
			panic(fmt.Sprintf("sqlitelog: bind a %T", arg))
		}
		if err != nil {
			return nil, fmt.Errorf("bind %s: %w", sql, err)
		}
	}
	return s, nil
}

// exec runs a statement that returns no rows.
func (c *conn) exec(sql string, args ...any) error {
	s, err := c.bind(sql, args...)
	if err != nil {
		return err
	}
	return s.Exec()
}

// row runs a query and gives its first row to scan, if there is one, which it reports.
func (c *conn) row(sql string, scan func(*sqlite3.Stmt), args ...any) (found bool, err error) {
	err = c.rows(sql, func(s *sqlite3.Stmt) bool {
		scan(s)
		found = true
		return false
	}, args...)
	return found, err
}

// rows runs a query and gives its rows to scan until that returns false.
func (c *conn) rows(sql string, scan func(*sqlite3.Stmt) bool, args ...any) error {
	s, err := c.bind(sql, args...)
	if err != nil {
		return err
	}
	for s.Step() && scan(s) {
	}
	err = s.Err() // of a step or of a column
	if resetErr := s.Reset(); err == nil {
		err = resetErr
	}
	return err
}

// close finalizes the statements and closes the connection.
func (c *conn) close() error {
	for _, s := range c.prepared {
		s.Close() // repeats the error of the statement's last step, which was reported then
	}
	clear(c.prepared)
	return c.Conn.Close()
}

// sqliteFailed reports whether err comes from SQLite.
func sqliteFailed(err error) bool {
	var code sqlite3.ErrorCode
	return errors.As(err, &code)
}

// blob returns a copy of a column that is never nil.
func blob(s *sqlite3.Stmt, column int) []byte {
	raw := s.ColumnRawBlob(column)
	return append(make([]byte, 0, len(raw)), raw...)
}
