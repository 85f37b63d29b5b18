package guest

import "unsafe"

// The imports of the ABI, by name.

//go:wasmimport skerry1 get
//go:noescape
func hostGet(table int32, key unsafe.Pointer, length uint32, out unsafe.Pointer, room uint32) int32

//go:wasmimport skerry1 put
//go:noescape
func hostPut(table int32, row unsafe.Pointer, length uint32)

//go:wasmimport skerry1 delete
//go:noescape
func hostDelete(table int32, key unsafe.Pointer, length uint32) int32

//go:wasmimport skerry1 scan_open
//go:noescape
func hostScanOpen(table, index int32, key unsafe.Pointer, length uint32, flags int32) int32

//go:wasmimport skerry1 scan_next
//go:noescape
func hostScanNext(handle int32, out unsafe.Pointer, room uint32) int32

//go:wasmimport skerry1 scan_close
func hostScanClose(handle int32)

//go:wasmimport skerry1 fail
//go:noescape
func hostFail(code int32, reason unsafe.Pointer, length uint32)

//go:wasmimport skerry1 blake3
//go:noescape
func hostBLAKE3(at unsafe.Pointer, length uint32, out unsafe.Pointer)

//go:wasmimport skerry1 log
//go:noescape
func hostLog(line unsafe.Pointer, length uint32)

// The exports of the ABI, by name, and the one by which the manifest is asked for. Package link leaves out those that the
// module does not have.

//go:wasmexport skerry_io
func exportIO() int32 { return int32(uintptr(unsafe.Pointer(&region))) }

//go:wasmexport skerry_manifest
func exportManifest(int32) int32 {
	for piece := range answers() {
		hostLog(pointer(piece), uint32(len(piece)))
	}
	return 1
}

//go:wasmexport authorize
func exportAuthorize(length int32) int32 {
	callAuthorize(entry(length))
	return 0
}

//go:wasmexport apply
func exportApply(length int32) { callApply(entry(length)) }

//go:wasmexport init
func exportInit(length int32) { registered.init(entry(length)) }

//go:wasmexport readable
func exportReadable(length int32) int32 {
	if registered.module.Readable(entry(length).text()) {
		return 1
	}
	return 0
}

//go:wasmexport migrate
func exportMigrate(length int32) int32 {
	registered.migrate(entry(length))
	return 0
}
