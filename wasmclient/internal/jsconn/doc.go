// Package jsconn is a WebSocket in a browser, in the shape of github.com/coder/websocket: [Dial], then Read, Write
// and Close, with contexts. It exists because that library, built for a browser, brings net/http along.
//
// A browser's WebSocket knows no back-pressure: messages arrive whether or not they are read. What was not read yet
// is queued up to a bound, over which the connection is closed; the protocol's credit keeps an honest server far
// below it. Writes wait while the browser still holds too much of what was written before.
//
// One goroutine reads. Writes and Close may come from any. After Close, or once Read has failed, nothing is held:
// neither the socket nor the functions that it called.
//
// Stable: nothing; the package serves the client's command in this tree.
package jsconn
