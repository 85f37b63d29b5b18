package jsplatform

import (
	"syscall/js"

	"skerry/shared/digest"
	"skerry/shared/space"
)

// Hints is a channel among the tabs of one replica.
type Hints struct {
	channel js.Value
}

// NewHints opens the channel of the given name; nil where the browser has none.
func NewHints(name string) *Hints {
	constructor := js.Global().Get("BroadcastChannel")
	if constructor.IsUndefined() {
		return nil
	}
	return &Hints{channel: constructor.New(name)}
}

// Send tells the other tabs that a space is at version, or later. The zero ID stands for the replica as a whole.
func (h *Hints) Send(id space.ID, version uint64) {
	h.channel.Call("postMessage", js.ValueOf([]any{id.String(), float64(version)}))
}

// Receive calls f for every hint of another tab until stop is called. f must not block.
func (h *Hints) Receive(f func(space.ID, uint64)) (stop func()) {
	listener := js.FuncOf(func(_ js.Value, args []js.Value) any {
		data := args[0].Get("data")
		if data.Type() != js.TypeObject || data.Length() < 2 {
			return nil // of a version that says it otherwise
		}
		first, second := data.Index(0), data.Index(1)
		if first.Type() != js.TypeString || second.Type() != js.TypeNumber {
			return nil
		}
		if id, err := digest.Parse(first.String()); err == nil {
			f(id, uint64(second.Float()))
		}
		return nil
	})
	h.channel.Call("addEventListener", "message", listener)
	stopped := false
	return func() {
		if !stopped {
			stopped = true
			h.channel.Call("removeEventListener", "message", listener)
			listener.Release()
		}
	}
}

// Close ends the channel.
func (h *Hints) Close() { h.channel.Call("close") }
