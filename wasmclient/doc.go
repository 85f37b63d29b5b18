// Package wasmclient is the client shell.
package wasmclient
