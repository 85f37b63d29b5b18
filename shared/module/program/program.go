package program

import (
	"fmt"
	"strings"

	"skerry/shared/digest"
	"skerry/shared/module/meter"
	"skerry/shared/wire"
)

// Program is a module that may judge: its bytes were checked and metered. It is immutable.
type Program struct {
	Digest   digest.Digest // of the bytes that were loaded
	Manifest *Manifest
	Metered  *meter.Metered
	Exports  [len(exportSignatures)]bool // by [Export]
	readers  [][]reader                  // of payloads, by the place of the event type
}

// Load checks a module's bytes by everything that can be known without running them. Its error is a
// [*wire.CodeError] with CodeBadModule that says what is wrong. It keeps no reference to bytes.
func Load(bytes []byte) (*Program, error) {
	p, err := load(bytes)
	if err != nil {
		return nil, wire.Errorf(wire.CodeBadModule, "%v", err)
	}
	return p, nil
}

func load(bytes []byte) (*Program, error) {
	metered, err := meter.Instrument(bytes)
	if err != nil {
		return nil, err
	}
	p := &Program{Digest: digest.Of(bytes), Metered: metered}
	for _, i := range metered.Imports {
		switch want, ok := importSignatures[i.Name]; {
		case i.Module != importModule || !ok:
			return nil, fmt.Errorf("it imports %s.%s, which ABI %d does not have", i.Module, i.Name, ABI)
		case i.Signature != want:
			return nil, fmt.Errorf("it imports %s as (%s), and it is (%s)", i.Name, i.Signature, want)
		}
	}
	if err := p.checkExports(); err != nil {
		return nil, err
	}
	content, ok := metered.Custom[ManifestSection]
	switch {
	case !ok:
		return nil, fmt.Errorf("it has no custom section %s", ManifestSection)
	case content == nil:
		return nil, fmt.Errorf("it has several custom sections %s", ManifestSection)
	}
	if p.Manifest, err = ReadManifest(content); err != nil {
		return nil, err
	}
	for i := range p.Manifest.Events {
		readers, err := p.Manifest.Events[i].readers()
		if err != nil {
			return nil, err
		}
		p.readers = append(p.readers, readers)
	}
	if uint64(p.Manifest.IO) > uint64(metered.Pages[0])*memoryPage {
		return nil, fmt.Errorf("its io region of %d bytes is larger than its memory, which begins with %d pages", p.Manifest.IO, metered.Pages[0])
	}
	return p, nil
}

// checkExports checks what the module exports. Names that the ABI does not know are its own affair.
func (p *Program) checkExports() error {
	found := map[string]string{}
	for _, e := range p.Metered.Exports {
		found[e.Name] = e.Signature
		if e.Memory {
			found[e.Name] = exportMemory
		}
	}
	if found[exportMemory] != exportMemory {
		return fmt.Errorf("it does not export its memory as %s", exportMemory)
	}
	check := func(name, want string) (bool, error) {
		got, ok := found[name]
		if ok && got != want {
			return false, fmt.Errorf("it exports %s as (%s), and it is (%s)", name, strings.TrimSpace(got), want)
		}
		return ok, nil
	}
	if ok, err := check(ExportIO, signatureIO); err != nil || !ok {
		return missing(ExportIO, err)
	}
	for e := range exportSignatures {
		export := Export(e)
		ok, err := check(export.String(), exportSignatures[e])
		if err != nil || !ok && (export == Authorize || export == Apply) {
			return missing(export.String(), err)
		}
		p.Exports[e] = ok
	}
	return nil
}

func missing(name string, err error) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("it does not export %s", name)
}
