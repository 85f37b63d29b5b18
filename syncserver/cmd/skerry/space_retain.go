package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"skerry/shared/space"
	"skerry/syncserver"
	"skerry/syncserver/sqlitelog"
)

// retained is what a space keeps, as --json prints it and the API tells of it.
type retained struct {
	AgeMS   uint64 `json:"age_ms"`
	Records uint64 `json:"records"`
	Bytes   uint64 `json:"bytes"`
	Own     bool   `json:"own"`
	Expired uint64 `json:"expired"`
}

// spaceRetain sets what a space keeps of its log, or prints it.
func spaceRetain(ctx context.Context, c *console, args []string) error {
	set := c.flags("space retain")
	p := c.placeFlags(set, true)
	age := set.Duration("age", 0, "records expire when they are older; 0: never")
	records := set.Uint64("records", 0, "keep so many of the newest records, or up to a tenth more; 0: all")
	size := set.Uint64("bytes", 0, "keep so many bytes of the newest records, or up to a tenth more; 0: all")
	all := set.Bool("all", false, "keep everything, whatever the server's settings are")
	standard := set.Bool("default", false, "what the server's settings say counts")
	if err := c.parse(set, args); err != nil {
		return err
	}
	if err := p.complete(true); err != nil {
		return err
	}
	id, err := spaceArgument(set)
	if err != nil {
		return err
	}
	if set.NArg() != 1 {
		return usagef("takes the ID of one space")
	}
	limits, asked := false, 0
	set.Visit(func(f *flag.Flag) { limits = limits || f.Name == "age" || f.Name == "records" || f.Name == "bytes" })
	for _, one := range []bool{limits, *all, *standard} {
		if one {
			asked++
		}
	}
	if asked > 1 {
		return usagef("takes either --age, --records and --bytes, or --all, or --default")
	}
	want := &syncserver.Retention{Age: *age, Records: *records, Bytes: *size}
	if *standard {
		want = nil
	}
	var is retained
	if p.data != "" {
		is, err = retainData(ctx, p.data, id, asked > 0, want)
	} else {
		is, err = p.retain(ctx, id, asked > 0, want)
	}
	if err != nil {
		return err
	}
	return c.print(is, "%s", is.text())
}

func (r *retained) text() string {
	var says []string
	if r.AgeMS > 0 {
		says = append(says, "records of the last "+(time.Duration(r.AgeMS)*time.Millisecond).String())
	}
	if r.Records > 0 {
		says = append(says, fmt.Sprintf("the newest %d records", r.Records))
	}
	if r.Bytes > 0 {
		says = append(says, fmt.Sprintf("the newest %d bytes", r.Bytes))
	}
	text := "keeps " + strings.Join(says, ", of them ")
	if len(says) == 0 {
		text = "keeps everything"
	}
	if !r.Own {
		text += ", as far as it has no setting of its own"
	}
	if r.Expired > 0 {
		text += fmt.Sprintf("; records up to %d have expired", r.Expired)
	}
	return text
}

// retainData sets what a space keeps in the data directory of a server that does not run, or looks it up.
func retainData(ctx context.Context, data string, id space.ID, change bool, want *syncserver.Retention) (is retained, err error) {
	var log *sqlitelog.Log
	if change {
		log, err = sqlitelog.Open(ctx, sqlitelog.Config{Dir: data, Logger: slog.New(slog.DiscardHandler)})
	} else {
		log, err = sqlitelog.OpenReadOnly(ctx, sqlitelog.Config{Dir: data})
	}
	if err != nil {
		return is, dataError(data, err)
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	if change {
		err = syncserver.SetRetention(ctx, log, id, want)
	}
	var kept syncserver.Retention
	if err == nil {
		kept, is.Own, err = syncserver.RetentionOf(ctx, log, id)
	}
	if err == nil {
		is.Expired, err = log.Expired(ctx, id)
	}
	is.AgeMS, is.Records, is.Bytes = uint64(kept.Age.Milliseconds()), kept.Records, kept.Bytes
	return is, err
}

// retain asks a server, as one of its administrators.
func (p *place) retain(ctx context.Context, id space.ID, change bool, want *syncserver.Retention) (is retained, err error) {
	if !p.who.given() {
		return is, usagef("needs --identity or --token, of an administrator")
	}
	token, err := p.bearer(ctx)
	if err != nil {
		return is, err
	}
	method, body := http.MethodGet, any(nil)
	switch {
	case change && want == nil:
		method = http.MethodDelete
	case change:
		method = http.MethodPut
		body = retained{AgeMS: uint64(want.Age.Milliseconds()), Records: want.Records, Bytes: want.Bytes}
	}
	return is, p.call(ctx, method, "/api/v1/spaces/"+id.String()+"/retention", token, body, &is)
}
