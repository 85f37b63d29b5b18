package idbstore

import (
	"syscall/js"

	"skerry/shared/replica"
	"skerry/wasmclient/internal/jsbind"
)

// onlyHereRows is how many rows of the outbox are looked at, which may have a mebibyte each. Where there are more, one of them waits.
const onlyHereRows = 64

// onlyHere is what may be on this device alone.
type onlyHere struct{ rows, refused, lost, spaces rawRequest }

func (t *transaction) askOnlyHere() onlyHere {
	all := js.Undefined()
	return onlyHere{
		t.getAll(storeOutbox, all, onlyHereRows), t.raw(false, storeRejected, "count"), t.raw(false, storeLost, "count"), t.getAll(storeSpaces, all, 0),
	}
}

// any reports whether there is anything of it.
func (o *onlyHere) any() (bool, error) {
	rows, spaces := o.rows.result(), o.spaces.result()
	if rows.Length() == onlyHereRows || o.refused.result().Int()+o.lost.result().Int() > 0 {
		return true, nil
	}
	for i := range rows.Length() {
		row, err := decodeOutboxRow(jsbind.ToBytes(rows.Index(i).Get("row")), 0)
		if err != nil || row.State == replica.Waiting {
			return true, err
		}
	}
	for i := range spaces.Length() {
		row, err := decodeSpaceRow(jsbind.ToBytes(spaces.Index(i)))
		if err != nil || row.info.Unmade() {
			return true, err
		}
	}
	return false, nil
}

// erase deletes everything, and says so to whoever has the database open.
func (t *transaction) erase() {
	for _, store := range allStores {
		t.issue(store, "clear")
	}
	t.putMeta(metaMinReader, appendNumber(forgotten))
	t.putMeta(metaMinWriter, appendNumber(forgotten))
}
