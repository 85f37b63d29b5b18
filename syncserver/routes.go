package syncserver

// Route is a route of a server, for documents.
type Route struct{ Pattern, About string }

// Routes returns all routes, in the order in which they are told of.
func Routes() []Route {
	return []Route{
		{"/sync", "the protocol, as WebSocket subprotocol skerry.v1"},
		{"GET /healthz", "200 while the process lives"},
		{"GET /readyz", "200 when clients can be served, else 503 and why"},
		{"GET /metrics", "metrics for Prometheus; nothing in them names an identity or a space"},
		{"GET /.well-known/did.json", "who the server is, as did:web: its Ed25519 key"},
		{"/api/v1/openapi.json", "what the API takes and answers"},
		{"/api/v1/version", "the versions of the wire contract, and the server's key"},
		{"/setup", "a page on which whoever has the server's link names the first administrator"},
		{"/api/v1/setup", "whether there is an administrator; by POST, names the first"},
		{"/api/v1/challenge", "a nonce, which a proof signs"},
		{"/api/v1/token", "by POST, a bearer token of five minutes for a proof, or for a token of an issuer"},
		{"/api/v1/whoami", "whom the bearer token is for"},
		{"/api/v1/logout", "by POST, ends the bearer token and the streams that are open under it"},
		{"/api/v1/links", "the devices of whose bearer token it is, or by which link it acts as somebody; by POST, links a device"},
		{"/api/v1/unlink", "by POST, revokes a device, whose connections end"},
		{"/api/v1/spaces", "the spaces of whose bearer token it is"},
		{"/api/v1/spaces/{space}", "what a space is made from, and where it stands"},
		{"/api/v1/spaces/{space}/events", "the events of a space behind a position, as one value or as a stream"},
		{"/api/v1/spaces/{space}/module", "which module judges a space, and which did before; by PUT, takes it over to another one"},
		{"/api/v1/spaces/{space}/name", "by PUT, names a space; by DELETE, takes its name from it"},
		{"/api/v1/spaces/{space}/retention", "what a space keeps; by PUT, sets it; by DELETE, has the server's settings count; for administrators"},
		{"/api/v1/names/{name}", "which space has a name, if one that may be read has it"},
		{"/api/", "404 in the API's own words"},
		{"/", "the files of --web; without it, what this is"},
	}
}
