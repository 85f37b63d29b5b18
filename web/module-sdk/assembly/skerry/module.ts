// What modules are written with. shared/module/ABI.md says what lies underneath. Names that begin with two underscores
// are for the code that the compiler adds to a module's declarations.

// @ts-ignore: decorator
@external("skerry1", "get") declare function hostGet(table: i32, key: usize, length: i32, out: usize, room: i32): i32;
// @ts-ignore: decorator
@external("skerry1", "put") declare function hostPut(table: i32, row: usize, length: i32): void;
// @ts-ignore: decorator
@external("skerry1", "delete") declare function hostDelete(table: i32, key: usize, length: i32): i32;
// @ts-ignore: decorator
@external("skerry1", "scan_open") declare function hostScanOpen(table: i32, index: i32, key: usize, length: i32, flags: i32): i32;
// @ts-ignore: decorator
@external("skerry1", "scan_next") declare function hostScanNext(handle: i32, out: usize, room: i32): i32;
// @ts-ignore: decorator
@external("skerry1", "scan_close") declare function hostScanClose(handle: i32): void;
// @ts-ignore: decorator
@external("skerry1", "fail") declare function hostFail(code: i32, reason: usize, length: i32): void;
// @ts-ignore: decorator
@external("skerry1", "blake3") declare function hostBLAKE3(bytes: usize, length: i32, out: usize): void;
// @ts-ignore: decorator
@external("skerry1", "log") declare function hostLog(line: usize, length: i32): void;

const maxLine = 1024; // bytes that the host takes of a reason or line

/**
 * Refuses what the module was called for, and does not return. Code 0 is `refused` to whoever wrote it, 1 to 65,535 are
 * `module_1` to `module_65535`. The reason is for people; what is beyond 1 KiB of it is cut off.
 */
export function fail(code: i32, reason: string): void {
  const w = new __Writer();
  w.text(reason);
  hostFail(code, w.start + 4, min(w.length - 4, maxLine));
  unreachable();
}

/** Refuses with the code `refused`, and does not return. */
export function refuse(reason: string): void {
  fail(0, reason);
}

/** Shows a line to whoever develops the module, 1 KiB of it at most. It changes nothing. */
export function log(line: string): void {
  const w = new __Writer();
  w.text(line);
  hostLog(w.start + 4, min(w.length - 4, maxLine));
}

/** Returns the BLAKE3 of bytes: 32 of them. */
export function blake3(bytes: Uint8Array): Uint8Array {
  const digest = new Uint8Array(32);
  hostBLAKE3(bytes.dataStart, bytes.length, digest.dataStart);
  return digest;
}

/** Whether two byte strings are equal. */
export function equal(a: Uint8Array, b: Uint8Array): bool {
  return a.length == b.length && memory.compare(a.dataStart, b.dataStart, a.length) == 0;
}

/** A number or bool that may be absent: `age: Optional<u64> | null`. A text that may be is a `string | null`. */
export class Optional<T> {
  constructor(public value: T) {}
}

/** The version of a program as that says it: a semantic version (semver.org, 2.0.0), or any other text. */
export class Version {
  constructor(public text: string) {}

  /**
   * Whether it comes before another one, by the precedence of semantic versions: 2.4.5-beta before 2.4.5, and 2.4.5 before 2.4.10; build
   * metadata does not matter. What is no semantic version, as the empty one of a program that gives none, comes before every other. If
   * `than` is none that stops the module, as a mistake of its own.
   */
  lessThan(than: string): bool {
    const other = new VersionReader(than);
    if (!other.valid) {
      log(`${than} is no semantic version`);
      unreachable();
    }
    const one = new VersionReader(this.text);
    return !one.valid || one.compare(other) < 0;
  }

  toString(): string {
    return this.text;
  }
}

/** Reads a semantic version, and knows where its parts are. */
class VersionReader {
  valid: bool;
  private numbers: StaticArray<u64> = new StaticArray<u64>(3);
  private preAt: i32 = 0; // where the pre-release begins
  private preEnd: i32 = 0; // and ends; where it begins: there is none
  private at: i32 = 0;

  constructor(private text: string) {
    this.valid = text.length <= 64 && this.read();
  }

  private read(): bool {
    for (let i = 0; i < 3; i++) {
      if (i > 0 && this.next() != 46 /* . */) return false;
      if (!this.number(i)) return false;
    }
    this.preAt = this.preEnd = this.at;
    let c = this.next();
    if (c == 45 /* - */) {
      this.preAt = this.at;
      if (!this.identifiers(true)) return false;
      this.preEnd = this.at;
      c = this.next();
    }
    if (c == 43 /* + */) return this.identifiers(false) && this.at == this.text.length;
    return c < 0;
  }

  private next(): i32 {
    return this.at < this.text.length ? this.text.charCodeAt(this.at++) : -1;
  }

  private number(i: i32): bool {
    const begin = this.at;
    let n: u64 = 0;
    for (; this.at < this.text.length && digit(this.text.charCodeAt(this.at)); this.at++) {
      const d = <u64>(this.text.charCodeAt(this.at) - 48);
      if (n > (<u64>i64.MAX_VALUE - d) / 10) return false;
      n = n * 10 + d;
    }
    this.numbers[i] = n;
    return this.at > begin && (this.at == begin + 1 || this.text.charCodeAt(begin) != 48);
  }

  /** Reads identifiers between dots. Those of a pre-release that are numbers have no leading zeros. */
  private identifiers(pre: bool): bool {
    while (true) {
      const end = endOf(this.text, this.at, this.text.length);
      if (end == this.at) return false;
      if (pre && end > this.at + 1 && this.text.charCodeAt(this.at) == 48 && numeric(this.text, this.at, end)) return false;
      this.at = end;
      if (end == this.text.length || this.text.charCodeAt(end) != 46) return true;
      this.at++;
    }
  }

  compare(other: VersionReader): i32 {
    for (let i = 0; i < 3; i++) {
      const a = this.numbers[i], b = other.numbers[i];
      if (a != b) return a < b ? -1 : 1;
    }
    let a = this.preAt, b = other.preAt;
    if (a == this.preEnd || b == other.preEnd) return i32(a == this.preEnd) - i32(b == other.preEnd);
    while (true) {
      const aEnd = endOf(this.text, a, this.preEnd), bEnd = endOf(other.text, b, other.preEnd);
      const n = compareIdentifiers(this.text, a, aEnd, other.text, b, bEnd);
      if (n != 0) return n;
      if (aEnd == this.preEnd || bEnd == other.preEnd) return i32(bEnd == other.preEnd) - i32(aEnd == this.preEnd);
      a = aEnd + 1;
      b = bEnd + 1;
    }
  }
}

function digit(c: i32): bool {
  return c >= 48 && c <= 57;
}

/** Returns where the letters, digits and hyphens end that begin at a place. */
function endOf(text: string, at: i32, end: i32): i32 {
  for (; at < end; at++) {
    const c = text.charCodeAt(at);
    const letter = c | 32;
    if (!digit(c) && c != 45 && (letter < 97 || letter > 122)) break;
  }
  return at;
}

function numeric(text: string, at: i32, end: i32): bool {
  for (; at < end; at++) if (!digit(text.charCodeAt(at))) return false;
  return true;
}

/** Compares numbers, of any size, as numbers, other text as bytes, and numbers before other text. */
function compareIdentifiers(a: string, at: i32, aEnd: i32, b: string, bt: i32, bEnd: i32): i32 {
  const number = numeric(a, at, aEnd);
  if (number != numeric(b, bt, bEnd)) return number ? -1 : 1;
  if (number && aEnd - at != bEnd - bt) return aEnd - at < bEnd - bt ? -1 : 1;
  for (; at < aEnd && bt < bEnd; at++, bt++) {
    const d = a.charCodeAt(at) - b.charCodeAt(bt);
    if (d != 0) return d;
  }
  return i32(at < aEnd) - i32(bt < bEnd);
}

/** The transaction's event that a module is asked about, as both the server and every replica know it. */
export class Call {
  /** The place of the event's type in the manifest; -1: it is not declared. */
  event: i32;
  /** Its place in its transaction, and how many are in that. */
  index: i32;
  count: i32;
  protected r: __Reader;
  private authorAt: usize;
  private cachedAuthor: string | null = null;

  constructor(at: usize) {
    this.event = load<i32>(at);
    this.index = load<i32>(at, 20);
    this.count = load<i32>(at, 24);
    this.authorAt = at + 28;
    this.r = new __Reader(at + 28);
    this.r.skip();
  }

  /** The event's id, a ULID of 16 bytes. */
  get id(): Uint8Array {
    return new __Reader(this.authorAt - 24).fixed(16);
  }

  /** Who wrote it: an identity that was proven to the server. */
  get author(): string {
    const cached = this.cachedAuthor;
    if (cached) return cached;
    const author = new __Reader(this.authorAt).text();
    this.cachedAuthor = author;
    return author;
  }

  /** The version of the program that wrote it, as that says; of no text if it says none. */
  get clientVersion(): Version {
    const r = new __Reader(this.authorAt);
    r.skip();
    return new Version(r.text());
  }

  /** Where the event's fields begin. */
  get __fields(): __Reader {
    return this.r;
  }
}

/** An event that somebody offers, which `authorize` is asked about. */
export class Offer extends Call {
  private claimsAt: usize;

  constructor(at: usize) {
    super(at);
    this.r.skip();
    this.claimsAt = this.r.at;
    this.r.skip();
  }

  /** With `$connect`, what the credentials claim of whom it is about: msgpack, a map by name. Empty elsewhere. `apply` does not see them. */
  get claims(): Uint8Array {
    return new __Reader(this.claimsAt).bytes();
  }
}

/** An event that is in the log, or on its way there, which `apply` makes tables of. */
export class Entry extends Call {
  /** Its number in the log. */
  seq: u64;
  /** When the server received it, in milliseconds since 1970. */
  receivedAt: u64;

  constructor(at: usize) {
    super(at);
    this.r.skip();
    this.seq = this.r.number<u64>();
    this.receivedAt = this.r.number<u64>();
  }
}

/** What a space was made from. */
export class Genesis {
  /** The identity of who made it. */
  creator: string;
  /** The ULID by which it differs from the creator's other spaces: 16 bytes. */
  stamp: Uint8Array;
  __params: __Reader;
  private paramsAt: usize;

  constructor(at: usize) {
    const r = new __Reader(at);
    this.creator = r.text();
    this.stamp = r.fixed(16);
    this.paramsAt = r.at;
    this.__params = r;
  }

  /** The params as they are, msgpack as a rule, of a module that declares none. */
  get params(): Uint8Array {
    return new __Reader(this.paramsAt).bytes();
  }
}

/** Rows of the module from which a space is taken over, which wait to be written to the tables of this one. */
export class Migration extends Genesis {
  private r: __Reader | null = null;
  private from: string = "";
  private name: string = "";
  private left: u32 = 0;

  /** Reads what comes behind the params. */
  __begin(): void {
    const r = this.__params;
    this.from = r.text();
    this.name = r.text();
    this.left = r.u32();
    this.r = r;
  }

  /** The version of the module before; empty if that was `open`. */
  get version(): string {
    return this.from;
  }

  /** The name of a table of the module before; empty when all rows were given, in the end. */
  get table(): string {
    return this.name;
  }

  /** Returns the next row of a class that is declared by @row in the shape of that table, null behind the last one. */
  next<T>(): T | null {
    const r = this.r;
    if (!r || this.left == 0) return null;
    this.left--;
    const length = r.u32();
    const at = r.at;
    r.at += length;
    return __read<T>(new __Reader(at));
  }
}

/** The values of some columns, in their order: `key(room).and(seq)`. One value alone needs no key around it. */
export class Key {
  __w: __Writer = new __Writer();

  /** Adds the next column's value. */
  and<A>(value: A): Key {
    append<A>(this.__w, value);
    return this;
  }
}

/** Returns the key of a first column's value; `and` adds those of others. */
export function key<A>(value: A): Key {
  return new Key().and<A>(value);
}

/** The rows of a class that is declared by @table. Only `apply`, `init` and `migrate` may write. */
export class Table<T> {
  /** Returns the row with a key, or null. */
  get<A>(key: A): T | null {
    const w = keyOf<A>(key);
    const n = hostGet(__table<T>(), w.start, w.length, scratch, scratchSize);
    if (n < 0) return null;
    if (n <= scratchSize) return __read<T>(new __Reader(scratch));
    const out = heap.alloc(n);
    hostGet(__table<T>(), w.start, w.length, out, n);
    return __read<T>(new __Reader(out));
  }

  /** Whether there is a row with a key. */
  has<A>(key: A): bool {
    const w = keyOf<A>(key);
    return hostGet(__table<T>(), w.start, w.length, 0, 0) >= 0;
  }

  /** Writes a row, in place of the one with its key. */
  put(row: T): void {
    const w = new __Writer();
    __write<T>(row, w);
    hostPut(__table<T>(), w.start, w.length);
  }

  /** Deletes the row with a key, and returns whether there was one. */
  delete<A>(key: A): bool {
    const w = keyOf<A>(key);
    return hostDelete(__table<T>(), w.start, w.length) != 0;
  }

  /** Returns all rows in the order of their keys. */
  all(descending: bool = false): Scan<T> {
    return new Scan<T>(0, new __Writer(), descending);
  }

  /** Returns the rows whose first columns of the key are these, in order. */
  from<A>(key: A, descending: bool = false): Scan<T> {
    return new Scan<T>(0, keyOf<A>(key), descending);
  }

  /** Returns the rows whose first columns of an index are these, in the index's order. */
  by<A>(index: string, key: A, descending: bool = false): Scan<T> {
    return new Scan<T>(__index<T>(index), keyOf<A>(key), descending);
  }

  /** Returns all rows in an index's order. */
  sorted(index: string, descending: bool = false): Scan<T> {
    return new Scan<T>(__index<T>(index), new __Writer(), descending);
  }
}

/** Rows that are read one after the other. It sees what is written meanwhile, where it has not been yet. Eight may be open. */
export class Scan<T> {
  private handle: i32;

  constructor(index: i32, prefix: __Writer, descending: bool) {
    this.handle = hostScanOpen(__table<T>(), index, prefix.start, prefix.length, i32(descending));
  }

  /** Returns the next row, or null behind the last one, where it closes. */
  next(): T | null {
    if (this.handle < 0) return null;
    const n = hostScanNext(this.handle, scratch, scratchSize);
    if (n < 0) {
      this.close();
      return null;
    }
    if (n <= scratchSize) return __read<T>(new __Reader(scratch));
    const out = heap.alloc(n);
    hostScanNext(this.handle, out, n);
    return __read<T>(new __Reader(out));
  }

  /** Ends the scan early. */
  close(): void {
    if (this.handle >= 0) hostScanClose(this.handle);
    this.handle = -1;
  }
}

const scratchSize: i32 = 1024;
const scratch: usize = memory.data(1024);

function keyOf<A>(key: A): __Writer {
  if (isReference<A>() && !isString<A>()) {
    if (idof<A>() == idof<Key>()) return changetype<Key>(key).__w;
  }
  return new Key().and<A>(key).__w;
}

function append<A>(w: __Writer, value: A): void {
  if (isString<A>()) {
    w.text(changetype<string>(value));
  } else if (isReference<A>()) {
    if (idof<A>() != idof<Uint8Array>()) ERROR("a key is made of bool, i64, u64, f64, string and Uint8Array");
    w.bytes(changetype<Uint8Array>(value));
  } else if (isBoolean<A>()) {
    w.bool(<bool>value);
  } else {
    if (sizeof<A>() != 8) ERROR("a key is made of bool, i64, u64, f64, string and Uint8Array: say u64(n) or i64(n)");
    w.number<A>(value);
  }
}

// What the compiler adds to the classes that are declared.

// @ts-ignore: added to the class
@inline export function __table<T>(): i32 { return changetype<T>(0).__table(); }
// @ts-ignore: added to the class
@inline function __index<T>(name: string): i32 { return changetype<T>(0).__index(name); }
// @ts-ignore: added to the class
@inline function __write<T>(row: T, w: __Writer): void { row.__write(w); }

/** Reads a row or event of a class that is declared. Its constructor does not run. */
export function __read<T>(r: __Reader): T {
  const made = changetype<T>(__new(offsetof<T>(), idof<T>()));
  // @ts-ignore: added to the class
  made.__read(r);
  return made;
}

/** Reads values in the form that rows and events have. */
export class __Reader {
  constructor(public at: usize) {}

  bool(): bool {
    return load<u8>(this.at++) != 0;
  }

  u32(): u32 {
    const value = load<u32>(this.at);
    this.at += 4;
    return value;
  }

  number<T>(): T {
    const value = load<T>(this.at);
    this.at += 8;
    return value;
  }

  skip(): void {
    const length = this.u32();
    this.at += length;
  }

  fixed(length: i32): Uint8Array {
    const bytes = new Uint8Array(length);
    memory.copy(bytes.dataStart, this.at, length);
    this.at += length;
    return bytes;
  }

  text(): string {
    const length: i32 = this.u32();
    const at = this.at;
    this.at = at + length;
    // Fuel is taken for all that a loop may do, so most texts have a loop of their own that does little.
    const value = __new(length << 1, idof<string>());
    let i = 0;
    for (; i < length; i++) {
      const unit = load<u8>(at + i);
      if (unit > 127) break;
      store<u16>(value + (i << 1), unit);
    }
    return i == length ? changetype<string>(value) : String.UTF8.decodeUnsafe(at, length);
  }

  bytes(): Uint8Array {
    return this.fixed(this.u32());
  }
}

/** Gathers values in the form that rows and keys have. */
export class __Writer {
  start: usize;
  length: i32 = 0;
  private room: i32 = 128;

  constructor() {
    this.start = heap.alloc(this.room);
  }

  /** Returns where so many more bytes go, which count as written. */
  private extend(more: i32): usize {
    const length = this.length + more;
    if (length > this.room) {
      this.room = max(length, this.room * 2);
      const start = heap.alloc(this.room);
      memory.copy(start, this.start, this.length);
      this.start = start;
    }
    const at = this.start + this.length;
    this.length = length;
    return at;
  }

  bool(value: bool): void {
    // @ts-ignore: a bool is a number
    store<u8>(this.extend(1), value);
  }

  number<T>(value: T): void {
    store<T>(this.extend(8), value);
  }

  text(value: string): void {
    const units = value.length;
    const before = this.length;
    let at = this.extend(4 + units);
    store<u32>(at, units);
    let i = 0;
    for (; i < units; i++) {
      const unit = load<u16>(changetype<usize>(value) + (i << 1));
      if (unit > 127) break;
      store<u8>(at + 4 + i, unit);
    }
    if (i == units) return;
    const length = String.UTF8.byteLength(value);
    this.length = before;
    at = this.extend(4 + length);
    store<u32>(at, length);
    // Half of a surrogate pair becomes U+FFFD, which takes as many bytes.
    String.UTF8.encodeUnsafe(changetype<usize>(value), units, at + 4, false, String.UTF8.ErrorMode.REPLACE);
  }

  bytes(value: Uint8Array): void {
    const at = this.extend(4 + value.length);
    store<u32>(at, value.length);
    memory.copy(at + 4, value.dataStart, value.length);
  }
}
