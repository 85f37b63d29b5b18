// Package godebug is what a page has in place of the standard one: settings by GODEBUG, an environment variable, which pages have not. All
// have the value that they have without it. What would parse and count them takes 12 kB.
//
// Stable: nothing; the interface is that of the version of Go that go.mod names.
package godebug

// Setting is one setting.
type Setting struct{ name string }

// New returns a setting.
func New(name string) *Setting { return &Setting{name} }

// Name returns its name.
func (s *Setting) Name() string { return s.name }

// Undocumented reports whether it is told of nowhere.
func (s *Setting) Undocumented() bool { return false }

// String returns its name and value.
func (s *Setting) String() string { return s.name + "=" }

// IncNonDefault counts uses of a value that is not the default, which there are none of.
func (s *Setting) IncNonDefault() {}

// Value returns the default: nothing.
func (s *Setting) Value() string { return "" }
