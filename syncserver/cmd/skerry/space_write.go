package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"skerry/shared/space"
	"skerry/shared/wire"
)

// spaceCreate creates a space on a server.
func spaceCreate(ctx context.Context, c *console, args []string) error {
	set := c.flags("space create")
	p := c.placeFlags(set, false)
	stamp := set.String("stamp", "", "the `ULID` to use; a new one if it is not given")
	module := set.String("module", "open", "the module's digest in hexadecimal, or a built-in's name")
	params := set.String("params-hex", "", "the module's parameters, msgpack in hexadecimal")
	if err := c.parse(set, args); err != nil {
		return err
	}
	if err := p.complete(false); err != nil {
		return err
	}
	if set.NArg() > 0 || !p.who.given() {
		return usagef("needs --identity, and takes no arguments")
	}
	if *stamp == "" {
		made, err := newULID()
		if err != nil {
			return err
		}
		*stamp = made.String()
	}
	who, err := p.who.signer()
	if err != nil {
		return err
	}
	genesis, err := (&genesisText{*stamp, who.identity, *module, *params}).parse()
	if err != nil {
		return err
	}
	client, err := p.dial(ctx, 0)
	if err != nil {
		return err
	}
	defer client.close()
	id := genesis.ID()
	pushed, err := client.push(ctx, &wire.Push{Space: id, Genesis: &genesis, GenesisSignature: who.genesisSignature(id)})
	if err != nil {
		return err
	}
	if err := refusal(pushed.Genesis); err != nil {
		return err
	}
	v := viewOf(&wire.SpaceRow{Genesis: genesis, GenesisSignature: who.genesisSignature(id), Module: genesis.Module})
	return c.print(struct {
		spaceView
		Created bool `json:"created"`
	}{v, pushed.Genesis.Kind == wire.Accepted}, "%s", v.ID)
}

func newULID() (space.ULID, error) {
	return space.NewIDSource(rand.Reader).New(uint64(time.Now().UnixMilli()))
}

// spaceAppend appends one event to a space on a server.
func spaceAppend(ctx context.Context, c *console, args []string) error {
	set := c.flags("space append")
	p := c.placeFlags(set, false)
	kind := set.String("type", "", "the event's `type`")
	event := set.String("event-id", "", "the event's `ULID`; the same one again appends nothing new")
	version := set.String("client-version", "", "`version` of the app that the event is from")
	if err := c.parse(set, args); err != nil {
		return err
	}
	if err := p.complete(false); err != nil {
		return err
	}
	id, err := spaceArgument(set)
	if err != nil {
		return err
	}
	if !p.who.given() || *kind == "" || set.NArg() > 2 {
		return usagef("needs --identity, --type, the ID of a space and at most one payload")
	}
	eventID, err := newULID()
	if *event != "" {
		if eventID, err = space.ParseULID(*event); err != nil {
			return usageError{err.Error()}
		}
	}
	if err != nil {
		return err
	}
	text := strings.NewReader(set.Arg(1))
	payload, err := readPayload(c.in, text, set.NArg() == 2)
	if err != nil {
		return err
	}
	v, err := p.append(ctx, id, &space.Event{ID: eventID, Type: *kind, Payload: payload}, *version)
	if err != nil {
		return err
	}
	return c.print(struct {
		ID        string `json:"id"`
		Seq       uint64 `json:"seq"`
		Chain     string `json:"chain"`
		Duplicate bool   `json:"duplicate"`
	}{eventID.String(), v.Position.Seq, v.Position.Chain.String(), v.Kind == wire.Duplicate}, "%d %s", v.Position.Seq, eventID)
}

// append appends one event to a space, and returns the verdict by which it is in the log.
func (p *place) append(ctx context.Context, id space.ID, event *space.Event, version string) (*wire.Verdict, error) {
	client, err := p.dial(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer client.close()
	pushed, err := client.push(ctx, &wire.Push{Space: id, Transactions: []space.Transaction{{
		Author: client.identity, API: client.welcome.API, ClientVersion: version, Events: []space.Event{*event},
	}}})
	if err != nil {
		return nil, err
	}
	if len(pushed.Verdicts) != 1 {
		return nil, fmt.Errorf("the server gave %d verdicts for one transaction", len(pushed.Verdicts))
	}
	v := &pushed.Verdicts[0]
	return v, refusal(v)
}

// appendOwn appends an event of a type of Skerry's own, and returns its number.
func (p *place) appendOwn(ctx context.Context, id space.ID, kind string, payload []byte) (seq uint64, err error) {
	event := space.Event{Type: kind, Payload: payload}
	if event.ID, err = newULID(); err != nil {
		return 0, err
	}
	v, err := p.append(ctx, id, &event, "")
	if err != nil {
		return 0, err
	}
	return v.Position.Seq, nil
}

// readPayload reads JSON from the command line or else from standard input, and returns it as msgpack.
func readPayload(stdin io.Reader, argument io.Reader, given bool) ([]byte, error) {
	if !given {
		argument = stdin
	}
	decoder := json.NewDecoder(argument)
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, fmt.Errorf("the payload is not JSON: %w", err)
	}
	if decoder.Decode(new(any)) != io.EOF {
		return nil, fmt.Errorf("the payload is more than one JSON value")
	}
	var b bytes.Buffer
	encoder := msgpack.NewEncoder(&b)
	encoder.UseCompactInts(true)
	encoder.SetSortMapKeys(true)
	if err := encoder.Encode(numbers(value)); err != nil {
		return nil, fmt.Errorf("encode the payload: %w", err)
	}
	return b.Bytes(), nil
}

// numbers replaces JSON's numbers by integers where they are, else by floats, and what payloadView makes of bytes by bytes.
func numbers(value any) any {
	switch v := value.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = numbers(v[key])
			if inside, ok := v[key].(map[string]any); ok && len(inside) == 1 {
				if text, ok := inside["$hex"].(string); ok {
					if content, err := hex.DecodeString(text); err == nil {
						v[key] = content
					}
				}
			}
		}
	}
	return value
}

// withHex replaces bytes in maps by objects with their hexadecimal digits, for JSON, and reports whether there are no others.
func withHex(value any) bool {
	switch v := value.(type) {
	case []byte:
		return false
	case []any:
		return !slices.ContainsFunc(v, func(inside any) bool { return !withHex(inside) })
	case map[string]any:
		for key := range v {
			if content, ok := v[key].([]byte); ok {
				v[key] = map[string]any{"$hex": hex.EncodeToString(content)}
			} else if !withHex(v[key]) {
				return false
			}
		}
	}
	return true
}

// payloadView is a payload as JSON where it can be, bytes in it as {"$hex": digits}; else its own bytes are so.
func payloadView(payload []byte) json.RawMessage {
	decoder := msgpack.NewDecoder(bytes.NewReader(payload))
	value, err := decoder.DecodeInterface()
	if err == nil {
		if _, more := decoder.PeekCode(); more != nil {
			if withHex(value) {
				if text, err := json.Marshal(value); err == nil {
					return text
				}
			}
		}
	}
	text, _ := json.Marshal(map[string]string{"$hex": hex.EncodeToString(payload)})
	return text
}
