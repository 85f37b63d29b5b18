package archtest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// exampleURL is the server that the README's examples name: the one that `make run` starts.
const exampleURL = "ws://127.0.0.1:8080/sync"

var goExample = regexp.MustCompile("(?s)<!-- go example:.*?-->\\s*```go\\n(.*?)```\\s*<!-- end of go example -->")

// TestReadmeExampleOutside builds and runs the README's Go example as a reader would: in a module of its own, with a
// replace directive, against the real server.
func TestReadmeExampleOutside(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program and the server")
	}
	files(t) // so that a change anywhere runs this again
	found := goExample.FindSubmatch(readFile(t, "README.md"))
	if found == nil {
		t.Fatal("README.md has no Go example between its markers")
	}
	url := startServer(t)
	source := strings.ReplaceAll(string(found[1]), exampleURL, url)
	if url == exampleURL || source == string(found[1]) {
		t.Fatalf("the example does not name %s", exampleURL)
	}

	dir := t.TempDir()
	checkout, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "main.go"), source)
	write(t, filepath.Join(dir, "go.mod"), fmt.Sprintf(
		"module example\n\ngo 1.26\n\nrequire skerry v0.0.0\n\nreplace skerry => %s\n", checkout))
	// The sums are those of this module, so that nothing needs to be looked up.
	write(t, filepath.Join(dir, "go.sum"), string(readFile(t, "go.sum")))

	command(t, dir, "go", "build", "-mod=mod", "-o", "example", ".")
	out := command(t, dir, filepath.Join(dir, "example"))
	if !strings.Contains(out, "synced") {
		t.Errorf("the example ran and did not say that its event was synced:\n%s", out)
	}
}

// startServer runs the server's command on a free port until the test ends, and returns the URL for clients.
func startServer(t *testing.T) string {
	binary := filepath.Join(t.TempDir(), "skerry")
	command(t, root, "go", "build", "-o", binary, "./syncserver/cmd/skerry")

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()

	var said bytes.Buffer
	server := exec.Command(binary, "serve", "--local-setup", "--listen", address, "--data", t.TempDir())
	server.Stdout, server.Stderr = &said, &said
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	t.Cleanup(func() {
		server.Process.Signal(os.Interrupt)
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the server ended with %v:\n%s", err, &said)
			}
		case <-time.After(15 * time.Second):
			server.Process.Kill()
			<-ended
			t.Errorf("the server did not stop:\n%s", &said)
		}
	})

	for deadline := time.Now().Add(20 * time.Second); ; {
		response, err := http.Get("http://" + address + "/healthz")
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				setUp(t, "http://"+address)
				return "ws://" + address + "/sync"
			}
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the server ended at once: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("the server is not healthy: %v", err)
		}
	}
}

// setUp names an administrator, as the demo's page does at a click.
func setUp(t *testing.T, url string) {
	t.Helper()
	response, err := http.Post(url+"/api/v1/setup", "application/json", strings.NewReader(`{"identity": "somebody"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("the server is not set up: %s", response.Status)
	}
}

// command runs a program and returns what it printed; a failure ends the test.
func command(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return string(out)
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}
