package moduletest

import (
	"skerry/shared/digest"
	"skerry/shared/module"
	"skerry/shared/module/system"
	"skerry/shared/msgpack"
	"skerry/shared/space"
	"skerry/shared/wire"
)

func connects(identity string) event {
	return event{module.TypeConnect, system.Connect([16]byte{1}, identity)}
}
func disconnects(identity string) event {
	return event{module.TypeDisconnect, system.Connect([16]byte{1}, identity)}
}
func setup(identity string) event { return event{module.TypeSetup, system.Identity(identity)} }
func grantAll(identity string) event {
	return event{system.TypeGrant, system.Identity(identity)}
}
func revokeAll(identity string) event {
	return event{system.TypeRevoke, system.Identity(identity)}
}

// systemTruth is that of a system space, which the server made.
func systemTruth() *Truth {
	created := event{module.TypeSpace, system.Space(space.ID{1}, system.Created, "eve", digest.Of(nil))}
	deleted := event{module.TypeSpace, system.Space(space.ID{1}, system.Deleted, "", digest.Digest{})}
	return &Truth{
		Module: "system",
		before: func(s *testSpace) { s.push("creator", setup("admin")); s.push("admin", grantAll("second")) },
		people: []person{{"the server", "creator"}, {"administrator", "admin"}, {"another", "eve"}, {"nobody known", ""}},
		actions: []action{
			{"reads", "no yes no no", nil},
			{"says that somebody connects", "yes no no no", one(connects("bob"))},
			{"says that they are gone", "yes no no no", one(disconnects("bob"))},
			{"says what became of a space", "yes no no no", func() []event { return []event{created, deleted} }},
			{"names the first administrator, when there is one", "no no no no", one(setup("eve"))},
			{"makes somebody an administrator", "yes yes no no", one(grantAll("bob"))},
			{"makes the server one", "no no no no", one(grantAll("creator"))},
			{"takes that from another", "yes yes no no", one(revokeAll("second"))},
			{"takes it from the last", "no no no no", func() []event { return []event{revokeAll("second"), revokeAll("admin")} }},
			{"writes an event of any other type", "no no no no", anything},
			{"takes the space over to another module", "yes no no no", one(upgrade(system.Bytes, nil))},
		},
	}
}

// builtinSystemCases are what a policy decides by what credentials claim.
func builtinSystemCases() []testCase {
	claims := func(pairs ...any) [][]byte { return [][]byte{payload(pairs...)} }
	return []testCase{
		{"system: the first administrator", func(s *session) {
			space := s.builtin("system")
			if space.mayRead("ann") || space.mayRead("") || space.mayRead("creator") {
				s.t.Error("somebody reads before there is an administrator")
			}
			space.refused(1, "ann", grantAll("ann"))
			space.refused(1, "ann", setup("ann"))
			space.refused(5, "creator", setup(""))
			space.allowed("creator", setup("ann"))
			space.refused(2, "creator", setup("bob"))
			space.refused(1, "ann", revokeAll("ann"))
			space.refused(3, "ann", revokeAll("bob"))
			space.refused(2, "ann", grantAll("ann"))
			space.refused(5, "ann", grantAll(""))
			space.allowed("ann", grantAll("bob"), revokeAll("ann"))
			space.refused(1, "ann", grantAll("ann"))
			space.mayRead("ann")
			space.mayRead("bob")
			space.rows()
			space.anew()
		}},
		{"system: everybody connects", func(s *session) {
			space := s.builtin("system")
			space.allowed("creator", connects("bob"))
			space.allowed("creator", connects(""))
			space.allowed("creator", connects("ann"), connects("bob"))
			space.allowed("creator", disconnects("bob"))
			space.rows() // nothing grows by it
			space.anew()
		}},
		{"system: by claims", func(s *session) {
			list := raw(append(append([]byte{0x92}, msgpack.AppendString(nil, "pro")...), msgpack.AppendString(nil, "team")...))
			params := payload("require", raw(payload("plan", list, "verified", raw{0x91, 0xc3})), "show", "email")
			space := s.space(system.Bytes, params)
			space.allowed("creator", setup("ann"))
			try := func(may bool, identity string, each [][]byte, events ...event) {
				space.claims = each
				v := space.push("creator", append(events, connects(identity))...)
				space.claims = nil
				if v.Allowed() != may || !may && v.Code != wire.CodeModuleOwn+4 {
					s.t.Errorf("%s connects: %v %q", identity, v.Code, v.Reason)
				}
			}
			try(false, "bob", nil)
			try(false, "bob", claims("plan", "free", "verified", true, "email", "bob@example.org"))
			try(false, "bob", claims("plan", "pro", "verified", false))
			try(false, "bob", claims("plan", "pro"))
			try(true, "bob", claims("verified", true, "plan", "pro"))
			try(true, "bob", claims("plan", list, "verified", true))
			try(true, "ann", nil)                                                                    // an administrator
			try(false, "", claims())                                                                 // who proved nothing
			try(false, "bob", [][]byte{nil, payload("plan", "pro", "verified", 1)}, connects("ann")) // each has their own
			try(true, "bob", [][]byte{nil, payload("plan", "pro", "verified", true)}, connects("ann"))
			try(false, "bob", [][]byte{{0xc1}})
			space.rows()
			space.anew()
		}},
		{"system: other rules", func(s *session) {
			space := s.upgradable(system.Bytes)
			space.allowed("creator", setup("ann"), connects("bob"))
			rules := payload("require", raw(payload("plan", raw("\x91\xa3pro"))))
			if v := space.push("ann", upgrade(system.Bytes, rules)); v.Code != wire.CodeForbidden { // they are the server's to make
				s.t.Errorf("an administrator makes rules: %v", v.Code)
			}
			space.allowed("creator", upgrade(system.Bytes, rules))
			space.refused(4, "creator", connects("bob"))
			space.mayRead("ann")
			space.allowed("creator", upgrade(system.Bytes, nil))
			space.allowed("creator", connects("bob"))
			for _, params := range [][]byte{{0xc1}, {0x80, 0x80}, payload("require", 1), payload("forbid", "x"), payload("require", raw(payload("plan", "pro"))), payload("require", raw(payload("plan", raw{0x90})))} {
				if space.push("creator", upgrade(system.Bytes, params)).Allowed() {
					s.t.Errorf("params %x are rules", params)
				}
			}
			space.anew()
		}},
	}
}
