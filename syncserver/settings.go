package syncserver

import (
	"fmt"
	"time"

	"skerry/shared/wire"
)

// Setting is a limit of a [Config] that an operator may set: by a flag of skerry serve, its variable of the environment, or a
// line of its file. Value points into the configuration: *int, *uint64 or *[time.Duration].
type Setting struct {
	Flag  string // "" for what is not configurable
	Value any
	Code  wire.Code // with which who is over it is told
	About string
}

// Settings returns all limits of a configuration that has its defaults, in the order in which they are told of.
func (c *Config) Settings() []Setting {
	l := &c.Limits
	all := []Setting{
		{"limit-payload", &l.Payload, wire.CodeTooLarge, "bytes of one event's payload"},
		{"limit-transaction", &l.TransactionBytes, wire.CodeTooLarge, "bytes of one transaction"},
		{"limit-transaction-events", &l.TransactionEvents, wire.CodeTooLarge, "events of one transaction"},
		{"limit-type", &l.Type, wire.CodeTooLarge, "bytes of an event's type"},
		{"limit-identity", &l.Identity, wire.CodeTooLarge, "bytes of an author's or creator's name"},
		{"limit-client-version", &l.ClientVersion, wire.CodeTooLarge, "bytes of a client's version"},
		{"limit-api", &l.API, wire.CodeTooLarge, "bytes of the version of the wire contract in a transaction"},
		{"limit-params", &l.Params, wire.CodeTooLarge, "bytes of the params of a space"},
		{"limit-message", &l.Message, wire.CodeMessageTooBig, "bytes of one message from a client, its parts together"},
		{"limit-frame", &l.Frame, wire.CodeUnknown, "bytes of one WebSocket message to a client; bigger ones go in parts"},
		{"limit-push-window", &l.PushWindow, wire.CodeWindowExceeded, "bytes pushed and unanswered on one connection"},
		{"limit-subscribe-pairs", &l.SubscribePairs, wire.CodeTooMany, "spaces in one subscribe"},
		{"limit-subscriptions", &l.Subscriptions, wire.CodeTooMany, "subscriptions of one connection"},
	}
	rate := func(flag string, r *Rate, what string) {
		all = append(all,
			Setting{flag + "-burst", &r.Burst, wire.CodeRateLimited, what + ", at once"},
			Setting{flag + "-per-hour", &r.PerHour, wire.CodeRateLimited, what + ", an hour after that"})
	}
	rate("create", &c.Creation.Identity, "spaces created by one identity")
	rate("create-address", &c.Creation.Address, "spaces created from one network address")
	rate("create-server", &c.Creation.Server, "spaces created on the server")
	rate("events", &c.Rates.IdentityEvents, "events of one identity")
	rate("events-address", &c.Rates.AddressEvents, "events from one network address")
	rate("bytes", &c.Rates.IdentityBytes, "bytes of one identity's transactions")
	rate("bytes-address", &c.Rates.AddressBytes, "bytes of transactions from one network address")
	rate("modules", &c.Rates.IdentityModules, "new modules uploaded by one identity")
	rate("modules-address", &c.Rates.AddressModules, "new modules uploaded from one network address")
	rate("requests", &c.Rates.AddressRequests, "sockets and requests of the API from one network address")
	rate("connects-address", &c.Rates.AddressConnects, "connections from one network address that are written to the audit log")
	all = append(all,
		Setting{"unsettled-address-burst", &c.Rates.AddressUnsettled.Burst, wire.CodeUnknown, "transactions from one network address that wait for their verdict or were refused (a genesis counts five), at once; whoever sends more is read more slowly"},
		Setting{"unsettled-address-per-hour", &c.Rates.AddressUnsettled.PerHour, wire.CodeUnknown, "the same, an hour after that"})
	all = append(all,
		Setting{"quota-spaces", &c.Quotas.Spaces, wire.CodeOverQuota, "spaces that one identity has created and not deleted"},
		Setting{"quota-bytes", &c.Quotas.Bytes, wire.CodeOverQuota, "bytes of the events that one identity has written, in spaces that are not deleted"},
		Setting{"quota-modules", &c.Quotas.Modules, wire.CodeOverQuota, "modules that one identity has uploaded and that are kept"})
	return append(all,
		Setting{"connections", &c.Connections.Total, wire.CodeUnknown, "connections in all; more are closed"},
		Setting{"connections-address", &c.Connections.Address, wire.CodeUnknown, "connections from one network address; more are closed"},
		Setting{"connections-waiting", &c.Connections.Waiting, wire.CodeUnknown, "connections that have sent no request yet; of more the oldest is closed"},
		Setting{"connections-waiting-address", &c.Connections.AddressWaiting, wire.CodeUnknown, "the same from one network address; more are closed"},
		Setting{"handshake-timeout", &c.HandshakeTimeout, wire.CodeIdle, "time for a client's hello"},
		Setting{"idle-timeout", &c.IdleTimeout, wire.CodeIdle, "silence of a client"},
		Setting{"recovery-window", &c.RecoveryWindow, wire.CodeRecovering, "time for replicas to bring back what the log lost, in which nobody writes: to any space after a restore, to one that is found to have lost records else"},
		Setting{"write-timeout", &c.WriteTimeout, wire.CodeSlowReader, "time in which a client takes a message"},
	)
}

// FixedSettings are the limits that nobody has a reason to configure. Their values are numbers and times.
func FixedSettings() []Setting {
	return []Setting{
		{"", wire.MaxProofs, wire.CodeTooMany, "identities of one connection"},
		{"", wire.MaxTransactions, wire.CodeTooMany, "transactions in one push"},
		{"", wire.MaxAbsent, wire.CodeTooMany, "spaces that the server does not have (yet) to which one connection has pushed"},
		{"", wire.MaxSignature, wire.CodeTooLarge, "bytes of a genesis' signature"},
		{"", maxLinked, wire.CodeTooMany, "devices that were linked to one identity, those that were revoked included"},
		{"", maxRevoked, wire.CodeTooMany, "devices of one identity that were revoked, those that were never linked included"},
		{"", wire.MaxDirectories, wire.CodeTooMany, "directory requests under way on one connection"},
		{"", wire.MaxRequests, wire.CodeTooMany, "fetch and blob requests that wait on one connection; the same of locates"},
		{"", wire.MaxPoints, wire.CodeTooMany, "points in one locate"},
		{"", wire.MaxUpload, wire.CodeTooLarge, "bytes of a module"},
		{"", wire.MaxEphemeral, wire.CodeTooLarge, "bytes of one ephemeral"},
		{"", wire.EphemeralRate, wire.CodeRateLimited, "bytes of ephemerals a second on one connection"},
		{"", maxName, wire.CodeTooLarge, "bytes of a space's name"},
		{"", maxRangeRecords, wire.CodeBadArgument, "events in one answer of the API"},
		{"", httpHeader, wire.CodeUnknown, "bytes of a request's header (431)"},
		{"", httpHeaderTime, wire.CodeUnknown, "time for a request's header"},
		{"", httpReadTime, wire.CodeUnknown, "time for a whole request"},
		{"", httpWriteTime, wire.CodeUnknown, "time for an answer over plain HTTP; a stream of events has write-timeout for each message"},
		{"", httpIdleTime, wire.CodeUnknown, "time between requests of one connection"},
		{"", meteredKeys, wire.CodeUnknown, "identities and addresses whose rates are remembered in memory"},
	}
}

// Text returns the value as flags are written.
func (s *Setting) Text() string {
	switch v := s.Value.(type) {
	case *int:
		return fmt.Sprint(*v)
	case *uint64:
		return fmt.Sprint(*v)
	case *time.Duration:
		return v.String()
	}
	return fmt.Sprint(s.Value)
}

// Defaults returns a configuration with which a server behaves as with none, and whose settings can be changed one by one.
func Defaults() Config { return Config{}.withDefaults() }
