package guest

import (
	"errors"
	"unsafe"

	"skerry/shared/msgpack"
)

// Strategies of an upgrade to a module.
const (
	Carry  = "carry"  // tables of unchanged shape stay, the rest is for Migrate
	Replay = "replay" // tables are made anew from the whole log
)

// Module is what a module declares and does. ABI.md says more of each.
type Module struct {
	Name    string
	Version string // semantic; `skerry module build --version` puts another one in its place
	Doc     string

	// Events are the types of events that the module knows.
	Events []AnyEventType
	// Others takes events of other types, those that upgrade the space included; nil refuses them, as unknown.
	Others *OtherTypes
	// Init begins a space; nil: any params will do, and nothing is done.
	Init AnyInit

	Tables []AnyTable

	// Readable reports whether an identity may read the space, which is empty for who proved none; nil: everyone may.
	Readable func(identity string) bool
	// ReadableBy names the tables on which that depends, and Audience the one whose rows are who may.
	ReadableBy []string
	Audience   string

	// Upgrade is how the module takes over a space from another one: [Carry] or [Replay]; empty: it does not.
	Upgrade string
	Migrate AnyMigrate
}

// registered is the module that is served.
var registered struct {
	module   *Module
	problem  error
	events   []declaredEvent
	tables   []*table
	params   shape // nil: bytes
	init     func(*input)
	migrate  func(*input)
	manifest []byte
}

// version is set by the linker.
var version string

// Register makes a program that module. It is called once, by an init function of package main. What is wrong with
// the declarations `skerry module build` says.
func Register(m Module) {
	if registered.module != nil {
		registered.problem = errors.New("two modules are registered: " + registered.module.Name + ", " + m.Name)
		return
	}
	if version != "" {
		m.Version = version
	}
	registered.module = &m
	if registered.problem = declare(&m); registered.problem == nil {
		registered.manifest = m.manifest()
	}
}

func declare(m *Module) error {
	for _, e := range m.Events {
		d, err := e.declare()
		if err != nil {
			return err
		}
		registered.events = append(registered.events, d)
	}
	if m.Others != nil && m.Others.Authorize == nil {
		return errors.New("the module has Others without Authorize")
	}
	for i, t := range m.Tables {
		d, err := t.declare(int32(i))
		if err != nil {
			return err
		}
		registered.tables = append(registered.tables, d)
	}
	var err error
	if m.Init != nil {
		if registered.params, registered.init, err = m.Init.init(); err != nil {
			return err
		}
	}
	if m.Migrate == nil {
		return nil
	}
	var params shape
	if params, registered.migrate, err = m.Migrate.migrate(); err != nil {
		return err
	}
	if m.Init != nil && string(appendFields(nil, params)) != string(appendFields(nil, registered.params)) {
		return errors.New("the params of Init and Migrate differ")
	}
	registered.params = params
	return nil
}

// manifest returns what the module says of itself: msgpack, a map by name, as ABI.md describes it.
func (m *Module) manifest() []byte {
	n := 6 // that are always there
	for _, there := range []bool{m.Doc != "", m.Others != nil, registered.params != nil, m.ReadableBy != nil, m.Audience != "", m.Upgrade != ""} {
		if there {
			n++
		}
	}
	b := msgpack.AppendMap(nil, n)
	text := func(name, value string) {
		if value != "" || name == "name" || name == "version" {
			b = msgpack.AppendString(msgpack.AppendString(b, name), value)
		}
	}
	text("name", m.Name)
	text("version", m.Version)
	text("doc", m.Doc)
	b = msgpack.AppendUint(msgpack.AppendString(b, "abi"), 2)
	b = msgpack.AppendUint(msgpack.AppendString(b, "io"), uint64(len(region)))
	b = msgpack.AppendArray(msgpack.AppendString(b, "events"), len(registered.events))
	for i := range registered.events {
		e := &registered.events[i]
		b = msgpack.AppendMap(b, 5)
		b = msgpack.AppendString(msgpack.AppendString(b, "name"), e.name)
		b = msgpack.AppendString(msgpack.AppendString(b, "doc"), e.doc)
		b = appendFields(msgpack.AppendString(b, "fields"), e.fields)
		b = msgpack.AppendBool(msgpack.AppendString(b, "removed"), e.removed)
		b = appendOlder(b, e.older)
	}
	if m.Others != nil {
		b = msgpack.AppendBool(msgpack.AppendString(b, "raw"), true)
	}
	if registered.params != nil {
		b = appendFields(msgpack.AppendString(b, "params"), registered.params)
	}
	b = msgpack.AppendArray(msgpack.AppendString(b, "tables"), len(registered.tables))
	for i := range registered.tables {
		b = registered.tables[i].appendTo(b)
	}
	if m.ReadableBy != nil {
		b = appendTexts(b, "readable", m.ReadableBy)
	}
	text("audience", m.Audience)
	text("upgrade", m.Upgrade)
	return b
}

func appendFields(b []byte, s shape) []byte {
	b = msgpack.AppendArray(b, len(s))
	for i := range s {
		if s[i].standard != nil {
			b = append(msgpack.AppendString(msgpack.AppendMap(b, 5), "default"), s[i].standard...)
		} else {
			b = msgpack.AppendMap(b, 4)
		}
		b = msgpack.AppendString(msgpack.AppendString(b, "name"), s[i].name)
		b = msgpack.AppendString(msgpack.AppendString(b, "type"), kindNames[s[i].kind])
		b = msgpack.AppendBool(msgpack.AppendString(b, "optional"), s[i].optional)
		b = msgpack.AppendString(msgpack.AppendString(b, "doc"), s[i].doc)
	}
	return b
}

func (t *table) appendTo(b []byte) []byte {
	names := func(order []int) (list []string) {
		for _, place := range order {
			list = append(list, t.shape[place].name)
		}
		return list
	}
	b = msgpack.AppendMap(b, 4)
	b = msgpack.AppendString(msgpack.AppendString(b, "name"), t.name)
	b = appendFields(msgpack.AppendString(b, "columns"), t.shape)
	b = appendTexts(b, "key", names(t.orders[0]))
	b = msgpack.AppendArray(msgpack.AppendString(b, "indexes"), len(t.indexes))
	for i, index := range t.indexes {
		b = msgpack.AppendMap(b, 3)
		b = msgpack.AppendString(msgpack.AppendString(b, "name"), index.Name)
		b = appendTexts(b, "columns", names(t.orders[i+1]))
		b = msgpack.AppendBool(msgpack.AppendString(b, "unique"), index.Unique)
	}
	return b
}

func appendTexts(b []byte, name string, texts []string) []byte {
	b = msgpack.AppendArray(msgpack.AppendString(b, name), len(texts))
	for _, text := range texts {
		b = msgpack.AppendString(b, text)
	}
	return b
}

// What a module may log in a line, and give as a reason.
const (
	maxLog    = 1 << 10
	maxReason = 1 << 10
	maxCode   = 1<<16 - 1
)

// Fail refuses what the module was called for, with a number of its own (1 to 65,535; 0 is refused and no more) and a
// reason for people of at most 1 KiB, of which the rest is cut off. It does not return, and nothing of what was written is kept.
func Fail(code int, reason string) {
	if code < 0 || code > maxCode {
		panic("guest: Fail with a code that is not from 0 to 65535")
	}
	reason = reason[:min(len(reason), maxReason)]
	hostFail(int32(code), unsafe.Pointer(unsafe.StringData(reason)), uint32(len(reason)))
	panic("guest: the host went on after a failure")
}

// Log shows a line to whoever develops the module, up to 1 KiB of it. It changes nothing. What is printed is logged, too.
func Log(line string) {
	line = line[:min(len(line), maxLog)]
	hostLog(unsafe.Pointer(unsafe.StringData(line)), uint32(len(line)))
}

// BLAKE3 returns the hash of bytes, which the host makes.
func BLAKE3(b []byte) (hash [32]byte) {
	hostBLAKE3(pointer(b), uint32(len(b)), unsafe.Pointer(&hash))
	return hash
}
