package wire

import (
	"errors"
	"fmt"
)

// Code says why something was refused. Codes are append-only: a number never changes its meaning and is never
// used again. Zero is unknown.
type Code uint64

// The codes that a server sends. Those of a client's own errors are from 200 on; a server sends of them only
// CodeNotFound, for a blob that it does not have.
const (
	CodeUnknown Code = 0

	// About the connection.
	CodeBadFrame       Code = 1  // the message is malformed or out of order
	CodeUnknownFrame   Code = 2  // the frame's number is unknown
	CodeUnsupported    Code = 3  // the frame is reserved and not built yet
	CodeMessageTooBig  Code = 4  // a message is over the limit on messages
	CodeWindowExceeded Code = 5  // more pushed bytes are unanswered than the window allows
	CodeSuperseded     Code = 6  // a newer epoch of the same session is connected
	CodeAPIUnsupported Code = 7  // no version of the wire contract is spoken by both sides
	CodeSlowReader     Code = 8  // the socket was not read for too long
	CodeIdle           Code = 9  // the client was silent for too long
	CodeShutdown       Code = 10 // the server stops or restarts
	CodeTooMany        Code = 11 // more subscriptions, requests or connections than allowed
	CodeInternal       Code = 12 // the server failed; its log says how
	CodeBadCredentials Code = 13 // an identity could not be proven
	CodeAuthExpired    Code = 14 // the credentials have expired: newer ones are needed
	CodeConnectRefused Code = 15 // the server's policy refuses the connection, and says why
	CodeConnectFailed  Code = 16 // the server's policy failed when it was asked about the connection
	CodeRevoked        Code = 17 // the link was revoked by which this device acts as somebody

	// Deferrals: nothing was decided, the same may be sent again.
	CodeBehind        Code = 40 // an earlier transaction of this space was deferred
	CodeRateLimited   Code = 41 // over a rate limit; retry_after_ms says for how long
	CodeOverloaded    Code = 42 // the server could not do it now
	CodeServerFull    Code = 43 // the server's storage is full
	CodeUnknownSpace  Code = 44 // the server has no such space: send its genesis
	CodeUnknownType   Code = 45 // the module does not know the event's type
	CodeModuleMissing Code = 46 // the server does not have the module
	CodeSetupRequired Code = 47 // the server has no administrator yet
	CodeAuthRequired  Code = 48 // the connection has not proven the author or creator
	CodeRecovering    Code = 49 // the server lost its newest records and waits for a replica that holds them
	CodeUpgrading     Code = 50 // the space is going over to another module
	CodeOverQuota     Code = 51 // the identity has as many spaces, modules or bytes on the server as it may
	CodeSchemaUnknown Code = 52 // the module does not know the schema that an event was written by

	// Rejections: the final word on these bytes.
	CodeIDReused       Code = 80  // an event id is known with other bytes or in another transaction, or comes twice
	CodeForbidden      Code = 81  // the identity may not do this
	CodeReservedType   Code = 82  // types beginning with $ are the server's
	CodeTooLarge       Code = 83  // over a limit on size or count
	CodeBadTransaction Code = 84  // no events, or an event without id or type
	CodeBadGenesis     Code = 85  // the genesis does not hash to the space's ID, or its signature is wrong
	CodeSpaceFull      Code = 86  // the space has given its last sequence number
	CodeBadModule      Code = 87  // the module cannot judge spaces on this server
	CodeRefused        Code = 88  // the space's module refused it, and says why
	CodeBadPayload     Code = 89  // the payload is not what the module declares for its type
	CodeOutOfFuel      Code = 90  // judging it took more than a module may take
	CodeTooDeep        Code = 91  // the module's calls nested deeper than they may
	CodeModuleTrap     Code = 92  // the module stopped by itself, as programs do that have a mistake
	CodeBadCall        Code = 93  // the module called what is not there, with a bad pointer, or when it may not
	CodeBadRow         Code = 94  // the module wrote a row that is not what its table declares, or is too large
	CodeUnique         Code = 95  // another row has the same values in a unique index
	CodeQuotaTables    Code = 96  // the tables of the space, or what one transaction writes, are over their quota
	CodeBadUpgrade     Code = 97  // the module cannot take over the space from the one that it has
	CodeMigrateFailed  Code = 98  // the module's migrate stopped, refused, or took more than it may
	CodeSetupDone      Code = 99  // the server has an administrator already
	CodeNameTaken      Code = 100 // another space of the server has the name
	CodeStale          Code = 101 // the space has another module than the upgrade says that it replaces
	CodeSchemaMismatch Code = 102 // a payload is not what its own schema says, or that schema is taken no more
	CodeTypeRemoved    Code = 103 // the module takes no more events of the type

	// Ends of subscriptions.
	CodeDiverged   Code = 120 // the position is on a branch of history that this server never had or left
	CodeResumeGone Code = 121 // the position is older than what the server still has
	CodeLeft       Code = 122 // the identity may not read the space any more
	CodeDeleted    Code = 123 // the space was deleted

	// Refusals of what a replica brings back.
	CodeUnproven Code = 140 // the records do not follow one another from where they are said to begin to the sealed position

	// The client's own.
	CodeBadChain           Code = 200 // records received do not hash to the position that came with them
	CodeServerChanged      Code = 201 // another server answers at this address
	CodeUpgradeRequired    Code = 202 // the store was written by a newer version
	CodeQuota              Code = 203 // the device's storage is full
	CodeNotDurable         Code = 204 // the transaction could not be made durable on this device
	CodeDiscarded          Code = 205 // the transaction was discarded
	CodeClosed             Code = 206 // the client was closed
	CodeInsecureContext    Code = 207 // the page is not a secure context
	CodeBuildMismatch      Code = 208 // page, worker and wasm are of different builds
	CodeBadArgument        Code = 209 // the caller passed something that cannot be
	CodeNoSuchSpace        Code = 210 // the replica knows no space with that ID
	CodeStorageFailed      Code = 211 // the device's storage failed
	CodeNotFound           Code = 212 // nothing is kept under that id
	CodeBadServerMessage   Code = 213 // the server sent what the protocol does not allow
	CodeBadArchive         Code = 214 // the file is no archive, or was cut short or damaged
	CodeReplicaLost        Code = 215 // the browser or its user deleted what was stored on this device
	CodeModuleDiverged     Code = 216 // the module here makes other tables of the log than the server's
	CodeDamaged            Code = 217 // something stored on this device cannot be read any more
	CodeUnsynced           Code = 218 // something on this device is nowhere else, and would be lost
	CodeForgotten          Code = 219 // somebody logged out and had the replica forgotten, perhaps in another tab
	CodeNotHere            Code = 220 // that part of the history is not on this device, and cannot be fetched now
	CodeSchemaIncompatible Code = 221 // what the page's code declares that it reads is not there any more

	// CodeModuleOwn is what the numbers are added to that a space's module refuses with, 1 to 65,535.
	CodeModuleOwn Code = 1 << 16
)

// codeNames is also the list that the documents and the TypeScript client are held to.
var codeNames = map[Code]string{
	CodeUnknown: "unknown",

	CodeBadFrame: "bad_frame", CodeUnknownFrame: "unknown_frame", CodeUnsupported: "unsupported",
	CodeMessageTooBig: "message_too_big", CodeWindowExceeded: "window_exceeded", CodeSuperseded: "superseded",
	CodeAPIUnsupported: "api_unsupported", CodeSlowReader: "slow_reader", CodeIdle: "idle", CodeShutdown: "shutdown",
	CodeTooMany: "too_many", CodeInternal: "internal", CodeBadCredentials: "bad_credentials",
	CodeAuthExpired:    "auth_expired",
	CodeConnectRefused: "connect_refused", CodeConnectFailed: "connect_failed",
	CodeRevoked: "revoked",

	CodeBehind: "behind", CodeRateLimited: "rate_limited", CodeOverloaded: "overloaded", CodeServerFull: "server_full",
	CodeUnknownSpace: "unknown_space", CodeUnknownType: "unknown_type", CodeModuleMissing: "module_missing",
	CodeSetupRequired: "setup_required", CodeAuthRequired: "auth_required", CodeRecovering: "recovering",
	CodeUpgrading: "upgrading", CodeOverQuota: "over_quota", CodeSchemaUnknown: "schema_unknown",

	CodeIDReused: "id_reused", CodeForbidden: "forbidden", CodeReservedType: "reserved_type", CodeTooLarge: "too_large",
	CodeBadTransaction: "bad_transaction", CodeBadGenesis: "bad_genesis", CodeSpaceFull: "space_full",
	CodeBadModule: "bad_module", CodeRefused: "refused", CodeBadPayload: "bad_payload", CodeOutOfFuel: "out_of_fuel",
	CodeTooDeep: "too_deep", CodeModuleTrap: "module_trap", CodeBadCall: "bad_call", CodeBadRow: "bad_row",
	CodeUnique: "unique", CodeQuotaTables: "quota_tables",
	CodeBadUpgrade: "bad_upgrade", CodeMigrateFailed: "migrate_failed",
	CodeSetupDone: "setup_done", CodeNameTaken: "name_taken",
	CodeStale:          "stale",
	CodeSchemaMismatch: "schema_mismatch", CodeTypeRemoved: "type_removed",

	CodeDiverged: "diverged", CodeResumeGone: "resume_gone", CodeLeft: "left", CodeDeleted: "deleted",

	CodeUnproven: "unproven",

	CodeBadChain: "bad_chain", CodeServerChanged: "server_changed", CodeUpgradeRequired: "upgrade_required",
	CodeQuota: "quota", CodeNotDurable: "not_durable", CodeDiscarded: "discarded", CodeClosed: "closed",
	CodeInsecureContext: "insecure_context", CodeBuildMismatch: "build_mismatch", CodeBadArgument: "bad_argument",
	CodeNoSuchSpace: "no_such_space", CodeStorageFailed: "storage_failed", CodeNotFound: "not_found",
	CodeBadServerMessage: "bad_server_message", CodeBadArchive: "bad_archive",
	CodeReplicaLost: "replica_lost", CodeModuleDiverged: "module_diverged", CodeDamaged: "damaged",
	CodeUnsynced: "unsynced", CodeForgotten: "forgotten", CodeNotHere: "not_here",
	CodeSchemaIncompatible: "schema_incompatible",
}

// Codes returns every known code with its name, for documents and tests.
func Codes() map[Code]string {
	codes := make(map[Code]string, len(codeNames))
	for code, name := range codeNames {
		codes[code] = name
	}
	return codes
}

// String returns the code's name, module_N for a number of a module's own, or code_N for one that this build does not
// know.
func (c Code) String() string {
	if name, ok := codeNames[c]; ok {
		return name
	}
	if c > CodeModuleOwn && c < 2*CodeModuleOwn {
		return fmt.Sprintf("module_%d", uint64(c-CodeModuleOwn))
	}
	return fmt.Sprintf("code_%d", uint64(c))
}

// CodeError is an error with a code. The code's name and the reason make its text.
type CodeError struct {
	Code   Code
	Reason string
}

func (e *CodeError) Error() string {
	if e.Reason == "" {
		return e.Code.String()
	}
	return e.Code.String() + ": " + e.Reason
}

// Errorf returns a [*CodeError] whose reason is made as by fmt.Sprintf.
func Errorf(code Code, format string, args ...any) error {
	return &CodeError{Code: code, Reason: fmt.Sprintf(format, args...)}
}

// CodeOf returns the code of err or of what it wraps, and [CodeUnknown] if there is none.
func CodeOf(err error) Code {
	if coded, ok := errors.AsType[*CodeError](err); ok {
		return coded.Code
	}
	return CodeUnknown
}
