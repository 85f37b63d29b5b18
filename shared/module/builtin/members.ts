// A list of people with roles, who alone read the space. What they write beside is the app's own affair.
import { fail, Genesis, Migration, Offer } from "skerry/module";
import { bad, begin, members, needForType, takeOver } from "skerry/roles";

@module({
  name: "members",
  version: "1.0.0",
  abi: 1,
  doc: "A list of people with roles (owner, admin, writer, reader), who alone read the space; they are invited by links.",
  io: 270336, // the largest event that servers take, and what is said of it
  readable: ["members"],
  audience: "members",
  upgrade: "carry",
})
class Members {
  init(made: Genesis): void {
    begin(made);
  }

  readable(identity: string): bool {
    return members.has(identity);
  }

  migrate(from: Migration): void {
    if (!takeOver(from)) fail(bad, "a space of members has no table " + from.table);
  }
}

/** Everything else is the app's own: writers, admins and the owner write it. */
@raw
class Anything {
  type: string = "";

  authorize(offer: Offer): void {
    needForType(offer, this.type);
  }
}
