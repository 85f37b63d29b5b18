package wasmclient

import "io"

// In a page whoever composes the client passes these, so that this package needs no syscall/js.
var (
	defaultDialer Dialer
	defaultRand   io.Reader
)
