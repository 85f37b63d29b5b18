package main

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/module/moduletest"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver/sqlitelog"
)

// TestInfoAfterUpgrade looks into a data directory whose space went over to another module: what it is made of stays, and
// what judges it now is told beside it.
func TestInfoAfterUpgrade(t *testing.T) {
	dir := t.TempDir()
	log, err := sqlitelog.Open(t.Context(), sqlitelog.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	genesis := &space.Genesis{Stamp: space.ULID{1}, Creator: "ann", Module: module.Open}
	id, next := genesis.ID(), digest.Of(moduletest.Chat())
	if _, err := log.Create(t.Context(), genesis, nil); err != nil {
		t.Fatal(err)
	}
	change := space.Transaction{Author: "ann", API: wire.APIHigh, Events: []space.Event{{
		ID: space.ULID{2}, Type: module.TypeModule, Payload: moduletest.UpgradeTo(moduletest.Chat()),
	}}}
	records := change.Records(1, 1)
	if err := log.Append(t.Context(), id, space.Head{Chain: id}, records, space.Head{Seq: 1, Chain: space.Fold(id, records), ReceivedAt: 1}); err != nil {
		t.Fatal(err)
	}
	noted := append(binary.BigEndian.AppendUint64(nil, 1), next[:]...) // as the server notes it before it appends
	if set, err := log.CompareAndSet(t.Context(), "module/"+id.String(), nil, noted); err != nil || !set {
		t.Fatal(set, err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	for flag, want := range map[string][]string{
		"--json=false": {"\nmodule   open " + module.Open.String() + "  since record 0, 2004-11-03T19:53:47Z\nmodule   " + next.String() + "  since record 1, 1970-01-01T00:00:00Z\n"},
		"--json":       {`"module":"` + module.Open.String() + `"`, `"module_now":"` + next.String() + `"`},
	} {
		var out, failed bytes.Buffer
		if code := run(t.Context(), []string{"space", "info", "--data", dir, flag, id.String()}, nil, &out, &failed); code != 0 {
			t.Fatalf("exit %d: %s", code, &failed)
		}
		for _, text := range want {
			if !strings.Contains(out.String(), text) {
				t.Errorf("%s prints %s, without %s", flag, &out, text)
			}
		}
	}
}
