package sqlitelog

import "golang.org/x/sys/windows"

// freeBytes returns how many bytes there is room for where dir is, if that is known.
func freeBytes(dir string) (free int64, known bool) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, false
	}
	var bytes uint64
	if windows.GetDiskFreeSpaceEx(name, &bytes, nil, nil) != nil {
		return 0, false
	}
	return int64(min(bytes, 1<<62)), true
}
