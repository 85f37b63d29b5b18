package moduletest

import (
	"bytes"
	"fmt"
	"strings"

	"skerry/shared/digest"
	"skerry/shared/wire"
)

// secret is what is in the link of an invitation.
func secret(n int) []byte { return bytes.Repeat([]byte{byte(n), byte(n >> 8)}, 8) }

// hashes are what a space knows of secrets.
func hashes(secrets ...[]byte) []byte {
	var all []byte
	for _, s := range secrets {
		d := digest.Of(s)
		all = append(all, d[:]...)
	}
	return all
}

func invite(role string, secrets ...[]byte) event {
	return event{"invite", payload("role", role, "hashes", hashes(secrets...))}
}
func revoke(secrets ...[]byte) event { return event{"revoke", payload("hashes", hashes(secrets...))} }
func redeem(secret []byte) event     { return event{"redeem", payload("secret", secret)} }
func grant(identity, role string) event {
	return event{"grant", payload("identity", identity, "role", role)}
}
func expel(identity string) event { return event{"remove", payload("identity", identity)} }
func leave() event                { return event{"leave", nil} }
func transfer(to string) event    { return event{"transfer", payload("to", to)} }

func one(e event) func() []event { return func() []event { return []event{e} } }

// populate lets people in of every role, and leaves invitations open: 1 for a writer, 2 for an admin.
func populate(s *testSpace) {
	s.push("creator", grant("admin", "admin"), grant("writer", "writer"), grant("reader", "reader"),
		grant("second admin", "admin"), grant("second writer", "writer"))
	s.push("creator", invite("admin", secret(2)), invite("writer", secret(1)))
}

func membersTruth() *Truth {
	return &Truth{
		Module: "members",
		before: populate,
		people: []person{{"owner", "creator"}, {"admin", "admin"}, {"writer", "writer"}, {"reader", "reader"}, {"another", "eve"}, {"nobody known", ""}},
		actions: []action{
			{"reads", "yes yes yes yes no no", nil},
			{"writes an event of any type", "yes yes yes no no no", anything},
			{"writes several at once", "yes yes yes no no no", several},
			{"invites a reader", "yes yes no no no no", one(invite("reader", secret(3)))},
			{"invites a writer", "yes yes no no no no", one(invite("writer", secret(3), secret(4), secret(5)))},
			{"invites an admin", "yes no no no no no", one(invite("admin", secret(3)))},
			{"invites an owner", "no no no no no no", one(invite("owner", secret(3)))},
			{"takes a writer's invitation back", "yes yes no no no no", one(revoke(secret(1)))},
			{"takes an admin's invitation back", "yes no no no no no", one(revoke(secret(2)))},
			{"becomes a member by an invitation", "no no no no yes no", one(redeem(secret(1)))},
			{"becomes one and writes at once", "no no no no yes no", func() []event { return []event{redeem(secret(2)), {"anything", nil}} }},
			{"becomes a member by a made up secret", "no no no no no no", one(redeem(secret(9)))},
			{"makes somebody new a writer", "yes yes no no no no", one(grant("new", "writer"))},
			{"makes a writer a reader", "yes yes no no no no", one(grant("second writer", "reader"))},
			{"makes a writer an admin", "yes no no no no no", one(grant("second writer", "admin"))},
			{"makes an admin a writer", "yes no no no no no", one(grant("second admin", "writer"))},
			{"makes the owner a reader", "no no no no no no", one(grant("creator", "reader"))},
			{"makes somebody an owner", "no no no no no no", one(grant("new", "owner"))},
			{"removes a writer", "yes yes no no no no", one(expel("second writer"))},
			{"removes an admin", "yes no no no no no", one(expel("second admin"))},
			{"removes the owner", "no no no no no no", one(expel("creator"))},
			{"leaves", "no yes yes yes no no", one(leave())},
			{"hands the space over", "yes no no no no no", one(transfer("writer"))},
			{"hands it over to no member", "no no no no no no", one(transfer("eve"))},
			{"takes the space over to another module", "yes no no no no no", one(upgrade(builtinBytes("members"), nil))},
			{"deletes the space", "yes no no no no no", one(deletion)},
			{"has its first record expire", "yes no no no no no", one(expiry)},
		},
	}
}

// refused wants a refusal with a code of the module's own.
func (s *testSpace) refused(code int, author string, events ...event) {
	s.t.Helper()
	if v := s.push(author, events...); v.Code != wire.CodeModuleOwn+wire.Code(code) {
		s.t.Errorf("%s by %s: %v %q, not module_%d", events[0].name, author, v.Code, v.Reason, code)
	}
}

// allowed wants a transaction to be allowed.
func (s *testSpace) allowed(author string, events ...event) {
	s.t.Helper()
	if v := s.push(author, events...); !v.Allowed() {
		s.t.Errorf("%s by %s: %v %q", events[0].name, author, v.Code, v.Reason)
	}
}

// builtinMembersCases are what happens in spaces of members over time.
func builtinMembersCases() []testCase {
	return []testCase{
		{"members: an invitation lets one in, and outlives who made it", func(s *session) {
			space := s.builtin("members")
			space.allowed("creator", grant("ann", "admin"))
			space.allowed("ann", invite("writer", secret(1), secret(2), secret(3)))
			space.allowed("ann", leave())
			space.refused(1, "ann", event{"hello", nil})
			space.allowed("bob", redeem(secret(2)))
			space.refused(3, "eve", redeem(secret(2))) // read in the log
			space.refused(4, "bob", redeem(secret(1))) // a member needs none, and does not use it up
			space.allowed("cy", redeem(secret(1)), event{"hello", nil})
			space.allowed("creator", revoke(secret(3)))
			space.refused(3, "dan", redeem(secret(3)))
			space.refused(3, "creator", revoke(secret(3)))
			space.refused(3, "dan", redeem(nil))
			space.anew()
		}},
		{"members: who is out takes their invitations along", func(s *session) {
			space := s.builtin("members")
			space.allowed("creator", grant("ann", "admin"), grant("bob", "admin"))
			space.allowed("ann", invite("writer", secret(1)))
			space.allowed("bob", invite("writer", secret(2)))
			space.allowed("creator", expel("ann"))
			space.allowed("creator", grant("bob", "reader"))
			space.refused(3, "eve", redeem(secret(1)))
			space.refused(3, "eve", redeem(secret(2)))
			space.mayRead("ann")
			space.allowed("creator", grant("ann", "admin"))
			space.refused(3, "eve", redeem(secret(1))) // it does not hold again
			space.allowed("ann", invite("writer", secret(3)))
			space.allowed("eve", redeem(secret(3)))
			space.anew()
		}},
		{"members: handed over", func(s *session) {
			space := s.builtin("members")
			space.allowed("creator", grant("ann", "reader"))
			space.allowed("creator", transfer("ann"))
			space.refused(2, "creator", transfer("creator"))
			space.refused(4, "ann", transfer("ann"))
			space.allowed("creator", invite("reader", secret(1))) // an admin now
			space.allowed("ann", expel("creator"))
			space.refused(1, "creator", event{"hello", nil})
			space.refused(2, "ann", leave())
			space.anew()
		}},
		{"members: what it takes for nothing", func(s *session) {
			space := s.builtin("members")
			space.refused(5, "creator", invite("king", secret(1)))
			space.refused(5, "creator", invite("writer"))
			space.refused(5, "creator", event{"invite", payload("role", "writer", "hashes", make([]byte, 31))})
			space.refused(5, "creator", event{"invite", payload("role", "writer", "hashes", make([]byte, 101*digest.Size))})
			space.allowed("creator", invite("writer", secret(1), secret(1)))
			space.refused(4, "creator", invite("writer", secret(2), secret(1)))
			space.refused(5, "creator", revoke())
			space.refused(5, "creator", grant("", "writer"))
			space.refused(1, "creator", expel("nobody"))
			space.anew()
		}},
		{"members: a thousand invitations", thousandInvitations},
		{"members: from open, personal and broadcast", func(s *session) {
			next := builtinBytes("members")
			for _, name := range []string{"open", "personal", "broadcast"} {
				space := s.open(next)
				if name != "open" {
					space = s.upgradable(builtinBytes(name), next)
				}
				space.allowed("creator", event{"hello", nil})
				space.allowed("creator", upgrade(next, nil))
				space.version()
				space.refused(1, "eve", event{"hello", nil})
				space.allowed("creator", invite("writer", secret(1)))
				space.allowed("eve", redeem(secret(1)), event{"hello", nil})
			}
		}},
		{"members: to the same, and not from what has other tables", func(s *session) {
			space := s.upgradable(builtinBytes("members"), builtinBytes("members"), builtinBytes("personal"))
			space.allowed("creator", grant("ann", "writer"))
			space.allowed("creator", transfer("ann"))
			if space.push("ann", upgrade(builtinBytes("personal"), nil)).Allowed() {
				s.t.Error("the space is its creator's, who handed it over")
			}
			space.allowed("ann", upgrade(builtinBytes("members"), nil))
			space.refused(2, "creator", transfer("creator"))
			space.anew()
			other := s.upgradable(Members(nil), builtinBytes("members"))
			if other.push("creator", upgrade(builtinBytes("members"), nil)).Allowed() {
				s.t.Log("rows without roles were taken over")
			}
		}},
	}
}

// thousandInvitations: a member with as many invitations as there may be, and the longest name, can be removed.
func thousandInvitations(s *session) {
	space := s.builtin("members")
	ann := strings.Repeat("\u00e4", 128)
	space.allowed("creator", grant(ann, "admin"))
	n := 0
	more := func(count int) event {
		var secrets [][]byte
		for range count {
			n++
			secrets = append(secrets, secret(n))
		}
		return invite("reader", secrets...)
	}
	for range 10 {
		space.allowed(ann, more(100))
	}
	space.refused(2, ann, more(1))
	space.allowed("creator", expel(ann))
	space.refused(3, "eve", redeem(secret(1)))
	space.tell("rows %d", space.instance.Committed().Len(1))
	s.lines = []string{fmt.Sprintf("%d events", len(space.log)), s.lines[len(s.lines)-1]}
}
