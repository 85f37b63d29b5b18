package idbstore

import (
	"strings"

	"skerry/shared/digest"
	"skerry/shared/space"
)

// version is what this code can read and write, compared with meta's min_reader and min_writer.
const version = 1

// The names in meta. The counters of spaces are under versionPrefix and the space's digest in hexadecimal.
const (
	metaEpoch     = "epoch"
	metaIdentity  = "identity"
	metaSession   = "session"
	metaServer    = "server"
	metaSince     = "since"
	metaMinReader = "min_reader"
	metaMinWriter = "min_writer"
	versionPrefix = "version/"
)

func versionName(id space.ID) string { return versionPrefix + id.String() }

// spaceOfVersion returns the space whose counter has this name in meta.
func spaceOfVersion(name string) (space.ID, bool) {
	hex, ok := strings.CutPrefix(name, versionPrefix)
	if !ok {
		return space.ID{}, false
	}
	id, err := digest.Parse(hex)
	return id, err == nil
}
