package jsbind

import (
	"context"
	"syscall/js"
)

// Signer returns what signs messages by a CryptoKey, of Ed25519 or of ECDSA with SHA-256.
func Signer(key js.Value) func(context.Context, []byte) ([]byte, error) {
	algorithm := map[string]any{"name": key.Get("algorithm").Get("name"), "hash": "SHA-256"}
	return func(ctx context.Context, message []byte) ([]byte, error) {
		promise, err := Call(js.Global().Get("crypto").Get("subtle"), "sign", algorithm, key, FromBytes(message))
		if err != nil {
			return nil, err
		}
		signature, err := Await(ctx, promise)
		if err != nil {
			return nil, err
		}
		return ToBytes(uint8Array.New(signature)), nil
	}
}
