package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/space"
	"skerry/syncserver/wasmengine"
)

const (
	judgingWanted = 10.0 // microseconds, at most
	judgingRounds = 10   // of which each judges so many messages:
	judgingEach   = 10_000
)

// judging returns how many microseconds it takes to authorize and apply a message of a chat, in a table that grows to
// 100,000: what the pipeline of a space waits for. Each is a transaction, and 100 are committed at a time.
func judging() (float64, error) {
	engine, err := wasmengine.New(func(context.Context, digest.Digest) ([]byte, error) { return chatModule, nil }, wasmengine.Options{})
	if err != nil {
		return 0, err
	}
	defer engine.Close()
	l := load{seed: 1, payload: payloadSize, chat: "message"}
	author := l.member(0).identity
	instance, err := engine.New(&space.Genesis{Creator: author, Module: digest.Of(chatModule)})
	if err != nil {
		return 0, err
	}
	defer instance.Close()
	w := l.writer(0)
	seq := uint64(0)
	took := make([]time.Duration, judgingRounds)
	for round := range took {
		events := w.chatEvents(judgingEach)
		transactions := make([][]space.Record, len(events))
		for i := range events {
			t := space.Transaction{Author: author, Events: events[i : i+1]}
			transactions[i] = t.Records(seq+uint64(i)+1, 1_700_000_000_000)
		}
		began := time.Now()
		for _, records := range transactions {
			seq++
			verdict, err := instance.Judge(module.Caller{Identity: author}, records)
			if err == nil && !verdict.Allowed() {
				err = fmt.Errorf("a message was not allowed: %v %s", verdict.Code, verdict.Reason)
			}
			if err != nil {
				return 0, err
			}
			if seq%100 == 0 {
				instance.Commit(seq)
			}
		}
		took[round] = time.Since(began)
	}
	slices.Sort(took)
	return float64(took[judgingRounds/2]) / judgingEach / float64(time.Microsecond), nil
}
