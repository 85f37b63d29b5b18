package syncserver

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"html/template"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"skerry/shared/digest"
	"skerry/shared/space"
	"skerry/shared/wire"
)

const setupRoute = "/api/v1/setup"

// setupBody is how many bytes a request to set up has at most.
const setupBody = 4 << 10

// setupRequired reports whether clients have to wait for an administrator.
func (s *Server) setupRequired() bool {
	return s.config.RequireSetup && s.administered && !s.IsSetUp()
}

// SetupToken returns what whoever names the first administrator over HTTP has to show, "" if none has to be named. It is another one each time that the
// server is made, and nothing keeps it.
func (s *Server) SetupToken() string {
	if !s.setupRequired() {
		return ""
	}
	return s.setupToken
}

// afterSetup keeps a route until there is an administrator.
func (s *Server) afterSetup(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.setupRequired() {
			s.refuseSetup(w)
			return
		}
		handler.ServeHTTP(w, r)
	})
}

func (s *Server) refuseSetup(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "2")
	w.Header().Set("Cache-Control", "no-store")
	answerError(w, http.StatusServiceUnavailable, wire.CodeSetupRequired, "this server has no administrator yet; whoever started it has a link")
}

// setupRequest is what POST /api/v1/setup takes.
type setupRequest struct {
	Token    string `json:"token"`
	Identity string `json:"identity"`
}

// setupState is what GET /api/v1/setup answers.
type setupState struct {
	Required bool `json:"required"`
	Local    bool `json:"local"` // whoever asks needs no token
}

func (s *Server) serveSetupState(w http.ResponseWriter, r *http.Request) {
	required := s.setupRequired()
	answerJSON(w, http.StatusOK, setupState{required, required && s.local(r)})
}

func (s *Server) serveSetup(w http.ResponseWriter, r *http.Request) {
	var request setupRequest
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, setupBody))
	switch {
	case err != nil:
		err = wire.Errorf(wire.CodeTooLarge, "at most %d bytes", setupBody)
	case json.Unmarshal(body, &request) != nil:
		err = wire.Errorf(wire.CodeBadArgument, `want {"token": TEXT, "identity": TEXT}`)
	default:
		err = s.setUpBy(r, &request)
	}
	if err != nil {
		s.refuseRequest(w, r, err)
		return
	}
	answerJSON(w, http.StatusOK, struct {
		Administrator string `json:"administrator"`
	}{request.Identity})
}

// setUpBy names the administrator whom somebody wants who may say it.
func (s *Server) setUpBy(r *http.Request, request *setupRequest) error {
	identity := strings.TrimSpace(request.Identity)
	request.Identity = identity
	switch {
	case s.IsSetUp():
		return errSetUp
	case !s.local(r) && subtle.ConstantTimeCompare([]byte(request.Token), []byte(s.setupToken)) != 1:
		return wire.Errorf(wire.CodeForbidden, "that is not the token of this start of the server, which its log tells")
	case identity == "" || uint64(len(identity)) > s.config.Limits.Identity:
		return wire.Errorf(wire.CodeBadArgument, "an identity has 1 to %d bytes", s.config.Limits.Identity)
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.work, cancel)()
	done, err := s.SetUp(ctx, identity)
	if err != nil {
		return err
	}
	if !done {
		return errSetUp
	}
	s.logger.Info("the server is set up", "administrator", identity)
	return nil
}

var errSetUp = wire.Errorf(wire.CodeSetupDone, "this server has an administrator already")

// CurrentPolicy returns the policy that the system space of a log has, with its params; zero if there is no such space. A server of the
// same policy leaves it as it is.
func CurrentPolicy(ctx context.Context, log Log) (policy digest.Digest, params []byte, err error) {
	has, err := log.Key(ctx, keyPolicy)
	if err == nil && has == nil {
		if has, err = log.Key(ctx, keySystem); len(has) >= len(space.ULID{}) {
			has = has[len(space.ULID{}):]
		}
	}
	if err != nil || len(has) < digest.Size {
		return policy, nil, err
	}
	return digest.Digest(has[:digest.Size]), has[digest.Size:], nil
}

// local reports whether somebody may set up without the token: they ask from this machine, under a name of this machine, by no proxy.
// The name matters: a page of another site may have its own name lead here, but not have the browser send another.
func (s *Server) local(r *http.Request) bool {
	if !s.config.LocalSetup || r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != "" {
		return false
	}
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && from.Addr().Unmap().IsLoopback() && loopbackName(r.Host)
}

func loopbackName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	address, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return strings.EqualFold(host, "localhost") || err == nil && address.IsLoopback()
}

var setupPage = template.Must(template.New("setup").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Set up this server</title>
<h1>Set up this server</h1>
{{if .Done}}<p role="status">{{.Identity}} is the administrator. The server takes what clients send from now on.</p>
{{else if .Reason}}<p role="alert">{{.Reason}}</p>{{end}}
{{if .Required}}<p>Nobody can use this server before it has an administrator. Name the identity that is to be it: a page that syncs with this
server shows yours.</p>
<form method="post" action="/setup">
<input type="hidden" name="token" value="{{.Token}}">
<p><label>Identity <input name="identity" required size="70" value="{{.Identity}}" autocomplete="off" spellcheck="false"></label></p>
<p><button>Make them the administrator</button></p>
</form>{{else if not .Done}}<p>This server has an administrator.</p>{{end}}
</html>
`))

// serveSetupPage is the page that the server's link leads to.
func (s *Server) serveSetupPage(w http.ResponseWriter, r *http.Request) {
	var page struct {
		Token, Identity, Reason string
		Required, Done          bool
	}
	status := http.StatusOK
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		page.Token, page.Identity = r.URL.Query().Get("token"), r.URL.Query().Get("identity")
	case http.MethodPost:
		r.Body = http.MaxBytesReader(w, r.Body, setupBody)
		request := setupRequest{Token: r.PostFormValue("token"), Identity: r.PostFormValue("identity")}
		err := s.setUpBy(r, &request)
		page.Token, page.Identity, page.Done = request.Token, request.Identity, err == nil
		if err != nil {
			page.Reason = reason(err)
			if status = statuses[wire.CodeOf(err)]; status == 0 {
				s.logger.Error("cannot set up", "error", err)
				status, page.Reason = http.StatusInternalServerError, "The server failed; its log says how."
			}
		}
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		answerError(w, http.StatusMethodNotAllowed, wire.CodeBadArgument, "this route is for GET, HEAD, POST")
		return
	}
	page.Required = s.setupRequired()
	w.Header().Set("Content-Type", contentTypes[".html"])
	w.Header().Set("Content-Security-Policy", "default-src 'none'; form-action 'self'; frame-ancestors 'none'")
	w.WriteHeader(status)
	setupPage.Execute(w, &page)
}
