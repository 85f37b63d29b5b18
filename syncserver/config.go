package syncserver

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"time"

	"skerry/shared/module"
	"skerry/shared/wire"
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

	// Limits is what clients may send. Fields that are zero are those of [wire.DefaultLimits].
	Limits wire.Limits

	// Creation limits how fast spaces are created. Rates that are zero are those of [DefaultCreation].
	Creation CreationLimits

	// InsecureIdentities takes the identities that clients name without any proof. It is for development on the
	// loopback interface. Without it every connection that names an identity is refused.
	InsecureIdentities bool

	// Web is served under / (nil: one line of text). Beside a file, name.br and name.gz are its compressed forms.
	Web fs.FS

	// AllowedOrigins are the hosts of other pages that may connect, as path.Match patterns ("*.example.com"). A
	// page of the server's own host always may, and so may whatever is no browser.
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
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Engine == nil {
		c.Engine = module.Native
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
	for _, timeout := range []struct {
		set  *time.Duration
		zero time.Duration
	}{
		{&c.RetryAfter, time.Second}, {&c.ModulesKept, 30 * 24 * time.Hour}, {&c.HandshakeTimeout, 10 * time.Second},
		{&c.IdleTimeout, 90 * time.Second}, {&c.WriteTimeout, 30 * time.Second},
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
	for name, timeout := range map[string]time.Duration{
		"retry after": c.RetryAfter, "modules kept": c.ModulesKept, "handshake": c.HandshakeTimeout, "idle": c.IdleTimeout, "write": c.WriteTimeout,
	} {
		if timeout < 0 {
			return fmt.Errorf("syncserver: the %s time is negative", name)
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
