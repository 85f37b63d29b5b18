//go:build !linux && !darwin && !freebsd && !windows

package sqlitelog

// freeBytes does not know.
func freeBytes(string) (free int64, known bool) { return 0, false }
