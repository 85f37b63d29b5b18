// Package replica is the client half of the protocol.
package replica
