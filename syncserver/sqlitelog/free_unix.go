//go:build linux || darwin || freebsd

package sqlitelog

import "golang.org/x/sys/unix"

// freeBytes returns how many bytes there is room for where dir is, if that is known.
func freeBytes(dir string) (free int64, known bool) {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil {
		return 0, false
	}
	return int64(s.Bavail) * int64(s.Bsize), true
}
