//go:build !js

package builtin

import (
	"embed"

	"skerry/shared/digest"
	"skerry/shared/module/system"
)

// servers are the modules that servers need and pages do not.
var servers = []builtin{{"system", system.Bytes, system.Digest}}

//go:embed released
var released embed.FS

// olderOnes are the modules that were released and are not the newest any more, by digest.
var olderOnes = readReleased()

func readReleased() map[digest.Digest][]byte {
	all := map[digest.Digest][]byte{}
	files, err := released.ReadDir("released")
	for i := 0; err == nil && i < len(files); i++ {
		var content []byte
		content, err = released.ReadFile("released/" + files[i].Name())
		all[digest.Of(content)] = content
	}
	if err != nil {
		panic(err) // it is embedded
	}
	return all
}

func older(d digest.Digest) []byte { return olderOnes[d] }
