//go:build !js

package wasmclient_test

import (
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"skerry/shared/module/moduletest"
	"skerry/shared/module/moduletest/notes101"
	"skerry/shared/module/moduletest/notes112"
	"skerry/shared/module/program"
	"skerry/shared/space"
	"skerry/shared/wire"
	"skerry/wasmclient"
)

// TestWrittenUnder112ReadUnder101 is the case by which schemas came about: an event that was encoded under api, app and module 1.1.2, with the schema of its declaration there,
// meets code of 1.0.1, which reads it right or fails with a code, and reads nothing wrong; so do the server and a device with the module of 1.0.1, and the
// same the other way round. By the names alone each of the payloads would be read, and three of five as what they do not say.
func TestWrittenUnder112ReadUnder101(t *testing.T) {
	stars := uint64(5)
	same, more := notes112.Same{Text: "same"}, notes112.More{Text: "more", Stars: &stars}
	letter, price, when := notes112.Letter{To: "bob", From: "ada"}, notes112.Price{Amount: 499, Currency: "cents"}, notes112.When{At: "noon"}
	written := []space.Event{same.Event(), more.Event(), letter.Event(), price.Event(), when.Event()}

	t.Run("generated code", func(t *testing.T) {
		if read, err := notes101.ReadSameEvent(&written[0], nil); err != nil || read.Text != "same" {
			t.Errorf("what did not change: %+v, %v", read, err)
		}
		read := []func(e *space.Event, has *program.Manifest) (any, error){
			func(e *space.Event, has *program.Manifest) (any, error) { return notes101.ReadMoreEvent(e, has) },
			func(e *space.Event, has *program.Manifest) (any, error) { return notes101.ReadLetterEvent(e, has) },
			func(e *space.Event, has *program.Manifest) (any, error) { return notes101.ReadPriceEvent(e, has) },
			func(e *space.Event, has *program.Manifest) (any, error) { return notes101.ReadWhenEvent(e, has) },
		}
		for _, has := range []*program.Manifest{nil, manifestOf(t, "1.0.1")} {
			for i := range read {
				e := &written[1+i]
				value, err := read[i](e, has)
				if wire.CodeOf(err) != wire.CodeSchemaUnknown || !strings.Contains(err.Error(), e.Type) {
					t.Errorf("%s is read as %+v, %v", e.Type, value, err)
				}
				if !reflect.ValueOf(value).IsZero() {
					t.Errorf("%s: the error comes with %+v", e.Type, value)
				}
			}
		}
		// in a space that has the newer module, as generated TypeScript reads it: web/test/literal.test.ts
		for i, want := range []any{notes101.More{Text: "more"}, notes101.Letter{From: "bob", To: "ada"}, nil, nil} {
			value, err := read[i](&written[1+i], manifestOf(t, "1.1.2"))
			if want == nil && (wire.CodeOf(err) != wire.CodeSchemaIncompatible || !reflect.ValueOf(value).IsZero()) || want != nil && (err != nil || value != want) {
				t.Errorf("%s is read as %+v, %v, want %+v", written[1+i].Type, value, err, want)
			}
		}
		if wrong, err := notes101.ReadLetter(written[2].Payload); err != nil || wrong.From != "ada" { // names that mean something else: from is to whom
			t.Errorf("what would be wrong is %+v, %v: this test tests nothing", wrong, err)
		}
		if wrong, err := notes101.ReadPrice(written[3].Payload); err != nil || wrong.Amount != 499 {
			t.Errorf("what would be wrong is %+v, %v: this test tests nothing", wrong, err)
		}
	})

	t.Run("a server and devices", func(t *testing.T) {
		inJudgedBubble(t, func(j *judged) {
			j.world.serves("1.0.0", "1.1.2")
			is := func(version string) func(*wasmclient.Config) {
				return func(c *wasmclient.Config) {
					c.API, c.ClientVersion = wire.APIRange{Low: "1.0.0", High: version}, version
				}
			}
			newer, older := j.tab(j.device("ada"), is("1.1.2")), j.tab(j.device("ada"), is("1.0.1"))
			id := j.spaceOf(older, moduletest.Notes("1.0.1")).ID()
			s := newer.Space(id)
			j.settled(newer, id)
			for _, e := range written {
				j.appendEach(s, []space.Event{e})
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			pending, err := s.Pending(j.Context(), 10, false)
			if err != nil || len(pending) != 4 || pending[0].Code != wire.CodeSchemaUnknown || s.Info().Rejected != 0 {
				t.Errorf("under the module of 1.0.1 there wait %+v, %v", pending, err)
			}
			j.settled(older, id)
			j.same(j.keptRows(older.Space(id)), rowOf("same"))
			mine := []space.Event{(&notes101.Letter{From: "cy", To: "di"}).Event(), (&notes101.Price{Amount: 5}).Event()}
			j.appendEach(older.Space(id), mine)
			j.settled(older, id)
			j.same(j.keptRows(older.Space(id)), rowOf("same"), rowOf("cy", "di"), "\x05\x00\x00\x00\x00\x00\x00\x00")

			j.upgrade(older, older.Space(id), moduletest.Notes("1.1.2"))
			j.settled(newer, id)
			j.settled(older, id)
			j.appendEach(older.Space(id), mine) // the code that is older, in a space that is not
			j.settled(older, id)
			j.settled(newer, id)
			rows := []string{
				rowOf("same"), rowOf("cy", "di"), "\x05\x00\x00\x00\x00\x00\x00\x00", // as they were carried
				rowOf("more") + "\x01\x05\x00\x00\x00\x00\x00\x00\x00", rowOf("bob", "ada"), "\xf3\x01\x00\x00\x00\x00\x00\x00" + rowOf("cents"), rowOf("noon"),
				rowOf("cy", "di"), "\x00\x00\x00\x00\x00\x00\x00\x00" + rowOf(""), // from and to were swapped, and the amount that meant something else is none
			}
			j.same(j.keptRows(newer.Space(id)), rows...)
			j.same(j.keptRows(older.Space(id)), rows...)

			found, err := older.Space(id).Tables(j.Context())
			if err != nil {
				t.Fatal(err)
			}
			has, err := program.ReadManifest(found.Manifest)
			if err != nil || has.Version != "1.1.2" {
				t.Fatal(has, err)
			}
			read := map[string]int{}
			for record, err := range older.Space(id).Events(j.Context(), wasmclient.EventsOptions{}) {
				if err != nil {
					t.Fatal(err)
				}
				if record.Type != "letter" {
					continue
				}
				if record.API == "1.1.2" {
					if wrong, err := notes101.ReadLetterEvent(&record.Event, nil); wire.CodeOf(err) != wire.CodeSchemaUnknown {
						t.Errorf("without its module it is read as %+v, %v", wrong, err)
					}
				}
				letter, err := notes101.ReadLetterEvent(&record.Event, has)
				switch {
				case record.API == "1.1.2" && record.ClientVersion == "1.1.2" && err == nil && letter.From == "bob" && letter.To == "ada":
					read["newer"]++
				case record.API == "1.0.1" && record.ClientVersion == "1.0.1" && err == nil && letter.From == "cy" && letter.To == "di":
					read["right"]++
				default:
					t.Errorf("%s of api %s, app %s is read as %+v, %v", record.Type, record.API, record.ClientVersion, letter, err)
				}
				if newly, err := notes112.ReadLetterEvent(&record.Event, has); err != nil || record.API == "1.0.1" && newly.To != "cy" || record.API == "1.1.2" && newly.To != "bob" {
					t.Errorf("by 1.1.2 it is read as %+v, %v", newly, err)
				}
			}
			if read["newer"] != 1 || read["right"] != 2 {
				t.Errorf("letters: %v", read)
			}
		})
	})
}

// manifestOf returns what a version of moduletest.Notes says of itself.
func manifestOf(t *testing.T, version string) *program.Manifest {
	t.Helper()
	p, err := program.Load(moduletest.Notes(version))
	if err != nil {
		t.Fatal(err)
	}
	return p.Manifest
}
