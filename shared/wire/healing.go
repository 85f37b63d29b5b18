package wire

import (
	"skerry/shared/msgpack"
	"skerry/shared/space"
)

// This file has the frames by which a server that lost records gets them back from replicas that hold them.

// Locate asks how much of a replica's history a server has, sent by the client. Position is where the replica stands, with the seal
// that says that this server once had all of it; Points are earlier places of the same history, ascending.
type Locate struct {
	Ref      uint64
	Space    space.ID
	Position space.Position
	Points   []space.Position // the seals in them are not looked at
}

// Located answers [Locate], sent by the server. Common is the newest of the points, or the position, that is on the server's branch too;
// the start if none is. It has no seal. Of what is behind the position nothing is told.
type Located struct {
	Ref          uint64
	Space        space.ID
	Common       space.Position
	RecoveringMS uint64 // for how long the server still waits for what it lost; 0: it does not
}

// Adopt brings records that the server once had, sent by the client: those that follow on Base and end at End, whose seal shows that they
// are what they were. A server that has the records up to Base, and none behind, takes them as they are. Whether or not it does, it
// seals Base: so a long run is shown piece by piece, the last one first, and then brought, the first one first.
type Adopt struct {
	Ref              uint64
	Space            space.ID
	Genesis          *space.Genesis // where Base is the start
	GenesisSignature []byte
	Base             space.Position // its seal is not looked at
	End              space.Position
	Records          []space.Record
}

// Adopted answers [Adopt], sent by the server: Base as it was, with a seal, and what became of the records.
type Adopted struct {
	Ref     uint64
	Space   space.ID
	Base    space.Position
	Outcome AdoptOutcome
}

// AdoptOutcome is what a server did with records that a replica brought back.
type AdoptOutcome uint64

// The outcomes of an [Adopt].
const (
	AdoptTaken   AdoptOutcome = 1 // the log ends with them now
	AdoptEarlier AdoptOutcome = 2 // the log ends before Base: what leads to it has to be brought first
	AdoptLook    AdoptOutcome = 3 // the log does not end before End: locate again
	AdoptLeft    AdoptOutcome = 4 // the log went on without them: they can be reclaimed
)

// Reclaim brings records that the server once had, and cannot take as they are since its log went on without them; sent by the client.
// Their transactions are judged anew, under their authors. Base is on the server's branch, or the End of a [Reclaimed].
type Reclaim struct {
	Ref     uint64
	Space   space.ID
	Base    space.Position
	End     space.Position
	Records []space.Record
}

// Reclaimed answers [Reclaim], sent by the server: one verdict per transaction, in order. End is where the next piece begins, for this
// purpose alone; zero if something was deferred.
type Reclaimed struct {
	Ref      uint64
	Space    space.ID
	Verdicts []Verdict
	End      space.Position
}

// MaxPoints is how many points a [Locate] has at most.
const MaxPoints = 256

// Number implements [Frame].
func (*Locate) Number() Number { return NumberLocate }

func (l *Locate) appendTo(b []byte) []byte {
	b = begin(b, NumberLocate, 4)
	b = msgpack.AppendUint(b, l.Ref)
	b = msgpack.AppendBinary(b, l.Space[:])
	b = appendPosition(b, &l.Position)
	b = msgpack.AppendArray(b, len(l.Points))
	for i := range l.Points {
		b = appendPosition(b, &l.Points[i])
	}
	return b
}

func (l *Locate) decode(f *msgpack.Fields) {
	decodeAbout(f, &l.Ref, &l.Space)
	if f.Next() {
		decodePosition(f.Reader, &l.Position)
	}
	if f.Next() {
		l.Points = make([]space.Position, f.Reader.ArrayOf(minDigest))
		for i := range l.Points {
			decodePosition(f.Reader, &l.Points[i])
		}
	}
}

// decodeAbout reads the first elements of all these frames.
func decodeAbout(f *msgpack.Fields, ref *uint64, id *space.ID) {
	if f.Next() {
		*ref = f.Reader.Uint()
	}
	if f.Next() {
		f.Reader.Fixed(id[:])
	}
}

// Number implements [Frame].
func (*Located) Number() Number { return NumberLocated }

func (l *Located) appendTo(b []byte) []byte {
	b = begin(b, NumberLocated, 4)
	b = msgpack.AppendUint(b, l.Ref)
	b = msgpack.AppendBinary(b, l.Space[:])
	b = appendPosition(b, &l.Common)
	return msgpack.AppendUint(b, l.RecoveringMS)
}

func (l *Located) decode(f *msgpack.Fields) {
	decodeAbout(f, &l.Ref, &l.Space)
	if f.Next() {
		decodePosition(f.Reader, &l.Common)
	}
	if f.Next() {
		l.RecoveringMS = f.Reader.Uint()
	}
}

// Number implements [Frame].
func (*Adopt) Number() Number { return NumberAdopt }

func (a *Adopt) appendTo(b []byte) []byte {
	b = begin(b, NumberAdopt, 7)
	b = msgpack.AppendUint(b, a.Ref)
	b = msgpack.AppendBinary(b, a.Space[:])
	if a.Genesis == nil {
		b = msgpack.AppendNil(b)
	} else {
		b = AppendGenesis(b, a.Genesis)
	}
	b = msgpack.AppendBinary(b, a.GenesisSignature)
	return appendRun(b, &a.Base, &a.End, a.Records)
}

func (a *Adopt) decode(f *msgpack.Fields) {
	decodeAbout(f, &a.Ref, &a.Space)
	if f.Next() && !f.Reader.IsNil() {
		a.Genesis = new(space.Genesis)
		decodeGenesis(f.Reader, a.Genesis)
	}
	if f.Next() {
		a.GenesisSignature = f.Reader.Binary()
	}
	decodeRun(f, &a.Base, &a.End, &a.Records)
}

func appendRun(b []byte, base, end *space.Position, records []space.Record) []byte {
	b = appendPosition(b, base)
	b = appendPosition(b, end)
	b = msgpack.AppendArray(b, len(records))
	for i := range records {
		b = AppendRecord(b, &records[i])
	}
	return b
}

func decodeRun(f *msgpack.Fields, base, end *space.Position, records *[]space.Record) {
	for _, p := range []*space.Position{base, end} {
		if f.Next() {
			decodePosition(f.Reader, p)
		}
	}
	if f.Next() {
		*records = decodeRecordArray(f.Reader)
	}
}

// Number implements [Frame].
func (*Adopted) Number() Number { return NumberAdopted }

func (a *Adopted) appendTo(b []byte) []byte {
	b = begin(b, NumberAdopted, 4)
	b = msgpack.AppendUint(b, a.Ref)
	b = msgpack.AppendBinary(b, a.Space[:])
	b = appendPosition(b, &a.Base)
	return msgpack.AppendUint(b, uint64(a.Outcome))
}

func (a *Adopted) decode(f *msgpack.Fields) {
	decodeAbout(f, &a.Ref, &a.Space)
	if f.Next() {
		decodePosition(f.Reader, &a.Base)
	}
	if f.Next() {
		a.Outcome = AdoptOutcome(f.Reader.Uint())
	}
}

// Number implements [Frame].
func (*Reclaim) Number() Number { return NumberReclaim }

func (l *Reclaim) appendTo(b []byte) []byte {
	b = begin(b, NumberReclaim, 5)
	b = msgpack.AppendUint(b, l.Ref)
	b = msgpack.AppendBinary(b, l.Space[:])
	return appendRun(b, &l.Base, &l.End, l.Records)
}

func (l *Reclaim) decode(f *msgpack.Fields) {
	decodeAbout(f, &l.Ref, &l.Space)
	decodeRun(f, &l.Base, &l.End, &l.Records)
}

// Number implements [Frame].
func (*Reclaimed) Number() Number { return NumberReclaimed }

func (l *Reclaimed) appendTo(b []byte) []byte {
	b = begin(b, NumberReclaimed, 4)
	b = msgpack.AppendUint(b, l.Ref)
	b = msgpack.AppendBinary(b, l.Space[:])
	b = msgpack.AppendArray(b, len(l.Verdicts))
	for i := range l.Verdicts {
		b = appendVerdict(b, &l.Verdicts[i])
	}
	return appendPosition(b, &l.End)
}

func (l *Reclaimed) decode(f *msgpack.Fields) {
	decodeAbout(f, &l.Ref, &l.Space)
	if f.Next() {
		l.Verdicts = make([]Verdict, f.Reader.ArrayOf(minVerdict))
		for i := range l.Verdicts {
			decodeVerdict(f.Reader, &l.Verdicts[i])
		}
	}
	if f.Next() {
		decodePosition(f.Reader, &l.End)
	}
}
