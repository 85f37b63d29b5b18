package syncserver_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/syncserver"
	"skerry/syncserver/memlog"
)

// overQuota fails the test unless a verdict says that the author is over a quota, for now.
func overQuota(t *testing.T, what string, v *wire.Verdict) {
	t.Helper()
	if v.Kind != wire.Deferred || v.Code != wire.CodeOverQuota || v.RetryAfterMS != 10_000 || v.Reason == "" {
		t.Errorf("%s: %+v", what, v)
	}
}

// TestQuotaOfBytes: an identity writes up to its quota to the byte, in all spaces together, over restarts; deleting a space is always possible and
// gives back what it took, and what waits goes up then.
func TestQuotaOfBytes(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		size := notes("ann", 1)[0].Stored()
		var log syncserver.Log
		var r *rig
		begin := func(quota int) {
			if r != nil {
				r.stop()
			}
			log = open()
			r = start(t, log, runsModules(t, log, nil), func(c *syncserver.Config) { c.Quotas.Bytes = uint64(quota) })
		}
		begin(10 * size)
		ann, bob := r.dial("ann"), r.dial("bob")
		first, second := ann.create(), ann.create()
		known := notes("ann", 4)
		ann.append(first, known...)
		ann.append(second, notes("ann", 5)...)
		longer := privateEvent("ann", "noted")
		v := ann.verdict(first, longer)
		overQuota(t, "a byte over it", &v)
		ann.took(first, privateEvent("ann", "memo"))
		over := privateEvent("ann", "more")
		for _, id := range []space.ID{first, second} {
			v := ann.verdict(id, over)
			overQuota(t, "all of it", &v)
		}
		if v := ann.verdict(first, known[2]); v.Kind != wire.Duplicate {
			t.Errorf("what is known: %+v", v)
		}
		bob.append(first, notes("bob", 10)...)
		v = bob.verdict(first, notes("bob", 1)[0])
		overQuota(t, "another identity's own", &v)

		begin(10*size - 1) // the quota is another one meanwhile
		ann = r.dial("ann")
		v = ann.verdict(second, over)
		overQuota(t, "after a restart", &v)
		begin(10 * size)
		ann = r.dial("ann")
		v = ann.verdict(second, over)
		overQuota(t, "after another", &v)
		if v := ann.verdict(first, deletes("ann")); v.Kind != wire.Accepted {
			t.Fatalf("deleting a space: %+v", v)
		}
		ann.untilTaken(second, over)
		ann.took(second, notes("ann", 4)...)
		v = ann.verdict(second, notes("ann", 1)[0])
		overQuota(t, "all of it again", &v)
		bob = r.dial("bob")
		bob.append(second, notes("bob", 10)...)
		v = bob.verdict(second, notes("bob", 1)[0])
		overQuota(t, "what others had in it is theirs again, and no more", &v)
		for _, who := range []string{"ann", "bob"} {
			if u, err := log.Usage(t.Context(), who); err != nil || u.Bytes != uint64(10*size) {
				t.Errorf("%s has %+v, %v", who, u, err)
			}
		}
	})
}

// took pushes transactions, which must be accepted, after others were deferred.
func (p *peer) took(id space.ID, transactions ...space.Transaction) {
	p.t.Helper()
	for _, tx := range transactions {
		if v := p.verdict(id, tx); v.Kind != wire.Accepted {
			p.t.Fatalf("%+v", v)
		}
	}
}

// untilTaken pushes a transaction until it is taken; meanwhile it is over a quota.
func (p *peer) untilTaken(id space.ID, tx space.Transaction) {
	p.t.Helper()
	for begin := time.Now(); ; {
		v := p.verdict(id, tx)
		if v.Kind == wire.Accepted {
			return
		}
		if v.Code != wire.CodeOverQuota || time.Since(begin) > 20*time.Second {
			p.t.Fatalf("%+v", v)
		}
	}
}

// TestQuotaOfBytesAtOnce: what is under way counts, that of the same space and that of others, and none of it twice.
func TestQuotaOfBytesAtOnce(t *testing.T) {
	for name, spaces := range map[string]int{"one space": 1, "many spaces": 16} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := &hooked{Log: memlog.New()}
				size := notes("ann", 1)[0].Stored()
				r := start(t, log, func(c *syncserver.Config) { c.Quotas.Bytes = uint64(10 * size) })
				defer r.stop()
				ann := r.dial("ann")
				var ids []space.ID
				for range spaces {
					ids = append(ids, ann.create())
				}
				held := make(chan struct{})
				log.before(func(space.ID) error { <-held; return nil })
				for i := range 16 { // one by one, each judged before the next comes
					ann.push(wire.Push{Space: ids[i%spaces], Transactions: notes("ann", 1)})
					synctest.Wait()
				}
				log.before(nil)
				close(held)
				accepted := 0
				for range 16 {
					for _, v := range await[*wire.Pushed](ann).Verdicts {
						if v.Kind == wire.Accepted {
							accepted++
						} else if v.Code != wire.CodeBehind {
							overQuota(t, "over it", &v)
						}
					}
				}
				if accepted != 10 {
					t.Errorf("%d were accepted, want 10", accepted)
				}
			})
		})
	}
}

// TestQuotaIsJudgedAgain: of two spaces that accepted something for which there is room once, one judges again.
func TestQuotaIsJudgedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &hooked{Log: memlog.New()}
		size := notes("ann", 1)[0].Stored()
		r := start(t, log, func(c *syncserver.Config) { c.Quotas.Bytes = uint64(4 * size) })
		defer r.stop()
		ann := r.dial("ann")
		a, b := ann.create(), ann.create()
		held := make(chan struct{})
		log.before(func(space.ID) error { <-held; return nil })
		for _, id := range []space.ID{a, b, a, b, a} { // the later ones of each on top of the first, which is being appended
			ann.push(wire.Push{Space: id, Transactions: notes("ann", 1)})
			synctest.Wait()
		}
		close(held)
		accepted := 0
		for range 5 {
			if v := await[*wire.Pushed](ann).Verdicts[0]; v.Kind == wire.Accepted {
				accepted++
			} else if v.Code != wire.CodeBehind {
				overQuota(t, "over it", &v)
			}
		}
		if u, err := log.Usage(t.Context(), "ann"); accepted != 4 || err != nil || u.Bytes != uint64(4*size) {
			t.Errorf("%d were accepted, want 4; there is %+v, %v", accepted, u, err)
		}
	})
}

// TestQuotaOfWhatFailed: what could not be stored takes nothing.
func TestQuotaOfWhatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &hooked{Log: memlog.New()}
		size := notes("ann", 1)[0].Stored()
		r := start(t, log, func(c *syncserver.Config) { c.Quotas.Bytes = uint64(4 * size) })
		defer r.stop()
		ann := r.dial("ann")
		id := ann.create()
		for range 3 {
			log.before(func(space.ID) error { return syncserver.ErrFull })
			if v := ann.verdict(id, notes("ann", 1)[0]); v.Code != wire.CodeServerFull {
				t.Fatalf("on a full log: %+v", v)
			}
			log.before(nil)
			time.Sleep(time.Minute)
		}
		if v := ann.verdict(id, privateEvent("ann", "$no")); v.Kind != wire.Rejected {
			t.Fatalf("what is no event: %+v", v)
		}
		for i := range 4 {
			if v := ann.verdict(id, notes("ann", 1)[0]); v.Kind != wire.Accepted {
				t.Fatalf("%d: %+v", i, v)
			}
		}
		v := ann.verdict(id, notes("ann", 1)[0])
		overQuota(t, "all of it", &v)
	})
}

// TestQuotaOfSpaces: an identity has so many spaces and no more, over restarts, and another one when it has deleted one.
func TestQuotaOfSpaces(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		var r *rig
		begin := func() {
			if r != nil {
				r.stop()
			}
			log := open()
			r = start(t, log, runsModules(t, log, nil), func(c *syncserver.Config) { c.Quotas.Spaces = 3 })
		}
		begin()
		ann := r.dial("ann")
		try := func(p *peer, g *space.Genesis) *wire.Verdict {
			return p.pushed(wire.Push{Space: g.ID(), Genesis: g, Resume: true}).Genesis
		}
		var made []*space.Genesis
		for i := range 3 {
			made = append(made, ann.genesis())
			if v := try(ann, made[i]); v.Kind != wire.Accepted {
				t.Fatalf("space %d: %+v", i, v)
			}
		}
		over := ann.genesis()
		overQuota(t, "one more", try(ann, over))
		if v := try(ann, made[0]); v.Kind != wire.Duplicate {
			t.Errorf("one that is there: %+v", v)
		}
		bob := r.dial("bob")
		if v := try(bob, bob.genesis()); v.Kind != wire.Accepted {
			t.Errorf("somebody else's: %+v", v)
		}
		begin()
		ann = r.dial("ann")
		overQuota(t, "after a restart", try(ann, over))
		if v := ann.verdict(made[1].ID(), deletes("ann")); v.Kind != wire.Accepted {
			t.Fatalf("deleting one: %+v", v)
		}
		for begin := time.Now(); ; {
			v := try(ann, over)
			if v.Kind == wire.Accepted {
				break
			}
			if overQuota(t, "not freed yet", v); time.Since(begin) > 20*time.Second || t.Failed() {
				t.Fatalf("%+v", v)
			}
		}
		overQuota(t, "one more again", try(ann, ann.genesis()))
	})
}

// TestQuotaOfModules: an identity has so many modules and no more, over restarts, and another one when one was collected.
func TestQuotaOfModules(t *testing.T) {
	logs(t, func(t *testing.T, open func() syncserver.Log) {
		var now atomic.Int64
		now.Store(1_800_000_000)
		var log syncserver.Log
		var r *rig
		begin := func() {
			if r != nil {
				r.stop()
			}
			log = open()
			r = start(t, log, runsModules(t, log, nil), func(c *syncserver.Config) {
				c.Quotas.Modules = 2
				c.Now = func() time.Time { return time.Unix(now.Load(), 0) }
			})
		}
		begin()
		fresh := freshModules("8")
		ann, bob := r.dial("ann"), r.dial("bob")
		first := fresh()
		for i, content := range [][]byte{first, fresh()} {
			if code := ann.uploads(content); code != 0 {
				t.Fatalf("module %d: %v", i, code)
			}
		}
		over := fresh()
		if code := ann.uploads(over); code != wire.CodeOverQuota {
			t.Errorf("one more: %v", code)
		}
		if code := ann.uploads(first); code != 0 {
			t.Errorf("one that is there: %v", code)
		}
		for range 3 { // what is no module takes nothing
			if code := bob.uploads([]byte("no module")); code != wire.CodeBadModule {
				t.Errorf("no module: %v", code)
			}
		}
		if code := bob.uploads(fresh()); code != 0 {
			t.Errorf("somebody else's: %v", code)
		}
		begin()
		ann = r.dial("ann")
		if code := ann.uploads(over); code != wire.CodeOverQuota {
			t.Errorf("after a restart: %v", code)
		}
		kept := ann.createOf(digest.Of(first))
		for range 2 { // it is noted that nobody names the other, and a month later it is deleted
			if err := r.server.CollectModules(t.Context()); err != nil {
				t.Fatal(err)
			}
			now.Add(31 * 24 * 3600)
		}
		for begin := time.Now(); ; {
			code := ann.uploads(over)
			if code == 0 {
				break
			}
			if code != wire.CodeOverQuota || time.Since(begin) > 20*time.Second {
				t.Fatalf("after one was collected: %v", code)
			}
		}
		if code := ann.uploads(fresh()); code != wire.CodeOverQuota {
			t.Errorf("one more again: %v", code)
		}
		ann.append(kept, privateEvent("ann", "grant", "identity", "bob", "role", "writer"))
	})
}
