// Only who made the space writes to it, and reads it.
import { Genesis, Migration, Offer, refuse, Table } from "skerry/module";

@module({
  name: "personal",
  version: "1.0.0",
  doc: "Only who made the space writes to it, and reads it.",
  io: 270336, // the largest event that servers take, and what is said of it
  readable: ["owner"],
  audience: "owner",
  upgrade: "carry",
})
class Personal {
  init(made: Genesis): void {
    owner.put(new Owner(made.creator));
  }

  readable(identity: string): bool {
    return owner.has(identity);
  }

  /** A space that was open, or whose owner is known, may become personal; one that has other tables may not. */
  migrate(from: Migration): void {
    if (from.table != "") refuse("a personal space has no table " + from.table);
    if (!owner.all().next()) owner.put(new Owner(from.creator));
  }
}

@table("owner")
class Owner {
  constructor(public identity: string) {}
}

const owner = new Table<Owner>();

@raw
class Anything {
  authorize(offer: Offer): void {
    if (!owner.has(offer.author)) refuse("only who made this space writes to it");
  }
}
