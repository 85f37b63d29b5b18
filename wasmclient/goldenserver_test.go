//go:build !js

package wasmclient_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/wasmclient"
	"skerry/wasmclient/memstore"
)

// TestGoldenServer lets this version's client meet what earlier versions' servers said, as .ci/goldenserver.go has written it down: a device with
// transactions of its own pulls, pushes and reads back. What stands in for the server answers with the frames that were recorded, byte for
// byte, takes nothing that the server did not know, and shares no code with what reads and writes frames here. So it is not that server: how it
// would have answered to anything else is not shown.
func TestGoldenServer(t *testing.T) {
	found, err := filepath.Glob(filepath.Join("..", "testdata", "golden", "*", "server.json"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no server's words are kept: %v", err)
	}
	for _, file := range found {
		t.Run(filepath.Base(filepath.Dir(file)), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var kept keptServer
			if err := json.Unmarshal(text, &kept); err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) { meet(t, &kept) })
		})
	}
}

// hexBytes are hexadecimal in JSON.
type hexBytes []byte

func (b *hexBytes) UnmarshalText(text []byte) (err error) {
	*b, err = hex.DecodeString(string(text))
	return err
}

type keptFrame struct {
	Space string
	Seq   uint64
	Frame hexBytes
}

type keptServer struct {
	Host, Identity string
	Seed           hexBytes
	Spaces         []struct {
		Genesis, Signature hexBytes
		There              bool
	}
	Waiting []struct {
		Space               string
		Transaction, Pushed hexBytes
	}
	Greeting      []hexBytes
	Listing       hexBytes
	Ended         keptFrame
	Before, After []keptFrame
	Pong, Unknown hexBytes
}

func meet(t *testing.T, kept *keptServer) {
	secret := ed25519.NewKeyFromSeed(kept.Seed)
	store := memstore.New(memstore.Config{Identity: kept.Identity})
	for _, s := range kept.Spaces {
		genesis, err := wire.DecodeGenesis(s.Genesis)
		if err != nil {
			t.Fatal(err)
		}
		commit := replica.SpaceCommit{Space: genesis.ID(), Insert: &replica.SpaceInfo{
			Genesis: &genesis, GenesisSignature: s.Signature, Created: s.There, Position: space.Start(genesis.ID()), Module: genesis.Module,
		}}
		for _, w := range kept.Waiting {
			if w.Space != genesis.ID().String() {
				continue
			}
			transaction, err := wire.DecodeTransaction(w.Transaction)
			if err != nil {
				t.Fatal(err)
			}
			commit.Append = append(commit.Append, replica.OutboxRow{Entry: replica.Entry{ID: transaction.ID()}, Transaction: transaction})
		}
		if _, err := store.Commit(t.Context(), &replica.Commit{Strict: true, Spaces: []replica.SpaceCommit{commit}}); err != nil {
			t.Fatal(err)
		}
	}
	server := &goldenServer{T: t, kept: kept, heads: map[string]uint64{}, sent: map[string]uint64{}, subscribed: map[string]bool{}}
	for _, f := range kept.Before {
		server.heads[f.Space] = max(server.heads[f.Space], f.Seq)
	}
	client, err := wasmclient.Open(t.Context(), wasmclient.Config{
		Store: store, URL: "ws://" + kept.Host + "/sync", Dialer: server,
		Sign: func(_ context.Context, message []byte) ([]byte, error) { return ed25519.Sign(secret, message), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(context.Background())
	for _, s := range kept.Spaces {
		genesis, _ := wire.DecodeGenesis(s.Genesis)
		client.Space(genesis.ID())
	}
	time.Sleep(2 * time.Minute)
	synctest.Wait()
	status := client.Status()
	if status.Connection != "online" || status.Pending+status.PendingSpaces+status.Rejected+status.CatchingUp != 0 || status.Code != 0 {
		t.Errorf("%+v", status)
	}
	if server.dials != 1 || server.pings == 0 {
		t.Errorf("it dialled %d times, and sent %d pings", server.dials, server.pings)
	}
	// It has what was recorded, whose chain it has folded itself.
	for _, s := range kept.Spaces {
		genesis, _ := wire.DecodeGenesis(s.Genesis)
		id := genesis.ID()
		var want []space.Record
		for _, f := range slices.Concat(kept.Before, kept.After) {
			if events, err := wire.Decode(f.Frame); err == nil && f.Space == id.String() {
				if e, ok := events.(*wire.Events); ok {
					want = append(want, e.Records...)
				}
			}
		}
		got := []space.Record{}
		for r, err := range client.Space(id).Events(t.Context(), wasmclient.EventsOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, r)
		}
		if len(want) == 0 || !slices.EqualFunc(got, want, func(a, b space.Record) bool {
			return bytes.Equal(wire.AppendRecord(nil, &a), wire.AppendRecord(nil, &b))
		}) {
			t.Errorf("of %v it has %d records, and %d were recorded", id, len(got), len(want))
		}
		if at := client.Space(id).Info().Position; at.Seq != uint64(len(want)) || at.Chain != space.Fold(id, want) {
			t.Errorf("of %v it stands at %d", id, at.Seq)
		}
	}
}

// goldenServer answers one client with what was recorded. Frames are taken apart by msgpack alone.
type goldenServer struct {
	*testing.T
	kept        *keptServer
	out         chan []byte
	closed      chan struct{}
	dials       int
	pings       int
	heads, sent map[string]uint64 // by space: where its log ends, and how far the client was sent it
	subscribed  map[string]bool
}

func (g *goldenServer) Dial(context.Context, string) (wasmclient.Conn, error) {
	if g.dials++; g.dials > 1 {
		return nil, net.ErrClosed
	}
	g.out, g.closed = make(chan []byte, 1000), make(chan struct{})
	g.out <- g.kept.Greeting[0]
	return g, nil
}

func (g *goldenServer) Read(ctx context.Context) ([]byte, error) {
	select {
	case b := <-g.out:
		return b, nil
	case <-g.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (g *goldenServer) Close(string) error {
	select {
	case <-g.closed:
	default:
		close(g.closed)
	}
	return nil
}

// Numbers of the frames that the recorded server was sent, and a few that need no record.
const (
	goldenHello, goldenDirectory, goldenPush, goldenSubscribe, goldenUnsubscribe, goldenCredit, goldenPing = 2, 4, 6, 8, 9, 18, 19
)

func (g *goldenServer) Write(_ context.Context, message []byte) error {
	f := g.array(message)
	var number int
	g.read(f[0], &number)
	switch number {
	case goldenHello:
		g.hello(f)
	case goldenDirectory:
		answer := g.array(g.kept.Listing)
		answer[1] = f[1]
		g.say(answer)
	case goldenSubscribe:
		for _, pair := range g.array(f[1]) {
			g.subscribe(g.array(pair))
		}
	case goldenUnsubscribe:
		for _, id := range g.array(f[1]) {
			delete(g.subscribed, g.id(id))
		}
	case goldenPush:
		g.push(f)
	case goldenCredit:
	case goldenPing:
		g.pings++
		g.out <- g.kept.Pong
	default:
		g.Errorf("the client sends frame %d, of which nothing was recorded: %x", number, message)
		if number > 32 {
			g.out <- g.kept.Unknown
		}
	}
	return nil
}

// hello checks the proof by what it is made of, and the version.
func (g *goldenServer) hello(f []msgpack.RawMessage) {
	challenge := g.array(g.kept.Greeting[0])
	var nonce, server, proof []byte
	var low, high, api, identity string
	g.read(challenge[1], &nonce)
	g.read(challenge[2], &server)
	g.read(challenge[3], &low)
	g.read(challenge[4], &high)
	g.read(f[1], &api)
	if low != high || api != low {
		g.Errorf("the client chose %s of %s to %s", api, low, high)
	}
	one := g.array(g.array(f[7])[0])
	g.read(one[0], &identity)
	g.read(one[1], &proof)
	message := slices.Concat([]byte("skerry.proof.1"), nonce, server, []byte{byte(len(g.kept.Host) << 2)}, []byte(g.kept.Host))
	if identity != g.kept.Identity || !ed25519.Verify(ed25519.NewKeyFromSeed(g.kept.Seed).Public().(ed25519.PublicKey), message, proof) {
		g.Errorf("%s does not prove who it is", identity)
	}
	g.out <- g.kept.Greeting[1]
}

func (g *goldenServer) subscribe(pair []msgpack.RawMessage) {
	id := g.id(pair[0])
	if g.heads[id] == 0 {
		g.out <- g.kept.Ended.Frame
		return
	}
	var seq uint64
	g.read(g.array(pair[1])[0], &seq)
	g.subscribed[id], g.sent[id] = true, seq
	g.follow(id)
}

// follow sends what the client was not sent of a space to which it is subscribed.
func (g *goldenServer) follow(id string) {
	if !g.subscribed[id] {
		return
	}
	var frames []keptFrame
	if g.heads[id] <= g.recorded(g.kept.Before, id) {
		frames = g.kept.Before
	} else {
		frames = g.kept.After
	}
	for _, f := range frames {
		if f.Space == id && f.Seq <= g.heads[id] && f.Seq >= g.sent[id] {
			g.out <- f.Frame
			g.sent[id] = f.Seq
		}
	}
}

func (g *goldenServer) recorded(frames []keptFrame, id string) (seq uint64) {
	for _, f := range frames {
		if f.Space == id {
			seq = max(seq, f.Seq)
		}
	}
	return seq
}

// push answers with the verdicts that each of the transactions had, which it must be, byte for byte.
func (g *goldenServer) push(f []msgpack.RawMessage) {
	id := g.id(f[1])
	verdicts := []msgpack.RawMessage{}
	var genesis msgpack.RawMessage = []byte{0xc0}
	for _, pushed := range g.array(f[6]) {
		at := slices.IndexFunc(g.kept.Waiting, func(w struct {
			Space               string
			Transaction, Pushed hexBytes
		}) bool {
			return w.Space == id && bytes.Equal(w.Transaction, pushed)
		})
		if at < 0 {
			g.Errorf("the client pushes what it did not have: %x", pushed)
			continue
		}
		answer := g.array(g.kept.Waiting[at].Pushed)
		if len(answer[3]) > 1 {
			genesis = answer[3]
		}
		for _, v := range g.array(answer[4]) {
			verdicts = append(verdicts, v)
			var seq uint64
			g.read(g.array(g.array(v)[1])[0], &seq)
			g.heads[id] = max(g.heads[id], seq)
		}
	}
	g.say([]msgpack.RawMessage{{7}, f[1], f[2], genesis, g.pack(verdicts)})
	g.follow(id)
}

func (g *goldenServer) say(f []msgpack.RawMessage) { g.out <- g.pack(f) }

func (g *goldenServer) pack(f []msgpack.RawMessage) []byte {
	if len(f) > 15 {
		g.Fatal("too many elements for this test")
	}
	return append([]byte{0x90 | byte(len(f))}, slices.Concat(f...)...)
}

func (g *goldenServer) id(raw msgpack.RawMessage) string {
	var id []byte
	g.read(raw, &id)
	return fmt.Sprintf("%x", id)
}

func (g *goldenServer) array(raw []byte) (elements []msgpack.RawMessage) {
	g.read(raw, &elements)
	return elements
}

func (g *goldenServer) read(raw []byte, into any) {
	if err := msgpack.Unmarshal(raw, into); err != nil {
		g.Fatalf("%v in %x", err, raw)
	}
}
