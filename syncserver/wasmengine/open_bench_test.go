package wasmengine

import (
	"context"
	"fmt"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/module/moduletest"
	"skerry/shared/module/program"
	"skerry/shared/space"
	"skerry/shared/tables"
)

// BenchmarkOpen is what it takes to have the tables of a chat of 100,000 messages: by its log, and from a checkpoint.
func BenchmarkOpen(b *testing.B) {
	const messages = 100_000
	content := moduletest.Chat()
	engine, err := New(func(context.Context, digest.Digest) ([]byte, error) { return content, nil }, Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer engine.Close()
	genesis := &space.Genesis{Creator: "creator", Module: digest.Of(content)}
	t := space.Transaction{Author: "creator"}
	for n := range messages {
		t.Events = append(t.Events, space.Event{Type: "message", Payload: moduletest.ChatMessage(fmt.Sprint("room ", n%20), "a message of some words, as people write them in a chat, and a few more")})
	}
	records := t.Records(1, 1_700_000_000_000)
	for i := range records {
		records[i].Index, records[i].Count = 0, 1
	}
	replay := func() *Instance {
		i, err := engine.New(genesis)
		if err == nil {
			err = i.Apply(records)
		}
		if err != nil {
			b.Fatal(err)
		}
		return i.(*Instance)
	}
	b.Run("replay", func(b *testing.B) {
		for b.Loop() {
			replay().Close()
		}
	})
	b.Run("checkpoint", func(b *testing.B) {
		pages := map[digest.Digest][]byte{}
		i := replay()
		root, err := i.Committed().AppendCheckpoint(nil, &tables.Checkpoint{Space: genesis.ID(), Seq: messages, Module: genesis.Module, ABI: program.ABI}, func(d digest.Digest, content func() ([]byte, error)) error {
			page, err := content()
			pages[d] = append([]byte{}, page...)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
		i.Close()
		for b.Loop() {
			i, err := engine.Begin(genesis, program.Origin{Root: root, Page: func(d digest.Digest) ([]byte, error) { return pages[d], nil }})
			if err != nil || i.Applied() != messages {
				b.Fatal(err)
			}
			i.Close()
		}
	})
}
