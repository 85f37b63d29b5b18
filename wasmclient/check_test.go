//go:build !js

package wasmclient_test

import (
	"context"
	"fmt"
	"testing"

	"skerry/shared/space"
	"skerry/wasmclient"
)

// damaged is a store whose records are not what they should be.
type damaged struct {
	wasmclient.Store
	spoil func([]space.Record) ([]space.Record, error)
	small bool // pages
}

func (d *damaged) Read(ctx context.Context, id space.ID, after uint64, limit, maxBytes int) ([]space.Record, error) {
	if d.small {
		limit = min(limit, 2)
	}
	records, err := d.Store.Read(ctx, id, after, limit, maxBytes)
	if err == nil && d.spoil != nil {
		return d.spoil(records)
	}
	return records, err
}

// TestCheck finds what is wrong with what is stored.
func TestCheck(t *testing.T) {
	inBubble(t, func(w *world) {
		store := new(damaged)
		tab := w.device("ada").tab(func(c *wasmclient.Config) { store.Store, c.Store = c.Store, store })
		s := tab.makeSpace()
		for n := range 4 {
			tab.write(s.ID(), fmt.Sprint(n))
		}
		tab.holds(s.ID(), 5)
		store.small = true
		for _, test := range []struct {
			name  string
			spoil func([]space.Record) ([]space.Record, error)
			seq   uint64
			well  bool
		}{
			{"all is well", nil, 5, true},
			{"another payload", func(records []space.Record) ([]space.Record, error) {
				for i := range records {
					if records[i].Seq == 4 {
						records[i].Payload = []byte{0x01}
					}
				}
				return records, nil
			}, 5, false},
			{"unreadable", func(records []space.Record) ([]space.Record, error) {
				if len(records) > 0 && records[0].Seq == 3 {
					return nil, fmt.Errorf("read: %w", wasmclient.ErrDamaged)
				}
				return records, nil
			}, 2, false},
			{"a hole", func(records []space.Record) ([]space.Record, error) {
				if len(records) > 0 && records[0].Seq == 3 {
					return records[1:], nil
				}
				return records, nil
			}, 2, false},
		} {
			store.spoil = test.spoil
			check, err := s.Check(w.Context())
			if err != nil || check.Seq != test.seq || (check.Damage == "") != test.well {
				w.Errorf("%s: %+v, %v; want %d", test.name, check, err, test.seq)
			}
		}
	})
}
