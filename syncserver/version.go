package syncserver

// Version is the release that this tree is, or becomes: a semantic version. The npm packages have the same, and docs/releasing.md tells
// when it changes.
const Version = "0.1.0"
