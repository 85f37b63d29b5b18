package syncserver

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"

	"skerry/shared/wire"
	"skerry/syncserver/auth"
)

// closedContent is the policy of answers that are no page: nothing in them runs, and nobody frames them.
const closedContent = "default-src 'none'; frame-ancestors 'none'"

// originRefused is what a page of an origin that is not allowed is told.
const originRefused = "pages of this origin may not use this server; its operator can allow them by --allow-origins"

// ServeHTTP implements [http.Handler]. Every answer, whoever makes it, carries the headers that keep browsers from taking it for
// something else.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	requested(r)
	header := w.Header()
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "same-origin")
	header.Set("Content-Security-Policy", closedContent)
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	s.handler.ServeHTTP(w, r)
}

// originAllowed reports whether a request may come from where it says it comes from: from no page at all, from one of the server's
// own host, or from one that the configuration allows. A page without an origin of its own (null: a sandboxed frame, a file) never may.
func (s *Server) originAllowed(r *http.Request) bool {
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return true
	}
	origin, err := url.Parse(origins[0])
	if err != nil || len(origins) > 1 || origin.Host == "" {
		return false
	}
	if strings.EqualFold(origin.Host, r.Host) && s.calledSo(r) {
		return true
	}
	for _, pattern := range s.config.AllowedOrigins {
		target := origin.Host
		if strings.Contains(pattern, "://") {
			target = origin.Scheme + "://" + origin.Host
		}
		if ok, err := path.Match(strings.ToLower(pattern), strings.ToLower(target)); ok && err == nil {
			return true
		}
	}
	return false
}

// calledSo reports whether the server may be called what a request calls it. Whoever has a name can have it stand for this server's
// address, and then a page of theirs is one of the server's own host, as far as that knows: the names that it was told
// count, and without any all but on this machine itself, where only this machine's do. Addresses are nobody's to give.
func (s *Server) calledSo(r *http.Request) bool {
	return auth.Called(r, s.config.PublicHosts)
}

// crossOrigin lets pages of the allowed origins read what handler answers, and refuses those of others before it runs: a page
// elsewhere must not make a visitor's browser do anything here. No cookie is ever needed, so credentials are not offered.
func (s *Server) crossOrigin(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Add("Vary", "Origin")
		header.Set("Cache-Control", "no-store")
		if !s.originAllowed(r) {
			answerError(w, http.StatusForbidden, wire.CodeForbidden, originRefused)
			return
		}
		if origin := r.Header.Get("Origin"); origin != "" {
			header.Set("Access-Control-Allow-Origin", origin)
			header.Set("Access-Control-Expose-Headers", "Retry-After")
		}
		if r.Method == http.MethodOptions {
			header.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE, OPTIONS")
			header.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Last-Event-ID")
			header.Set("Access-Control-Max-Age", "600")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if s.admitRequest(w, r) {
			handler.ServeHTTP(w, r)
		}
	})
}

// problem is how a request over HTTP is refused: with the codes of the protocol.
type problem struct {
	Code   string `json:"code"`
	Reason string `json:"reason,omitempty"`
}

func answerError(w http.ResponseWriter, status int, code wire.Code, reason string) {
	answerJSON(w, status, problem{Code: code.String(), Reason: wire.Reason(reason)})
}

func answerJSON(w http.ResponseWriter, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		panic(err) // of our own types
	}
	w.Header().Set("Content-Type", contentTypes[".json"])
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}

// hostName matches what a host may be for a did:web to be made of it: a name or address, perhaps with a port.
var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(:[0-9]{1,5})?$`)

// serveIdentity answers the server's did:web document: by it anybody who reaches the server over TLS under a name learns its key.
func (s *Server) serveIdentity(w http.ResponseWriter, r *http.Request) {
	if !hostName.MatchString(r.Host) {
		answerError(w, http.StatusBadRequest, wire.CodeBadArgument, "the Host header is no name that a did:web is made of")
		return
	}
	w.Header().Set("Access-Control-Allow-Origin", "*") // it is public
	w.Header().Set("Cache-Control", "no-cache")
	answerJSON(w, http.StatusOK, s.identityDocument(strings.ToLower(r.Host)))
}

// verificationMethod is a key of a DID document.
type verificationMethod struct {
	ID         string `json:"id"`
	Type       string `json:"type"`
	Controller string `json:"controller"`
	Key        struct {
		Type  string `json:"kty"`
		Curve string `json:"crv"`
		X     string `json:"x"`
	} `json:"publicKeyJwk"`
}

type identityService struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Endpoint string `json:"serviceEndpoint"`
}

// identityDocument is a DID document as W3C's DID Core has it.
type identityDocument struct {
	Context         []string             `json:"@context"`
	ID              string               `json:"id"`
	Keys            []verificationMethod `json:"verificationMethod"`
	Assertion       []string             `json:"assertionMethod"`
	Authentication  []string             `json:"authentication"`
	Services        []identityService    `json:"service"`
	HexKeyOfClients string               `json:"skerryKey"` // as clients show it that pin it
}

func (s *Server) identityDocument(host string) identityDocument {
	did := "did:web:" + strings.ReplaceAll(host, ":", "%3A")
	key := verificationMethod{ID: did + "#key-1", Type: "JsonWebKey", Controller: did}
	key.Key.Type, key.Key.Curve = "OKP", "Ed25519"
	key.Key.X = base64.RawURLEncoding.EncodeToString(ed25519.PublicKey(s.secrets.public[:]))
	return identityDocument{
		Context: []string{"https://www.w3.org/ns/did/v1", "https://w3id.org/security/jwk/v1"}, ID: did,
		Keys: []verificationMethod{key}, Assertion: []string{key.ID}, Authentication: []string{key.ID},
		Services:        []identityService{{ID: did + "#sync", Type: "SkerrySync", Endpoint: "wss://" + host + "/sync"}},
		HexKeyOfClients: hex.EncodeToString(s.secrets.public[:]),
	}
}
