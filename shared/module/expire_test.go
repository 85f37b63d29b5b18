package module

import (
	"math"
	"testing"
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
	for _, payload := range []string{"", "\x80", "\x81\xa4upto", "\x81\xa4upto\xa17", "\x81\xa4upto\xff", "\x90"} {
		if upto, ok := ExpiredTo([]byte(payload)); ok {
			t.Errorf("%q is read as %d", payload, upto)
		}
	}
}
