// Package system has the policy of a server that was given no other: the module of its system space, and the payloads of what is
// written there. docs/modules/system.md has what they mean, and who may do what.
//
// The system space is one like others, made by the server with its data directory. The server writes to it what begins with a $
// ([Connect], [Disconnect], [Space], [Setup]), and administrators what they do ([Grant], [Revoke]). To allow a $connect is to let
// somebody in.
//
// It lies apart from package builtin, so that pages do not carry it: an administrator's page gets it from the server like any
// module.
//
// Stable: the types of events and their fields.
package system

import (
	_ "embed"

	"skerry/shared/digest"
	"skerry/shared/msgpack"
	"skerry/shared/space"
)

// Bytes are those of the module, to be left alone.
//
//go:embed system.wasm
var Bytes []byte

// Digest is that of [Bytes].
var Digest = digest.Of(Bytes)

// What becomes of a space, as [Space] says it.
const (
	Created  = "created"
	Upgraded = "upgraded"
	Deleted  = "deleted"
	Expired  = "expired"
)

// The types of what administrators do. Those of what the server writes are in package module.
const (
	TypeGrant  = "grant"
	TypeRevoke = "revoke"
)

// Connect returns the payload of a $connect and of a $disconnect.
func Connect(connection [16]byte, identity string) []byte {
	b := msgpack.AppendMap(make([]byte, 0, 48+len(identity)), 2)
	b = msgpack.AppendBinary(msgpack.AppendString(b, "connection_id"), connection[:])
	return msgpack.AppendString(msgpack.AppendString(b, "identity"), identity)
}

// Space returns the payload of a $space: what became of a space, and by whom. The module is the one that it has since, or zero
// where nothing is said of it.
func Space(id space.ID, change, by string, module digest.Digest) []byte {
	fields := 4
	if module.IsZero() {
		fields = 3
	}
	b := msgpack.AppendMap(nil, fields)
	b = msgpack.AppendBinary(msgpack.AppendString(b, "space"), id[:])
	b = msgpack.AppendString(msgpack.AppendString(b, "change"), change)
	b = msgpack.AppendString(msgpack.AppendString(b, "by"), by)
	if !module.IsZero() {
		b = msgpack.AppendBinary(msgpack.AppendString(b, "module"), module[:])
	}
	return b
}

// Identity returns the payload of a $setup, a grant and a revoke.
func Identity(identity string) []byte {
	return msgpack.AppendString(msgpack.AppendString(msgpack.AppendMap(nil, 1), "identity"), identity)
}
