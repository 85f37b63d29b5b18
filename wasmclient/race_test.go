//go:build !js && race

package wasmclient_test

const raceDetector = true
