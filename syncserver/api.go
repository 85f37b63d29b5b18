package syncserver

import (
	"context"
	_ "embed"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"skerry/shared/digest"
	"skerry/shared/hub"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// openapi describes the routes under /api/v1; a test holds it to them.
//
//go:embed openapi.json
var openapi []byte

// endpoint is one method of one route of the API.
type endpoint struct {
	method, path string
	serve        http.HandlerFunc
}

func (s *Server) endpoints() []endpoint {
	return []endpoint{
		{http.MethodGet, "/api/v1/openapi.json", s.serveOpenAPI},
		{http.MethodGet, "/api/v1/version", s.serveVersion},
		{http.MethodGet, setupRoute, s.serveSetupState},
		{http.MethodPost, setupRoute, s.serveSetup},
		{http.MethodGet, "/api/v1/challenge", s.serveChallenge},
		{http.MethodPost, "/api/v1/token", s.serveToken},
		{http.MethodGet, "/api/v1/whoami", s.serveWhoami},
		{http.MethodPost, "/api/v1/logout", s.serveLogout},
		{http.MethodGet, "/api/v1/links", s.serveLinks},
		{http.MethodPost, "/api/v1/links", s.serveLink},
		{http.MethodPost, "/api/v1/unlink", s.serveUnlink},
		{http.MethodGet, "/api/v1/spaces", s.serveSpaces},
		{http.MethodGet, "/api/v1/spaces/{space}", s.serveSpace},
		{http.MethodGet, "/api/v1/spaces/{space}/events", s.serveEvents},
		{http.MethodGet, "/api/v1/spaces/{space}/module", s.serveModule},
		{http.MethodPut, "/api/v1/spaces/{space}/module", s.serveSetModule},
		{http.MethodPut, "/api/v1/spaces/{space}/name", s.serveSetName},
		{http.MethodDelete, "/api/v1/spaces/{space}/name", s.serveDropName},
		{http.MethodGet, "/api/v1/spaces/{space}/retention", s.serveRetention},
		{http.MethodPut, "/api/v1/spaces/{space}/retention", s.serveSetRetention},
		{http.MethodDelete, "/api/v1/spaces/{space}/retention", s.serveDropRetention},
		{http.MethodGet, "/api/v1/names/{name}", s.serveName},
	}
}

// apiRoutes are the routes of the API. What is not there is said in the API's own words, and so is a method that a route does not have.
func (s *Server) apiRoutes() map[string]http.Handler {
	all := map[string]map[string]http.HandlerFunc{"/api/": nil}
	for _, e := range s.endpoints() {
		if all[e.path] == nil {
			all[e.path] = map[string]http.HandlerFunc{}
		}
		all[e.path][e.method] = e.serve
	}
	routes := map[string]http.Handler{}
	for path, methods := range all {
		routes[path] = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			method := r.Method
			if method == http.MethodHead {
				method = http.MethodGet
			}
			serve := methods[method]
			switch {
			case methods == nil:
				answerError(w, http.StatusNotFound, wire.CodeNotFound, "there is no such route; /api/v1/openapi.json has them all")
			case serve == nil:
				w.Header().Set("Allow", strings.Join(allowed(methods), ", "))
				answerError(w, http.StatusMethodNotAllowed, wire.CodeBadArgument, "this route is for "+strings.Join(allowed(methods), ", "))
			default:
				serve(w, r)
			}
		})
	}
	return routes
}

func allowed(methods map[string]http.HandlerFunc) (all []string) {
	for method := range methods {
		all = append(all, method)
		if method == http.MethodGet {
			all = append(all, http.MethodHead)
		}
	}
	slices.Sort(all)
	return all
}

// statuses are the HTTP statuses of the codes that the API answers with; other rejections are 422, and the rest is 500.
var statuses = map[wire.Code]int{
	wire.CodeBadArgument: http.StatusBadRequest, wire.CodeAuthRequired: http.StatusUnauthorized, wire.CodeBadCredentials: http.StatusUnauthorized,
	wire.CodeAuthExpired: http.StatusUnauthorized, wire.CodeRevoked: http.StatusForbidden,
	wire.CodeForbidden: http.StatusForbidden, wire.CodeLeft: http.StatusForbidden, wire.CodeConnectRefused: http.StatusForbidden,
	wire.CodeUnknownSpace: http.StatusNotFound, wire.CodeNotFound: http.StatusNotFound,
	wire.CodeDiverged: http.StatusConflict, wire.CodeResumeGone: http.StatusGone, wire.CodeDeleted: http.StatusGone,
	wire.CodeRateLimited: http.StatusTooManyRequests, wire.CodeTooMany: http.StatusTooManyRequests,
	wire.CodeShutdown: http.StatusServiceUnavailable, wire.CodeOverloaded: http.StatusServiceUnavailable,
	wire.CodeRecovering: http.StatusServiceUnavailable, wire.CodeModuleMissing: http.StatusServiceUnavailable,
	wire.CodeSetupRequired: http.StatusServiceUnavailable, wire.CodeSetupDone: http.StatusConflict, wire.CodeNameTaken: http.StatusConflict, wire.CodeStale: http.StatusConflict, wire.CodeTooLarge: http.StatusRequestEntityTooLarge,
	wire.CodeServerFull: http.StatusInsufficientStorage, wire.CodeOverQuota: http.StatusInsufficientStorage,
	wire.CodeUpgrading: http.StatusServiceUnavailable, wire.CodeRefused: http.StatusForbidden,
}

// refuseRequest answers with an error that has a code; what has none is the server's own fault, and told in its log alone.
func (s *Server) refuseRequest(w http.ResponseWriter, r *http.Request, err error) {
	code := wire.CodeOf(err)
	status, known := statuses[code]
	switch {
	case known:
	case code >= wire.CodeIDReused && code < wire.CodeDiverged, code > wire.CodeModuleOwn:
		status = http.StatusUnprocessableEntity // what was to be written is rejected
	default:
		status = http.StatusInternalServerError
	}
	switch {
	case code == wire.CodeUnknown && r.Context().Err() != nil:
		return // nobody is there to read it
	case code == wire.CodeUnknown:
		s.logger.Error("cannot answer a request", "path", r.URL.Path, "error", err)
		answerError(w, status, wire.CodeInternal, "the server failed; its log says how")
		return
	case status == http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
	case status == http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", strconv.Itoa(int(max(s.config.RetryAfter.Seconds(), 1))))
	}
	answerError(w, status, code, reason(err))
}

func (s *Server) serveOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", contentTypes[".json"])
	w.Header().Set("Cache-Control", "no-cache")
	w.Write(openapi)
}

func (s *Server) serveVersion(w http.ResponseWriter, _ *http.Request) {
	answerJSON(w, http.StatusOK, struct {
		APILow  string `json:"api_low"`
		APIHigh string `json:"api_high"`
		Server  string `json:"server"`
	}{s.config.API.Low, s.config.API.High, hex.EncodeToString(s.secrets.public[:])})
}

// named is something with an ID and what people call it.
type named struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// spaceJSON is a space as the API tells of it.
type spaceJSON struct {
	named
	Creator string `json:"creator"`
	Stamp   string `json:"stamp"`
	Module  string `json:"module,omitempty"`
	Head    uint64 `json:"head"`
	State   string `json:"state"`
}

var stateNames = map[wire.SpaceState]string{wire.SpacePresent: "present", wire.SpaceLeft: "left", wire.SpaceDeleted: "deleted"}

// rowJSON returns a row, with the name of the space if it is there and may be read.
func (s *Server) rowJSON(ctx context.Context, row *wire.SpaceRow) spaceJSON {
	id := row.Genesis.ID()
	of := named{id.String(), id.String()}
	if row.State == wire.SpacePresent {
		of = s.nameSpace(ctx, id)
	}
	out := spaceJSON{
		named: of, Creator: row.Genesis.Creator, Stamp: row.Genesis.Stamp.String(), Head: row.Head,
		State: stateNames[row.State],
	}
	if row.Module != (digest.Digest{}) {
		out.Module = row.Module.String()
	}
	return out
}

// serveSpaces answers the directory of the caller's identities: where they take part or took part.
func (s *Server) serveSpaces(w http.ResponseWriter, r *http.Request) {
	who, err := s.callerOf(r)
	if err == nil && len(who.identities) == 0 {
		err = wire.Errorf(wire.CodeAuthRequired, "whose spaces? A bearer token says it")
	}
	var since []byte
	if err == nil {
		if since, err = base64.RawURLEncoding.DecodeString(r.FormValue("after")); err != nil {
			err = wire.Errorf(wire.CodeBadArgument, "after is what an earlier answer gave as next")
		}
	}
	if err != nil {
		s.refuseRequest(w, r, err)
		return
	}
	at, full, err := s.dir.begin(r.Context(), who.identities, since)
	var rows []wire.SpaceRow
	var more bool
	if err == nil {
		rows, more, err = s.dir.read(r.Context(), who.identities, at)
	}
	if err != nil {
		s.refuseRequest(w, r, err)
		return
	}
	answer := struct {
		Spaces []spaceJSON `json:"spaces"`
		Next   string      `json:"next"`
		More   bool        `json:"more"`
		Full   bool        `json:"full"`
	}{Spaces: []spaceJSON{}, Next: base64.RawURLEncoding.EncodeToString(s.dir.encode(at)), More: more, Full: full}
	for i := range rows {
		answer.Spaces = append(answer.Spaces, s.rowJSON(r.Context(), &rows[i]))
	}
	answerJSON(w, http.StatusOK, answer)
}

// serveSpace answers what a space is made from, to who may read it.
func (s *Server) serveSpace(w http.ResponseWriter, r *http.Request) {
	who, err := s.callerOf(r)
	var id space.ID
	if err == nil {
		id, err = spaceOf(r)
	}
	if err == nil {
		err = s.mayRead(r.Context(), id, who.identities)
	}
	var row wire.SpaceRow
	if err == nil {
		row, err = s.dir.row(r.Context(), id, wire.SpacePresent)
	}
	if err != nil {
		s.refuseRequest(w, r, err)
		return
	}
	answerJSON(w, http.StatusOK, s.rowJSON(r.Context(), &row))
}

func spaceOf(r *http.Request) (space.ID, error) {
	id, err := digest.Parse(r.PathValue("space"))
	if err != nil {
		return id, wire.Errorf(wire.CodeBadArgument, "that is no ID of a space: 64 hexadecimal digits")
	}
	return id, nil
}

// mayRead asks the space itself, as a subscription does.
func (s *Server) mayRead(ctx context.Context, id space.ID, identities []string) error {
	answered := make(chan hub.Answer, 1)
	s.ask(id, 0, identities, func(answer hub.Answer) { answered <- answer })
	select {
	case answer := <-answered:
		switch {
		case answer.Code != 0:
			return wire.Errorf(answer.Code, "the space cannot be asked now")
		case !answer.Exists:
			return wire.Errorf(wire.CodeUnknownSpace, "the server has no such space")
		case !answer.MayRead:
			return unread(wire.CodeForbidden, identities)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.done:
		return errStopping
	}
}

// unread says that a space may not be read: to who did not say who they are, that they may.
func unread(code wire.Code, identities []string) error {
	if len(identities) == 0 && code == wire.CodeForbidden {
		return wire.Errorf(wire.CodeAuthRequired, "not everybody may read this space; a bearer token says who asks")
	}
	return wire.Errorf(code, "")
}

// positionSize is what a position has in bytes.
const positionSize = 8 + 2*digest.Size

// encodePosition returns a position as text: opaque to whoever keeps it.
func encodePosition(p *space.Position) string {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, positionSize), p.Seq)
	b = append(append(b, p.Chain[:]...), p.Seal[:]...)
	return base64.RawURLEncoding.EncodeToString(b)
}

var errNoPosition = errors.New("a position is what an event or an answer gave")

func decodePosition(text string) (p space.Position, err error) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) != positionSize {
		return p, errNoPosition
	}
	p.Seq = binary.BigEndian.Uint64(b)
	copy(p.Chain[:], b[8:])
	copy(p.Seal[:], b[8+digest.Size:])
	if p.Seq > space.MaxSeq {
		return p, errNoPosition
	}
	return p, nil
}
