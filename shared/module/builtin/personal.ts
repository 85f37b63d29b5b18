// Only who made the space writes to it, and reads it.
import { Genesis, Migration } from "skerry/module";
import { begin, owner, takeOver } from "skerry/owner";

@module({
  name: "personal",
  version: "1.0.0",
  abi: 1,
  doc: "Only who made the space writes to it, and reads it.",
  io: 270336, // the largest event that servers take, and what is said of it
  readable: ["owner"],
  audience: "owner",
  upgrade: "carry",
})
class Personal {
  init(made: Genesis): void {
    begin(made);
  }

  readable(identity: string): bool {
    return owner.has(identity);
  }

  migrate(from: Migration): void {
    takeOver(from);
  }
}
