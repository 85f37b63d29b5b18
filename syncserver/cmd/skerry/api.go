package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"skerry/shared/wire"
)

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

// apiError is a refusal by the API of a server.
type apiError struct{ Code, Reason string }

func (e *apiError) Error() string { return e.Code + ": " + e.Reason }

// refusedAs reports whether an error is a refusal with a code.
func refusedAs(err error, code wire.Code) bool {
	refused, ok := errors.AsType[*apiError](err)
	return ok && refused.Code == code.String()
}

// call asks the API of a server, and decodes the answer into what is given for it. A refusal is an [*apiError].
func (p *place) call(ctx context.Context, method, path, token string, body, into any) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	var content []byte
	if body != nil {
		var err error
		if content, err = json.Marshal(body); err != nil {
			return err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, apiURL(p.url)+path, bytes.NewReader(content))
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
	var refused apiError
	if json.Unmarshal(text, &refused) != nil || refused.Code == "" {
		return fmt.Errorf("%s answers %s", p.url, response.Status)
	}
	return &refused
}

// apiURL returns where the API is of a server that a user named, perhaps by where it speaks the protocol.
func apiURL(server string) string {
	if rest, ok := strings.CutPrefix(server, "ws"); ok {
		server = "http" + rest
	}
	return strings.TrimSuffix(strings.TrimSuffix(server, "/"), "/sync")
}
