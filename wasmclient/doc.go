// Package wasmclient keeps a replica of a user's spaces on this device and syncs it with a server whenever there is
// one. It is the client of Skerry: compiled for GOOS=js it is what a page loads, and it builds natively as well, for
// Go programs and for tests.
//
// # Using it
//
// [Open] a client over a [Store]; make spaces with [Client.CreateSpace] or open one by its ID with [Client.Space];
// append to them. None of it needs a network: a [Receipt] tells when what was appended is durable on this device and
// when the server has it.
//
//	client, err := wasmclient.Open(ctx, wasmclient.Config{Store: store, URL: "ws://127.0.0.1:8080/sync"})
//	notes, err := client.CreateSpace(ctx, wasmclient.SpaceOptions{})
//	receipt, err := notes.Append(ctx, "note.write", map[string]any{"text": "hello"})
//	err = receipt.Durable(ctx)
//	position, err := receipt.Synced(ctx)
//
// [Space.Events] reads what is committed, and waits for more if asked to. What is written here and not committed yet
// is in [Space.Pending]; what the server refused is in [Space.Rejected] until it is retried or discarded.
//
// # How it works
//
// One goroutine, the loop, owns a [replica.Replica], the pure core that makes every decision. Everything else is a
// thin shell around it: a goroutine for each store operation under way, one that reads the socket and one that
// writes it. Callers hand work to the loop and wait for an answer or for ctx.
//
// # How it stops
//
// [Client.Close] waits until what was appended is durable or has failed, closes the socket, ends every goroutine and
// leaves the store to its owner. What was not synced stays in the store and is synced by whoever opens it next.
//
// Stable: nothing yet in Go; this is the first version. What a store keeps is stable (package replica).
package wasmclient
