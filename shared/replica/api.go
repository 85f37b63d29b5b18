package replica

import (
	"fmt"

	"skerry/shared/wire"
)

// disagreement is why this side and the server speak no version of the wire contract in common; zero while they do.
type disagreement struct {
	reason         string
	serverOutdated bool
}

// agree chooses the highest version of the wire contract that both sides speak. If there is none it hangs up, and reports false. Everything
// goes on here but for syncing, which is tried again every now and then: the server may be another one by then.
//
// Where this side is the older one the lead is put up for others that wait for it, which may be of a newer build.
func (r *Replica) agree(challenge *wire.Challenge) bool {
	ours, theirs := r.config.API.OrBuild(), wire.APIRange{Low: challenge.APILow, High: challenge.APIHigh}
	api, outdated := ours.Common(theirs)
	if api != "" {
		r.conn.api = api
		return true
	}
	update := "the server"
	if outdated {
		update = "this client"
	}
	r.disagreed = disagreement{
		fmt.Sprintf("the server speaks api %s to %s, this client %s to %s: %s is to be updated", theirs.Low, theirs.High, ours.Low, ours.High, update), !outdated,
	}
	r.drop(wire.CodeAPIUnsupported, r.disagreed.reason)
	if outdated {
		r.notBefore = r.conn.dialAt
		r.out.Yield = true
		r.follow()
	}
	return false
}
