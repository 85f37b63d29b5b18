package main

import (
	"context"
	"runtime/debug"

	"skerry/shared/wire"
	"skerry/syncserver"
)

// commit is what a release was built of, as its linker is told. Other builds have it from Go, which looks at the checkout.
var commit string

// version prints which build this is and what it speaks.
func version(_ context.Context, c *console, args []string) error {
	set := c.flags("version")
	if err := c.parse(set, args); err != nil {
		return err
	}
	if set.NArg() > 0 {
		return usagef("takes no arguments")
	}
	of, goVersion := commit, ""
	if info, ok := debug.ReadBuildInfo(); ok {
		goVersion = info.GoVersion
		changed := ""
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision" && of == "":
				of = s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				changed = "+" // not only what was committed
			}
		}
		of += changed
	}
	if of == "" {
		of = "unknown"
	}
	return c.print(struct {
		Version string `json:"version"`
		Commit  string `json:"commit"`
		APILow  string `json:"api_low"`
		APIHigh string `json:"api_high"`
		Go      string `json:"go"`
	}{syncserver.Version, of, wire.APILow, wire.APIHigh, goVersion}, "skerry %s (%s), wire contract %s to %s, %s", syncserver.Version, of, wire.APILow, wire.APIHigh, goVersion)
}
