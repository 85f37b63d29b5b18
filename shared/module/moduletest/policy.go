package moduletest

import _ "embed"

//go:embed guests/policy.wasm
var policyBytes []byte

// Policy returns the bytes of a policy for a server, which does with somebody who connects what they are called by: the identities
// refused, trapped and endless it does not let in, stays and "trapped later" not out. Whoever claims to be banned is refused by
// their name. Only admin reads.
func Policy() []byte { return policyBytes }
