package moduletest

import _ "embed"

//go:embed guests/work.wasm
var workBytes []byte

// Work returns the bytes of a program that computes and has no manifest, to measure what its meter costs. Each export of
// [WorkKinds] takes how much it is to do, and returns something that depends on it; "fill" is called once before.
func Work() []byte { return workBytes }

// WorkKinds names what [Work] can do, with how much of it takes some milliseconds.
var WorkKinds = []struct {
	Name string
	N    uint32
}{
	{"words", 40}, // counts the words of a text
	{"hash", 40},  // hashes a text, byte by byte
	{"sort", 10},  // sorts numbers
	{"calls", 30}, // calls itself, and hardly anything else
}
