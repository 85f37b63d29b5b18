//go:build race

package wasmengine

const raceDetector = true
