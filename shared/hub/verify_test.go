package hub_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/hub"
	"skerry/shared/space"
)

// appended is a log whose appends end at some numbers, and that says one wrong thing whenever it is asked, if it is to.
type appended struct {
	records []space.Record
	ends    []space.Position // the chain is stored there
	lies    uint64           // about the chain there
	rotten  uint64           // is the record that is another one
}

func (a *appended) Read(after uint64, maxRecords, maxBytes int) ([]space.Record, error) {
	records := slices.Clone(a.records[after:min(int(after)+maxRecords, len(a.records))])
	for i := range records {
		if records[i].Seq == a.rotten {
			records[i].ReceivedAt ^= 1
		}
	}
	return records, nil
}

func (a *appended) ChainBefore(seq uint64) (space.Position, error) {
	i := len(a.ends) - 1
	for a.ends[i].Seq > seq {
		i--
	}
	at := a.ends[i]
	if at.Seq == a.lies {
		at.Chain[0] ^= 1
	}
	return at, nil
}

// A log that says the same wrong thing each time is believed nowhere, also where it says it of the beginning.
func TestProvenAt(t *testing.T) {
	id := digest.Of([]byte("a space"))
	log := appended{ends: []space.Position{space.Start(id)}, lies: 99}
	chains := []digest.Digest{space.Start(id).Chain}
	for seq := range uint64(12) {
		r := space.Record{Seq: seq + 1, ReceivedAt: 1000 + seq, Count: 1}
		r.Type, r.Payload = "note", fmt.Append(nil, seq)
		log.records = append(log.records, r)
		chains = append(chains, space.Chain(chains[seq], &r))
		if seq%3 == 2 {
			log.ends = append(log.ends, space.Position{Seq: seq + 1, Chain: chains[seq+1]})
		}
	}
	for lies := range uint64(14) {
		for rotten := range uint64(13) {
			for seq := range uint64(13) {
				log.lies, log.rotten = lies, rotten
				chain, err := hub.ProvenAt(&log, id, seq)
				if err != nil && !errors.Is(err, hub.ErrDamaged) || err == nil && chain != chains[seq] {
					t.Errorf("lies at %d, record %d rotten: at %d it is taken for %s, %v", lies, rotten, seq, chain, err)
				}
				if lies > 12 && rotten == 0 && err != nil {
					t.Errorf("at %d of a sound log: %v", seq, err)
				}
			}
		}
	}
}
