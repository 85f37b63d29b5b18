package syncserver

import (
	"bytes"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"regexp"
	"strings"
	"sync"
	"time"

	"skerry/shared/digest"
	"skerry/shared/wire"
)

// contentSecurity is what pages and workers of this server may do: run what it serves, WebAssembly included, and
// talk to it.
const contentSecurity = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self' ws: wss:; " +
	"worker-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"

// contentTypes are the types that browsers insist on, whatever the machine's own table says.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".mjs": "text/javascript; charset=utf-8",
	".wasm": "application/wasm", ".css": "text/css; charset=utf-8", ".json": "application/json",
	".map": "application/json", ".svg": "image/svg+xml", ".png": "image/png", ".ico": "image/x-icon",
	".txt": "text/plain; charset=utf-8", ".webmanifest": "application/manifest+json", ".woff2": "font/woff2",
	".ts": "text/plain; charset=utf-8",
}

// about is what / says where no files are served.
const about = `This is a Skerry server: it keeps what local-first apps write in step between the devices of those who use them.

Clients connect at /sync (WebSocket subprotocol ` + wire.Subprotocol + `). What plain HTTP offers is described by
/api/v1/openapi.json, and who this server is by /.well-known/did.json.

No page is served here. Its operator names one by: skerry serve --web DIRECTORY
`

// hashed matches names that carry a hash of their content, as bundlers write it: they never change.
var hashed = regexp.MustCompile(`(^|[-./])([0-9A-Z]{8}|[0-9a-f]{8,64})\.[0-9a-z.]+$`)

// web serves the files of a page.
type web struct {
	files fs.FS

	mu   sync.Mutex
	tags map[tagKey]string
}

// tagKey names one state of a file.
type tagKey struct {
	name     string
	size     int64
	modified time.Time
}

func newWeb(files fs.FS) *web { return &web{files: files, tags: map[tagKey]string{}} }

// ServeHTTP implements [http.Handler].
func (w *web) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		rw.Header().Set("Allow", "GET, HEAD")
		http.Error(rw, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	header := rw.Header()
	header.Set("Content-Security-Policy", contentSecurity)
	if w.files == nil {
		if r.URL.Path != "/" {
			http.NotFound(rw, r)
			return
		}
		header.Set("Content-Type", contentTypes[".txt"])
		io.WriteString(rw, about)
		return
	}
	name := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
	if name == "" || strings.HasSuffix(r.URL.Path, "/") {
		name = path.Join(name, "index.html")
	}
	content, encoding, ok := w.open(name, r.Header.Get("Accept-Encoding"))
	if !ok {
		http.NotFound(rw, r)
		return
	}
	defer content.file.Close()
	header.Set("Content-Type", contentType(name))
	header.Set("Vary", "Accept-Encoding")
	if encoding != "" {
		header.Set("Content-Encoding", encoding)
	}
	if hashed.MatchString(name) {
		header.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		header.Set("Cache-Control", "no-cache")
	}
	if kind := path.Ext(name); kind == ".js" || kind == ".mjs" || kind == ".wasm" {
		// Code is public, so that pages of other origins can load the client from here. What else lies beside it is not.
		header.Set("Access-Control-Allow-Origin", "*")
		header.Set("Cross-Origin-Resource-Policy", "cross-origin")
	}
	if r.Header.Get("Service-Worker") == "script" {
		header.Set("Service-Worker-Allowed", "/")
	}
	if tag, err := w.tag(content); err == nil {
		header.Set("ETag", tag)
	}
	http.ServeContent(rw, r, "", content.info.ModTime(), content.seeker)
}

// content is an open file.
type content struct {
	name   string
	file   fs.File
	info   fs.FileInfo
	seeker io.ReadSeeker
}

// open opens the best form of a file that the client takes: brotli, gzip, or the file itself.
func (w *web) open(name, accepts string) (content, string, bool) {
	for _, form := range []struct{ suffix, encoding string }{{".br", "br"}, {".gz", "gzip"}} {
		if accepted(accepts, form.encoding) {
			if c, ok := w.openFile(name + form.suffix); ok {
				return c, form.encoding, true
			}
		}
	}
	c, ok := w.openFile(name)
	return c, "", ok
}

// accepted reports whether an Accept-Encoding header names encoding and does not exclude it.
func accepted(header, encoding string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, quality, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(strings.TrimSpace(name), encoding) {
			q := strings.TrimPrefix(strings.TrimSpace(quality), "q=")
			return strings.Trim(q, "0.") != "" || quality == ""
		}
	}
	return false
}

func (w *web) openFile(name string) (content, bool) {
	if !fs.ValidPath(name) {
		return content{}, false
	}
	file, err := w.files.Open(name)
	if err != nil {
		return content{}, false
	}
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		file.Close()
		return content{}, false
	}
	c := content{name: name, file: file, info: info}
	if seeker, ok := file.(io.ReadSeeker); ok {
		c.seeker = seeker
	} else {
		all, err := io.ReadAll(file)
		if err != nil {
			file.Close()
			return content{}, false
		}
		c.seeker = bytes.NewReader(all)
	}
	return c, true
}

// tag returns the file's entity tag: its digest, computed once for each state of the file.
func (w *web) tag(c content) (string, error) {
	key := tagKey{c.name, c.info.Size(), c.info.ModTime()}
	w.mu.Lock()
	tag, ok := w.tags[key]
	w.mu.Unlock()
	if ok {
		return tag, nil
	}
	all, err := io.ReadAll(c.seeker)
	if err != nil {
		return "", err
	}
	if _, err := c.seeker.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	tag = `"` + digest.Of(all).String()[:32] + `"`
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tags[key] = tag
	return tag, nil
}

func contentType(name string) string {
	extension := path.Ext(name)
	if kind, ok := contentTypes[extension]; ok {
		return kind
	}
	if kind := mime.TypeByExtension(extension); kind != "" {
		return kind
	}
	return "application/octet-stream"
}
