package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"skerry/shared/space"
	"skerry/shared/wire"
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

// bearer gets a token for the API by the credentials of the command line.
func (p *place) bearer(ctx context.Context) (string, error) {
	who, err := p.who.signer()
	if err != nil {
		return "", err
	}
	var told struct{ Nonce, Server string }
	if err := p.call(ctx, http.MethodGet, "/api/v1/challenge", "", nil, &told); err != nil {
		return "", err
	}
	var challenge wire.Challenge
	for text, into := range map[string]*[32]byte{told.Nonce: &challenge.Nonce, told.Server: (*[32]byte)(&challenge.Server)} {
		if n, err := hex.Decode(into[:], []byte(text)); err != nil || n != 32 {
			return "", fmt.Errorf("%s answers no challenge", p.url)
		}
	}
	proof := who.proofs(&challenge, p.url)[0]
	request := map[string]string{"identity": proof.Identity, "token": who.token}
	if who.token == "" {
		request = map[string]string{"identity": proof.Identity, "nonce": told.Nonce, "proof": base64.RawURLEncoding.EncodeToString(proof.Proof)}
	}
	var bought struct{ Token string }
	return bought.Token, p.call(ctx, http.MethodPost, "/api/v1/token", "", request, &bought)
}

// call asks the API of a server, and decodes the answer into.
func (p *place) call(ctx context.Context, method, path, token string, body, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var content []byte
	if body != nil {
		var err error
		if content, err = json.Marshal(body); err != nil {
			return err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(p.url, "/")+path, bytes.NewReader(content))
	if err != nil {
		return usagef("--url %q is no address", p.url)
	}
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("%s does not answer: %w", p.url, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("%s does not answer: %w", p.url, err)
	}
	if response.StatusCode == http.StatusOK {
		return json.Unmarshal(text, into)
	}
	var refused struct{ Code, Reason string }
	if json.Unmarshal(text, &refused) != nil || refused.Code == "" {
		return fmt.Errorf("%s answers %s", p.url, response.Status)
	}
	return fmt.Errorf("%s: %s", refused.Code, refused.Reason)
}
