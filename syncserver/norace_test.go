//go:build !race

package syncserver_test

const raceDetector = false
