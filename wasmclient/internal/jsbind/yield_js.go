package jsbind

import "syscall/js"

// yielding is a MessageChannel by which this program wakes itself, and who waits for that.
var yielding struct {
	port    js.Value
	waiting []chan struct{}
}

// Yield lets the browser do what waits, messages to this program among it, and goes on behind that. Long work calls it
// every few milliseconds: runtime.Gosched lets other goroutines run and no message in, and a timer waits for longer.
func Yield() {
	if yielding.port.IsUndefined() {
		channel := js.Global().Get("MessageChannel").New()
		channel.Get("port1").Set("onmessage", js.FuncOf(func(js.Value, []js.Value) any {
			done := yielding.waiting[0]
			yielding.waiting = yielding.waiting[1:]
			close(done)
			return nil
		}))
		yielding.port = channel.Get("port2")
	}
	done := make(chan struct{})
	yielding.waiting = append(yielding.waiting, done)
	yielding.port.Call("postMessage", js.Null())
	<-done
}
