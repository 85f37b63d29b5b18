package wire

// The versions of the wire contract that this build speaks, lowest and highest. PROTOCOL.md says what they mean, and when they change.
const (
	APILow  = "1.0.0"
	APIHigh = "1.0.0"
)

// APIRange is the versions of the wire contract that one side speaks: Low, High, and all between. The zero range is that of this build
// wherever one is configured.
type APIRange struct{ Low, High string }

// OrBuild returns r, or what this build speaks if r is zero.
func (r APIRange) OrBuild() APIRange {
	if r == (APIRange{}) {
		return APIRange{APILow, APIHigh}
	}
	return r
}

// String is r for people.
func (r APIRange) String() string { return r.Low + " to " + r.High }

// Common returns the highest version that both sides speak. If there is none, or a text is no version, it returns "", and outdated says
// that r is the side that speaks older ones only.
func (r APIRange) Common(other APIRange) (version string, outdated bool) {
	low, high := parseAPI(r.Low), parseAPI(r.High)
	otherLow, otherHigh := parseAPI(other.Low), parseAPI(other.High)
	switch {
	case otherLow == 0 || otherHigh < otherLow || otherHigh < low:
		return "", false
	case low == 0 || high < low || high < otherLow:
		return "", true
	case otherHigh < high:
		return other.High, false
	}
	return r.High, false
}

// parseAPI returns a number for a version: semantic, without pre-release and build, and none of its three numbers above 999,999. Of two
// versions the number of the one with precedence is higher. What is no such version gives 0.
func parseAPI(text string) uint64 {
	var sum, n uint64
	dots, digits := 0, 0
	for i := 0; i <= len(text); i++ {
		switch {
		case i == len(text) || text[i] == '.':
			if digits == 0 {
				return 0
			}
			dots++
			sum, n, digits = sum<<20|n, 0, 0
		case text[i]-'0' > 9 || digits > 0 && n == 0 || digits > 5:
			return 0
		default:
			n, digits = n*10+uint64(text[i]-'0'), digits+1
		}
	}
	if dots != 3 {
		return 0
	}
	return sum
}
