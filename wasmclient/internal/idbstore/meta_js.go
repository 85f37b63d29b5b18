package idbstore

import (
	"strings"

	"skerry/shared/digest"
	"skerry/shared/replica"
	"skerry/shared/space"
)

// version is what this code can read and write, compared with meta's min_reader and min_writer. A database is made for version 1, and
// asks for 2 from when something is in it that version 1 does not know and would lose, or take for something else: a hole, which is the
// whole log to it, a lost transaction, which it forgets with the space, or a log that went over to another branch, which it takes for an
// older answer.
const (
	version      = 2
	firstVersion = 1
)

// forgotten is what min_reader and min_writer say in a database that was erased: nothing else is in it. It stays, since a tab that sleeps
// could not tell a database that somebody had deleted on purpose from one that its browser has lost.
const forgotten = 1 << 40

// The names in meta. The counters of spaces are under versionPrefix and the space's digest in hexadecimal; under
// pinnedPrefix and the same there is something for spaces that are pinned, under damagedPrefix the number of
// [replica.SpaceInfo] for those that are damaged, under deletedPrefix something for those that were deleted, under holesPrefix the holes of those that have any, under droppedPrefix up to where such a hole is of what had expired, under branchPrefix how often one went over to another branch, unless never; under unnamedPrefix and a module's digest since when no space names it.
const (
	metaEpoch     = "epoch"
	metaIdentity  = "identity"
	metaSession   = "session"
	metaServer    = "server"
	metaSince     = "since"
	metaLogin     = "login"
	metaChanges   = "changes"
	metaMinReader = "min_reader"
	metaMinWriter = "min_writer"
	metaForgotten = "forgotten" // there since somebody began anew where a replica was erased
	metaRoom      = "room"      // in no database for longer than a transaction
	versionPrefix = "version/"
	pinnedPrefix  = "pinned/"
	damagedPrefix = "damaged/"
	deletedPrefix = "deleted/"
	branchPrefix  = "branch/"
	holesPrefix   = "holes/"
	droppedPrefix = "dropped/"
	unnamedPrefix = "unnamed/"
)

func versionName(id space.ID) string { return versionPrefix + id.String() }

func pinnedName(id space.ID) string { return pinnedPrefix + id.String() }

func damagedName(id space.ID) string { return damagedPrefix + id.String() }

func deletedName(id space.ID) string { return deletedPrefix + id.String() }

func holesName(id space.ID) string { return holesPrefix + id.String() }

func droppedName(id space.ID) string { return droppedPrefix + id.String() }

func branchName(id space.ID) string { return branchPrefix + id.String() }

func unnamedName(d digest.Digest) string { return unnamedPrefix + d.String() }

// spaceOf returns the space of a name in meta that begins so.
func spaceOf(prefix, name string) (space.ID, bool) {
	hex, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return space.ID{}, false
	}
	id, err := digest.Parse(hex)
	return id, err == nil
}

func appendHoles(holes []replica.Hole) []byte { return replica.AppendHoles([]byte{format}, holes) }

// decodeHoles reads the holes of a space; of one that has none nothing is there.
func decodeHoles(b []byte) ([]replica.Hole, error) {
	encoded, err := decodeText(b)
	if err != nil {
		return nil, err
	}
	holes, err := replica.DecodeHoles(encoded)
	if err != nil {
		return nil, errCorrupt
	}
	return holes, nil
}
