package module_test

import (
	"bytes"
	"errors"
	"testing"

	"skerry/shared/module"
	"skerry/shared/space"
)

func TestOpenIsForEver(t *testing.T) {
	if !bytes.Equal(module.OpenBytes, []byte("\x00asm\x01\x00\x00\x00")) {
		t.Errorf("bytes %x", module.OpenBytes)
	}
	const want = "0d66d411a21e80d93afa1487b002a1867432c04ba1d08dc790d259639f6a69c4"
	if got := module.Open.String(); got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}

func TestOpenAllowsEverything(t *testing.T) {
	instance, err := module.Native.New(&space.Genesis{Module: module.Open})
	if err != nil {
		t.Fatal(err)
	}
	defer instance.Close()
	transaction := space.Transaction{Author: "ann", Events: []space.Event{{ID: space.ULID{1}, Type: "t", Payload: []byte{0xc1}}}}
	records := transaction.Records(1, 1)
	verdict, err := instance.Judge(module.Caller{Identity: "ann"}, records)
	if err != nil || !verdict.Allowed() {
		t.Errorf("judged %v, %v", verdict, err)
	}
	instance.Commit(1)
	instance.Rollback()
	if instance.Applied() != module.NeedsNothing || instance.Apply(records) != nil {
		t.Error("it needs records")
	}
	if may, err := instance.MayRead(""); !may || err != nil {
		t.Errorf("may read %v, %v", may, err)
	}
}

func TestOtherModulesAreMissing(t *testing.T) {
	if _, err := module.Native.New(&space.Genesis{}); !errors.Is(err, module.ErrMissing) {
		t.Errorf("err %v", err)
	}
}
