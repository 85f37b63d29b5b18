// A list of people with roles (owner, admin, writer, reader), who invite others by links: for every module that imports it. Its
// tables and events become the module's; docs/modules/members.md has what they mean. The module says what roles may do beside:
//
//   @module({ ..., readable: ["members"], audience: "members" })
//   class Notes {
//     init(made: Genesis): void { begin(made); }
//     readable(identity: string): bool { return members.has(identity); }
//   }
//
// and its events begin with `need(offer, writer)`.
import { blake3, Call, Entry, fail, Genesis, Migration, Offer, Table } from "skerry/module";

// Codes of refusals. Those of the module that imports them begin at 10.
export const noMember = 1;
export const notAllowed = 2;
export const noInvitation = 3;
export const already = 4;
export const bad = 5;

// Roles, by how much they may.
export const reader = 1;
export const writer = 2;
export const admin = 3;
export const owner = 4;

const invitationsEach: u64 = 1000; // that are open, of one member

@table("members", { indexes: [{ name: "by_role", columns: ["role"] }] })
export class Member {
  constructor(
    public identity: string,
    public role: string,
    public by: string, // who invited them, or gave them their role
    public seq: u64, // of the event that did
    public open: u64 = 0, // their invitations that nobody has used
  ) {}
}
export const members = new Table<Member>();

/** A secret that lets one person in, by its BLAKE3. */
@table("invitations")
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

@row
class Owner {
  identity: string = "";
}

/** Makes who made the space its owner: for `init`. */
export function begin(made: Genesis): void {
  members.put(new Member(made.creator, "owner", made.creator, 0));
}

/**
 * Takes a space over: for `migrate`, which is left with the tables for which this returns false. Whoever owned a space of another
 * module that is built in owns it; that of one without people, its creator.
 */
export function takeOver(from: Migration): bool {
  if (from.table == "owner") {
    for (let row = from.next<Owner>(); row; row = from.next<Owner>()) {
      if (members.all().next()) fail(bad, "the space has several owners");
      members.put(new Member(row.identity, "owner", row.identity, 0));
    }
    return true;
  }
  if (from.table != "") return false;
  if (!members.all().next()) members.put(new Member(from.creator, "owner", from.creator, 0));
  return true;
}

/** How much a role may; 0 is no role. */
export function rank(role: string): i32 {
  if (role == "reader") return reader;
  if (role == "writer") return writer;
  if (role == "admin") return admin;
  return role == "owner" ? owner : 0;
}

/** How much the author may; 0 is no member. */
export function rankOf(call: Call): i32 {
  const member = members.get(call.author);
  return member ? rank(member.role) : 0;
}

/** Refuses unless the author may as much as a role. */
export function need(call: Call, least: i32): void {
  const mine = rankOf(call);
  if (mine >= least) return;
  if (mine == 0) fail(noMember, "only members write");
  if (least == writer) fail(notAllowed, "readers do not write");
  fail(notAllowed, least == owner ? "only the owner does that" : "only the owner and admins do that");
}

/** Refuses what is written of a type that the module does not know unless the author is a writer, and an upgrade unless it is the owner. */
export function needForType(call: Call, type: string): void {
  if (type == "$module" && rankOf(call) < owner) fail(notAllowed, "only the owner takes the space over to another module");
  need(call, writer);
}

/** Refuses all but the owner and admins, and returns how much they may. It comes before the answer depends on who is a member. */
function maySee(offer: Offer): i32 {
  const mine = rankOf(offer);
  if (mine < admin) fail(mine ? notAllowed : noMember, "only the owner and admins see to who is a member");
  return mine;
}

/** Refuses unless the author may give or take a role: admins those below them, the owner every one but the owner's. */
function mayGive(offer: Offer, role: string): void {
  const given = rank(role);
  if (given == 0) fail(bad, "a role is owner, admin, writer or reader, not " + role);
  const mine = maySee(offer);
  if (given == owner) fail(notAllowed, "there is one owner, who hands the space over by an event of the type transfer");
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

/** Makes links by which people become members: each secret lets one in. */
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
    maySee(offer);
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
    members.put(new Member(entry.author, found.role, found.by, entry.seq));
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
    if (before && rank(this.role) < admin) voided.put(new Voided(this.identity, entry.seq));
    else if (before) member.open = before.open;
    members.put(member);
  }
}

@event("remove")
class Remove {
  identity: string = "";

  authorize(offer: Offer): void {
    maySee(offer);
    mayGive(offer, memberOf(this.identity).role);
  }

  apply(entry: Entry): void {
    members.delete(this.identity);
    voided.put(new Voided(this.identity, entry.seq));
  }
}

/** Who leaves leaves their invitations open. */
@event("leave")
class Leave {
  authorize(offer: Offer): void {
    if (memberOf(offer.author).role == "owner") fail(notAllowed, "the owner hands the space over first, by an event of the type transfer");
  }

  apply(entry: Entry): void {
    members.delete(entry.author);
  }
}

/** Hands the space over to another member. Who owned it becomes an admin. */
@event("transfer")
class Transfer {
  to: string = "";

  authorize(offer: Offer): void {
    if (rankOf(offer) < owner) fail(notAllowed, "only the owner hands the space over");
    if (memberOf(this.to).role == "owner") fail(already, "you are the owner already");
  }

  apply(entry: Entry): void {
    members.put(new Member(entry.author, "admin", entry.author, entry.seq, memberOf(entry.author).open));
    members.put(new Member(this.to, "owner", entry.author, entry.seq, memberOf(this.to).open));
  }
}
