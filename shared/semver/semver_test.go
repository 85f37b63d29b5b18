package semver_test

import (
	"strings"
	"testing"

	"skerry/shared/semver"
)

// TestPrecedence has versions in their order: those of the specification's section 11, and what is easily got wrong.
func TestPrecedence(t *testing.T) {
	ordered := []string{
		"0.0.0-0", "0.0.0", "0.0.1", "0.1.0",
		"1.0.0--", "1.0.0-0a", "1.0.0-A", "1.0.0-a", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.1.0", "1.0.0-alpha.beta", "1.0.0-beta",
		"1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-beta.99999999999999999999998", "1.0.0-beta.99999999999999999999999", "1.0.0-rc.1", "1.0.0",
		"2.0.0", "2.1.0", "2.1.1", "2.4.4", "2.4.5-beta", "2.4.5", "2.4.10", "2.10.0", "10.0.0", "9223372036854775807.0.0",
	}
	var versions []semver.Version
	for _, text := range ordered {
		v, err := semver.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if v.String() != text {
			t.Errorf("%s is written %s", text, v)
		}
		versions = append(versions, v)
	}
	for i, v := range versions {
		for j, w := range versions {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := v.Compare(w); got != want {
				t.Errorf("%s compared with %s is %d, not %d", v, w, got, want)
			}
		}
	}
	a, errA := semver.Parse("1.2.3-x+build.001.-")
	b, errB := semver.Parse("1.2.3-x+other")
	if errA != nil || errB != nil || a.Compare(b) != 0 || a.String() != "1.2.3-x" {
		t.Errorf("build metadata: %v %v, %s", errA, errB, a)
	}
}

func TestNoVersions(t *testing.T) {
	for _, text := range []string{
		"", "1", "1.2", "1.2.3.4", "v1.2.3", "01.2.3", "1.02.3", "1.2.03", "1.2.3-", "1.2.3-a..b", "1.2.3-01", "1.2.3-a_b", "1.2.3+",
		"1.2.3+a..b", "1.2.3+a+b", " 1.2.3", "1.2.3 ", "-1.2.3", "1.2.x", "1.2.3-é", "9223372036854775808.0.0", "99999999999999999999.0.0",
		"1.2.3-" + strings.Repeat("a", 59),
	} {
		if v, err := semver.Parse(text); err == nil {
			t.Errorf("%q is taken as %s", text, v)
		}
	}
	if _, err := semver.Parse("1.2.3-" + strings.Repeat("a", 58)); err != nil {
		t.Errorf("the longest: %v", err)
	}
}
