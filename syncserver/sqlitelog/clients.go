package sqlitelog

import (
	"context"
	"fmt"

	"github.com/ncruces/go-sqlite3"

	"skerry/shared/wire"
	"skerry/syncserver"
)

// clientSize is about how many bytes a row of a client takes without its claims.
const clientSize = 128

// changeClients changes who is connected, as a part of what the writer does.
func (w *writer) changeClients(changes *syncserver.ClientChanges) error {
	for _, id := range changes.Gone {
		if err := w.dropClient(id); err != nil {
			return err
		}
	}
	for i := range changes.Connected {
		c := &changes.Connected[i]
		err := w.conn.exec(`INSERT OR REPLACE INTO st_client(connection_id, identity, since, sum)
			VALUES (?1, ?2, ?3, row_sum('st_client', ?1, ?2, ?3))`,
			c.Connection[:], c.Identity, int64(c.Since))
		if err == nil {
			err = w.setClaims(c.Connection, c.Identity, c.Claims)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// setClaims writes what somebody claims who has a row.
func (w *writer) setClaims(connection wire.ConnectionID, identity string, claims []byte) error {
	if len(claims) == 0 {
		return w.conn.exec("DELETE FROM st_connection_credentials WHERE connection_id = ? AND identity = ?", connection[:], identity)
	}
	return w.conn.exec(`INSERT OR REPLACE INTO st_connection_credentials(connection_id, identity, claims, sum)
		VALUES (?1, ?2, ?3, row_sum('st_connection_credentials', ?1, ?2, ?3))`,
		connection[:], identity, claims)
}

// SetClaims implements [syncserver.Log].
func (l *Log) SetClaims(ctx context.Context, connection wire.ConnectionID, identity string, claims []byte) error {
	err := l.write(ctx, clientSize+len(claims), func(w *writer) error {
		there, err := w.conn.row("SELECT 1 FROM st_client WHERE connection_id = ? AND identity = ?", func(*sqlite3.Stmt) {}, connection[:], identity)
		if err != nil || !there {
			return err
		}
		return w.setClaims(connection, identity, claims)
	})
	if err != nil {
		return fmt.Errorf("set claims: %w", err)
	}
	return nil
}

func (w *writer) dropClient(id wire.ConnectionID) error {
	err := w.conn.exec("DELETE FROM st_client WHERE connection_id = ?", id[:])
	if err == nil {
		err = w.conn.exec("DELETE FROM st_connection_credentials WHERE connection_id = ?", id[:])
	}
	return err
}

// DropClients implements [syncserver.Log].
func (l *Log) DropClients(ctx context.Context, connections []wire.ConnectionID) error {
	err := l.write(ctx, clientSize*len(connections), func(w *writer) error {
		return w.changeClients(&syncserver.ClientChanges{Gone: connections})
	})
	if err != nil {
		return fmt.Errorf("drop clients: %w", err)
	}
	return nil
}

// Clients implements [syncserver.Log]. Data of a version without the tables, which is only read, has none.
func (l *Log) Clients(ctx context.Context, after wire.ConnectionID, limit int) (clients []syncserver.Client, err error) {
	err = l.read(ctx, func(r *reader) error {
		if l.queue == nil {
			tables := 0
			_, err := r.conn.row("SELECT count(*) FROM sqlite_schema WHERE name IN ('st_client', 'st_connection_credentials')",
				func(s *sqlite3.Stmt) { tables = s.ColumnInt(0) })
			if err != nil || tables < 2 {
				return err
			}
		}
		return r.conn.rows(`SELECT connection_id, identity, since, claims FROM st_client LEFT JOIN st_connection_credentials USING (connection_id, identity)
			WHERE connection_id IN (SELECT DISTINCT connection_id FROM st_client WHERE connection_id > ? ORDER BY connection_id LIMIT ?)
			ORDER BY connection_id, identity`, func(s *sqlite3.Stmt) bool {
			c := syncserver.Client{Identity: s.ColumnText(1), Since: uint64(s.ColumnInt64(2))}
			copy(c.Connection[:], s.ColumnRawBlob(0))
			if s.ColumnType(3) != sqlite3.NULL {
				c.Claims = blob(s, 3)
			}
			clients = append(clients, c)
			return true
		}, after[:], int64(limit))
	})
	return clients, err
}
