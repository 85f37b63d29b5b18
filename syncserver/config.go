package syncserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"path"
	"time"

	"go.opentelemetry.io/otel/trace"

	"skerry/shared/digest"
	"skerry/shared/hub"
	"skerry/shared/module"
	"skerry/shared/module/system"
	"skerry/shared/wire"
	"skerry/syncserver/auth"
)

// Config is everything that a [Server] is made of. Only Log has to be set; zero values mean what is written
// beside each field.
type Config struct {
	// Log keeps what must survive the server. The server uses it until Run has returned and never closes it.
	Log Log

	// Logger tells what happens. Nil: nothing is told.
	Logger *slog.Logger

	// Engine makes the modules that judge spaces. Nil: [module.Native], which knows those that are built in.
	Engine module.Engine

	// Policy is the module of the system space, which says who may connect. It has to be in the log, or built in. Zero: the one that
	// is built in, if Engine runs modules, and else there is no system space: everybody may connect who has proven who they are.
	// PolicyParams are its params, of msgpack. When either is another than before the space is taken over to it.
	Policy       digest.Digest
	PolicyParams []byte

	// Limits is what clients may send. Fields that are zero are those of [wire.DefaultLimits].
	Limits wire.Limits

	// API is what is spoken of the wire contract. Zero: what this build speaks, which is what everybody wants. Another range is for tests of
	// what happens between versions.
	API wire.APIRange

	// Creation limits how fast spaces are created. Rates that are zero are those of [DefaultCreation].
	Creation CreationLimits

	// Connections limits how many there are, where the server is served by [Server.HTTP] on a [Server.Listener]. Fields that are zero are
	// those of [DefaultConnections].
	Connections ConnectionLimits

	// Rates limits how fast clients send. Those that are zero are those of [DefaultRates].
	Rates Rates

	// Quotas limit how much one identity may have on the server. Fields that are zero are those of [DefaultQuotas].
	Quotas Quotas

	// Retention is how much of its log a space keeps that has no setting of its own ([SetRetention]). Zero: everything. SystemAge is how long
	// the system space, the administrators' audit log, keeps its records (zero: 90 days; negative: for ever).
	Retention Retention
	SystemAge time.Duration

	// Auth says who clients are. Nil: an [auth.New] that takes keys and nothing else.
	Auth auth.Authenticator

	// PublicHosts are the hosts by which clients dial the server, each with its port unless that is the scheme's own. Proofs of
	// keys for any other are refused. Without any, only the machine's own addresses count ([auth.Hosts]), which is right for a server
	// that is dialled directly: behind a reverse proxy, or by a name, it has to be said.
	PublicHosts []string

	// Authenticate returns the identities that a bearer token of the API stands for, with what it claims of them, which the policy
	// sees, and until when it counts (milliseconds since 1970, 0: not limited); or an error, which should have a code
	// ([wire.CodeBadCredentials]): of one without, the client is not told the text. It is asked again while an answer goes on. It must be safe for concurrent use. Nil: no token is
	// taken, and the API tells what everybody may read to those whom Auth admits without a proof.
	Authenticate func(ctx context.Context, token string) ([]hub.Proven, error)

	// RequireSetup keeps everything but health, setup and the files of Web until [Server.SetUp] has named an administrator: routes answer
	// 503, pushes are deferred with setup_required, and clients keep what they wrote and try again. It is for servers whose policy
	// knows of administrators ($setup); with another, or without a system space, nobody is waited for.
	RequireSetup bool

	// LocalSetup lets whoever asks from this machine, by a loopback address in every respect, become the administrator without the
	// server's token. It is for development: behind a reverse proxy everybody may seem to ask from this machine.
	LocalSetup bool

	// Traces takes spans of what the server does: handshakes, pushes, appends, requests, checkpoints, deletions. Nil: there are none. It must
	// not hold the server up.
	Traces trace.TracerProvider

	// Web is served under / (nil: one line of text). Beside a file, name.br and name.gz are its compressed forms.
	Web fs.FS

	// AllowedOrigins are the hosts of other pages that may connect and use the API, as path.Match patterns ("*.example.com",
	// or with a scheme, "https://app.example.com"). A page of the server's own host always may, and so may whatever is no browser.
	AllowedOrigins []string

	// TrustedProxies are the reverse proxies whose X-Forwarded-For is believed, so that rate limits see clients
	// and not the proxy.
	TrustedProxies []netip.Prefix

	// ModulesKept is how long an uploaded module is kept that no space names (zero: 30 days). It should be longer than
	// anybody who uploaded it may be offline before the space that needs it is pushed.
	ModulesKept time.Duration

	// RetryAfter is what clients are told when the server stops. Zero: one second.
	RetryAfter time.Duration

	// HandshakeTimeout is how long a client has for its hello (zero: 10 s), IdleTimeout how long it may be silent
	// (zero: 90 s; clients send a ping after 20 s), WriteTimeout how long a message may take to be taken off the
	// server's hands (zero: 30 s). A client that is slower is disconnected.
	HandshakeTimeout, IdleTimeout, WriteTimeout time.Duration

	// RecoveryWindow is how long spaces are not written to after the log was restored ([MarkRestored]), from when the server starts, and how long
	// one is whose log is found to have lost records, from then on: until replicas have brought back what was lost (zero: 10 minutes).
	RecoveryWindow time.Duration

	// Now is the clock. Nil: time.Now.
	Now func() time.Time
}

// Rate admits Burst at once after a long silence, then PerHour an hour.
type Rate struct{ Burst, PerHour int }

// CreationLimits are the rates at which spaces are created: by one identity, from one address (an IPv4 address or
// an IPv6 /64), and on the server. All three are charged together or not at all, and survive a restart.
type CreationLimits struct{ Identity, Address, Server Rate }

// DefaultCreation are the rates of a server that was not configured otherwise.
var DefaultCreation = CreationLimits{
	Identity: Rate{Burst: 20, PerHour: 60},
	Address:  Rate{Burst: 100, PerHour: 300},
	Server:   Rate{Burst: 1000, PerHour: 6000},
}

// withDefaults returns the configuration with every zero replaced by what it means.
func (c Config) withDefaults() Config {
	c.API = c.API.OrBuild()
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Auth == nil {
		c.Auth, _ = auth.New(auth.Config{})
	}
	if c.Engine == nil {
		c.Engine = module.Native
	}
	if _, runs := c.Engine.(module.Checker); runs && c.Policy.IsZero() {
		c.Policy = system.Digest
	}
	for _, rate := range []struct{ set, zero *Rate }{
		{&c.Creation.Identity, &DefaultCreation.Identity},
		{&c.Creation.Address, &DefaultCreation.Address},
		{&c.Creation.Server, &DefaultCreation.Server},
	} {
		if *rate.set == (Rate{}) {
			*rate.set = *rate.zero
		}
	}
	for _, limit := range []struct {
		set  *int
		zero int
	}{
		{&c.Connections.Total, DefaultConnections.Total}, {&c.Connections.Address, DefaultConnections.Address},
		{&c.Connections.Waiting, DefaultConnections.Waiting}, {&c.Connections.AddressWaiting, DefaultConnections.AddressWaiting},
	} {
		if *limit.set == 0 {
			*limit.set = limit.zero
		}
	}
	if c.Quotas.Spaces == 0 {
		c.Quotas.Spaces = DefaultQuotas.Spaces
	}
	if c.Quotas.Modules == 0 {
		c.Quotas.Modules = DefaultQuotas.Modules
	}
	if c.Quotas.Bytes == 0 {
		c.Quotas.Bytes = DefaultQuotas.Bytes
	}
	zero := DefaultRates
	var rates []Rate
	zero.each(func(_ string, rate *Rate) { rates = append(rates, *rate) })
	c.Rates.each(func(_ string, rate *Rate) {
		if *rate == (Rate{}) {
			*rate = rates[0]
		}
		rates = rates[1:]
	})
	for _, timeout := range []struct {
		set  *time.Duration
		zero time.Duration
	}{
		{&c.RetryAfter, time.Second}, {&c.ModulesKept, 30 * 24 * time.Hour}, {&c.SystemAge, 90 * 24 * time.Hour}, {&c.HandshakeTimeout, 10 * time.Second},
		{&c.IdleTimeout, 90 * time.Second}, {&c.WriteTimeout, 30 * time.Second}, {&c.RecoveryWindow, 10 * time.Minute},
	} {
		if *timeout.set == 0 {
			*timeout.set = timeout.zero
		}
	}
	c.Limits = limitsWithDefaults(c.Limits)
	return c
}

func limitsWithDefaults(l wire.Limits) wire.Limits {
	zero := wire.DefaultLimits
	for _, limit := range []struct {
		set  *uint64
		zero uint64
	}{
		{&l.Type, zero.Type}, {&l.Identity, zero.Identity}, {&l.ClientVersion, zero.ClientVersion},
		{&l.API, zero.API}, {&l.Params, zero.Params}, {&l.Payload, zero.Payload},
		{&l.TransactionEvents, zero.TransactionEvents}, {&l.TransactionBytes, zero.TransactionBytes},
		{&l.Message, zero.Message}, {&l.Frame, zero.Frame}, {&l.PushWindow, zero.PushWindow},
		{&l.SubscribePairs, zero.SubscribePairs}, {&l.Subscriptions, zero.Subscriptions},
	} {
		if *limit.set == 0 {
			*limit.set = limit.zero
		}
	}
	return l
}

// validate says what is wrong with a configuration that has its defaults.
func (c *Config) validate() error {
	if c.Log == nil {
		return errors.New("syncserver: the configuration has no log")
	}
	for name, rate := range map[string]Rate{"identity": c.Creation.Identity, "address": c.Creation.Address, "server": c.Creation.Server} {
		if rate.Burst < 0 || rate.PerHour < 0 {
			return fmt.Errorf("syncserver: the rate of creation per %s is negative", name)
		}
	}
	if n := c.Connections; min(n.Total, n.Address, n.Waiting, n.AddressWaiting) < 0 {
		return errors.New("syncserver: a limit on connections is negative")
	}
	if err := c.Retention.validate(); err != nil {
		return fmt.Errorf("syncserver: retention: %w", err)
	}
	if min(c.Quotas.Spaces, c.Quotas.Modules) < 0 {
		return errors.New("syncserver: a quota is negative")
	}
	var bad error
	c.Rates.each(func(name string, rate *Rate) {
		if rate.Burst < 0 || rate.PerHour < 0 {
			bad = fmt.Errorf("syncserver: the rate of %s is negative", name)
		}
	})
	for name, rate := range map[string]struct {
		Rate
		least uint64
	}{
		"events per identity": {c.Rates.IdentityEvents, c.Limits.TransactionEvents}, "events per address": {c.Rates.AddressEvents, c.Limits.TransactionEvents},
		"bytes per identity": {c.Rates.IdentityBytes, c.Limits.TransactionBytes}, "bytes per address": {c.Rates.AddressBytes, c.Limits.TransactionBytes},
	} {
		if uint64(rate.Burst) < rate.least { // it would be deferred for ever
			bad = fmt.Errorf("syncserver: the burst of %s is below %d, which one transaction may have", name, rate.least)
		}
	}
	if bad != nil {
		return bad
	}
	for name, timeout := range map[string]time.Duration{
		"retry after": c.RetryAfter, "modules kept": c.ModulesKept, "handshake": c.HandshakeTimeout, "idle": c.IdleTimeout, "write": c.WriteTimeout,
		"recovery": c.RecoveryWindow,
	} {
		if timeout < 0 {
			return fmt.Errorf("syncserver: the %s time is negative", name)
		}
	}
	for _, pattern := range c.AllowedOrigins {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("syncserver: the pattern of allowed origins %q is malformed", pattern)
		}
	}
	// One transaction with all of its overhead has to fit in a message, and what was accepted in a client's.
	if l := c.Limits; l.TransactionBytes+64*l.TransactionEvents+l.Params+1024 > l.Message {
		return fmt.Errorf("syncserver: a message of %d bytes cannot carry a transaction of %d events and %d bytes", l.Message, l.TransactionEvents, l.TransactionBytes)
	} else if l.Message > wire.MaxServerMessage/2 {
		return fmt.Errorf("syncserver: the limit on messages is over %d bytes", wire.MaxServerMessage/2)
	} else if l.Frame < 1<<10 {
		return errors.New("syncserver: the limit on frames is below 1,024 bytes")
	}
	return nil
}

// interval returns the time that pays for one, and false if nothing ever does.
func (r Rate) charge(key string) Charge {
	charge := Charge{Key: key, Burst: r.Burst, Cost: 1, Interval: time.Hour * 24 * 365}
	if r.PerHour > 0 {
		charge.Interval = time.Hour / time.Duration(r.PerHour)
	}
	return charge
}
