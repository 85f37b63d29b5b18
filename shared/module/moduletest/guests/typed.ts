// Every kind of value, by every way that skerry/module has to read and write it. The cases are in typed.go.
import { blake3, Entry, equal, fail, Genesis, key, log, Migration, Offer, Optional, refuse, Table } from "skerry/module";

@module({ name: "typed", version: "1.0.0", abi: 1, doc: "Every kind of value.", upgrade: "carry" })
class Typed {
  init(made: Genesis, params: Params): void {
    settings.put(new Setting(made.creator, params.title, params.limit, made.stamp));
  }

  migrate(from: Migration, params: Params): void {
    if (from.table != "members") return;
    for (let row = from.next<Name>(); row; row = from.next<Name>()) {
      settings.put(new Setting(row.who, from.version, params.limit, from.stamp));
    }
  }
}

@params
class Params {
  title: string = "";
  limit: Optional<u64> | null = null;
}

@row
class Name {
  who: string = "";
}

@table("settings")
class Setting {
  constructor(
    public creator: string,
    public title: string,
    public limit: Optional<u64> | null,
    public stamp: Uint8Array,
  ) {}
}
const settings = new Table<Setting>();

@table("all", { key: ["group", "number"], indexes: [{ name: "by_text", columns: ["text"] }, { name: "by_float", columns: ["flag", "float"] }] })
class All {
  group: string = "";
  number: i64 = 0;
  flag: bool = false;
  count: u64 = 0;
  float: f64 = 0;
  text: string = "";
  bytes: Uint8Array = new Uint8Array(0);
  maybeNumber: Optional<i64> | null = null;
  maybeFlag: Optional<bool> | null = null;
  maybeCount: Optional<u64> | null = null;
  maybeFloat: Optional<f64> | null = null;
  maybeText: string | null = null;
  maybeBytes: Uint8Array | null = null;
}
const all = new Table<All>();

@table("found", { key: ["at"] })
class Found {
  constructor(
    public at: u64,
    public number: i64,
    public float: f64,
    public said: string,
    public digest: Uint8Array,
  ) {}
}
const found = new Table<Found>();

@event("put")
class Put {
  group: string = "";
  number: i64 = 0;
  flag: bool = false;
  count: u64 = 0;
  float: f64 = 0;
  text: string = "";
  bytes: Uint8Array = new Uint8Array(0);
  maybeNumber: Optional<i64> | null = null;
  maybeFlag: Optional<bool> | null = null;
  maybeCount: Optional<u64> | null = null;
  maybeFloat: Optional<f64> | null = null;
  maybeText: string | null = null;
  maybeBytes: Uint8Array | null = null;

  authorize(offer: Offer): void {
    log(offer.author + " puts " + this.text);
    if (all.has(key(this.group).and(this.number))) fail(7, "there is " + this.group);
  }

  apply(entry: Entry): void {
    const row = new All();
    row.group = this.group;
    row.number = this.number;
    row.flag = this.flag;
    row.count = this.count;
    row.float = this.float;
    row.text = this.text;
    row.bytes = this.bytes;
    row.maybeNumber = this.maybeNumber;
    row.maybeFlag = this.maybeFlag;
    row.maybeCount = this.maybeCount;
    row.maybeFloat = this.maybeFloat;
    row.maybeText = this.maybeText;
    row.maybeBytes = this.maybeBytes;
    all.put(row);
  }
}

/** Reads a row, changes it by what it finds, and writes it. */
@event("change")
class Change {
  group: string = "";
  number: i64 = 0;

  authorize(offer: Offer): void {
    if (!all.get(key(this.group).and(this.number))) refuse("there is no " + this.group + this.group + this.group);
  }

  apply(entry: Entry): void {
    const row = all.get(key(this.group).and(this.number))!;
    row.count += 1;
    row.float = -row.float;
    row.flag = !row.flag;
    const number = row.maybeNumber;
    row.maybeNumber = number ? new Optional<i64>(number.value * 2) : new Optional<i64>(-1);
    const text = row.maybeText;
    row.maybeText = text ? null : row.text + "\u00e9\uD800"; // half of a pair is not UTF-8
    row.maybeBytes = equal(row.bytes, blake3(row.bytes)) ? null : blake3(row.bytes);
    all.put(row);
  }
}

/** Writes what it finds by each way to look, in order. */
@event("look")
class Look {
  way: string = "";
  group: string = "";
  text: string = "";
  down: bool = false;

  authorize(offer: Offer): void {}

  apply(entry: Entry): void {
    let at: u64 = entry.seq * 100;
    const scan =
      this.way == "all" ? all.all(this.down)
      : this.way == "from" ? all.from(this.group, this.down)
      : this.way == "by text" ? all.by("by_text", this.text, this.down)
      : this.way == "by flag" ? all.by("by_float", true, this.down)
      : this.way == "sorted" ? all.sorted("by_float", this.down)
      : all.by("of no name", this.text);
    for (let row = scan.next(); row; row = scan.next()) {
      found.put(new Found(at++, row.number, row.float, entry.author + " " + entry.clientVersion.text + " " + row.text, entry.id));
      if (row.text == "stop") scan.close();
    }
  }
}

@event("drop")
class Drop {
  group: string = "";
  number: i64 = 0;

  authorize(offer: Offer): void {}

  apply(entry: Entry): void {
    if (!all.delete(key(this.group).and(this.number))) refuse("there is no " + this.group);
  }
}

@raw
class Other {
  payload: Uint8Array = new Uint8Array(0);
  type: string = "";
  schema: Uint8Array = new Uint8Array(0);

  authorize(offer: Offer): void {
    if (this.type != "$module" && this.schema.length + this.payload.length != 8 + offer.count) fail(i32(this.payload[0]), this.type);
  }

  apply(entry: Entry): void {
    found.put(new Found(entry.receivedAt, entry.index, entry.count, this.type, this.payload));
  }
}
