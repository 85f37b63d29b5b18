package idbstore

import (
	"syscall/js"
	"testing"

	"skerry/shared/replica"
	"skerry/shared/space"
)

// TestLoadLetsMessagesIn counts the messages that come in while many spaces are decoded.
func TestLoadLetsMessagesIn(t *testing.T) {
	s := openTest(t, freshName(t))
	const spaces = 16 * decodedAtOnce
	for n := 0; n < spaces; {
		c := &replica.Commit{}
		for ; len(c.Spaces) < 128; n++ {
			id := space.ID{byte(n >> 8), byte(n)}
			c.Spaces = append(c.Spaces, replica.SpaceCommit{Space: id, Insert: &replica.SpaceInfo{Position: space.Start(id)}})
		}
		mustCommit(t, s, c)
	}
	var l *loading
	err := s.view(t.Context(), func(tx *transaction) (err error) {
		l, err = tx.load()
		return err
	}, storeMeta, storeSpaces, storeOutbox, storeRejected, storeLost)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := gather(t.Context(), l.ids)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := gather(t.Context(), l.rows)
	if err != nil {
		t.Fatal(err)
	}
	versions, err := gather(t.Context(), l.versions)
	if err != nil {
		t.Fatal(err)
	}
	messages := func() (heard int) {
		channel := js.Global().Get("MessageChannel").New()
		again := js.FuncOf(func(js.Value, []js.Value) any {
			heard++
			channel.Get("port2").Call("postMessage", js.Null())
			return nil
		})
		defer again.Release()
		channel.Get("port1").Set("onmessage", again)
		defer channel.Get("port1").Call("close")
		channel.Get("port2").Call("postMessage", js.Null())
		if err := l.decodeSpaces(ids, rows, versions); err != nil {
			t.Fatal(err)
		}
		return heard
	}()
	// An engine may take our turn before the other channel's, now and then: WebKit has let 15 of 16 in.
	if len(l.loaded.Spaces) != spaces || messages < spaces/decodedAtOnce/2 {
		t.Fatalf("%d messages came in while %d spaces were decoded", messages, len(l.loaded.Spaces))
	}
}
