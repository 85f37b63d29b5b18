package jsbind

import (
	"context"
	"errors"
	"fmt"
	"syscall/js"
)

// Error is what JavaScript threw, or rejected a promise with.
type Error struct {
	Name    string // of a DOMException or an Error, for instance QuotaExceededError; else empty
	Message string
}

func (e *Error) Error() string {
	if e.Name == "" {
		return e.Message
	}
	return e.Name + ": " + e.Message
}

// IsNamed reports whether err is an [Error] with that name.
func IsNamed(err error, name string) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Name == name
}

// AsError makes an error of a thrown value or of an object's error property: nil of null and undefined.
func AsError(v js.Value) error {
	switch {
	case v.IsNull() || v.IsUndefined():
		return nil
	case v.Type() == js.TypeObject:
		e := &Error{Message: "unknown"}
		if name := v.Get("name"); name.Type() == js.TypeString {
			e.Name = name.String()
		}
		if message := v.Get("message"); message.Type() == js.TypeString {
			e.Message = message.String()
		}
		return e
	default:
		return &Error{Message: js.Global().Call("String", v).String()}
	}
}

// Try calls f and returns what JavaScript threw in it. Other panics go on.
func Try(f func()) (err error) {
	defer func() {
		switch thrown := recover().(type) {
		case nil:
		case js.Error:
			if err = AsError(thrown.Value); err == nil {
				err = &Error{Message: "thrown without a value"}
			}
		default:
			panic(thrown)
		}
	}()
	f()
	return nil
}

// Call calls a method.
func Call(v js.Value, method string, args ...any) (result js.Value, err error) {
	err = Try(func() { result = v.Call(method, args...) })
	return result, err
}

// New constructs an object of a global class.
func New(class string, args ...any) (result js.Value, err error) {
	constructor := js.Global().Get(class)
	if constructor.IsUndefined() {
		return constructor, fmt.Errorf("this browser has no %s", class)
	}
	err = Try(func() { result = constructor.New(args...) })
	return result, err
}

// Listen calls f with each event of target until the remover is called, which may be done in f and more than once.
func Listen(target js.Value, event string, f func(event js.Value)) (remove func()) {
	listener := js.FuncOf(func(_ js.Value, args []js.Value) any {
		f(args[0])
		return nil
	})
	target.Call("addEventListener", event, listener)
	removed := false
	return func() {
		if !removed {
			removed = true
			target.Call("removeEventListener", event, listener)
			listener.Release()
		}
	}
}

// Await waits for a promise. When ctx ends first its error is returned; the promise goes its way.
func Await(ctx context.Context, promise js.Value) (js.Value, error) {
	type outcome struct {
		value js.Value
		err   error
	}
	settled := make(chan outcome, 1)
	var resolved, rejected js.Func
	release := func() { resolved.Release(); rejected.Release() }
	resolved = js.FuncOf(func(_ js.Value, args []js.Value) any {
		release()
		settled <- outcome{value: args[0]}
		return nil
	})
	rejected = js.FuncOf(func(_ js.Value, args []js.Value) any {
		release()
		err := AsError(args[0])
		if err == nil {
			err = &Error{Message: "rejected without a value"}
		}
		settled <- outcome{err: err}
		return nil
	})
	if _, err := Call(promise, "then", resolved, rejected); err != nil {
		release()
		return js.Undefined(), err
	}
	select {
	case o := <-settled:
		return o.value, o.err
	case <-ctx.Done():
		return js.Undefined(), ctx.Err()
	}
}

var uint8Array = js.Global().Get("Uint8Array")

// FromBytes returns b as a new Uint8Array that has its buffer to itself.
func FromBytes(b []byte) js.Value {
	array := uint8Array.New(len(b))
	if len(b) > 0 {
		js.CopyBytesToJS(array, b)
	}
	return array
}

// IsBytes reports whether a value is a Uint8Array.
func IsBytes(v js.Value) bool { return v.Type() == js.TypeObject && v.InstanceOf(uint8Array) }

// ToBytes returns a copy of a Uint8Array or an ArrayBuffer; nil of undefined and null.
func ToBytes(v js.Value) []byte {
	if v.IsUndefined() || v.IsNull() {
		return nil
	}
	if !v.InstanceOf(uint8Array) {
		v = uint8Array.New(v)
	}
	b := make([]byte, v.Get("byteLength").Int())
	js.CopyBytesToGo(b, v)
	return b
}

// AppendBytes appends a copy of a Uint8Array to b and returns the whole: a buffer that is used again.
func AppendBytes(b []byte, v js.Value) []byte {
	n := v.Get("byteLength").Int()
	start := len(b)
	if cap(b)-start < n {
		b = append(make([]byte, 0, 2*cap(b)+n), b...)
	}
	b = b[:start+n]
	js.CopyBytesToGo(b[start:], v)
	return b
}
