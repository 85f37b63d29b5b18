// One owner, who alone writes: what they write is the app's own affair. The table and the rule are those of every module that imports them.
import { Genesis, Migration, Offer, refuse, Table } from "skerry/module";

@table("owner")
export class Owner {
  constructor(public identity: string) {}
}

export const owner = new Table<Owner>();

/** Makes who made the space its owner: for `init`. */
export function begin(made: Genesis): void {
  owner.put(new Owner(made.creator));
}

/** Takes a space over, for `migrate`: one that was open, or whose owner is known. One that has other tables it refuses: their people would be locked out. */
export function takeOver(from: Migration): void {
  if (from.table != "") refuse("a space of one owner has no table " + from.table);
  if (!owner.all().next()) owner.put(new Owner(from.creator));
}

@raw
class Anything {
  authorize(offer: Offer): void {
    if (!owner.has(offer.author)) refuse("only who made this space writes to it");
  }
}
