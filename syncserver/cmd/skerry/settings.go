package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
)

// flags returns the flags of a command, with --json and --config, which every command has.
func (c *console) flags(name string) *flag.FlagSet {
	set := flag.NewFlagSet("skerry "+name, flag.ContinueOnError)
	set.SetOutput(c.err)
	set.BoolVar(&c.json, "json", false, "print JSON, one value a line")
	set.String("config", "", "`file` of lines \"key = value\" for flags that are not given")
	return set
}

// parse reads the command line, then the environment, then the file that --config names: what came first stays.
func (c *console) parse(set *flag.FlagSet, args []string) error {
	output := set.Output()
	set.SetOutput(discard{}) // errors are told once, by run
	err := set.Parse(args)
	set.SetOutput(output)
	if errors.Is(err, flag.ErrHelp) {
		set.SetOutput(c.out)
		set.Usage()
		return err
	}
	if err != nil {
		return usageError{err.Error()}
	}
	given := map[string]bool{}
	set.Visit(func(f *flag.Flag) { given[f.Name] = true })
	set.VisitAll(func(f *flag.Flag) {
		name := environment(f.Name)
		value, ok := os.LookupEnv(name)
		if !ok || given[f.Name] || err != nil {
			return
		}
		if set.Set(f.Name, value) != nil {
			err = usagef("%s=%q is no value for --%s", name, value, f.Name)
		}
		given[f.Name] = true
	})
	if err != nil {
		return err
	}
	if file := set.Lookup("config").Value.String(); file != "" {
		return parseFile(set, file, given)
	}
	return nil
}

func parseFile(set *flag.FlagSet, name string, given map[string]bool) error {
	file, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !ok || set.Lookup(key) == nil || key == "config" {
			return usagef("%s:%d: want a line like \"listen = 127.0.0.1:8080\", got %q", name, number, line)
		}
		if given[key] {
			continue
		}
		if err := set.Set(key, value); err != nil {
			return usagef("%s:%d: %q is no value for %s", name, number, value, key)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	return nil
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
