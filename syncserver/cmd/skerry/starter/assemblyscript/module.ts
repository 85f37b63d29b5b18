import { Entry, fail, Offer, Table } from "skerry/module";

// A space of this module is a wall of notes: everybody reads it and writes to it, and takes down their own.
@module({ name: "{{name}}", version: "0.1.0", upgrade: "carry" })
class {{Name}} {}

@table("notes")
class Note {
  constructor(public seq: u64, public author: string, public text: string, public at: u64) {}
}

const notes = new Table<Note>();

@event("note")
class Write {
  text: string = "";

  // May it be written? Asked in the page, and again on the server.
  authorize(offer: Offer): void {
    if (this.text == "") fail(1, "a note says something");
  }

  // What does it mean? The same on every device.
  apply(entry: Entry): void {
    notes.put(new Note(entry.seq, entry.author, this.text, entry.receivedAt));
  }
}

@event("remove")
class Remove {
  seq: u64 = 0;

  authorize(offer: Offer): void {
    const note = notes.get(this.seq);
    if (!note) fail(2, "there is no such note");
    else if (note.author != offer.author) fail(3, "it is somebody else's");
  }

  apply(entry: Entry): void {
    notes.delete(this.seq);
  }
}
