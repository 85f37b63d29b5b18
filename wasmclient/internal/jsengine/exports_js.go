package jsengine

//lint:file-ignore U1000 glue.js calls what is exported here

// done tells glue.js whether the module goes on.
func done(ok bool) {
	if !ok {
		state.stop = 1
	}
}

func give(result int32, ok bool) int32 {
	done(ok)
	return result
}

//go:wasmexport skerry_get
func hostGet(table int32, key, length, out, room uint32) int32 {
	return give(current.host.Get(&current.guest, table, key, length, out, room))
}

//go:wasmexport skerry_put
func hostPut(table int32, at, length uint32) {
	done(current.host.Put(&current.guest, table, at, length))
}

//go:wasmexport skerry_delete
func hostDelete(table int32, key, length uint32) int32 {
	return give(current.host.Delete(&current.guest, table, key, length))
}

//go:wasmexport skerry_scan_open
func hostScanOpen(table, index int32, prefix, length uint32, flags int32) int32 {
	return give(current.host.ScanOpen(&current.guest, table, index, prefix, length, flags))
}

//go:wasmexport skerry_scan_next
func hostScanNext(handle int32, out, room uint32) int32 {
	return give(current.host.ScanNext(&current.guest, handle, out, room))
}

//go:wasmexport skerry_scan_close
func hostScanClose(handle int32) {
	done(current.host.ScanClose(&current.guest, handle))
}

//go:wasmexport skerry_fail
func hostFail(code int32, reason, length uint32) {
	done(current.host.Fail(&current.guest, code, reason, length))
}

//go:wasmexport skerry_blake3
func hostBLAKE3(at, length, out uint32) {
	done(current.host.BLAKE3(&current.guest, at, length, out))
}

//go:wasmexport skerry_log
func hostLog(at, length uint32) {
	done(current.host.Log(&current.guest, at, length))
}
