package syncserver_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"skerry/shared/identity"
	"skerry/shared/space"
	"skerry/shared/wire"
)

// link makes a link by a key for somebody.
func (k keyed) link(of string, l identity.Link) []byte {
	l.Signature = ed25519.Sign(k.secret, l.Message(of))
	return l.Append(nil)
}

type linksAnswer struct {
	Code  string
	Links []struct {
		Identity, Device, Label, Links string
		RevokedAt                      uint64 `json:"revoked_at"`
		MayLink                        bool   `json:"may_link"`
	}
}

// ask asks a route of the API by a token and returns the status and code.
func (b *buyer) ask(token, method, path string, body any) (int, linksAnswer) {
	b.t.Helper()
	content, _ := json.Marshal(body)
	request, err := http.NewRequest(method, "http://"+host+path, bytes.NewReader(content))
	if err != nil {
		b.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := b.client.Do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	var answer linksAnswer
	json.NewDecoder(response.Body).Decode(&answer)
	return response.StatusCode, answer
}

// buyAs buys a token for an identity by a key, with links; "" if it is refused, with the code.
func (b *buyer) buyAs(t *testing.T, k keyed, of string, links []byte) (token, code string) {
	t.Helper()
	offer := k.offer(t, b.challenge(), host)
	proof, _ := base64.RawURLEncoding.DecodeString(offer["proof"])
	offer["identity"], offer["proof"] = of, base64.RawURLEncoding.EncodeToString(append(proof, links...))
	_, bought := b.buy(offer)
	return bought.Token, bought.Code
}

// TestLinkedDevices: a device finds the link that another made for it, acts as its identity on the socket, over HTTP and as the maker
// of spaces, and no more from the moment on when it is revoked, for ever.
func TestLinkedDevices(t *testing.T) {
	b := newBuyer(t)
	ann, phone, tablet, eve := newKey(t), newKey(t), newKey(t), newKey(t)
	text := func(links []byte) string { return base64.RawURLEncoding.EncodeToString(links) }
	toPhone := ann.link(ann.name, identity.Link{Device: phone.name, Label: "phone"})
	toTablet := ann.link(ann.name, identity.Link{Device: tablet.name})
	byAnn, _ := b.buyAs(t, ann, ann.name, nil)
	byEve, _ := b.buyAs(t, eve, eve.name, nil)
	ofPhone, _ := b.buyAs(t, phone, phone.name, nil)
	if status, answer := b.ask(byAnn, "POST", "/api/v1/links", map[string]string{"identity": ann.name, "links": text(toPhone)}); status != 201 {
		t.Fatalf("link: %d %+v", status, answer)
	}
	if _, answer := b.ask(byAnn, "POST", "/api/v1/links", map[string]string{"identity": ann.name, "links": text(toTablet)}); answer.Code != "" {
		t.Fatal(answer.Code)
	}
	for what, c := range map[string]struct {
		links []byte
		code  string
	}{
		"for another":   {eve.link(eve.name, identity.Link{Device: phone.name}), "bad_credentials"},
		"by another":    {eve.link(ann.name, identity.Link{Device: eve.name}), "bad_credentials"},
		"nothing":       {nil, "bad_argument"},
		"too much":      {make([]byte, 4<<10), "too_large"},
		"by the device": {append(bytes.Clone(toPhone), phone.link(ann.name, identity.Link{Device: eve.name})...), "bad_credentials"},
	} {
		if _, answer := b.ask(byEve, "POST", "/api/v1/links", map[string]string{"identity": ann.name, "links": text(c.links)}); answer.Code != c.code {
			t.Errorf("a link %s: %s, want %s", what, answer.Code, c.code)
		}
	}
	// Each sees what concerns them.
	if _, answer := b.ask(ofPhone, "GET", "/api/v1/links?identity_sha256="+sum(ann.name), nil); len(answer.Links) != 1 || answer.Links[0].Identity != ann.name || answer.Links[0].Links != text(toPhone) || answer.Links[0].Label != "phone" {
		t.Errorf("the phone finds %+v", answer)
	}
	if _, answer := b.ask(ofPhone, "GET", "/api/v1/links", nil); len(answer.Links) != 0 {
		t.Errorf("the phone, which has no devices, finds %+v", answer)
	}
	if _, answer := b.ask(byAnn, "GET", "/api/v1/links", nil); len(answer.Links) != 2 {
		t.Errorf("ann finds %+v", answer)
	}
	for _, path := range []string{"/api/v1/links", "/api/v1/links?identity_sha256=" + sum(ann.name)} {
		if _, answer := b.ask(byEve, "GET", path, nil); len(answer.Links) != 0 {
			t.Errorf("eve finds %+v by %s", answer, path)
		}
	}
	// The phone is ann.
	byPhone, code := b.buyAs(t, phone, ann.name, toPhone)
	if byPhone == "" {
		t.Fatal(code)
	}
	connect := func(k keyed, links []byte) *peer {
		t.Helper()
		p, c := b.connect()
		h := k.hello(c, host)
		both := append(bytes.Clone(h.Proofs[0].Proof), links...)
		h.Proofs = append(h.Proofs, wire.Proof{Identity: ann.name, Proof: both})
		p.send(h)
		p.identity = ann.name
		return p
	}
	p := connect(phone, toPhone)
	if w, ok := p.receive().(*wire.Welcome); !ok || !slices.Contains(w.Identities, ann.name) || !slices.Contains(w.Identities, phone.name) {
		t.Fatalf("no welcome for both: %+v", w)
	}
	g := p.genesis()
	id := g.ID()
	signature := append(ed25519.Sign(phone.secret, space.GenesisMessage(id)), toPhone...)
	if v := p.pushed(wire.Push{Space: id, Genesis: g, GenesisSignature: signature}).Genesis; v.Kind != wire.Accepted {
		t.Fatalf("a genesis by the phone: %+v", v)
	}
	p.append(id, p.transaction(1))
	stream, _ := b.stream("", eventsPath(id), "Authorization", "Bearer "+byPhone)
	stuck := time.AfterFunc(10*time.Second, func() { stream.body.Close() })
	defer stuck.Stop()
	if e := stream.record(); e.Sender.ID != ann.name {
		t.Errorf("the sender is %+v", e.Sender)
	}
	stream.expect("caught_up")
	other := connect(tablet, toTablet)
	if _, ok := other.receive().(*wire.Welcome); !ok {
		t.Fatal("no welcome for the tablet")
	}
	// Who may not revoke.
	unlink := func(token string, device keyed) string {
		_, answer := b.ask(token, "POST", "/api/v1/unlink", map[string]string{"identity": ann.name, "device": device.name})
		return answer.Code
	}
	if code := unlink(byEve, phone); code != "forbidden" {
		t.Errorf("eve unlinks the phone: %q", code)
	}
	if code := unlink(byPhone, tablet); code != "forbidden" {
		t.Errorf("the phone unlinks the tablet: %q", code)
	}
	if code := unlink(byAnn, phone); code != "" {
		t.Fatalf("ann unlinks the phone: %q", code)
	}
	if data := stream.expect("ended"); !strings.Contains(data, `"revoked"`) {
		t.Errorf("its stream ended with %s", data)
	}
	if e, ok := p.receive().(*wire.Error); !ok || e.Code != wire.CodeRevoked {
		t.Errorf("the phone hears %+v", e)
	}
	stream.body.Close()
	if status, code, _ := b.whoami(byPhone); status != http.StatusForbidden || code != "revoked" {
		t.Errorf("its token: %d %s", status, code)
	}
	if token, code := b.buyAs(t, phone, ann.name, toPhone); token != "" || code != "revoked" {
		t.Errorf("it buys another: %q", code)
	}
	if e, ok := connect(phone, toPhone).receive().(*wire.Error); !ok || e.Code != wire.CodeRevoked {
		t.Errorf("it connects: %+v", e)
	}
	anew := ann.link(ann.name, identity.Link{Device: phone.name, IssuedAt: 5})
	if _, answer := b.ask(byAnn, "POST", "/api/v1/links", map[string]string{"identity": ann.name, "links": text(anew)}); answer.Code != "revoked" {
		t.Errorf("it is linked again: %q", answer.Code)
	}
	if e, ok := connect(phone, anew).receive().(*wire.Error); !ok || e.Code != wire.CodeRevoked {
		t.Errorf("it connects by another link: %+v", e)
	}
	if token, _ := b.buyAs(t, phone, phone.name, nil); token == "" {
		t.Error("it is not itself any more")
	}
	other.append(id, other.transaction(1)) // the tablet goes on
	if byTablet, _ := b.buyAs(t, tablet, ann.name, toTablet); unlink(byTablet, tablet) != "" {
		t.Error("the tablet does not unlink itself")
	}
	if e, ok := other.receive().(*wire.Error); !ok || e.Code != wire.CodeRevoked {
		t.Errorf("the tablet hears %+v", e)
	}
	// A link that has expired, and one that does so while it is used.
	late := ann.link(ann.name, identity.Link{Device: eve.name, Expires: uint64(b.now.Load())})
	if _, code := b.buyAs(t, eve, ann.name, late); code != "auth_expired" {
		t.Errorf("a link that has expired: %q", code)
	}
	if status, answer := b.ask(byAnn, "POST", "/api/v1/links", map[string]string{"identity": ann.name, "links": text(late)}); status != 401 || answer.Code != "auth_expired" {
		t.Errorf("a link that has expired is kept: %d %q", status, answer.Code)
	}
	soon := ann.link(ann.name, identity.Link{Device: eve.name, Expires: uint64(b.now.Load()) + 1000})
	if _, answer := b.ask(byAnn, "POST", "/api/v1/links", map[string]string{"identity": ann.name, "links": text(soon)}); answer.Code != "" {
		t.Errorf("a link that has not is not kept: %q", answer.Code)
	}
	token, _ := b.buyAs(t, eve, ann.name, soon)
	if status, _, _ := b.whoami(token); status != http.StatusOK {
		t.Errorf("a link that has not: %d", status)
	}
	b.pass(time.Second)
	if _, code, _ := b.whoami(token); code != "auth_expired" {
		t.Errorf("a token of a link that has: %q", code)
	}
}

// sum is by what a device asks for the link of an identity.
func sum(name string) string {
	d := sha256.Sum256([]byte(name))
	return hex.EncodeToString(d[:])
}

// TestLinksOfStrangers: however many strangers link a device to themselves, it finds the link of whom it was told of, and no other.
func TestLinksOfStrangers(t *testing.T) {
	b := newBuyer(t)
	ann, phone, eve := newKey(t), newKey(t), newKey(t)
	byEve, _ := b.buyAs(t, eve, eve.name, nil)
	ofPhone, _ := b.buyAs(t, phone, phone.name, nil)
	link := func(by keyed, issued uint64) {
		t.Helper()
		links := base64.RawURLEncoding.EncodeToString(by.link(by.name, identity.Link{Device: phone.name, IssuedAt: issued}))
		if _, answer := b.ask(byEve, "POST", "/api/v1/links", map[string]string{"identity": by.name, "links": links}); answer.Code != "" {
			t.Fatal(answer.Code)
		}
	}
	for range 150 {
		link(newKey(t), 1<<53)
	}
	find := func(sum string) linksAnswer {
		t.Helper()
		_, answer := b.ask(ofPhone, "GET", "/api/v1/links?identity_sha256="+sum, nil)
		return answer
	}
	if answer := find(sum(ann.name)); answer.Code != "" || len(answer.Links) != 0 {
		t.Errorf("before ann links it, the phone finds %d links: %q", len(answer.Links), answer.Code)
	}
	link(ann, 1)
	for _, digits := range []int{16, 64} {
		if answer := find(sum(ann.name)[:digits]); len(answer.Links) != 1 || answer.Links[0].Identity != ann.name {
			t.Errorf("by %d digits the phone finds %d links: %q", digits, len(answer.Links), answer.Code)
		}
	}
	for _, wrong := range []string{sum(ann.name)[:15], sum(ann.name) + "0", strings.ToUpper(sum(ann.name)), "../../../../../../"} {
		if answer := find(wrong); answer.Code != "bad_argument" {
			t.Errorf("by %q: %q", wrong, answer.Code)
		}
	}
}

// TestRecoveryKeys: a key that may link others does so, and takes them off; when it is revoked, so is whom it linked.
func TestRecoveryKeys(t *testing.T) {
	b := newBuyer(t)
	ann, paper, fresh, lost := newKey(t), newKey(t), newKey(t), newKey(t)
	text := func(links []byte) string { return base64.RawURLEncoding.EncodeToString(links) }
	toPaper := ann.link(ann.name, identity.Link{Device: paper.name, MayLink: true})
	toFresh := append(bytes.Clone(toPaper), paper.link(ann.name, identity.Link{Device: fresh.name})...)
	byAnn, _ := b.buyAs(t, ann, ann.name, nil)
	byPaper, code := b.buyAs(t, paper, ann.name, toPaper)
	if byPaper == "" {
		t.Fatal(code)
	}
	for token, links := range map[string][]byte{byAnn: toPaper, byPaper: toFresh} {
		if _, answer := b.ask(token, "POST", "/api/v1/links", map[string]string{"identity": ann.name, "links": text(links)}); answer.Code != "" {
			t.Fatal(answer.Code)
		}
	}
	byFresh, code := b.buyAs(t, fresh, ann.name, toFresh)
	if byFresh == "" {
		t.Fatal(code)
	}
	unlink := func(token string, device keyed) string {
		_, answer := b.ask(token, "POST", "/api/v1/unlink", map[string]string{"identity": ann.name, "device": device.name})
		return answer.Code
	}
	if code := unlink(byFresh, paper); code != "forbidden" {
		t.Errorf("a device takes the paper off: %q", code)
	}
	if code := unlink(byPaper, lost); code != "" { // of which the server has never heard
		t.Errorf("the paper takes a lost device off: %q", code)
	}
	if _, code := b.buyAs(t, lost, ann.name, ann.link(ann.name, identity.Link{Device: lost.name})); code != "revoked" {
		t.Errorf("the lost device: %q", code)
	}
	if code := unlink(byAnn, paper); code != "" {
		t.Fatal(code)
	}
	for name, token := range map[string]string{"paper": byPaper, "whom it linked": byFresh} {
		if _, code, _ := b.whoami(token); code != "revoked" {
			t.Errorf("%s: %q", name, code)
		}
	}
	if _, code := b.buyAs(t, fresh, ann.name, toFresh); code != "revoked" {
		t.Errorf("whom it linked: %q", code)
	}
}

// TestLinkedLimit: an identity has so many devices and no more, and one more can always be revoked.
func TestLinkedLimit(t *testing.T) {
	b := newBuyer(t)
	ann := newKey(t)
	token, _ := b.buyAs(t, ann, ann.name, nil)
	link := func() string {
		links := ann.link(ann.name, identity.Link{Device: newKey(t).name})
		_, answer := b.ask(token, "POST", "/api/v1/links", map[string]string{"identity": ann.name, "links": base64.RawURLEncoding.EncodeToString(links)})
		return answer.Code
	}
	for n := 1; n <= 100; n++ {
		if code := link(); code != "" {
			t.Fatalf("device %d: %s", n, code)
		}
	}
	if code := link(); code != "too_many" {
		t.Errorf("device 101: %q", code)
	}
	if _, answer := b.ask(token, "POST", "/api/v1/unlink", map[string]string{"identity": ann.name, "device": newKey(t).name}); answer.Code != "" {
		t.Errorf("revoke another: %s", answer.Code)
	}
}

// TestRevokedLimit: whoever has a key cannot fill the log by revoking what was never linked.
func TestRevokedLimit(t *testing.T) {
	b := newBuyer(t)
	ann := newKey(t)
	token, _ := b.buyAs(t, ann, ann.name, nil)
	revoke := func() string {
		_, answer := b.ask(token, "POST", "/api/v1/unlink", map[string]string{"identity": ann.name, "device": newKey(t).name})
		return answer.Code
	}
	for n := 1; n <= 1000; n++ {
		if code := revoke(); code != "" {
			t.Fatalf("device %d: %s", n, code)
		}
	}
	if code := revoke(); code != "too_many" {
		t.Errorf("device 1001: %q", code)
	}
}

// TestRenewedLinkStays: whoever has seen a link that was renewed since can bring it again, and changes nothing.
func TestRenewedLinkStays(t *testing.T) {
	b := newBuyer(t)
	ann, phone, eve := newKey(t), newKey(t), newKey(t)
	byEve, _ := b.buyAs(t, eve, eve.name, nil)
	ofPhone, _ := b.buyAs(t, phone, phone.name, nil)
	text := func(links []byte) string { return base64.RawURLEncoding.EncodeToString(links) }
	day := uint64(24 * time.Hour / time.Millisecond)
	now := uint64(time.Now().UnixMilli())
	link := func(issued, expires uint64) string {
		return text(ann.link(ann.name, identity.Link{Device: phone.name, IssuedAt: issued, Expires: expires}))
	}
	first, renewed, ever, newest := link(now, now+day), link(now+1, now+30*day), link(now, 0), link(now+2, 0)
	for _, step := range []struct{ what, brought, stays string }{
		{"the first", first, first},
		{"a renewed one", renewed, renewed},
		{"the first again", first, renewed},
		{"one for ever, by a clock that was set back", ever, ever},
		{"the renewed one again", renewed, ever},
		{"the newest of two for ever", newest, newest},
		{"the older of two for ever", ever, newest},
	} {
		if status, answer := b.ask(byEve, "POST", "/api/v1/links", map[string]string{"identity": ann.name, "links": step.brought}); status != 201 {
			t.Fatalf("%s: %d %s", step.what, status, answer.Code)
		}
		_, answer := b.ask(ofPhone, "GET", "/api/v1/links?identity_sha256="+sum(ann.name), nil)
		if len(answer.Links) != 1 || answer.Links[0].Links != step.stays {
			t.Errorf("after %s the phone finds %+v", step.what, answer.Links)
		}
	}
}
