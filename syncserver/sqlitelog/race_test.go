//go:build race

package sqlitelog

const raceDetector = true
