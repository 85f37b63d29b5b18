// Package hub is the server half of the protocol.
package hub
