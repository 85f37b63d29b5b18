//go:build !race

package sqlitelog

const raceDetector = false
