// The demo's module: a room of people with roles, and what they say there. It says who may write what and makes tables of it,
// in the page as on the server; the page shows nothing but those tables. Written with web/module-sdk, from where the roles and
// invitations come; chat.tests says what is allowed, and `skerry module test` plays it.
import { Entry, fail, Genesis, key, Offer, Optional, Table } from "skerry/module";
import { admin, bad, begin, members, need, needForType, notAllowed, rankOf, reader, writer } from "skerry/roles";

@module({
  name: "chat",
  version: "1.0.0",
  doc: "A room: members with roles (owner, admin, writer, reader), who are invited by links and alone read it; what they are called, messages, edits, deletions, reactions, and how far everybody has read.",
  readable: ["members"],
  audience: "members",
  upgrade: "carry",
})
class Chat {
  init(made: Genesis, params: Params): void {
    begin(made);
  }

  readable(identity: string): bool {
    return members.has(identity);
  }
}

@params
class Params {
  name: string = "";
}

const gone = 10; // codes of refusals, beside those of the roles
const unknown = 11;

const longest = 4000; // UTF-16 units of a message
const longestName = 40;

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

/** What somebody is called, by their own word. Two may have the same name: who they are the identity says. */
@table("people")
class Person {
  constructor(
    public identity: string,
    public name: string,
  ) {}
}
const people = new Table<Person>();

function messageCount(): u64 {
  const count = counts.get("messages");
  return count ? count.number : 0;
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
    need(offer, writer);
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
    need(offer, writer);
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
    need(offer, writer);
    if (messageOf(this.message).author != offer.author && rankOf(offer) < admin) {
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
    need(offer, writer);
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
    need(offer, reader);
  }

  apply(entry: Entry): void {
    const number = min(this.number, messageCount()); // what waits is counted otherwise elsewhere
    const before = reads.get(entry.author);
    if (!before || before.number < number) reads.put(new Read(entry.author, number));
  }
}

@event("name", { doc: "name: what the others see in place of the author's identity, 1 to 40 UTF-16 units" })
class Named {
  name: string = "";

  authorize(offer: Offer): void {
    need(offer, reader);
    if (this.name.trim().length == 0 || this.name.length > longestName) fail(bad, "a name has 1 to 40 characters");
  }

  apply(entry: Entry): void {
    people.put(new Person(entry.author, this.name));
  }
}

/** Nothing else is written here but another version of this module, by the owner. */
@raw
class Anything {
  type: string = "";

  authorize(offer: Offer): void {
    need(offer, writer);
    if (this.type != "$module") fail(unknown, "a room has no event of the type " + this.type);
    needForType(offer, this.type);
  }
}
