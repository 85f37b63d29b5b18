package jsplatform

import (
	"syscall/js"

	"skerry/shared/digest"
	"skerry/wasmclient"
	"skerry/wasmclient/internal/jsbind"
)

// Channel is a [wasmclient.Channel] by the browser: among the tabs of one replica. It is open only while it receives,
// since an open one keeps a page that was left from being kept to go back to.
//
// A hint is [space, version] there, what a tab looks at [kind, IDs one after the other], a report, an ephemeral or
// what is about a checkpoint [kind, bytes], a word of the election [kind, from, to, hidden]. What is none of them is of a version that says it otherwise, and is passed over.
type Channel struct {
	name   string
	object js.Value // undefined while closed
}

// NewChannel returns the channel of the given name; nil where the browser has none.
func NewChannel(name string) *Channel {
	if js.Global().Get("BroadcastChannel").IsUndefined() {
		return nil
	}
	return &Channel{name: name}
}

// Send implements [wasmclient.Channel].
func (c *Channel) Send(m wasmclient.Message) {
	if c.object.IsUndefined() {
		return
	}
	if m.Kind == "" {
		c.object.Call("postMessage", js.ValueOf([]any{m.Space.String(), float64(m.Version)}))
		return
	}
	if len(m.Report) > 0 {
		c.object.Call("postMessage", js.ValueOf([]any{m.Kind, jsbind.FromBytes(m.Report)}))
		return
	}
	if len(m.Looking) > 0 {
		ids := make([]byte, 0, digest.Size*len(m.Looking))
		for _, id := range m.Looking {
			ids = append(ids, id[:]...)
		}
		c.object.Call("postMessage", js.ValueOf([]any{m.Kind, jsbind.FromBytes(ids)}))
		return
	}
	c.object.Call("postMessage", js.ValueOf([]any{m.Kind, float64(m.From), float64(m.To), m.Hidden}))
}

// Receive implements [wasmclient.Channel].
func (c *Channel) Receive(f func(wasmclient.Message)) (stop func()) {
	c.object = js.Global().Get("BroadcastChannel").New(c.name)
	listener := js.FuncOf(func(_ js.Value, args []js.Value) any {
		if m, ok := parse(args[0].Get("data")); ok {
			f(m)
		}
		return nil
	})
	c.object.Call("addEventListener", "message", listener)
	return func() {
		c.object.Call("removeEventListener", "message", listener)
		c.object.Call("close")
		c.object = js.Undefined()
		listener.Release()
	}
}

// parse reads what came over the channel, of which this build need not be the author.
func parse(data js.Value) (m wasmclient.Message, ok bool) {
	if data.Type() != js.TypeObject || data.Length() < 2 {
		return m, false
	}
	first, second := data.Index(0), data.Index(1)
	if first.Type() == js.TypeString && jsbind.IsBytes(second) {
		m.Kind, m.Report = first.String(), jsbind.ToBytes(second)
		for ids := m.Report; len(ids) >= digest.Size; ids = ids[digest.Size:] {
			m.Looking = append(m.Looking, digest.Digest(ids[:digest.Size]))
		}
		return m, true
	}
	if first.Type() != js.TypeString || second.Type() != js.TypeNumber {
		return m, false
	}
	if id, err := digest.Parse(first.String()); err == nil {
		return wasmclient.Message{Space: id, Version: uint64(second.Float())}, true
	}
	if third, fourth := data.Index(2), data.Index(3); third.Type() == js.TypeNumber && fourth.Type() == js.TypeBoolean {
		m = wasmclient.Message{Kind: first.String(), From: uint64(second.Float()), To: uint64(third.Float()), Hidden: fourth.Bool()}
	}
	return m, m.Kind != ""
}
