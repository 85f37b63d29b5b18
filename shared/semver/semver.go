// Package semver reads and compares semantic versions (semver.org, 2.0.0). It is small, and needs no fmt, since modules that are
// written in Go have it in them.
//
// Stable.
package semver

import (
	"errors"
	"strconv"
	"strings"
)

// Version is a semantic version (semver.org, 2.0.0). The zero Version is 0.0.0.
type Version struct {
	Major, Minor, Patch uint64
	// Pre are the identifiers of a pre-release, of which 1.0.0-beta.2 has two. Build metadata orders nothing and is
	// not kept.
	Pre []string
}

// MaxText is the longest text of a version, in bytes.
const MaxText = 64

// Parse reads a version. It is strict: no leading v, no missing numbers, no leading zeros.
func Parse(text string) (Version, error) {
	var v Version
	fail := func(why string) (Version, error) {
		return Version{}, errors.New(strconv.Quote(text) + " is no semantic version: " + why)
	}
	if len(text) > MaxText {
		return fail("it is longer than " + strconv.Itoa(MaxText) + " bytes")
	}
	rest, build, hasBuild := strings.Cut(text, "+")
	if hasBuild && !identifiers(build, false) {
		return fail("its build metadata is malformed")
	}
	rest, pre, hasPre := strings.Cut(rest, "-")
	if hasPre {
		if !identifiers(pre, true) {
			return fail("its pre-release is malformed")
		}
		v.Pre = strings.Split(pre, ".")
	}
	numbers := strings.Split(rest, ".")
	if len(numbers) != 3 {
		return fail("it is not three numbers")
	}
	for i, into := range []*uint64{&v.Major, &v.Minor, &v.Patch} {
		n, ok := number(numbers[i])
		if !ok {
			return fail("its numbers are decimal, without leading zeros, below 2^63")
		}
		*into = n
	}
	return v, nil
}

// identifiers reports whether text is identifiers between dots. Those of a pre-release that are numbers have no leading
// zeros.
func identifiers(text string, noZeros bool) bool {
	for _, identifier := range strings.Split(text, ".") {
		if identifier == "" {
			return false
		}
		digits := true
		for i := range len(identifier) {
			c := identifier[i]
			digit := c >= '0' && c <= '9'
			digits = digits && digit
			if !digit && c != '-' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
				return false
			}
		}
		if noZeros && digits && len(identifier) > 1 && identifier[0] == '0' {
			return false
		}
	}
	return true
}

// number reads a decimal number below 2^63 without leading zeros.
func number(text string) (n uint64, ok bool) {
	if text == "" || len(text) > 1 && text[0] == '0' {
		return 0, false
	}
	for i := range len(text) {
		c := text[i]
		if c < '0' || c > '9' || n > (1<<63-1-uint64(c-'0'))/10 {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, true
}

// Compare returns -1 if v comes before w, 1 if it comes after, 0 if neither: by precedence as section 11 of the
// specification has it, in which a pre-release comes before its release.
func (v Version) Compare(w Version) int {
	for _, pair := range [][2]uint64{{v.Major, w.Major}, {v.Minor, w.Minor}, {v.Patch, w.Patch}} {
		if pair[0] != pair[1] {
			return order(pair[0] < pair[1])
		}
	}
	if len(v.Pre) == 0 || len(w.Pre) == 0 {
		if len(v.Pre) == len(w.Pre) {
			return 0
		}
		return order(len(v.Pre) > 0)
	}
	for i := 0; i < len(v.Pre) && i < len(w.Pre); i++ {
		if n := compareIdentifiers(v.Pre[i], w.Pre[i]); n != 0 {
			return n
		}
	}
	if len(v.Pre) == len(w.Pre) {
		return 0
	}
	return order(len(v.Pre) < len(w.Pre))
}

// compareIdentifiers compares numbers as numbers, other text as bytes, and numbers before other text. Numbers may be of
// any size.
func compareIdentifiers(a, b string) int {
	numeric := func(s string) bool { return strings.Trim(s, "0123456789") == "" }
	switch x, y := numeric(a), numeric(b); {
	case a == b:
		return 0
	case x && y && len(a) != len(b):
		return order(len(a) < len(b))
	case x != y:
		return order(x)
	}
	return order(a < b)
}

func order(less bool) int {
	if less {
		return -1
	}
	return 1
}

// String returns v as text, without build metadata.
func (v Version) String() string {
	text := strconv.FormatUint(v.Major, 10) + "." + strconv.FormatUint(v.Minor, 10) + "." + strconv.FormatUint(v.Patch, 10)
	if len(v.Pre) > 0 {
		text += "-" + strings.Join(v.Pre, ".")
	}
	return text
}
