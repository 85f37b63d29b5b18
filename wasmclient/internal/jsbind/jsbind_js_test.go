package jsbind

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"syscall/js"
	"testing"
)

func TestErrors(t *testing.T) {
	_, err := Call(js.Global().Get("JSON"), "parse", "{")
	if !IsNamed(err, "SyntaxError") || err.Error() == "" {
		t.Errorf("a throw is %v", err)
	}
	if _, err := New("Uint8Array", -1); !IsNamed(err, "RangeError") {
		t.Errorf("a throw of a constructor is %v", err)
	}
	if _, err := New("NoSuchClass"); err == nil {
		t.Error("a class that is not there is no error")
	}
	if AsError(js.Null()) != nil || AsError(js.Undefined()) != nil {
		t.Error("null is an error")
	}
	if err := AsError(js.ValueOf("text")); err == nil || err.Error() != "text" {
		t.Errorf("a thrown text is %v", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a panic of Go's own did not go on")
		}
	}()
	Try(func() { panic("own") })
}

func TestAwait(t *testing.T) {
	promises := js.Global().Get("Promise")
	value, err := Await(t.Context(), promises.Call("resolve", 7))
	if err != nil || value.Int() != 7 {
		t.Errorf("a promise gives %v, %v", value, err)
	}
	if _, err := Await(t.Context(), promises.Call("reject", js.Global().Get("TypeError").New("no"))); !IsNamed(err, "TypeError") {
		t.Errorf("a rejected promise gives %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Await(ctx, promises.Call("race", []any{})); !errors.Is(err, context.Canceled) {
		t.Errorf("a promise that never settles gives %v", err)
	}
}

func TestListen(t *testing.T) {
	target := js.Global().Get("EventTarget").New()
	dispatch := func() { target.Call("dispatchEvent", js.Global().Get("Event").New("tick")) }
	n := 0
	remove := Listen(target, "tick", func(event js.Value) { n++ })
	dispatch()
	dispatch()
	remove()
	remove()
	dispatch()
	if n != 2 {
		t.Errorf("%d events, want 2", n)
	}
}

// TestYield counts the messages that come in while something long goes on.
func TestYield(t *testing.T) {
	channel := js.Global().Get("MessageChannel").New()
	heard := 0
	again := js.FuncOf(func(js.Value, []js.Value) any {
		heard++
		channel.Get("port2").Call("postMessage", js.Null())
		return nil
	})
	defer again.Release()
	channel.Get("port1").Set("onmessage", again)
	defer channel.Get("port1").Call("close")
	channel.Get("port2").Call("postMessage", js.Null())
	for range 1000 {
		runtime.Gosched()
	}
	if heard != 0 {
		t.Errorf("Gosched let %d messages in: there is no need to yield", heard)
	}
	done := make(chan struct{})
	for range 3 { // several at once
		go func() {
			for range 5 {
				Yield()
			}
			done <- struct{}{}
		}()
	}
	for range 3 {
		<-done
	}
	for range 100 { // engines need not take turns between channels one for one
		if heard >= 5 {
			return
		}
		Yield()
	}
	t.Errorf("%d messages came in while a hundred pieces of work were done", heard)
}

func TestBytes(t *testing.T) {
	for _, want := range [][]byte{{}, {1, 2, 3}, make([]byte, 100_000)} {
		array := FromBytes(want)
		if array.Get("buffer").Get("byteLength").Int() != len(want) {
			t.Error("an array shares its buffer")
		}
		if !bytes.Equal(ToBytes(array), want) || !bytes.Equal(ToBytes(array.Get("buffer")), want) {
			t.Errorf("%d bytes do not come back", len(want))
		}
		if got := AppendBytes([]byte{9}, array); got[0] != 9 || !bytes.Equal(got[1:], want) {
			t.Errorf("%d bytes are not appended", len(want))
		}
	}
	if ToBytes(js.Undefined()) != nil {
		t.Error("undefined has bytes")
	}
}
