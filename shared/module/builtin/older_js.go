package builtin

import "skerry/shared/digest"

var servers []builtin

func older(digest.Digest) []byte { return nil }
