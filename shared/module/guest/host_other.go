//go:build !wasip1

package guest

import "unsafe"

// Elsewhere a program that is a module can be built and looked at, and not run: there is no host.

const noHost = "guest: only a module has a host: skerry module build makes one"

func hostGet(int32, unsafe.Pointer, uint32, unsafe.Pointer, uint32) int32 { panic(noHost) }
func hostPut(int32, unsafe.Pointer, uint32)                               { panic(noHost) }
func hostDelete(int32, unsafe.Pointer, uint32) int32                      { panic(noHost) }
func hostScanOpen(int32, int32, unsafe.Pointer, uint32, int32) int32      { panic(noHost) }
func hostScanNext(int32, unsafe.Pointer, uint32) int32                    { panic(noHost) }
func hostScanClose(int32)                                                 { panic(noHost) }
func hostFail(int32, unsafe.Pointer, uint32)                              { panic(noHost) }
func hostBLAKE3(unsafe.Pointer, uint32, unsafe.Pointer)                   { panic(noHost) }
func hostLog(unsafe.Pointer, uint32)                                      { panic(noHost) }
