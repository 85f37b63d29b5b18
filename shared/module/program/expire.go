package program

import (
	"encoding/binary"
	"fmt"

	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/space"
	"skerry/shared/tables"
	"skerry/shared/wire"
)

// expireFields are those of the payload of [module.TypeExpire].
var expireFields = []Field{{Name: "upto", Kind: tables.U64}}

// expire judges a record by which the first records expire. The tables stay as they are, and are kept as they are behind it: whoever
// begins with less of the log than all begins there. Modules are asked as about a deletion: who may have another module judge could have
// that one throw away what it likes. The server needs nobody's leave: what it does not want to keep it need not.
func (i *Instance) expire(p *proposal, caller *module.Caller, records []space.Record) (v module.Verdict, err error) {
	record := &records[0]
	if len(records) != 1 {
		return module.Verdict{Code: wire.CodeBadTransaction, Reason: "an expiry is a transaction of its own"}, nil
	}
	bad := func(format string, args ...any) (module.Verdict, error) {
		return module.Verdict{Code: wire.CodeBadPayload, Reason: fmt.Sprintf("%s: %s", record.Type, fmt.Sprintf(format, args...))}, nil
	}
	row, err := appendRow(nil, expireFields, record.Payload)
	if err != nil {
		return bad("%v", err)
	}
	if caller != nil && !caller.Server { // before they are told anything of the log
		asked := *record
		asked.Type, asked.Payload = module.TypeModule, module.Upgrade(digest.Digest{}, nil)
		if v, err = i.mayUpgrade(p, caller, &asked, "have records expire of"); err != nil || !v.Allowed() {
			return v, err
		}
	}
	upto := binary.LittleEndian.Uint64(row)
	switch {
	case upto >= record.Seq:
		return bad("there is no record %d yet", upto)
	case caller != nil && upto <= p.expired: // who begins behind it and applies it knows so
		return bad("the records up to %d have expired already", p.expired)
	}
	p.expired, p.expires = max(p.expired, upto), upto
	return v, nil
}

// needsWhole says of a module that cannot take over since records have expired why, if it is so.
func (p *proposal) needsWhole(to *Loaded) module.Verdict {
	if p.expired == 0 || to.native() || to.Program.Manifest.Upgrade != Replay {
		return module.Verdict{}
	}
	m := to.Program.Manifest
	return badUpgrade("module %s %s makes its tables of the whole log, of which the records up to %d have expired", m.Name, m.Version, p.expired)
}

// HasExpired tells that records up to a number had expired where the instance begins.
func (i *Instance) HasExpired(upto uint64) { i.committed.expired = max(i.committed.expired, upto) }

// Expired implements [Materializer].
func (i *Instance) Expired() uint64 { return i.newest().expired }

// checkpoint is what is to be kept of a proposal that is at a place, when it becomes durable. A checkpoint that was not fetched yet is
// replaced by it, and what had expired up to there is known.
func (p *proposal) checkpoint(before *Checkpoint) *Checkpoint {
	c := &Checkpoint{Seq: p.seq, Module: module.Open, Tables: p.place, Expired: p.expires}
	if !p.by.native() {
		c.Module, c.ABI = p.by.Program.Digest, p.by.Program.Manifest.ABI
	}
	if before != nil {
		c.Expired = max(c.Expired, before.Expired)
	}
	return c
}
