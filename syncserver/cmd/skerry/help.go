package main

import (
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"skerry/shared/wire"
	"skerry/syncserver"
)

// topics are the reference pages that help prints, made from the code. They are kept in docs/operating, where a test compares them.
var topics = map[string]func(io.Writer){"settings": helpSettings, "limits": helpLimits, "routes": helpRoutes}

const madeFrom = "\nMade from the code by `skerry help %s`.\n"

func helpSettings(w io.Writer) {
	fmt.Fprintln(w, "# Settings of skerry serve")
	fmt.Fprintf(w, madeFrom, "settings")
	fmt.Fprint(w, `
Each is a flag, a variable of the environment, and a line of the file that `+"`--config` (`SKERRY_CONFIG`)"+` names, such as
`+"`listen = 127.0.0.1:8080`"+`. A flag comes before the environment, that before the file. [Limits](limits.md) are settings too, on a page
of their own.

| flag | environment | default | what it is |
| --- | --- | --- | --- |
`)
	f := serveFlags{config: syncserver.Defaults()}
	limits := map[string]bool{}
	for _, s := range f.config.Settings() {
		limits[s.Flag] = true
	}
	f.flags(&console{err: io.Discard}).VisitAll(func(each *flag.Flag) {
		if limits[each.Name] {
			return
		}
		kind, about := flag.UnquoteUsage(each)
		name := "--" + each.Name
		if kind != "" {
			name += " " + strings.ToUpper(strings.Fields(kind)[0])
		}
		value := each.DefValue
		if value != "" {
			value = "`" + value + "`"
		}
		fmt.Fprintf(w, "| `%s` | `%s` | %s | %s |\n", name, environment(each.Name), value, about)
	})
	fmt.Fprint(w, `
`+"`GOMEMLIMIT` and `GOMAXPROCS`"+` are Go's own, and work as everywhere. What a command other than serve can be told, its
`+"`--help`"+` prints; the environment and the file work there too.
`)
}

func helpLimits(w io.Writer) {
	fmt.Fprintln(w, "# Limits")
	fmt.Fprintf(w, madeFrom, "limits")
	fmt.Fprint(w, `
Everything that a client sends has a limit. Whoever is over one is told its code: what is over a rate (`+"`rate_limited`"+`) is deferred with the
time to wait, stays with its author, and goes up then by itself; what is too large is refused for good, and its author told. Rates begin
with a burst and go on by the hour; what is known already, sent again after a cut, costs nothing, nor does what waits for a module that knows it. Those of creating spaces and of modules are kept in
the log, the others in memory. Quotas (over_quota) count what an identity has on the server: what there is no room for waits too, until something was
deleted or the quota is raised. An address is an IPv4 address or an IPv6 /64, behind [trusted proxies](settings.md) the client's.

| setting | environment | default | who is over it is told | what it limits |
| --- | --- | --- | --- | --- |
`)
	config := syncserver.Defaults()
	for _, s := range config.Settings() {
		fmt.Fprintf(w, "| `--%s` | `%s` | %s | %s | %s |\n", s.Flag, environment(s.Flag), amount(&s), toldAs(s.Code), s.About)
	}
	fmt.Fprint(w, `
Nobody has a reason to set these:

| limit | who is over it is told | what it limits |
| --- | --- | --- |
`)
	for _, s := range syncserver.FixedSettings() {
		fmt.Fprintf(w, "| %s | %s | %s |\n", amount(&s), toldAs(s.Code), s.About)
	}
	fmt.Fprint(w, `
What a module may take (fuel, depth, memory, rows) is in [modules](../modules/README.md), since it is the same in a page.
`)
}

func helpRoutes(w io.Writer) {
	fmt.Fprintln(w, "# Routes")
	fmt.Fprintf(w, madeFrom, "routes")
	fmt.Fprint(w, `
| route | what it is |
| --- | --- |
`)
	for _, r := range syncserver.Routes() {
		fmt.Fprintf(w, "| `%s` | %s |\n", r.Pattern, r.About)
	}
	fmt.Fprint(w, `
What `+"`/api/v1`"+` takes and answers is in `+"`/api/v1/openapi.json`"+`. A refusal there is JSON with a code of the
[protocol](../../shared/wire/PROTOCOL.md) and a reason.
`)
}

func environment(name string) string {
	return "SKERRY_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// amount is a value as people read it.
func amount(s *syncserver.Setting) string {
	n := int64(0)
	switch v := s.Value.(type) {
	case *int:
		n = int64(*v)
	case *uint64:
		n = int64(*v)
	case int:
		n = int64(v)
	case *time.Duration, time.Duration:
		return s.Text()
	}
	for _, unit := range []struct {
		size int64
		name string
	}{{1 << 30, "Gi"}, {1 << 20, "Mi"}, {1 << 10, "Ki"}} {
		if strings.Contains(s.About, "bytes") && n >= unit.size && n%unit.size == 0 {
			return fmt.Sprintf("%d (%d %sB)", n, n/unit.size, unit.name)
		}
	}
	return fmt.Sprint(n)
}

func toldAs(code wire.Code) string {
	if code == wire.CodeUnknown {
		return ""
	}
	return "`" + code.String() + "`"
}
