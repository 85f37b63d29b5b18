//go:build ignore

// Command goldenserver keeps what a server says, for later versions' clients to be held to: it starts the program, talks with it over a socket
// as a device does that comes with some transactions of its own, and writes down every frame that came, byte for byte, with what it was asked.
// wasmclient's TestGoldenServer lets a client meet it again.
//
// Usage: go run .ci/goldenserver.go -skerry FILE -out testdata/golden/N/server.json
package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/coder/websocket"

	"skerry/shared/identity"
	"skerry/shared/module"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// said is one frame of the server.
type said struct {
	Space string `json:"space,omitempty"` // that it is about
	Seq   uint64 `json:"seq,omitempty"`   // where it leads to
	Frame string `json:"frame"`
}

// kept is all of the file. Bytes are hexadecimal.
type kept struct {
	Server   string   `json:"server"` // what it says of its version
	Host     string   `json:"host"`   // by which it was dialled
	Identity string   `json:"identity"`
	Seed     string   `json:"seed"`    // of the identity's key
	Spaces   []made   `json:"spaces"`  // which the device knows
	Waiting  []waits  `json:"waiting"` // which it comes with, in order
	Greeting []string `json:"greeting"`
	Listing  string   `json:"listing"` // the answer to its first directory
	Ended    said     `json:"ended"`   // a subscription to a space that is not there yet
	Before   []said   `json:"before"`  // what a subscription to the first space is sent, from the start, before it pushed
	After    []said   `json:"after"`   // what subscriptions to both are sent when it has, from where that was
	Pong     string   `json:"pong"`
	Unknown  string   `json:"unknown"` // what a frame of number 99 is answered with
}

type made struct {
	Genesis   string `json:"genesis"`
	Signature string `json:"signature"`
	There     bool   `json:"there"`
}

type waits struct {
	Space       string `json:"space"`
	Transaction string `json:"transaction"`
	Pushed      string `json:"pushed"` // the answer when it is pushed alone; with the genesis, if the space is not there
}

func main() {
	program := flag.String("skerry", "build/skerry", "the server")
	out := flag.String("out", "", "the file to write")
	flag.Parse()
	if err := run(*program, *out); err != nil {
		fmt.Fprintln(os.Stderr, "goldenserver:", err)
		os.Exit(1)
	}
}

type talk struct {
	ctx    context.Context
	host   string
	me     string
	secret ed25519.PrivateKey
	socket *websocket.Conn
	joiner wire.Joiner
}

func run(program, out string) error {
	if _, err := os.Stat(out); err == nil || out == "" {
		return errors.New("golden files are never made again: name one that is not there")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "skerry-golden-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	host := port.Addr().String()
	port.Close()
	server := exec.CommandContext(ctx, program, "serve", "--listen", host, "--data", filepath.Join(dir, "data"), "--admin", "nobody")
	server.Stderr = os.Stderr
	if err := server.Start(); err != nil {
		return err
	}
	defer func() { server.Process.Kill(); server.Wait() }()
	for exec.CommandContext(ctx, program, "health", "--url", "http://"+host).Run() != nil {
		if ctx.Err() != nil {
			return errors.New("the server does not start")
		}
		time.Sleep(50 * time.Millisecond)
	}
	version, err := exec.CommandContext(ctx, program, "version").Output()
	if err != nil {
		return err
	}

	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed)
	secret := ed25519.NewKeyFromSeed(seed)
	name, err := identity.New(identity.Ed25519, secret.Public().(ed25519.PublicKey))
	if err != nil {
		return err
	}
	t := &talk{ctx: ctx, host: host, me: name.String(), secret: secret}
	k := &kept{Server: strings.TrimSpace(string(version)), Host: host, Identity: t.me, Seed: hex.EncodeToString(seed)}

	// What was there: a space with transactions of one to three events.
	ids := space.NewIDSource(rand.Reader)
	next := func() space.ULID {
		id, err := ids.New(uint64(time.Now().UnixMilli()))
		if err != nil {
			panic(err)
		}
		return id
	}
	transaction := func(n int) space.Transaction {
		t := space.Transaction{Author: t.me, API: wire.APIHigh, ClientVersion: "golden/1"}
		for i := range n {
			t.Events = append(t.Events, space.Event{ID: next(), Type: "note", Payload: []byte{0xa3, 'n', 'o', '0' + byte(i)}})
		}
		return t
	}
	old, young := &space.Genesis{Stamp: next(), Creator: t.me, Module: module.Open}, &space.Genesis{Stamp: next(), Creator: t.me, Module: module.Open}
	for _, g := range []*space.Genesis{old, young} {
		k.Spaces = append(k.Spaces, made{hex.EncodeToString(wire.AppendGenesis(nil, g)), hex.EncodeToString(t.sign(space.GenesisMessage(g.ID()))), g == old})
	}
	if _, err := t.connect(); err != nil {
		return err
	}
	push := &wire.Push{Space: old.ID(), N: 1, Genesis: old, GenesisSignature: t.sign(space.GenesisMessage(old.ID()))}
	for n := range 6 {
		push.Transactions = append(push.Transactions, transaction(1+n%3))
	}
	if _, err := t.ask(push, wire.NumberPushed); err != nil {
		return err
	}

	// The device comes.
	if k.Greeting, err = t.connect(); err != nil {
		return err
	}
	listing, err := t.ask(&wire.Directory{Ref: 1}, wire.NumberSpaces)
	if err != nil {
		return err
	}
	k.Listing = listing[len(listing)-1].Frame
	if k.Before, err = t.ask(&wire.Subscribe{Subscriptions: []wire.Subscription{{Space: old.ID(), Position: space.Start(old.ID())}}}, wire.NumberCaughtUp); err != nil {
		return err
	}
	ended, err := t.ask(&wire.Subscribe{Subscriptions: []wire.Subscription{{Space: young.ID(), Position: space.Start(young.ID())}}}, wire.NumberEnded)
	if err != nil {
		return err
	}
	k.Ended = ended[len(ended)-1]
	counts := map[space.ID]uint64{}
	for _, of := range []*space.Genesis{old, young, old, young} {
		id := of.ID()
		counts[id]++
		push := &wire.Push{Space: id, N: counts[id], Transactions: []space.Transaction{transaction(2)}}
		if of == young && counts[id] == 1 {
			push.Genesis, push.GenesisSignature = young, t.sign(space.GenesisMessage(id))
		}
		answer, err := t.ask(push, wire.NumberPushed)
		if err != nil {
			return err
		}
		k.Waiting = append(k.Waiting, waits{id.String(), hex.EncodeToString(wire.AppendTransaction(nil, &push.Transactions[0])), answer[len(answer)-1].Frame})
	}
	if _, err := t.connect(); err != nil {
		return err
	}
	caughtUp, err := hex.DecodeString(k.Before[len(k.Before)-1].Frame)
	if err != nil {
		return err
	}
	at, err := wire.Decode(caughtUp)
	if err != nil {
		return err
	}
	for _, from := range []wire.Subscription{{Space: old.ID(), Position: at.(*wire.CaughtUp).Position}, {Space: young.ID(), Position: space.Start(young.ID())}} {
		frames, err := t.ask(&wire.Subscribe{Subscriptions: []wire.Subscription{from}}, wire.NumberCaughtUp)
		if err != nil {
			return err
		}
		k.After = append(k.After, frames...)
	}
	pong, err := t.ask(&wire.Ping{}, wire.NumberPong)
	if err != nil {
		return err
	}
	k.Pong = pong[len(pong)-1].Frame
	if err := t.socket.Write(ctx, websocket.MessageBinary, []byte{0x91, 99}); err != nil {
		return err
	}
	unknown, err := t.until(wire.NumberError)
	if err != nil {
		return err
	}
	k.Unknown = unknown[len(unknown)-1].Frame
	text, err := json.MarshalIndent(k, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(out, append(text, '\n'), 0o666)
}

func (t *talk) sign(message []byte) []byte { return ed25519.Sign(t.secret, message) }

// connect returns the challenge and the welcome.
func (t *talk) connect() (greeting []string, err error) {
	if t.socket != nil {
		t.socket.CloseNow()
	}
	if t.socket, _, err = websocket.Dial(t.ctx, "ws://"+t.host+"/sync", &websocket.DialOptions{Subprotocols: []string{wire.Subprotocol}}); err != nil {
		return nil, err
	}
	t.socket.SetReadLimit(-1)
	t.joiner = wire.Joiner{Limit: wire.MaxServerMessage}
	frames, err := t.until(wire.NumberChallenge)
	if err != nil {
		return nil, err
	}
	b, _ := hex.DecodeString(frames[0].Frame)
	f, err := wire.Decode(b)
	if err != nil {
		return nil, err
	}
	challenge := f.(*wire.Challenge)
	hello := &wire.Hello{API: wire.APIHigh, Credit: 1 << 30, Proofs: []wire.Proof{{Identity: t.me, Proof: t.sign(space.ProofMessage(challenge.Nonce, challenge.Server, t.host))}}}
	rand.Read(hello.ConnectionID[:])
	rand.Read(hello.Session[:])
	welcome, err := t.ask(hello, wire.NumberWelcome)
	if err != nil {
		return nil, err
	}
	return []string{frames[0].Frame, welcome[0].Frame}, nil
}

// ask sends a frame and returns what comes, up to one of the number.
func (t *talk) ask(f wire.Frame, until wire.Number) ([]said, error) {
	if err := t.socket.Write(t.ctx, websocket.MessageBinary, wire.Append(nil, f)); err != nil {
		return nil, err
	}
	return t.until(until)
}

func (t *talk) until(number wire.Number) (all []said, err error) {
	for {
		_, piece, err := t.socket.Read(t.ctx)
		if err != nil {
			return nil, err
		}
		message, err := t.joiner.Add(piece)
		if err != nil {
			return nil, err
		}
		if message == nil {
			continue
		}
		f, err := wire.Decode(message)
		if err != nil {
			return nil, err
		}
		s := said{Frame: hex.EncodeToString(message)}
		switch f := f.(type) {
		case *wire.Events:
			s.Space, s.Seq = f.Space.String(), f.Position.Seq
		case *wire.CaughtUp:
			s.Space, s.Seq = f.Space.String(), f.Position.Seq
		case *wire.Ended:
			s.Space = f.Space.String()
		case *wire.Pushed:
			s.Space = f.Space.String()
		case *wire.Error:
			if number != wire.NumberError {
				return nil, fmt.Errorf("the server says %v: %s", f.Code, f.Reason)
			}
		}
		all = append(all, s)
		if f.Number() == number {
			return all, nil
		}
	}
}
