// Package gobuild makes a module of a Go program that uses package skerry/shared/module/guest.
//
//	module, err := gobuild.Build(ctx, "./policy", "", machines)   // the directory of package main, and an engine to ask it by
//
// It runs the go command of the machine, for GOOS=wasip1; asks the program what it declares, by running it as a module
// would be; and joins both. The same program and the same toolchain make the same bytes, wherever they lie.
//
// Stable: [Build] and [Engine]. What it makes of the same program may change with the toolchain and with this package, and so may the
// module's hash: the bytes of a released module are kept, and not made again.
package gobuild
