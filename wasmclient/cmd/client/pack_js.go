package main

import (
	"encoding/binary"

	"skerry/shared/replica"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/wasmclient"
)

// What crosses to the page is msgpack, written here in append style: arrays whose elements the page knows by place.

func appendArray(b []byte, n int) []byte {
	if n < 16 {
		return append(b, 0x90|byte(n))
	}
	return binary.BigEndian.AppendUint32(append(b, 0xdd), uint32(n))
}

func appendUint(b []byte, n uint64) []byte {
	switch {
	case n < 128:
		return append(b, byte(n))
	case n < 1<<32:
		return binary.BigEndian.AppendUint32(append(b, 0xce), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xcf), n)
}

func appendBytes(b, p []byte) []byte {
	return append(binary.BigEndian.AppendUint32(append(b, 0xc6), uint32(len(p))), p...)
}

func appendText(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(append(b, 0xdb), uint32(len(s))), s...)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 0xc3)
	}
	return append(b, 0xc2)
}

func appendNil(b []byte) []byte { return append(b, 0xc0) }

// appendStatus: [connection, leader, pending, pendingSpaces, undurable, rejected, catchingUp, retryAt, code, reason,
// lastSync, storage, dialAt, lost].
func appendStatus(b []byte, s *wasmclient.Status) []byte {
	b = appendArray(b, 14)
	b = appendText(b, s.Connection)
	b = appendBool(b, s.Leader)
	b = appendUint(b, uint64(s.Pending))
	b = appendUint(b, uint64(s.PendingSpaces))
	b = appendUint(b, uint64(s.Undurable))
	b = appendUint(b, uint64(s.Rejected))
	b = appendUint(b, uint64(s.CatchingUp))
	b = appendUint(b, s.RetryAt)
	b = appendUint(b, uint64(s.Code))
	b = appendText(b, s.Reason)
	b = appendUint(b, s.LastSync)
	b = appendText(b, s.Storage)
	b = appendUint(b, s.DialAt)
	return appendUint(b, uint64(s.Lost))
}

// appendInfo: [id, genesis or nil, created, module, seq, chain, caughtUp, pending, rejected, retryAt, code, reason,
// head, pinned, booting or nil, lost, oldest, expired, name, version], genesis being [stamp, creator, module, params], booting [seq, here, pages].
func appendInfo(b []byte, s *wasmclient.SpaceInfo) []byte {
	b = appendArray(b, 20)
	b = appendBytes(b, s.ID[:])
	if s.Genesis == nil {
		b = appendNil(b)
	} else {
		b = wire.AppendGenesis(b, s.Genesis)
	}
	b = appendBool(b, s.Created)
	b = appendBytes(b, s.Module[:])
	b = appendUint(b, s.Position.Seq)
	b = appendBytes(b, s.Position.Chain[:])
	b = appendBool(b, s.CaughtUp)
	b = appendUint(b, uint64(s.Pending))
	b = appendUint(b, uint64(s.Rejected))
	b = appendUint(b, s.RetryAt)
	b = appendUint(b, uint64(s.Code))
	b = appendText(b, s.Reason)
	b = appendUint(b, s.Head)
	b = appendBool(b, s.Pinned)
	if s.Checkpoint.State != replica.CheckpointFetching {
		b = appendNil(b)
	} else {
		b = appendArray(b, 3)
		b = appendUint(b, s.Checkpoint.Seq)
		b = appendUint(b, uint64(s.Checkpoint.Here))
		b = appendUint(b, uint64(s.Checkpoint.Pages))
	}
	b = appendUint(b, uint64(s.Lost))
	b = appendUint(b, s.Oldest)
	b = appendUint(b, s.Expired)
	b = appendText(b, s.Name)
	return appendText(b, s.Version)
}

// appendOutboxRow: [id, transaction, state, appendedAt, seq, code, reason, retryAt].
func appendOutboxRow(b []byte, row *replica.OutboxRow) []byte {
	b = appendArray(b, 8)
	b = appendBytes(b, row.ID[:])
	b = wire.AppendTransaction(b, &row.Transaction)
	b = appendUint(b, uint64(row.State))
	b = appendUint(b, row.AppendedAt)
	b = appendUint(b, row.Position.Seq)
	b = appendUint(b, uint64(row.Code))
	b = appendText(b, row.Reason)
	return appendUint(b, row.RetryAt)
}

// appendRejectedRow: [id, transaction, appendedAt, code, reason, by].
func appendRejectedRow(b []byte, row *replica.RejectedRow) []byte {
	b = appendArray(b, 6)
	b = appendBytes(b, row.ID[:])
	b = wire.AppendTransaction(b, &row.Transaction)
	b = appendUint(b, row.AppendedAt)
	b = appendUint(b, uint64(row.Code))
	b = appendText(b, row.Reason)
	return appendText(b, row.By)
}

// appendRefusal: [space, transaction's id, code, reason].
func appendRefusal(b []byte, id space.ID, r *wasmclient.Refusal) []byte {
	b = appendArray(b, 4)
	b = appendBytes(b, id[:])
	b = appendBytes(b, r.ID[:])
	b = appendUint(b, uint64(r.Code))
	return appendText(b, r.Reason)
}

// appendEphemeral: [space, author, bytes].
func appendEphemeral(b []byte, e *wasmclient.Ephemeral) []byte {
	b = appendArray(b, 3)
	b = appendBytes(b, e.Space[:])
	b = appendText(b, e.Author)
	return appendBytes(b, e.Bytes)
}

func appendRecords(b []byte, records []space.Record) []byte {
	for i := range records {
		b = wire.AppendRecord(b, &records[i])
	}
	return b
}
