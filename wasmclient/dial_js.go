package wasmclient

// defaultDialer is nil: a page's sockets come from whoever composes the client, so that this package needs no
// syscall/js.
var defaultDialer Dialer
