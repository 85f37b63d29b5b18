package jsbind

import (
	"io"
	"syscall/js"
)

// Random is the browser's secure randomness. crypto/rand draws from the same source, but brings 200 kB of
// cryptography with it.
var Random io.Reader = random{}

type random struct{}

// maxRandom is the most that getRandomValues gives at once.
const maxRandom = 1 << 16

func (random) Read(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := min(len(rest), maxRandom)
		buffer := js.Global().Get("Uint8Array").New(n)
		if _, err := Call(js.Global().Get("crypto"), "getRandomValues", buffer); err != nil {
			return len(p) - len(rest), err
		}
		js.CopyBytesToGo(rest[:n], buffer)
		rest = rest[n:]
	}
	return len(p), nil
}
