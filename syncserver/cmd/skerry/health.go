package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// health asks a server whether it can serve clients. It is what a container's or a supervisor's check runs.
func health(ctx context.Context, c *console, args []string) error {
	set := c.flags("health")
	url := set.String("url", "http://127.0.0.1:8080", "`address` of the server")
	if err := c.parse(set, args); err != nil {
		return err
	}
	if set.NArg() > 0 {
		return usagef("takes no arguments, got %q", set.Arg(0))
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(*url, "/")+"/readyz", nil)
	if err != nil {
		return usagef("--url %q is no address", *url)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("%s does not answer: %w", *url, err)
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(response.Body, 1000))
	if said := strings.TrimSpace(string(text)); response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s is not ready: %s", *url, said)
	}
	return c.print(struct {
		Ready bool `json:"ready"`
	}{true}, "ready")
}
