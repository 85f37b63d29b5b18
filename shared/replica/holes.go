package replica

import (
	"encoding/binary"
	"errors"
	"slices"

	"skerry/shared/digest"
	"skerry/shared/space"
)

// A replica need not have all of a log: where it has little of a long one, it begins at the server's checkpoint, and its position is
// that of the checkpoint without the records before it. What is missing is noted in the store, with the chain on both sides, so that
// every record that is put there later can be proven to be the one that was left out.

// Hole is a stretch of the log whose records are not here, though the space's position is at its end or behind it. Both sides end
// transactions.
type Hole struct {
	After space.Position // the last record before it; that of [space.Start] if there is none
	Until space.Position // the last record in it, and the chain that what comes behind it follows on
}

// Page is records that fill the upper end of a hole: whole transactions, the last of which is the hole's last. That they hash to the
// chain at its end, and follow on what is before it where they fill all of it, is for the caller to see to.
type Page struct {
	// Until is a condition: a hole of the space ends with this number and chain, and begins before First.
	Until   space.Position
	First   uint64
	Before  digest.Digest // the chain before First
	Records []byte        // encoded as those of a commit
}

var (
	errBadPage = errors.New("replica: a page does not end where its hole does, or comes with a cut")
	errBadHole = errors.New("replica: holes overlap, or end before they begin")
)

func (p *Page) check(sc *SpaceCommit) error {
	if sc.CutTo() != nil || len(p.Records) == 0 || p.First == 0 || p.First > p.Until.Seq {
		return errBadPage
	}
	return nil
}

// hole returns which hole a page is for; -1 if there is none, which makes its commit stale.
func (p *Page) hole(holes []Hole) int {
	return slices.IndexFunc(holes, func(h Hole) bool {
		return h.Until.Seq == p.Until.Seq && h.Until.Chain == p.Until.Chain && h.After.Seq < p.First
	})
}

// Fits reports whether info has the hole that the page is for.
func (p *Page) Fits(info *SpaceInfo) bool { return p.hole(info.Holes) >= 0 }

// Move brings Position and Holes to what sc makes of them. Its conditions hold.
func (info *SpaceInfo) Move(sc *SpaceCommit) {
	if sc.Drop != nil {
		info.drop(space.Start(sc.Space), sc.Drop)
	}
	if p := sc.Page; p != nil {
		if i := p.hole(info.Holes); i >= 0 {
			info.Dropped = min(info.Dropped, p.First-1)
			info.Holes = slices.Clone(info.Holes)
			if info.Holes[i].Until = (space.Position{Seq: p.First - 1, Chain: p.Before}); info.Holes[i].After.Seq == p.First-1 {
				info.Holes = slices.Delete(info.Holes, i, i+1)
			}
		}
	}
	to := sc.Position
	switch {
	case to == nil:
		return
	case sc.Fork != nil:
		info.cutHoles(sc.Fork)
		if len(sc.Records) == 0 {
			if info.Position = *sc.Fork; to.Seq > info.Position.Seq {
				info.skip(to)
			}
		}
	case sc.Cut:
		info.cutHoles(to)
	case len(sc.Records) == 0 && to.Seq > info.Position.Seq:
		info.skip(to)
	}
	info.Position = *to
}

// skip notes that there is nothing between the position and a later one.
func (info *SpaceInfo) skip(to *space.Position) {
	hole := Hole{After: sealless(info.Position), Until: sealless(*to)}
	if n := len(info.Holes); n > 0 && info.Holes[n-1].Until.Seq == hole.After.Seq {
		hole.After = info.Holes[n-1].After
		info.Holes = info.Holes[:n-1]
	}
	info.Holes = append(slices.Clip(info.Holes), hole)
}

// sealed returns a position with a seal.
func sealed(p space.Position, seal digest.Digest) space.Position {
	p.Seal = seal
	return p
}

// sealless returns what holes keep of a position: no seal is needed where nothing is resumed.
func sealless(p space.Position) space.Position { return space.Position{Seq: p.Seq, Chain: p.Chain} }

// cutHoles leaves the holes that are below a cut.
func (info *SpaceInfo) cutHoles(to *space.Position) {
	var kept []Hole
	for _, h := range info.Holes {
		if h.After.Seq >= to.Seq {
			break
		}
		if h.Until.Seq > to.Seq {
			h.Until = sealless(*to)
		}
		kept = append(kept, h)
	}
	info.Holes, info.Dropped = kept, min(info.Dropped, to.Seq)
}

// HoleAt returns the hole in which a record is, or nil.
func (info *SpaceInfo) HoleAt(seq uint64) *Hole {
	for i := range info.Holes {
		if h := &info.Holes[i]; h.After.Seq < seq && seq <= h.Until.Seq {
			return h
		}
	}
	return nil
}

// Base returns where the records begin that are here up to Position without a hole.
func (info *SpaceInfo) Base(id space.ID) space.Position {
	if n := len(info.Holes); n > 0 {
		return info.Holes[n-1].Until
	}
	return space.Start(id)
}

// holeBytes is how long a hole is in a store: numbers and chains of both sides.
const holeBytes = 2 * (8 + digest.Size)

// AppendHoles appends the encoding of holes in which stores keep them.
func AppendHoles(b []byte, holes []Hole) []byte {
	for i := range holes {
		for _, p := range []*space.Position{&holes[i].After, &holes[i].Until} {
			b = append(binary.BigEndian.AppendUint64(b, p.Seq), p.Chain[:]...)
		}
	}
	return b
}

// DecodeHoles reads what AppendHoles wrote.
func DecodeHoles(b []byte) ([]Hole, error) {
	if len(b)%holeBytes != 0 {
		return nil, errBadHole
	}
	position := func() (p space.Position) {
		p.Seq = binary.BigEndian.Uint64(b)
		copy(p.Chain[:], b[8:])
		b = b[8+digest.Size:]
		return p
	}
	var holes []Hole
	for last := uint64(0); len(b) > 0; {
		h := Hole{After: position(), Until: position()}
		if h.After.Seq < last || h.Until.Seq <= h.After.Seq {
			return nil, errBadHole
		}
		last = h.Until.Seq
		holes = append(holes, h)
	}
	return holes, nil
}
