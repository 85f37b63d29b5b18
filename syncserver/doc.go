// Package syncserver is Skerry's thin server: it gives the events that clients push one order per space, keeps them in
// a [Log], and sends them to whoever subscribes. What is true of the protocol is decided by package hub, which is pure;
// this package is the shell around it, and owns every goroutine, socket, timer and file.
//
// # Embedding it in a program
//
// A server is an [http.Handler] with a life of its own:
//
//	log, err := sqlitelog.Open(ctx, sqlitelog.Config{Dir: "data"})
//	server, err := syncserver.New(syncserver.Config{Log: log, Logger: slog.Default()})
//	listener, err := net.Listen("tcp", "127.0.0.1:8080")
//	go server.HTTP().Serve(server.Listener(listener))
//	err = server.Run(ctx) // returns when ctx has ended and everything is settled
//	err = log.Close()
//
// Nothing happens before Run: sockets that come earlier wait for it. The routes are /sync (the protocol, as WebSocket
// subprotocol skerry.v1), /healthz (the process lives), /readyz (clients can be served), /metrics (Prometheus, a
// registry of its own), /.well-known/did.json (who the server is, as did:web), /api/v1 (what plain HTTP offers, described by
// /api/v1/openapi.json) and / (the files of [Config.Web]). Mount the handler at the root of a host, or only the routes
// that are wanted. [Server.HTTP] has the time-outs that plain
// HTTP needs and [Server.Listener] bounds connections; a program with an http.Server of its own sees to both itself.
// Those of sockets are in [Config].
//
// Who the server is (an Ed25519 key that clients pin) and the secret of its seals are made with the log and kept in it,
// so a backup of the log is a backup of the server.
//
// # How it stops
//
// When Run's context ends, or by [Server.Close], the server takes no more sockets (503), sends bye to every client with
// the time to wait ([Config.RetryAfter]), finishes the appends that are under way and returns, within ten seconds. What
// was accepted is in the log; what got no verdict is pushed again by its client. A process that is killed instead loses
// just as little: no verdict leaves before what it rests on is durable.
//
// # Who may connect
//
// The server writes to a space of its own, the system space ([Server.System]), whose module is its policy ([Config.Policy]; none is
// there if Config.Engine runs no modules). Whoever connects is judged there, by what their credentials claim, after their proofs were
// checked and before the welcome. That they are here is a record and a row of the log in one step, that they are gone another; what a
// server that was killed left is written off before the next one takes a socket. Administrators read it like any space; the first is
// named by [Server.SetUp].
//
// # After a restore
//
// A log that was put back from a backup is marked ([MarkRestored]). For [Config.RecoveryWindow] from when the server starts nobody writes, while
// clients bring back what it lacks; skerry_recovering is 1 meanwhile, and skerry_records_adopted_total counts. They may do so later too. The secrets that
// positions were sealed with before, under server/seal/old/, prove as much as the one of now.
//
// # How it works
//
// A connection has a goroutine that reads. It has another only while there is something to write, so an idle
// subscriber costs a socket and a few kilobytes. A space that somebody pushes to or reads is hot: while it has input a
// goroutine, its pipeline, steps its hub, and the calls to the log that the hub asks for run beside it, so that the
// next batch is judged while the last one commits, and the log can group the commits of all spaces. Nothing that waits
// for a log blocks a reader of a socket.
//
// There is no queue per subscriber. A subscriber is a place in a log; when the head has moved it is woken, and reads on
// from its place as fast as its credit and its socket allow. The newest records of a space that somebody watches are
// kept in memory, encoded once, and subscribers at one place share the message. Others read from the log, and those who
// want the same at the same time read it once.
//
// Creating spaces is limited per identity, address and server in the log itself, so that a restart resets nothing
// ([CreationLimits]). Which spaces an identity created or wrote to is listed in the log under keys dir/ and in/; the
// rows are durable before the verdict, and a crash between is healed when the space is next touched.
//
// # Modules
//
// With an engine that takes them ([module.Checker]), clients upload modules, and spaces are judged by those. Their tables are in
// memory while a space is hot. At places that everybody can tell from the log (package tables) they are kept as checkpoints,
// when that costs less than applying the records since the last one: pages first, then the root, then the key that names it, so
// that a crash between leaves an older one. A space is opened at its newest checkpoint whose chain is the log's, and reads a
// page of it when something in that is needed. If it is not there then, or has another digest, the space is opened anew and what
// was being judged is judged again. What cannot be used is told in the log and in skerry_checkpoints_unusable_total, dropped, and
// the one before or the whole log is taken. Two are kept, with all that a space which is open may still read.
//
// Nobody is sent a record before the module was asked whether they may read on behind the one before it, so whoever is removed
// gets the record that does it as the last. Modules that no space names are deleted after [Config.ModulesKept].
//
// A panic in a connection closes that connection, one in a space closes the connections that pushed to it and loads
// the space anew; both are logged with their stacks and counted in skerry_panics_total.
//
// # What is stable
//
// The names and meanings of the exported API, of the routes and of the metrics; the protocol by its own page beside
// package wire; the keys that the server keeps in a log (server/, dir/, in/, create/, checkpoint/, module/, unused/), which later versions read. The
// zero value of each field of Config keeps its meaning.
package syncserver
