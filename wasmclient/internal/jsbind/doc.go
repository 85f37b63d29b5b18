// Package jsbind is typed access to JavaScript objects: the thin layer under everything that touches the browser.
//
// A throw becomes an error ([Call], [New], [Try]), with the name that a DOMException has ([Error], [IsNamed]). A
// promise is waited for with [Await]. A listener returns its remover ([Listen]). Bytes cross as copies, in one
// call each way ([FromBytes], [ToBytes]): Go's memory may move under a view, and a view into a larger buffer would
// be cloned with all of it by IndexedDB and postMessage.
//
// Callbacks run on a goroutine of their own while JavaScript waits; one that blocks on an event of the browser
// deadlocks the page, so they hand over to a goroutine and return. Everything builds for js only; what is above
// has a native peer.
//
// Stable: nothing; the package is internal.
package jsbind
