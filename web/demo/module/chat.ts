// The demo's module: a room of people with roles, and what they say there. It says who may write what and makes tables of it,
// in the page as on the server; the page shows nothing but those tables. Written with web/module-sdk.
import { blake3, Call, Entry, fail, Genesis, key, Offer, Optional, Table } from "skerry/module";

@module({
  name: "chat",
  version: "1.0.0",
  doc: "A room: members with roles (owner, admin, writer, reader), who are invited by links and alone read it; messages, edits, deletions, reactions, and how far everybody has read.",
  readable: ["members"],
  audience: "members",
  upgrade: "carry",
})
class Chat {
  init(made: Genesis, params: Params): void {
    members.put(new Member(made.creator, "owner", made.creator, 0));
  }

  readable(identity: string): bool {
    return members.has(identity);
  }
}

@params
class Params {
  name: string = "";
}

const noMember = 1; // codes of refusals
const notAllowed = 2;
const noInvitation = 3;
const already = 4;
const bad = 5;
const gone = 6;

const invitationsEach: u64 = 1000; // that are open, of one member
const longest = 4000; // UTF-16 units of a message

@table("members", { indexes: [{ name: "by_role", columns: ["role"] }] })
class Member {
  constructor(
    public identity: string,
    public role: string,
    public by: string, // who invited them, or gave them their role
    public seq: u64, // of the event that did
    public open: u64 = 0, // their invitations that nobody has used
  ) {}
}
const members = new Table<Member>();

/** A secret that lets one person in, by its BLAKE3. A link for several people has as many, which came in one event. */
@table("invitations", { indexes: [{ name: "by_link", columns: ["seq"] }] })
class Invitation {
  constructor(
    public hash: Uint8Array,
    public role: string,
    public by: string,
    public seq: u64,
  ) {}
}
const invitations = new Table<Invitation>();

/** Who was removed, or may invite no more: what they had invited before is void. To look for it would take fuel for each. */
@table("voided")
class Voided {
  constructor(
    public identity: string,
    public seq: u64,
  ) {}
}
const voided = new Table<Voided>();

/** How many messages there were, in one row. */
@table("counts")
class Count {
  constructor(
    public what: string,
    public number: u64,
  ) {}
}
const counts = new Table<Count>();

/** By the id of the event, which the page knows before the server has it; numbered as they are in the log. */
@table("messages", { indexes: [{ name: "by_number", columns: ["number"] }] })
class Message {
  constructor(
    public id: Uint8Array,
    public number: u64,
    public author: string,
    public text: string,
    public seq: u64,
    public at: u64, // milliseconds since 1970
    public edited: Optional<u64> | null = null, // when
    public deleted: string | null = null, // by whom: its text is gone
  ) {}
}
const messages = new Table<Message>();

@table("reactions", { key: ["number", "sign", "identity"] })
class Reaction {
  constructor(
    public number: u64, // of the message
    public sign: string,
    public identity: string,
  ) {}
}
const reactions = new Table<Reaction>();

/** How far somebody has read. */
@table("reads")
class Read {
  constructor(
    public identity: string,
    public number: u64, // of the last message
  ) {}
}
const reads = new Table<Read>();

function messageCount(): u64 {
  const count = counts.get("messages");
  return count ? count.number : 0;
}

/** How much a role may; 0 is no role. */
function rank(role: string): i32 {
  if (role == "reader") return 1;
  if (role == "writer") return 2;
  if (role == "admin") return 3;
  return role == "owner" ? 4 : 0;
}

/** How much the author may. */
function rankOf(call: Call): i32 {
  const member = members.get(call.author);
  return member ? rank(member.role) : 0;
}

function mayRead(offer: Offer): void {
  if (rankOf(offer) < 1) fail(noMember, "you are no member of this room");
}

function mayWrite(offer: Offer): void {
  mayRead(offer);
  if (rankOf(offer) < 2) fail(notAllowed, "readers do not write: the owner or an admin can make you a writer");
}

/** Refuses unless the author may give or take a role: admins those below them, the owner every one but the owner's. */
function mayGive(offer: Offer, role: string): void {
  const given = rank(role);
  if (given == 0) fail(bad, "a role is owner, admin, writer or reader, not " + role);
  mayRead(offer);
  const mine = rankOf(offer);
  if (mine < 3) fail(notAllowed, "only the owner and admins see to who is a member");
  if (given == 4) fail(notAllowed, "a room has one owner, who hands it over");
  if (given >= mine) fail(notAllowed, "only the owner sees to who is an admin");
}

function memberOf(identity: string): Member {
  const member = members.get(identity);
  if (!member) fail(noMember, identity + " is no member");
  return member!;
}

/** Returns the invitation that still holds. */
function invitationOf(hash: Uint8Array): Invitation | null {
  const found = invitations.get(hash);
  if (!found) return null;
  const since = voided.get(found.by);
  return since && since.seq > found.seq ? null : found;
}

/** Takes an invitation out, which was used or taken back. */
function close(hash: Uint8Array): void {
  const found = invitationOf(hash);
  invitations.delete(hash);
  if (!found) return;
  const inviter = members.get(found.by);
  if (!inviter || inviter.open == 0) return;
  inviter.open--;
  members.put(inviter);
}

function admit(member: Member): void {
  members.put(member);
  if (!reads.has(member.identity)) reads.put(new Read(member.identity, messageCount())); // what was said before is not news
}

function dismiss(identity: string): void {
  members.delete(identity);
  reads.delete(identity);
}

/** Makes a link by which people become members: each secret lets one in. */
@event("invite", { doc: "hashes: the BLAKE3 of each secret, 32 bytes each, up to 100 of them" })
class Invite {
  role: string = "";
  hashes: Uint8Array = new Uint8Array(0);

  authorize(offer: Offer): void {
    mayGive(offer, this.role);
    const count = this.hashes.length >> 5;
    if (count == 0 || count > 100 || this.hashes.length & 31) fail(bad, "hashes are 1 to 100, of 32 bytes each");
    for (let i = 0; i < count; i++) {
      if (invitations.has(this.hash(i))) fail(already, "there is such an invitation");
    }
    if (memberOf(offer.author).open + count > invitationsEach) fail(notAllowed, "a member has at most 1000 invitations open");
  }

  apply(entry: Entry): void {
    const count = this.hashes.length >> 5;
    for (let i = 0; i < count; i++) invitations.put(new Invitation(this.hash(i), this.role, entry.author, entry.seq));
    const inviter = memberOf(entry.author);
    inviter.open += count;
    members.put(inviter);
  }

  private hash(i: i32): Uint8Array {
    return this.hashes.slice(i << 5, (i + 1) << 5);
  }
}

/** Takes invitations back. */
@event("revoke")
class Revoke {
  hashes: Uint8Array = new Uint8Array(0);

  authorize(offer: Offer): void {
    if (this.hashes.length == 0 || this.hashes.length > 3200 || this.hashes.length & 31) fail(bad, "hashes are 1 to 100, of 32 bytes each");
    for (let at = 0; at < this.hashes.length; at += 32) {
      const found = invitationOf(this.hashes.slice(at, at + 32));
      if (!found) return fail(noInvitation, "there is no such invitation, or it was used");
      mayGive(offer, found.role);
    }
  }

  apply(entry: Entry): void {
    for (let at = 0; at < this.hashes.length; at += 32) close(this.hashes.slice(at, at + 32));
  }
}

/** Becomes a member, by a secret that is used up by that: whoever reads it in the log is too late. */
@event("redeem")
class Redeem {
  secret: Uint8Array = new Uint8Array(0);

  authorize(offer: Offer): void {
    if (offer.author.length == 0) fail(noMember, "a member has an identity");
    if (members.has(offer.author)) fail(already, "you are a member already");
    if (this.secret.length < 16 || !invitationOf(blake3(this.secret))) {
      fail(noInvitation, "the invitation was used or taken back, or there never was one");
    }
  }

  apply(entry: Entry): void {
    const hash = blake3(this.secret);
    const found = invitationOf(hash);
    if (!found) return;
    close(hash);
    admit(new Member(entry.author, found.role, found.by, entry.seq));
  }
}

/** Makes somebody whose identity is known a member, or gives a member another role. */
@event("grant")
class Grant {
  identity: string = "";
  role: string = "";

  authorize(offer: Offer): void {
    if (this.identity.length == 0) fail(bad, "an identity is not empty");
    mayGive(offer, this.role);
    const member = members.get(this.identity);
    if (member) mayGive(offer, member.role); // what is taken
  }

  apply(entry: Entry): void {
    const before = members.get(this.identity);
    const member = new Member(this.identity, this.role, entry.author, entry.seq);
    if (before && rank(this.role) < 3) voided.put(new Voided(this.identity, entry.seq));
    else if (before) member.open = before.open;
    admit(member);
  }
}

@event("remove")
class Remove {
  identity: string = "";

  authorize(offer: Offer): void {
    mayGive(offer, memberOf(this.identity).role);
  }

  apply(entry: Entry): void {
    dismiss(this.identity);
    voided.put(new Voided(this.identity, entry.seq));
  }
}

/** Who leaves leaves their invitations open. */
@event("leave")
class Leave {
  authorize(offer: Offer): void {
    mayRead(offer);
    if (rankOf(offer) == 4) fail(notAllowed, "the owner hands the room over first");
  }

  apply(entry: Entry): void {
    dismiss(entry.author);
  }
}

/** Hands the room over to another member. Who owned it becomes an admin. */
@event("transfer")
class Transfer {
  to: string = "";

  authorize(offer: Offer): void {
    if (rankOf(offer) < 4) fail(notAllowed, "only the owner hands the room over");
    if (memberOf(this.to).role == "owner") fail(already, "you are the owner already");
  }

  apply(entry: Entry): void {
    members.put(new Member(entry.author, "admin", entry.author, entry.seq, memberOf(entry.author).open));
    members.put(new Member(this.to, "owner", entry.author, entry.seq, memberOf(this.to).open));
  }
}

/** Refuses a text that is none. */
function mayBeSaid(text: string): void {
  if (text.trim().length == 0) fail(bad, "a message says something");
  if (text.length > longest) fail(bad, "a message has at most 4,000 characters");
}

/** Returns a message that is there and not deleted. */
function messageOf(id: Uint8Array): Message {
  const found = messages.get(id);
  if (!found) fail(gone, "there is no such message");
  if (found!.deleted) fail(gone, "the message was deleted");
  return found!;
}

@event("message")
class Say {
  text: string = "";

  authorize(offer: Offer): void {
    mayWrite(offer);
    mayBeSaid(this.text);
  }

  apply(entry: Entry): void {
    const number = messageCount() + 1;
    counts.put(new Count("messages", number));
    messages.put(new Message(entry.id, number, entry.author, this.text, entry.seq, entry.receivedAt));
    reads.put(new Read(entry.author, number)); // who writes has read what is above
  }
}

@event("edit", { doc: "message: the id of its event, 16 bytes" })
class Edit {
  message: Uint8Array = new Uint8Array(0);
  text: string = "";

  authorize(offer: Offer): void {
    mayWrite(offer);
    if (messageOf(this.message).author != offer.author) fail(notAllowed, "only who wrote a message changes it");
    mayBeSaid(this.text);
  }

  apply(entry: Entry): void {
    const message = messageOf(this.message);
    message.text = this.text;
    message.edited = new Optional<u64>(entry.receivedAt);
    messages.put(message);
  }
}

/** Takes a message's text out of the tables. The log keeps what was written. */
@event("delete", { doc: "message: the id of its event, 16 bytes" })
class Delete {
  message: Uint8Array = new Uint8Array(0);

  authorize(offer: Offer): void {
    mayWrite(offer);
    if (messageOf(this.message).author != offer.author && rankOf(offer) < 3) {
      fail(notAllowed, "only who wrote a message, the owner and admins delete it");
    }
  }

  apply(entry: Entry): void {
    const message = messageOf(this.message);
    message.text = "";
    message.deleted = entry.author;
    messages.put(message);
    const all = reactions.from(message.number);
    for (let row = all.next(); row; row = all.next()) reactions.delete(key(row.number).and(row.sign).and(row.identity));
  }
}

@event("react", { doc: "message: the id of its event, 16 bytes; sign: at most 16 UTF-16 units; on: false takes it back" })
class React {
  message: Uint8Array = new Uint8Array(0);
  sign: string = "";
  on: bool = true;

  authorize(offer: Offer): void {
    mayWrite(offer);
    messageOf(this.message);
    if (this.sign.length == 0 || this.sign.length > 16) fail(bad, "a reaction has 1 to 16 characters");
  }

  apply(entry: Entry): void {
    const number = messageOf(this.message).number;
    if (this.on) reactions.put(new Reaction(number, this.sign, entry.author));
    else reactions.delete(key(number).and(this.sign).and(entry.author));
  }
}

@event("read", { doc: "number: of the last message that was read" })
class Reads {
  number: u64 = 0;

  authorize(offer: Offer): void {
    mayRead(offer);
  }

  apply(entry: Entry): void {
    const number = min(this.number, messageCount()); // what waits is counted otherwise elsewhere
    const before = reads.get(entry.author);
    if (!before || before.number < number) reads.put(new Read(entry.author, number));
  }
}
