// Package syncserver is Skerry's thin server.
package syncserver
