//go:build !js

package wasmclient_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"skerry/shared/wire"
	"skerry/wasmclient"
)

// TestFollowersKnowHowItStands looks at a tab that does not sync: what the one that does knows of the server is known
// there within a second, and not any more when that one is silent.
func TestFollowersKnowHowItStands(t *testing.T) {
	inBubble(t, func(w *world) {
		d := w.device("ada")
		leader, follower := d.tab(), d.tab()
		leader.leads(time.Second)
		s := leader.makeSpace()
		follower.Space(s.ID())
		time.Sleep(time.Second)
		synctest.Wait()
		want, got := leader.Status(), follower.Status()
		if got.Leader || want.Connection != "online" || got.Connection != want.Connection || got.LastSync == 0 || got.LastSync != want.LastSync {
			w.Errorf("the tab that leads says %+v, the other %+v", want, got)
		}
		if !leader.Space(s.ID()).Info().CaughtUp || !follower.Space(s.ID()).Info().CaughtUp {
			w.Error("the space is not caught up in both tabs")
		}
		heard, spaces := 0, 0
		defer follower.OnChange(func(c wasmclient.Change) {
			if c.Status {
				heard++
			} else if c.Space == s.ID() {
				spaces++
			}
		})()
		leader.freeze()
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if got := follower.Status(); got.Connection != "following" || heard == 0 {
			w.Errorf("of a leader that is silent the other says %+v after %d changes", got, heard)
		}
		if follower.Space(s.ID()).Info().CaughtUp || spaces == 0 {
			w.Errorf("a space is caught up though nobody leads, or that it is not was not told: %d changes", spaces)
		}
		leader.thaw()
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if got := follower.Status(); got.Connection != "online" {
			w.Errorf("of a leader that is back the other says %+v", got)
		}
		if !follower.Space(s.ID()).Info().CaughtUp {
			w.Error("the space is not caught up when the leader is back")
		}
	})
}

// unreachable is a [wasmclient.Dialer] with no server behind it.
type unreachable struct{}

func (unreachable) Dial(context.Context, string) (wasmclient.Conn, error) {
	return nil, errors.New("no server there")
}

// TestFollowersKnowWhyNot has a server that cannot be reached: every tab says so, and when the next attempt is.
func TestFollowersKnowWhyNot(t *testing.T) {
	inBubble(t, func(w *world) {
		d := w.device("ada")
		alone := func(c *wasmclient.Config) { c.Dialer = unreachable{} }
		leader, follower := d.tab(alone), d.tab(alone)
		leader.leads(time.Second)
		time.Sleep(time.Minute)
		var want, got wasmclient.Status
		for range 5 { // it may have tried again just now, and is heard of half a second later
			time.Sleep(time.Second)
			synctest.Wait()
			want, got = leader.Status(), follower.Status()
			if want.Connection == "offline" && want.DialAt != 0 && !got.Leader && got.Connection == want.Connection &&
				got.DialAt == want.DialAt && got.Code == want.Code && got.Reason == want.Reason {
				return
			}
		}
		w.Errorf("the tab that leads says %+v, the other %+v", want, got)
	})
}

// babel is a [wasmclient.Dialer] to a server that says one thing, and waits.
type babel []byte

func (b babel) Dial(context.Context, string) (wasmclient.Conn, error) {
	says := make(chan []byte, 1)
	says <- b
	return babelConn{says}, nil
}

type babelConn struct{ says chan []byte }

func (c babelConn) Read(ctx context.Context) ([]byte, error) {
	select {
	case said := <-c.says:
		return said, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (babelConn) Write(context.Context, []byte) error { return nil }
func (babelConn) Close(string) error                  { return nil }

// TestMessagesThatAreNoFrames: a server that says what is no frame, or a frame of an api that was not agreed on, is left,
// the status tells it, and what was written here stays.
func TestMessagesThatAreNoFrames(t *testing.T) {
	for name, said := range map[string][]byte{"no msgpack": {0xc1}, "an unknown number": {0x91, 0xcc, 200}} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				tab := w.device("ada").tab(func(c *wasmclient.Config) { c.Dialer = babel(said) })
				s, err := tab.CreateSpace(w.Context(), wasmclient.SpaceOptions{})
				if err != nil {
					w.Fatal(err)
				}
				append1(w.T, s, "still here")
				tab.leads(time.Second)
				time.Sleep(time.Second)
				synctest.Wait()
				if status := tab.Status(); status.Connection != "offline" || status.Code != wire.CodeBadServerMessage || status.DialAt == 0 {
					w.Errorf("the status is %+v", status)
				}
				if waiting := tab.Status().Pending; waiting != 1 {
					w.Errorf("%d transactions wait", waiting)
				}
			})
		})
	}
}
