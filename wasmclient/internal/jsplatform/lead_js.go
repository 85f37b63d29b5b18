package jsplatform

import (
	"context"
	"errors"
	"syscall/js"
)

// Lead returns a function that waits until this tab holds the Web Lock of the given name, or takes the lock at once
// with steal. The lock is held until release is called or the tab is gone; lost is called if another tab stole it. It
// returns nil where the browser has no Web Locks.
func Lead(name string) func(ctx context.Context, steal bool, lost func()) (release func(), err error) {
	locks := js.Global().Get("navigator").Get("locks")
	if !locks.Truthy() {
		return nil
	}
	return func(ctx context.Context, steal bool, lost func()) (func(), error) {
		return request(ctx, locks, name, steal, lost)
	}
}

// request asks for the lock. The browser holds it for as long as the promise that the callback returned is pending.
func request(ctx context.Context, locks js.Value, name string, steal bool, lost func()) (func(), error) {
	abort := js.Global().Get("AbortController").New()
	var (
		granted  = make(chan struct{})
		failed   = make(chan error, 1)
		free     js.Value // resolves the pending promise
		released bool
		givenUp  bool
		funcs    []js.Func
	)
	hold := js.FuncOf(func(js.Value, []js.Value) any {
		if givenUp {
			return nil // nobody would ever release it
		}
		executor := js.FuncOf(func(_ js.Value, args []js.Value) any {
			free = args[0]
			return nil
		})
		defer executor.Release()
		promise := js.Global().Get("Promise").New(executor)
		close(granted)
		return promise
	})
	ended := js.FuncOf(func(_ js.Value, args []js.Value) any { // the lock was released, stolen or never granted
		for _, f := range funcs {
			f.Release()
		}
		select {
		case <-granted:
			if !released {
				lost()
			}
		default:
			text := "refused"
			if len(args) > 0 && args[0].Type() == js.TypeObject {
				text = args[0].Get("message").String()
			}
			failed <- errors.New("request web lock: " + text)
		}
		return nil
	})
	funcs = []js.Func{hold, ended}
	options := js.Global().Get("Object").New()
	if steal {
		options.Set("steal", true) // without a signal: browsers refuse both together
	} else {
		options.Set("signal", abort.Get("signal"))
	}
	locks.Call("request", name, options, hold).Call("then", ended, ended)

	release := func() {
		if !released {
			released = true
			free.Invoke()
		}
	}
	select {
	case <-granted:
		return release, nil
	case err := <-failed:
		return nil, err
	case <-ctx.Done():
		givenUp = true
		abort.Call("abort")
		select { // it may have been granted just before
		case <-granted:
			release()
		default:
		}
		return nil, ctx.Err()
	}
}
