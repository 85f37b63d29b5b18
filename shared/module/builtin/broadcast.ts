// Only who made the space writes to it, and everybody reads it.
import { Genesis, Migration, Offer, refuse, Table } from "skerry/module";

@module({
  name: "broadcast",
  version: "1.0.0",
  doc: "Only who made the space writes to it, and everybody reads it.",
  io: 270336, // the largest event that servers take, and what is said of it
  upgrade: "carry",
})
class Broadcast {
  init(made: Genesis): void {
    owner.put(new Owner(made.creator));
  }

  /** A space that was open, or whose owner is known, may become a broadcast; one that has other tables may not. */
  migrate(from: Migration): void {
    if (from.table != "") refuse("a broadcast has no table " + from.table);
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
