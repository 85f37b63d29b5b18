package sqlitelog

import (
	"encoding/binary"

	"github.com/ncruces/go-sqlite3"

	"skerry/shared/digest"
)

// Rows that nothing else vouches for, as chains do for events and digests for blobs, have a checksum, by which [Check] finds a bit that
// flipped on the disk. It is no defence against anybody who can write there.

// addSums is the migration of tables that had none.
var addSums = migration{
	to: 5, name: "give rows checksums",
	columns: []column{
		{"keys", "sum", "INTEGER NOT NULL DEFAULT 0"},
		{"limits", "sum", "INTEGER NOT NULL DEFAULT 0"},
		{"st_client", "sum", "INTEGER NOT NULL DEFAULT 0"},
		{"st_connection_credentials", "sum", "INTEGER NOT NULL DEFAULT 0"},
	},
	sql: `UPDATE keys SET sum = row_sum('keys', key, value);
		UPDATE limits SET sum = row_sum('limits', key, tat);
		UPDATE st_client SET sum = row_sum('st_client', connection_id, identity, since);
		UPDATE st_connection_credentials SET sum = row_sum('st_connection_credentials', connection_id, identity, claims)`,
}

// defineSum gives a connection row_sum(table, value...), the checksum of a row.
func defineSum(c *conn) error {
	return c.CreateFunction("row_sum", -1, sqlite3.DETERMINISTIC, func(ctx sqlite3.Context, values ...sqlite3.Value) {
		b := make([]byte, 0, 256)
		for _, v := range values {
			if v.Type() == sqlite3.INTEGER {
				b = binary.LittleEndian.AppendUint64(append(b, 'i'), uint64(v.Int64()))
				continue
			}
			raw := v.RawBlob()
			b = append(binary.LittleEndian.AppendUint64(append(b, 'b'), uint64(len(raw))), raw...)
		}
		sum := digest.Of(b)
		ctx.ResultInt64(int64(binary.LittleEndian.Uint64(sum[:])))
	})
}
