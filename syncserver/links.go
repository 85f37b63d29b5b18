package syncserver

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"skerry/shared/digest"
	"skerry/shared/hub"
	"skerry/shared/identity"
	"skerry/shared/wire"
)

// Links between identities and the devices that act as them. A link shows itself by its signatures, so the server keeps it for two things:
// that a device finds the link that another one has made for it, and that a link can be revoked, for ever. Each lies under
// the identity, and the identity's name under the device. Anybody can link any device to themselves: a device asks for the link of the
// identity that it was told of, which those of strangers cannot hide, and for no other.

// maxLinked is how many devices an identity has at most, those that were revoked included: what was revoked is never forgotten.
const maxLinked = 100

// maxRevoked is how many devices of an identity are kept at most, with those that were revoked before anybody linked them.
const maxRevoked = 1000

const linkBody = 4 << 10

// linkRecord is what is kept of one device of an identity, and what is told of it.
type linkRecord struct {
	Identity  string `json:"identity"`
	Device    string `json:"device"`
	Label     string `json:"label,omitempty"`
	IssuedAt  uint64 `json:"issued_at,omitempty"`  // milliseconds since 1970
	Expires   uint64 `json:"expires,omitempty"`    // the same
	RevokedAt uint64 `json:"revoked_at,omitempty"` // the same
	MayLink   bool   `json:"may_link,omitempty"`
	Links     string `json:"links,omitempty"` // base64url, as they follow on a signature; none of a device that never was linked here
}

func nameKey(name string) string {
	d := digest.Of([]byte(name))
	return hex.EncodeToString(d[:])
}

func linkKey(identity, device string) string {
	return "link/" + nameKey(identity) + "/" + nameKey(device)
}

// linkedKey is where the name of an identity lies under its device. It goes by SHA-256, which browsers have.
func linkedKey(device, identity string) string {
	sum := sha256.Sum256([]byte(identity))
	return linkedPrefix(device) + hex.EncodeToString(sum[:])
}

func linkedPrefix(device string) string { return "linked/" + nameKey(device) + "/" }

// link returns what is kept of a device, with its bytes; nil if nothing is.
func (s *Server) link(ctx context.Context, identity, device string) (*linkRecord, []byte, error) {
	value, err := s.log.Key(ctx, linkKey(identity, device))
	if err != nil || value == nil {
		return nil, nil, err
	}
	record := &linkRecord{}
	if err := json.Unmarshal(value, record); err != nil {
		return nil, nil, err
	}
	return record, value, nil
}

// checkDevices refuses what was proven by a device whose link was revoked.
func (s *Server) checkDevices(ctx context.Context, proven []hub.Proven) error {
	for i := range proven {
		for _, device := range proven[i].Devices {
			record, _, err := s.link(ctx, proven[i].Identity, device)
			if err != nil {
				return err
			}
			if record != nil && record.RevokedAt != 0 {
				return errRevoked
			}
		}
	}
	return nil
}

var errRevoked = wire.Errorf(wire.CodeRevoked, "the link of this device was revoked")

// devicesOf returns the names under which a revocation finds what was proven.
func devicesOf(proven []hub.Proven) (keys []string) {
	for i := range proven {
		for _, device := range proven[i].Devices {
			keys = append(keys, linkKey(proven[i].Identity, device))
		}
	}
	return keys
}

// actsBy notes by which devices a connection acts, and checks them then: one that is revoked at this moment is found by one of the two.
func (s *Server) actsBy(ctx context.Context, c *connection, proven []hub.Proven) error {
	keys := devicesOf(proven)
	if len(keys) == 0 {
		return nil
	}
	c.mu.Lock()
	c.devices = append(c.devices, keys...)
	c.mu.Unlock()
	return s.checkDevices(ctx, proven)
}

// endDevice ends the connections of a device that was revoked.
func (s *Server) endDevice(key string) {
	s.mu.Lock()
	conns := make([]*connection, 0, len(s.conns))
	for _, c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		c.mu.Lock()
		if slices.Contains(c.devices, key) {
			c.stepLocked(hub.Fail{Code: wire.CodeRevoked, Reason: reason(errRevoked)})
		}
		c.mu.Unlock()
	}
}

// linkRequest is what a device is linked by, or taken off.
type linkRequest struct {
	Identity string `json:"identity"`
	Device   string `json:"device"` // to be unlinked
	Links    string `json:"links"`  // base64url
}

func linkRequestOf(w http.ResponseWriter, r *http.Request) (request linkRequest, err error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, linkBody))
	if err != nil {
		return request, wire.Errorf(wire.CodeTooLarge, "at most %d bytes", linkBody)
	}
	if json.Unmarshal(body, &request) != nil || !identity.IsKey(request.Identity) {
		return request, wire.Errorf(wire.CodeBadArgument, `want {"identity", "links"}, or {"identity", "device"}; the identity is a did:key`)
	}
	return request, nil
}

// serveLink keeps a link. Its signatures say that it may be kept; who asks is known so that it can be limited.
func (s *Server) serveLink(w http.ResponseWriter, r *http.Request) {
	record, err := s.keepLink(w, r)
	if err != nil {
		s.refuseRequest(w, r, err)
		return
	}
	answerJSON(w, http.StatusCreated, record)
}

func (s *Server) keepLink(w http.ResponseWriter, r *http.Request) (*linkRecord, error) {
	of, err := s.callerOf(r)
	if err != nil {
		return nil, err
	}
	request, err := linkRequestOf(w, r)
	if err != nil {
		return nil, err
	}
	if len(of.identities) == 0 {
		return nil, wire.Errorf(wire.CodeAuthRequired, "nobody links a device")
	}
	links, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(request.Links, "="))
	if err != nil || len(links) == 0 {
		return nil, wire.Errorf(wire.CodeBadArgument, "links are base64url")
	}
	by, err := identity.ParseSigned(request.Identity, append(make([]byte, identity.SignatureSize), links...))
	if err != nil {
		return nil, wire.Errorf(wire.CodeBadCredentials, "%s", strings.TrimPrefix(err.Error(), "identity: "))
	}
	if expires := by.Expires(); expires != 0 && expires <= s.wall() {
		return nil, wire.Errorf(wire.CodeAuthExpired, "the link has expired already")
	}
	last := &by.Links[len(by.Links)-1]
	chain := hub.Proven{Identity: request.Identity}
	for i := range by.Links {
		chain.Devices = append(chain.Devices, by.Links[i].Device)
	}
	if err := s.checkDevices(r.Context(), []hub.Proven{chain}); err != nil {
		return nil, err
	}
	record := &linkRecord{
		Identity: request.Identity, Device: last.Device, Label: last.Label, IssuedAt: last.IssuedAt, Expires: by.Expires(), MayLink: by.MayLink(),
		Links: base64.RawURLEncoding.EncodeToString(links),
	}
	if record, err = s.writeLink(r.Context(), record, false); err != nil {
		return nil, err
	}
	key := linkedKey(record.Device, record.Identity)
	was, err := s.log.Key(r.Context(), key)
	if err == nil && was == nil {
		_, err = s.log.CompareAndSet(r.Context(), key, nil, []byte(record.Identity))
	}
	return record, err
}

// outlasts reports whether a link is worth more than another one of the same device, which its owner made too: it ends later, or was
// made later. Whoever brings the lesser one, which anybody can who has seen it, changes nothing.
func (record *linkRecord) outlasts(other *linkRecord) bool {
	if ends, others := record.Expires-1, other.Expires-1; ends != others { // never is the latest
		return ends > others
	}
	return record.IssuedAt > other.IssuedAt
}

// writeLink writes what is kept of a device, and returns what that is then. What was revoked stays so, and devices that nobody has heard of
// can be revoked too, up to a limit of their own: whoever steals a key must not fill the log.
func (s *Server) writeLink(ctx context.Context, record *linkRecord, revoke bool) (*linkRecord, error) {
	for {
		known, was, err := s.link(ctx, record.Identity, record.Device)
		if err != nil {
			return nil, err
		}
		next := *record
		switch {
		case known != nil && known.RevokedAt != 0 && !revoke:
			return nil, errRevoked
		case known != nil && !revoke && known.outlasts(record):
			return known, nil
		case known != nil && revoke:
			next = *known
		case known == nil:
			most := maxLinked
			if revoke {
				most = maxRevoked
			}
			all, err := s.log.Scan(ctx, "link/"+nameKey(record.Identity)+"/", "", most)
			if err != nil {
				return nil, err
			}
			if len(all) >= most {
				return nil, wire.Errorf(wire.CodeTooMany, "an identity has at most %d devices, those that were revoked included", most)
			}
		}
		if revoke && next.RevokedAt == 0 {
			next.RevokedAt = s.wall()
		}
		value, err := json.Marshal(&next)
		if err != nil {
			return nil, err
		}
		if done, err := s.log.CompareAndSet(ctx, linkKey(record.Identity, record.Device), was, value); err != nil || done {
			return &next, err
		}
	}
}

// serveLinks tells whoever asks of the devices of their identity, or of the link by which their device acts as another one.
func (s *Server) serveLinks(w http.ResponseWriter, r *http.Request) {
	all, err := s.linksOf(r)
	if err != nil {
		s.refuseRequest(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	answerJSON(w, http.StatusOK, struct {
		Links []linkRecord `json:"links"`
	}{all})
}

// identitySum matches so much of an identity's hash that nobody makes another identity with it.
var identitySum = regexp.MustCompile("^[0-9a-f]{16,64}$")

func (s *Server) linksOf(r *http.Request) ([]linkRecord, error) {
	of, err := s.callerOf(r)
	if err != nil {
		return nil, err
	}
	ctx, all := r.Context(), []linkRecord{}
	sum := r.URL.Query().Get("identity_sha256")
	if sum != "" && !identitySum.MatchString(sum) {
		return nil, wire.Errorf(wire.CodeBadArgument, "identity_sha256 is the SHA-256 of an identity, in hexadecimal, or its first 16 digits or more")
	}
	for _, p := range of.proven {
		if sum != "" {
			acts, err := s.log.Scan(ctx, linkedPrefix(p.Identity)+sum, "", maxLinked)
			if err != nil {
				return nil, err
			}
			for _, row := range acts {
				if record, _, err := s.link(ctx, string(row.Value), p.Identity); err != nil {
					return nil, err
				} else if record != nil {
					all = append(all, *record)
				}
			}
			continue
		}
		devices, err := s.log.Scan(ctx, "link/"+nameKey(p.Identity)+"/", "", maxRevoked)
		if err != nil {
			return nil, err
		}
		for _, row := range devices {
			var record linkRecord
			if err := json.Unmarshal(row.Value, &record); err != nil {
				return nil, err
			}
			all = append(all, record)
		}
	}
	return all, nil
}

// serveUnlink revokes a device: for whoever has the identity's own key, a device that may link others, or the device itself.
func (s *Server) serveUnlink(w http.ResponseWriter, r *http.Request) {
	if err := s.unlink(w, r); err != nil {
		s.refuseRequest(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) unlink(w http.ResponseWriter, r *http.Request) error {
	of, err := s.callerOf(r)
	if err != nil {
		return err
	}
	request, err := linkRequestOf(w, r)
	if err != nil {
		return err
	}
	if _, err := identity.Parse(request.Device); err != nil {
		return wire.Errorf(wire.CodeBadArgument, "a device is named by its key")
	}
	allowed := slices.ContainsFunc(of.proven, func(p hub.Proven) bool {
		acts := len(p.Devices) > 0 && p.Devices[len(p.Devices)-1] == request.Device
		return p.Identity == request.Identity && (p.MayLink || acts)
	})
	if !allowed {
		return wire.Errorf(wire.CodeForbidden, "a device is unlinked by the key of the identity, by a recovery key, or by itself")
	}
	if _, err := s.writeLink(r.Context(), &linkRecord{Identity: request.Identity, Device: request.Device}, true); err != nil {
		return err
	}
	s.endDevice(linkKey(request.Identity, request.Device))
	return nil
}
