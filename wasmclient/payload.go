//go:build !js

package wasmclient

import (
	"context"
	"fmt"

	"github.com/vmihailenco/msgpack/v5"

	"skerry/shared/space"
)

// Event is one event to append, its payload a value that msgpack can encode.
type Event struct {
	Type    string
	Payload any
}

// Append appends a transaction of one event. See [Space.AppendEvents] for what it promises.
func (s *Space) Append(ctx context.Context, eventType string, payload any) (*Receipt, error) {
	return s.Transact(ctx, []Event{{Type: eventType, Payload: payload}})
}

// Transact appends a transaction: its events are accepted or rejected together.
func (s *Space) Transact(ctx context.Context, events []Event) (*Receipt, error) {
	encoded := make([]space.Event, len(events))
	for i, event := range events {
		payload, err := msgpack.Marshal(event.Payload)
		if err != nil {
			return nil, fmt.Errorf("encode the payload of %s: %w", event.Type, err)
		}
		encoded[i] = space.Event{Type: event.Type, Payload: payload}
	}
	return s.AppendEvents(ctx, encoded)
}

// DecodePayload decodes the payload of a record into v.
func DecodePayload(record *space.Record, v any) error {
	if err := msgpack.Unmarshal(record.Payload, v); err != nil {
		return fmt.Errorf("decode the payload of %s %s: %w", record.Type, record.ID, err)
	}
	return nil
}
