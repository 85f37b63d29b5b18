package memstore

import "skerry/wasmclient/internal/jsbind"

// draw fills b with randomness, without package crypto/rand, which is too big for a page.
func draw(b []byte) {
	if _, err := jsbind.Random.Read(b); err != nil {
		panic("memstore: no randomness: " + err.Error())
	}
}
