package sqlitelog

import (
	"regexp"
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"
)

// writtenOf returns the SQL by which the tables of a database, and what belongs to them, were made, by the table's name and its own.
func writtenOf(c *conn) (map[string]string, error) {
	all := map[string]string{}
	err := c.rows("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema", func(s *sqlite3.Stmt) bool {
		all[s.ColumnText(2)+"."+s.ColumnText(1)] = s.ColumnText(0) + " " + plainSQL(s.ColumnText(3)) + " "
		return true
	})
	return all, err
}

var (
	sqlComment = regexp.MustCompile(`--[^\n]*`)
	sqlSpace   = regexp.MustCompile(`\s+`)
)

// plainSQL returns a statement of schema's without its comments and line breaks, and with what is between its outer parentheses sorted: SQLite puts the
// columns that a migration has added behind the others.
func plainSQL(sql string) string {
	sql = sqlSpace.ReplaceAllString(sqlComment.ReplaceAllString(sql, ""), " ")
	open, end := strings.IndexByte(sql, '('), strings.LastIndexByte(sql, ')')
	if open < 0 || end < open {
		return sql
	}
	var parts []string
	depth, from := 0, open+1
	for i := from; i <= end; i++ {
		switch {
		case i == end || sql[i] == ',' && depth == 0:
			parts = append(parts, strings.TrimSpace(sql[from:i]))
			from = i + 1
		case sql[i] == '(':
			depth++
		case sql[i] == ')':
			depth--
		}
	}
	if strings.HasPrefix(sql, "CREATE TABLE") { // the columns of an index have their order
		slices.Sort(parts)
	}
	return sql[:open+1] + strings.Join(parts, ", ") + sql[end:]
}
