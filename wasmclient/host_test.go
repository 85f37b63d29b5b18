package wasmclient

import "testing"

func TestHostOf(t *testing.T) {
	for url, want := range map[string]string{
		"ws://127.0.0.1:8080/sync":      "127.0.0.1:8080",
		"wss://Sync.Example.org/sync":   "sync.example.org",
		"wss://sync.example.org:443":    "sync.example.org",
		"wss://sync.example.org:80/x":   "sync.example.org:80",
		"ws://sync.example.org:80?x":    "sync.example.org",
		"ws://ann:pass@[::1]:8080#a@b/": "[::1]:8080",
	} {
		if got := hostOf(url); got != want {
			t.Errorf("%s: %q, want %q", url, got, want)
		}
	}
}
