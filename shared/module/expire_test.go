package module

import (
	"math"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/space"
)

func TestExpire(t *testing.T) {
	for _, upto := range []uint64{0, 1, 127, 128, math.MaxUint32, math.MaxUint64} {
		if got, ok := ExpiredTo(Expire(upto)); !ok || got != upto {
			t.Errorf("%d is read as %d, %v", upto, got, ok)
		}
	}
	if got, ok := ExpiredTo([]byte("\x82\xa1x\x90\xa4upto\x07")); !ok || got != 7 {
		t.Errorf("beside another field it is read as %d, %v", got, ok)
	}
	at := space.Position{Seq: 1 << 40, Chain: digest.Of([]byte("chain")), Seal: digest.Of(nil)}
	for _, payload := range []string{"\x81\xa4upto\x07", "\x82\xa1x\x90\xa4upto\x07"} {
		payload := ExpireSeen([]byte(payload), &at)
		upto, ok := ExpiredTo(payload)
		seen, says := ExpirySeen(payload)
		if !ok || upto != 7 || !says || seen.Seq != at.Seq || seen.Chain != at.Chain || len(payload) > 64 {
			t.Errorf("%q is read as %d, seen %+v", payload, upto, seen)
		}
		if again := ExpireSeen(payload, &space.Position{}); string(again) != string(payload) {
			t.Errorf("said again it is %q", again)
		}
	}
	for _, payload := range []string{"", "\x80", "\x81\xa4upto", "\xde\x00\x01\xa4upto\x07"} {
		if got := ExpireSeen([]byte(payload), &at); string(got) != payload {
			t.Errorf("%q has become %q", payload, got)
		}
	}
	for _, payload := range []string{"", "\x80", "\x81\xa4upto", "\x81\xa4upto\xa17", "\x81\xa4upto\xff", "\x90"} {
		if upto, ok := ExpiredTo([]byte(payload)); ok {
			t.Errorf("%q is read as %d", payload, upto)
		}
	}
}
