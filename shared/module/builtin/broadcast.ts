// Only who made the space writes to it, and everybody reads it.
import { Genesis, Migration } from "skerry/module";
import { begin, takeOver } from "skerry/owner";

@module({
  name: "broadcast",
  version: "1.0.0",
  abi: 1,
  doc: "Only who made the space writes to it, and everybody reads it.",
  io: 270336, // the largest event that servers take, and what is said of it
  upgrade: "carry",
})
class Broadcast {
  init(made: Genesis): void {
    begin(made);
  }

  migrate(from: Migration): void {
    takeOver(from);
  }
}
