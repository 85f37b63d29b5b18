// Reads msgpack: params, and payloads of types that are not declared, which the host gives as they were written. Those of declared
// types the host reads, so most modules need none of this.
import { __Writer } from "skerry/module";

const deepest = 16; // maps and lists in each other, as the host takes them

/** Values one after the other. After one that is not what it was asked for, `failed` is true and all that follows is empty. */
export class Packed {
  failed: bool = false;
  private at: usize;
  private end: usize;

  constructor(private bytes: Uint8Array) {
    this.at = bytes.dataStart;
    this.end = this.at + bytes.length;
  }

  /** Whether nothing is left. */
  get ended(): bool {
    return this.at >= this.end;
  }

  /** Passes over a value, and returns a reader of it alone. */
  one(): Packed {
    const value = new Packed(this.bytes);
    value.at = this.at;
    this.skip();
    value.end = this.at;
    value.failed = this.failed;
    return value;
  }

  /** Returns a reader of what is left, which moves by itself. */
  copy(): Packed {
    const other = new Packed(this.bytes);
    other.at = this.at;
    other.end = this.end;
    other.failed = this.failed;
    return other;
  }

  /** Begins a list, and returns how many values follow. */
  list(): i32 {
    const c = this.byte();
    const n = (c & 0xf0) == 0x90 ? u64(c & 15) : c == 0xdc ? this.bigEndian(2) : c == 0xdd ? this.bigEndian(4) : this.fail();
    return i32(n > u64(this.end - this.at) ? this.fail() : n);
  }

  /** Begins a map, and returns how many keys it has, each followed by its value. */
  map(): i32 {
    const c = this.byte();
    const n = (c & 0xf0) == 0x80 ? u64(c & 15) : c == 0xde ? this.bigEndian(2) : c == 0xdf ? this.bigEndian(4) : this.fail();
    return i32(2 * n > u64(this.end - this.at) ? this.fail() : n);
  }

  /** Reads a text, which is UTF-8. */
  text(): string {
    const length = this.textLength();
    const text = String.UTF8.decodeUnsafe(this.at, length);
    this.at += length;
    return text;
  }

  /** Passes over a nil, and returns whether there was one. */
  nil(): bool {
    if (this.ended || load<u8>(this.at) != 0xc0) return false;
    this.at++;
    return true;
  }

  /**
   * Reads a value of one of the types `bool`, `i64`, `u64`, `f64`, `text` and `bytes`, and returns it as rows have it. Whole numbers are
   * taken for `f64` up to 2^53, as the host takes them in payloads.
   */
  value(type: string): Uint8Array {
    const w = new __Writer();
    if (type == "text") this.give(w, this.textLength());
    else if (type == "bytes") this.give(w, this.binaryLength());
    else if (type == "bool") w.bool(this.bool());
    else if (type == "i64") w.number<i64>(this.i64());
    else if (type == "u64") w.number<u64>(this.u64());
    else if (type == "f64") w.number<f64>(this.f64());
    else this.fail();
    const value = new Uint8Array(w.length);
    memory.copy(value.dataStart, w.start, w.length);
    return value;
  }

  /** Passes over a value. */
  skip(depth: i32 = 1): void {
    if (depth > deepest) this.fail();
    const c = this.byte();
    if (this.failed || c < 0x80 || c >= 0xe0 || c == 0xc0 || c == 0xc2 || c == 0xc3) return;
    if ((c & 0xe0) == 0xa0 || (c >= 0xd9 && c <= 0xdb)) {
      this.at--;
      const length = this.textLength(false); // which moves
      this.at += length;
    } else if (c >= 0xc4 && c <= 0xc6) {
      this.take(this.bigEndian(1 << (c - 0xc4)));
    } else if (c >= 0xca && c <= 0xd3) {
      this.take(c < 0xcc ? 4 << (c - 0xca) : c < 0xd0 ? 1 << (c - 0xcc) : 1 << (c - 0xd0));
    } else if (c >= 0xc7 && c <= 0xc9) {
      const length = this.bigEndian(1 << (c - 0xc7));
      this.take(length + 1);
    } else if (c >= 0xd4 && c <= 0xd8) {
      this.take((1 << (c - 0xd4)) + 1);
    } else if ((c & 0xf0) == 0x90 || c == 0xdc || c == 0xdd) {
      let n = (c & 0xf0) == 0x90 ? u64(c & 15) : this.bigEndian(c == 0xdc ? 2 : 4);
      for (; n > 0 && !this.failed; n--) this.skip(depth + 1);
    } else if ((c & 0xf0) == 0x80 || c == 0xde || c == 0xdf) {
      this.at--;
      for (let n = this.map(); n > 0 && !this.failed; n--) {
        this.skip(depth + 1);
        this.skip(depth + 1);
      }
    } else {
      this.fail();
    }
  }

  private fail(): u64 {
    this.failed = true;
    this.at = this.end;
    return 0;
  }

  private take(length: u64): void {
    if (length > u64(this.end - this.at)) this.fail();
    else this.at += usize(length);
  }

  private byte(): u32 {
    if (this.ended) {
      this.fail();
      return 0xc1; // which begins nothing
    }
    return load<u8>(this.at++);
  }

  private bigEndian(size: i32): u64 {
    if (usize(size) > this.end - this.at) return this.fail();
    let n: u64 = 0;
    for (let i = 0; i < size; i++) n = (n << 8) | load<u8>(this.at + i);
    this.at += size;
    return n;
  }

  private give(w: __Writer, length: i32): void {
    const bytes = new Uint8Array(length);
    memory.copy(bytes.dataStart, this.at, length);
    this.at += length;
    w.bytes(bytes);
  }

  /** Reads how long a text is that follows, whole and in UTF-8 if that is to be checked. */
  private textLength(checked: bool = true): i32 {
    const c = this.byte();
    const n = (c & 0xe0) == 0xa0 ? u64(c & 31) : c >= 0xd9 && c <= 0xdb ? this.bigEndian(1 << (c - 0xd9)) : this.fail();
    return i32(n > u64(this.end - this.at) || (checked && !isUTF8(this.at, usize(n))) ? this.fail() : n);
  }

  private binaryLength(): i32 {
    const c = this.byte();
    const n = c >= 0xc4 && c <= 0xc6 ? this.bigEndian(1 << (c - 0xc4)) : this.fail();
    return i32(n > u64(this.end - this.at) ? this.fail() : n);
  }

  private bool(): bool {
    const c = this.byte();
    if (c != 0xc2 && c != 0xc3) this.fail();
    return c == 0xc3;
  }

  private u64(): u64 {
    const c = this.byte();
    if (c < 0x80) return c;
    if (c >= 0xcc && c <= 0xcf) return this.bigEndian(1 << (c - 0xcc));
    if (c < 0xd0 || c > 0xd3) return this.fail();
    const n = this.signed(c); // a form with a sign, which is taken when there is none
    return n < 0 ? this.fail() : u64(n);
  }

  private i64(): i64 {
    const c = this.byte();
    if (c >= 0xe0) return i64(i8(c));
    if (c >= 0xd0 && c <= 0xd3) return this.signed(c);
    if (!this.failed) this.at--;
    const n = this.u64();
    return n >> 63 ? i64(this.fail()) : i64(n);
  }

  private signed(c: u32): i64 {
    const size = 1 << (c - 0xd0);
    const unused = 64 - 8 * size;
    return i64(this.bigEndian(size) << unused) >> unused;
  }

  private f64(): f64 {
    const c = this.byte();
    if (c == 0xca) return f64(reinterpret<f32>(u32(this.bigEndian(4))));
    if (c == 0xcb) return reinterpret<f64>(this.bigEndian(8));
    if (!this.failed) this.at--;
    const n = this.i64();
    return n < -(1 << 53) || n > 1 << 53 ? f64(this.fail()) : f64(n);
  }
}

/** Whether bytes are UTF-8: no code in more bytes than it takes, no surrogate, none beyond U+10FFFF. */
function isUTF8(at: usize, length: usize): bool {
  const end = at + length;
  while (true) {
    // Fuel is taken for all that a loop may do, so ASCII has loops of its own that do little.
    while (at + 8 <= end && !(load<u64>(at) & 0x8080808080808080)) at += 8;
    while (at < end && load<u8>(at) < 0x80) at++;
    if (at == end) return true;
    const c = load<u8>(at++);
    const more = c < 0xc2 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : c < 0xf5 ? 3 : 0;
    if (more == 0 || at + more > end) return false;
    const second = load<u8>(at);
    if ((c == 0xe0 && second < 0xa0) || (c == 0xed && second > 0x9f) || (c == 0xf0 && second < 0x90) || (c == 0xf4 && second > 0x8f)) return false;
    for (let i = 0; i < more; i++) {
      if ((load<u8>(at + i) & 0xc0) != 0x80) return false;
    }
    at += more;
  }
}
