package syncserver

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"
)

// keyRestored marks a log that was restored: since when, in milliseconds since 1970.
const keyRestored = "server/restored"

// MarkRestored notes in a log that it was put back from a backup, which whoever does that calls before a server uses the log: it may lack
// what the server had stored since then. Marking a log again is success.
func MarkRestored(ctx context.Context, log Log, now time.Time) error {
	value := binary.BigEndian.AppendUint64(nil, uint64(max(now.UnixMilli(), 1)))
	for {
		was, err := log.Key(ctx, keyRestored)
		if err != nil {
			return fmt.Errorf("read %s: %w", keyRestored, err)
		}
		done, err := log.CompareAndSet(ctx, keyRestored, was, value)
		if err != nil {
			return fmt.Errorf("write %s: %w", keyRestored, err)
		}
		if done {
			return nil
		}
	}
}
