package guest

import (
	"iter"
	"slices"
)

// region is where calls get their input.
var region [64 << 10]byte

// call is the input of the call that runs, and event what it is about: there is one at a time.
var (
	call  input
	event Event
)

func entry(length int32) *input {
	call = input{rest: region[:length]}
	return &call
}

// readEvent reads what authorize and apply know of an event alike, and returns its place among the types, or -1.
func (in *input) readEvent() int {
	place := int(int32(in.u32()))
	event.ID = in.id()
	event.Index, event.Count = in.u32(), in.u32()
	event.Author, event.ClientVersion = in.text(), Version(in.text())
	if place >= 0 {
		event.Type = registered.events[place].name
	}
	return place
}

// undeclared reads what is left of an event whose type is not declared.
func (in *input) undeclared() Undeclared {
	event.Type = in.text()
	return Undeclared{*(*[8]byte)(in.next(8)), in.bytes()}
}

func (in *input) space() Space { return Space{in.text(), in.id()} }

func callAuthorize(in *input) {
	place := in.readEvent()
	event.Claims = in.bytes()
	if place < 0 {
		registered.module.Others.Authorize(&event, in.undeclared())
		return
	}
	registered.events[place].authorize(&event, in)
}

func callApply(in *input) {
	place := in.readEvent()
	event.Seq, event.ReceivedAt = in.u64(), in.u64()
	if place >= 0 {
		registered.events[place].apply(&event, in)
	} else if others := registered.module.Others; others.Apply != nil {
		others.Apply(&event, in.undeclared())
	}
}

// What a module has beside authorize and apply, as the answer to skerry_manifest tells it in its first byte. 0 is a problem,
// told in the rest.
const (
	hasModule   = 1
	hasInit     = 2
	hasReadable = 4
	hasMigrate  = 8
)

// answers are what is logged when the module is asked what it declares.
func answers() iter.Seq[[]byte] {
	answer := append([]byte{0}, "no module is registered"...)
	if m := registered.module; registered.problem != nil {
		answer = append([]byte{0}, registered.problem.Error()...)
	} else if m != nil {
		flags := byte(hasModule)
		if m.Init != nil {
			flags |= hasInit
		}
		if m.Readable != nil {
			flags |= hasReadable
		}
		if m.Migrate != nil {
			flags |= hasMigrate
		}
		answer = append([]byte{flags}, registered.manifest...)
	}
	return slices.Chunk(answer, maxLog)
}
