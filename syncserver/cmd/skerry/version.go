package main

import (
	"context"
	"runtime/debug"

	"skerry/shared/wire"
)

// version prints which build this is and what it speaks.
func version(_ context.Context, c *console, args []string) error {
	set := c.flags("version")
	if err := c.parse(set, args); err != nil {
		return err
	}
	if set.NArg() > 0 {
		return usagef("takes no arguments")
	}
	build, goVersion := "devel", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		goVersion = info.GoVersion
		if info.Main.Version != "" && info.Main.Version != "(devel)" {
			build = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && build == "devel" {
				build = s.Value
			}
		}
	}
	return c.print(struct {
		Version string `json:"version"`
		APILow  string `json:"api_low"`
		APIHigh string `json:"api_high"`
		Go      string `json:"go"`
	}{build, wire.APILow, wire.APIHigh, goVersion}, "skerry %s, wire contract %s to %s, %s", build, wire.APILow, wire.APIHigh, goVersion)
}
