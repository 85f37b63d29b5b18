import { Call, Entry, Offer, refuse, Table } from "skerry/module";

@module({ name: "inventory", version: "2.0.0", doc: "What lies in the slots of a shelf.", upgrade: "replay" })
class Inventory {}

@table("slots")
class Slot {
  constructor(public slot: u64, public item: string) {}
}

const slots = new Table<Slot>();
const most: u64 = 8;

// Up to 2.4.4 the app counted slots from 0, and from 2.4.5 on it counts from 1, as the tables do.
function slotOf(call: Call, index: u64): u64 {
  return call.clientVersion.lessThan("2.4.5") ? index + 1 : index;
}

@event("put")
class Put {
  index: u64 = 0;
  item: string = "";

  authorize(offer: Offer): void {
    const slot = slotOf(offer, this.index);
    if (slot < 1 || slot > most) refuse("the shelf has slots 1 to 8");
  }

  apply(entry: Entry): void {
    slots.put(new Slot(slotOf(entry, this.index), this.item));
  }
}
