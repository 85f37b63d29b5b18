package gate

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Gate
		if err := g.Enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := g.Shut(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("shut with somebody inside and no time: %v", err)
		}
		if err := g.Enter(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("entered a shut gate: %v", err)
		}
		shut, entered := make(chan error, 1), make(chan error, 2)
		go func() { shut <- g.Shut(t.Context()) }()
		for range 2 {
			go func() { entered <- g.Enter(t.Context()) }()
		}
		synctest.Wait()
		if len(shut)+len(entered) > 0 {
			t.Fatal("the gate shut around somebody, or let somebody in")
		}
		if !g.Leave() {
			t.Error("Leave did not say that the gate is shut")
		}
		if err := <-shut; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if len(entered) > 0 {
			t.Fatal("a shut gate let somebody in")
		}
		g.Open()
		g.Open()
		for range 2 {
			if err := <-entered; err != nil {
				t.Error(err)
			}
			if g.Leave() {
				t.Error("Leave said that the gate is shut")
			}
		}
	})
}
