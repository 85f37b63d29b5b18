// The policy of a server: who may connect, and who administrates it. What is written there is the server's own, beside what
// administrators do, who alone read it.
import { Entry, fail, Genesis, key, Migration, Offer, Table } from "skerry/module";
import { Packed } from "skerry/msgpack";

@module({
  name: "system",
  version: "1.0.0",
  abi: 1,
  doc: "The policy of a server: who may connect, by what their credentials claim, and who administrates it. Administrators alone read it.",
  io: 131072, // the most that credentials may claim, and what is said of them
  readable: ["administrators"],
  audience: "administrators",
  upgrade: "carry",
})
class System {
  init(made: Genesis): void {
    server.put(new Server(made.creator));
    setRules(new Packed(made.params));
  }

  readable(identity: string): bool {
    return administrators.has(identity);
  }

  /** Administrators stay, and the rules are those of the params. */
  migrate(from: Migration): void {
    if (from.table != "") fail(bad, "the system space has no table " + from.table);
    server.put(new Server(from.creator));
    setRules(new Packed(from.params));
  }
}

const notAllowed = 1; // codes of refusals
const already = 2;
const noAdministrator = 3;
const claim = 4;
const bad = 5;

/** Who the server is: it made the space, and writes what begins with a $. */
@table("server")
class Server {
  constructor(public identity: string) {}
}
const server = new Table<Server>();

@table("administrators")
class Administrator {
  constructor(
    public identity: string,
    public by: string, // who made them one
    public seq: u64, // of the event that did
  ) {}
}
const administrators = new Table<Administrator>();

/** What credentials have to claim: of each claim one of its values. */
@table("required", { key: ["claim", "value"] })
class Required {
  constructor(
    public claim: string,
    public value: string,
  ) {}
}
const required = new Table<Required>();

/** The claim that a refusal shows beside, so that people see whom it is about. */
@table("shown")
class Shown {
  constructor(public claim: string) {}
}
const shown = new Table<Shown>();

/** Reads the params: {require: {claim: [value, value]}, show: claim}. None at all are no rules. */
function setRules(packed: Packed): void {
  for (let row = required.all().next(); row; row = required.all().next()) required.delete(key(row.claim).and(row.value));
  for (let row = shown.all().next(); row; row = shown.all().next()) shown.delete(row.claim);
  if (packed.ended) return;
  for (let n = packed.map(); n > 0 && !packed.failed; n--) {
    const name = packed.text();
    if (name == "require") {
      for (let k = packed.map(); k > 0 && !packed.failed; k--) setRule(packed.text(), packed);
    } else if (name == "show") {
      shown.put(new Shown(packed.text()));
    } else {
      fail(bad, `the policy has no rule ${name}: it has require and show`);
    }
  }
  if (packed.failed || !packed.ended) fail(bad, 'the policy\'s params are {require: {plan: ["pro", "team"]}, show: "email"}, or none');
}

function setRule(name: string, packed: Packed): void {
  const count = packed.list();
  if (count == 0 && !packed.failed) fail(bad, `claim ${name} is required without a value that it may have`);
  for (let i = 0; i < count && !packed.failed; i++) {
    const value = textOf(packed);
    if (value) required.put(new Required(name, value));
  }
}

/** Returns a text, number or bool as a text; null is anything else, which it passes over. */
function textOf(packed: Packed): string | null {
  const one = packed.one();
  let value = one.copy();
  const text = value.text();
  if (!value.failed) return text;
  value = one.copy();
  const yes = value.value("bool");
  if (!value.failed) return yes[0] ? "true" : "false";
  value = one.copy();
  const whole = value.value("i64");
  if (!value.failed) return load<i64>(whole.dataStart).toString();
  return null;
}

/** Refuses credentials that do not claim what they have to. */
function check(claims: Uint8Array): void {
  let name = "";
  let wanted = "";
  let met = true;
  const scan = required.all();
  for (let rule = scan.next(); rule; rule = scan.next()) {
    if (rule.claim != name) {
      if (!met) refuse(name, wanted, claims);
      name = rule.claim;
      wanted = "";
      met = false;
    }
    wanted += (wanted == "" ? "" : " or ") + rule.value;
    met = met || claimsValue(claims, name, rule.value);
  }
  if (!met) refuse(name, wanted, claims);
}

function refuse(name: string, wanted: string, claims: Uint8Array): void {
  const has = claimOf(claims, name);
  let reason = has ? `claim ${name} is ${has}, and ${wanted} is wanted` : `there is no claim ${name}, and ${wanted} is wanted`;
  const show = shown.all().next();
  if (show) {
    const value = claimOf(claims, show.claim);
    if (value) reason += ` (${show.claim}: ${value})`;
  }
  fail(claim, reason);
}

/** Whether a claim has a value, or is a list with it. */
function claimsValue(claims: Uint8Array, name: string, value: string): bool {
  const found = find(claims, name);
  if (!found) return false;
  const list = found.copy();
  const count = list.list();
  if (list.failed) return textOf(found) == value;
  for (let i = 0; i < count && !list.failed; i++) {
    if (textOf(list) == value) return true;
  }
  return false;
}

/** Returns a claim for people. */
function claimOf(claims: Uint8Array, name: string): string | null {
  const found = find(claims, name);
  if (!found) return null;
  const list = found.copy();
  const count = list.list();
  if (list.failed) return textOf(found);
  let text = "";
  for (let i = 0; i < count && !list.failed; i++) {
    const value = textOf(list);
    if (value) text += (text == "" ? "" : ", ") + value;
  }
  return text;
}

function find(claims: Uint8Array, name: string): Packed | null {
  const packed = new Packed(claims);
  if (packed.ended) return null;
  for (let n = packed.map(); n > 0 && !packed.failed; n--) {
    const found = packed.text();
    const value = packed.one();
    if (found == name && !value.failed) return value;
  }
  return null;
}

function isServer(offer: Offer): bool {
  return server.has(offer.author);
}

/** Refuses what the server alone writes. */
function needServer(offer: Offer): void {
  if (!isServer(offer)) fail(notAllowed, "only the server writes that");
}

/** Refuses what administrators do, and the server for whoever has its data. */
function needAdministrator(offer: Offer): void {
  if (!isServer(offer) && !administrators.has(offer.author)) fail(notAllowed, "only administrators do that");
}

/** Somebody connects. To allow it lets them in. */
@event("$connect", { doc: "One identity of a connection, which it has proven; an empty one if it has proven none" })
class Connect {
  connection_id: Uint8Array = new Uint8Array(0);
  identity: string = "";

  authorize(offer: Offer): void {
    needServer(offer);
    if (!administrators.has(this.identity)) check(offer.claims); // who sees to the rules is not locked out by them
  }
}

@event("$disconnect", { doc: "A connection is gone. There is one for each $connect" })
class Disconnect {
  connection_id: Uint8Array = new Uint8Array(0);
  identity: string = "";

  authorize(offer: Offer): void {
    needServer(offer);
  }
}

@event("$space", { doc: "What became of a space: created, upgraded, deleted, expired; by whom" })
class Space {
  space: Uint8Array = new Uint8Array(0);
  change: string = "";
  by: string = "";
  module: Uint8Array | null = null; // that it was created with, or went over to

  authorize(offer: Offer): void {
    needServer(offer);
  }
}

/** Names the first administrator. */
@event("$setup", { doc: "The first administrator, named by whoever had the server's setup link" })
class Setup {
  identity: string = "";

  authorize(offer: Offer): void {
    needServer(offer);
    if (this.identity.length == 0) fail(bad, "an administrator has an identity");
    if (administrators.all().next()) fail(already, "the server has an administrator");
  }

  apply(entry: Entry): void {
    administrators.put(new Administrator(this.identity, entry.author, entry.seq));
  }
}

@event("grant", { doc: "Makes somebody an administrator" })
class Grant {
  identity: string = "";

  authorize(offer: Offer): void {
    needAdministrator(offer);
    if (this.identity.length == 0 || server.has(this.identity)) fail(bad, "an administrator has an identity, which is not the server's");
    if (administrators.has(this.identity)) fail(already, this.identity + " is an administrator already");
  }

  apply(entry: Entry): void {
    administrators.put(new Administrator(this.identity, entry.author, entry.seq));
  }
}

@event("revoke", { doc: "Takes that back. The last administrator stays, or else the next one to set the server up would be one" })
class Revoke {
  identity: string = "";

  authorize(offer: Offer): void {
    needAdministrator(offer);
    if (!administrators.has(this.identity)) fail(noAdministrator, this.identity + " is no administrator");
    const scan = administrators.all();
    scan.next();
    if (!scan.next()) fail(notAllowed, "the last administrator stays one: make somebody else one first");
  }

  apply(entry: Entry): void {
    administrators.delete(this.identity);
  }
}
