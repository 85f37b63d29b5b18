package hub

import (
	"errors"
	"fmt"

	"skerry/shared/identity"
	"skerry/shared/module"
	"skerry/shared/module/program"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// opened takes the shell's answer to Open and Create.
func (s *Space) opened(now uint64, in Opened) {
	if in.Ref != s.openRef {
		if in.Instance != nil {
			in.Instance.Close()
		}
		return
	}
	s.openRef = 0
	switch {
	case in.Instance != nil:
		if s.phase == creating && len(s.tails) == 0 {
			v := wire.Verdict{Kind: wire.Duplicate, Position: s.sealed(space.Start(s.id))}
			if in.Created {
				v.Kind = wire.Accepted
			}
			s.queue[s.judged].genesis = &v
		}
		s.instance, s.head, s.tip = in.Instance, in.Head, in.Head
		s.tables, _ = in.Instance.(program.Materializer)
		s.bareAt(in.Bare)
		if !s.behind {
			s.told = in.Head // nobody was told of another
		}
		s.behind = false
		s.catchUp()
	case in.Code == wire.CodeDeleted:
		s.head, s.tip = in.Head, in.Head
		s.end(in.Last, false)
	case s.phase == creating && len(s.tails) > 0:
		code := in.Code
		if code == 0 {
			code = wire.CodeOverloaded
		}
		s.refuseTail(code, in.Reason)
		s.phase = absent
	case s.phase == creating:
		p := s.queue[s.judged]
		v := refuse(in.Code, in.Reason)
		if v.RetryAfterMS = in.RetryAfterMS; in.Code == 0 {
			v = refuse(wire.CodeOverloaded, in.Reason)
		}
		p.genesis = &v
		p.deferWhole(wire.CodeUnknownSpace, 0)
		s.phase = absent
	case in.Code == 0 || in.Code == wire.CodeUnknownSpace:
		s.phase = absent
		s.answerAsks(now, false, 0)
	default:
		s.fault(now, in.Code)
	}
}

// refuseOrCreate answers pushes to a space that does not exist, until one of them creates it.
func (s *Space) refuseOrCreate(now uint64) {
	for s.judged < len(s.queue) {
		p := s.queue[s.judged]
		s.begin(now, p)
		if p.whole == 0 && p.frame.Genesis == nil {
			p.deferWhole(wire.CodeUnknownSpace, 0)
		}
		if p.whole == 0 {
			v := s.checkGenesis(p)
			if v.Kind == 0 {
				s.create(p)
				return
			}
			p.genesis = &v
			p.deferWhole(wire.CodeUnknownSpace, 0)
		}
		s.fill(p)
		s.judged++
		s.looked = s.judged
	}
	s.phase = closed // another server may create it meanwhile: look again next time
}

func (s *Space) create(p *push) {
	s.phase = creating
	s.openRef = s.ref()
	who := p.frame.Genesis.Creator
	if caller := p.peer.caller; !caller.proves(who) && len(caller.Identities) > 0 {
		who = caller.Identities[0] // who brings back what another made pays for it
	}
	s.out.Create = &CreateSpace{
		Ref: s.openRef, Genesis: p.frame.Genesis, Signature: p.frame.GenesisSignature,
		Charges: []string{
			"create/identity/" + who, "create/address/" + p.peer.caller.Address, "create/server",
		},
	}
}

// checkGenesis judges a genesis by all that can be known here. The zero verdict means that it may be created.
func (s *Space) checkGenesis(p *push) wire.Verdict {
	g, limits, signature := p.frame.Genesis, &s.config.Limits, p.frame.GenesisSignature
	switch {
	case uint64(len(g.Creator)) > limits.Identity:
		return tooLarge("creator", len(g.Creator), limits.Identity, "bytes")
	case uint64(len(g.Params)) > limits.Params:
		return tooLarge("params", len(g.Params), limits.Params, "bytes")
	case len(signature) > wire.MaxSignature:
		return tooLarge("genesis_signature", len(signature), wire.MaxSignature, "bytes")
	case g.ID() != s.id:
		return refuse(wire.CodeBadGenesis, "the genesis is that of another space")
	case !identity.IsKey(g.Creator) && len(signature) > 0:
		return refuse(wire.CodeBadGenesis, "there is a signature, but the creator is no did:key")
	case len(signature) == 0 && !p.peer.caller.proves(g.Creator):
		return refuse(wire.CodeAuthRequired, "the connection has not proven the space's creator")
	case identity.IsKey(g.Creator) && !signed(s.id, g.Creator, signature):
		return refuse(wire.CodeBadGenesis, "the genesis is not signed by the space's creator")
	}
	return wire.Verdict{}
}

// signed reports whether a key, or a device that is linked to it, has signed the ID of a space that it made. Whoever has that signature may bring the space back.
func signed(id space.ID, creator string, signature []byte) bool {
	by, err := identity.ParseSigned(creator, signature)
	return err == nil && by.Verify(space.GenesisMessage(id))
}

func tooLarge(what string, got int, most uint64, unit string) wire.Verdict {
	return refuse(wire.CodeTooLarge, fmt.Sprintf("%s: %d %s, at most %d", what, got, unit, most))
}

// fault defers everything that waits: the space is there but cannot be judged now.
func (s *Space) fault(now uint64, code wire.Code) {
	s.forget()
	if !deferral(code) {
		code = wire.CodeOverloaded
	}
	s.answerAsks(now, true, code)
	s.refuseTails(code)
	for ; s.judged < len(s.queue); s.judged++ {
		p := s.queue[s.judged]
		s.begin(now, p)
		p.deferWhole(code, 0)
		s.fill(p)
	}
	s.looked = s.judged
}

// forget closes the instance; the space is opened again when somebody needs it.
func (s *Space) forget() {
	s.unpark(s.judged)
	if u := s.upgrade; u != nil && u.ref == 0 {
		u.work.Close()
	}
	s.upgrade = nil
	if s.instance != nil {
		s.instance.Close()
		s.instance, s.tables = nil, nil
	}
	if s.lost != nil {
		s.out.Lost, s.lost = s.lost, nil
	}
	s.phase = closed
	s.openRef, s.readRef, s.headRef = 0, 0, 0
}

// replaySpan is how many records are read at once for an instance that lags behind the log.
const replaySpan = 4096

// catchUp brings the instance to the head, then the space is ready.
func (s *Space) catchUp() {
	applied := s.instance.Applied()
	if applied >= s.head.Seq {
		s.phase = ready
		s.out.Moved = s.out.Moved || s.told != s.head
		s.out.Turned = true
		return
	}
	if !s.guarded() && s.told != s.head {
		s.told, s.out.Moved = s.head, true // readers need not wait for the module
	}
	s.phase = replaying
	s.read(applied+1, min(applied+replaySpan, s.head.Seq))
}

// replay applies records that this hub did not judge.
func (s *Space) replay(now uint64, in History) {
	applied := s.instance.Applied()
	records := in.Records
	for len(records) > 0 && records[0].Seq <= applied {
		records = records[1:]
	}
	if in.Code != 0 || len(records) == 0 || records[0].Seq != applied+1 {
		s.fault(now, wire.CodeOverloaded)
		return
	}
	if records[0].Expired { // whoever gave the instance began it too early
		s.fault(now, wire.CodeOverloaded)
		s.out.Failed = fmt.Errorf("record %d has expired, and the tables lack it", records[0].Seq)
		return
	}
	err := s.instance.Apply(records)
	if s.losing(err) {
		return
	}
	if err != nil {
		code := wire.CodeOverloaded
		if errors.Is(err, module.ErrMissing) {
			code = wire.CodeModuleMissing
		}
		s.fault(now, code)
		s.out.Failed = err
		return
	}
	if last := &records[len(records)-1]; last.Seq >= s.head.Seq && last.Type == module.TypeDelete {
		s.end(last.ID, false)
		return
	}
	s.catchUp()
}
