//go:build !js

package memstore

import "crypto/rand"

// draw fills b with randomness. It never fails: the program would have crashed.
func draw(b []byte) { rand.Read(b) }
