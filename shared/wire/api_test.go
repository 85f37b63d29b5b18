package wire_test

import (
	"testing"

	"skerry/shared/semver"
	"skerry/shared/wire"
)

func TestCommonAPI(t *testing.T) {
	of := func(low, high string) wire.APIRange { return wire.APIRange{Low: low, High: high} }
	for _, test := range []struct {
		ours, theirs wire.APIRange
		want         string
		outdated     bool
	}{
		{of("1.0.0", "1.0.0"), of("1.0.0", "1.0.0"), "1.0.0", false},
		{of("1.0.0", "1.2.0"), of("1.0.0", "1.1.0"), "1.1.0", false},
		{of("1.0.0", "1.1.0"), of("1.0.0", "1.2.0"), "1.1.0", false},
		{of("1.0.0", "2.0.0"), of("1.5.0", "1.10.0"), "1.10.0", false},
		{of("1.9.0", "1.9.0"), of("1.0.0", "1.10.0"), "1.9.0", false},
		{of("1.0.0", "1.4.0"), of("1.4.0", "2.0.0"), "1.4.0", false},
		{of("1.0.0", "1.4.0"), of("1.4.1", "2.0.0"), "", true},
		{of("1.4.1", "2.0.0"), of("1.0.0", "1.4.0"), "", false},
		{of("9.0.0", "9.9.9"), of("10.0.0", "10.0.0"), "", true},
		{of("10.0.0", "10.0.0"), of("9.0.0", "9.9.9"), "", false},
		{of("1.0.0", "1.0.0"), of("", ""), "", false},
		{of("1.0.0", "1.0.0"), of("1.0.0", "2.0"), "", false},
		{of("1.0.0", "1.0.0"), of("2.0.0", "1.0.0"), "", false},
	} {
		got, outdated := test.ours.Common(test.theirs)
		if got != test.want || outdated != test.outdated {
			t.Errorf("%v with %v: %q, outdated %v; want %q, %v", test.ours, test.theirs, got, outdated, test.want, test.outdated)
		}
		if back, _ := test.theirs.Common(test.ours); back != got {
			t.Errorf("%v with %v: %q, the other way round %q", test.ours, test.theirs, got, back)
		}
	}
	if got, _ := (wire.APIRange{}).OrBuild().Common(of(wire.APILow, wire.APIHigh)); got != wire.APIHigh {
		t.Errorf("this build with itself: %q", got)
	}
}

// TestAPIPrecedence compares the order with that of the semantic versions that modules have.
func TestAPIPrecedence(t *testing.T) {
	rising := []string{"0.0.1", "0.0.10", "0.1.0", "0.9.9", "0.10.0", "1.0.0", "1.0.2", "1.2.0", "1.10.0", "2.0.0", "10.0.0", "999999.0.0", "999999.999999.999999"}
	for i, a := range rising {
		for j, b := range rising {
			x, err := semver.Parse(a)
			if err != nil {
				t.Fatal(err)
			}
			y, err := semver.Parse(b)
			if err != nil {
				t.Fatal(err)
			}
			common, outdated := wire.APIRange{Low: a, High: a}.Common(wire.APIRange{Low: b, High: b})
			if order := x.Compare(y); (order == 0) != (common == a) || (order < 0) != outdated || (i < j) != outdated {
				t.Errorf("%s with %s: %q, outdated %v, and Compare says %d", a, b, common, outdated, order)
			}
		}
	}
	// Versions of the wire contract have no pre-releases and no builds, and are written as semantic versions are.
	for _, text := range []string{"", "1", "1.0", "1.0.", "1..0", ".1.0", "1.0.0.0", "01.0.0", "1.00.0", "1.0.00", "+1.0.0", "-1.0.0", "1.0.0-rc.1", "1.0.0+x", " 1.0.0", "1.0.0 ", "v1.0.0", "0.0.0", "1000000.0.0", "0.0.1000000", "4294967297.0.0", "1.0.٣"} {
		both := wire.APIRange{Low: text, High: text}
		if common, outdated := both.Common(both); common != "" || outdated {
			t.Errorf("%q is taken for a version: %q, %v", text, common, outdated)
		}
	}
}
