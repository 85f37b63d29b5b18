// Payloads and transactions as bytes. Appending many events at once is mostly this code, so it writes all of a
// transaction in one pass into one buffer; a general encoder makes a buffer of each payload and copies it twice.
import { encodeTimestampExtension, EXT_TIMESTAMP } from "@msgpack/msgpack";
import { fromHex } from "./bytes.js";
import { type EventCode, type ModuleCode, valuesOf } from "./declared.js";
import { SkerryError } from "./error.js";
import type { ULIDSource } from "./ulid.js";
import type { NewEvent } from "./wire.js";

const noText = ""; // author, api and client version, which the worker fills in
const noSchema = new Uint8Array(8);

/**
 * Returns a transaction in wire encoding, and the ids that its events were given, one after the other. Of types that the code declares
 * payloads are held to that (`schema_mismatch`), and say so by their schema.
 */
export function encodeTransaction(
  events: readonly NewEvent[],
  source: Pick<ULIDSource, "write">,
  code?: ModuleCode,
): { ids: Uint8Array; bytes: Uint8Array<ArrayBuffer> } {
  return written((writer) => {
    writer.array(4);
    for (let i = 0; i < 3; i++) writer.text(noText);
    writer.array(events.length);
    const ids = new Uint8Array(16 * events.length);
    let known: unknown; // events of one transaction are mostly of one type
    let declared: EventCode | undefined;
    let schema: Uint8Array = noSchema;
    for (let i = 0; i < events.length; i++) {
      const { type, payload } = events[i]!;
      if (i === 0 || type !== known) {
        known = checked(type);
        declared = code && Object.hasOwn(code.events, type) ? code.events[type] : undefined;
        schema = declared ? fromHex(declared.schema) : noSchema;
      }
      source.write(ids, 16 * i);
      writer.array(4);
      writer.bytes(ids, 16 * i, 16);
      writer.text(type);
      if (declared) valuesOf(type, declared.fields, payload);
      writer.bytes(schema, 0, 8);
      writer.payload(payload);
    }
    return { ids, bytes: writer.take() };
  });
}

function checked(type: unknown): unknown {
  if (typeof type === "string" && type !== "" && !/\p{Surrogate}/u.test(type)) return type;
  throw new SkerryError("bad_argument", "an event has a type, which is well-formed text");
}

/** Returns a value as msgpack. */
export function encodeValue(value: unknown): Uint8Array<ArrayBuffer> {
  return written((writer) => {
    writer.value(value, 1);
    return writer.take();
  });
}

let spare: Writer | undefined; // not there while it is used, since a getter of a payload may append as well

function written<T>(write: (writer: Writer) => T): T {
  const writer = spare ?? new Writer();
  spare = undefined;
  try {
    const result = write(writer);
    spare = writer;
    return result;
  } catch (error) {
    if (error instanceof SkerryError) throw error;
    throw new SkerryError("bad_argument", `the payload cannot be written as msgpack: ${String(error)}`);
  }
}

const firstRoom = 4096;
const keptRoom = 1 << 20;
const maxDepth = 100; // of arrays and maps, which also ends one that contains itself
const shortText = 48; // up to so many characters a loop is faster than a call into the browser
const utf8 = new TextEncoder();

function headerSize(size: number, text: boolean): number {
  return text && size < 32 ? 1 : size < 0x100 ? 2 : size < 0x10000 ? 3 : 5;
}

/** Writes msgpack in its shortest form. */
class Writer {
  #bytes = new Uint8Array(firstRoom);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;
  #expected = 2; // the size of the last payload's header: one that turns out otherwise must be moved

  /** Returns what was written since the last call. */
  take(): Uint8Array<ArrayBuffer> {
    const taken = this.#bytes.slice(0, this.#at);
    this.#at = 0;
    if (this.#bytes.length > keptRoom) this.#room(firstRoom);
    return taken;
  }

  array(length: number): void {
    this.#collection(length, 0x90, 0xdc);
  }

  text(value: string): void {
    const length = value.length;
    this.#need(5 + 3 * length);
    const start = this.#at;
    const from = start + headerSize(length, true); // if it is ASCII
    let i = 0;
    if (length <= shortText) {
      for (let code; i < length && (code = value.charCodeAt(i)) < 128; i++) this.#bytes[from + i] = code;
    }
    const size = i === length ? length : utf8.encodeInto(value, this.#bytes.subarray(from)).written;
    this.#close(start, from, size, true);
  }

  /** Writes a few bytes of an array as a binary value. */
  bytes(from: Uint8Array, start: number, size: number): void {
    this.#need(5 + size);
    this.#header(size, false);
    for (let i = 0; i < size; i++) this.#bytes[this.#at + i] = from[start + i]!;
    this.#at += size;
  }

  binary(value: Uint8Array): void {
    this.#need(5 + value.length);
    this.#header(value.length, false);
    this.#bytes.set(value, this.#at);
    this.#at += value.length;
  }

  /** Writes a value's encoding as a binary value. */
  payload(value: unknown): void {
    const start = this.#at;
    const from = start + this.#expected;
    this.#need(5);
    this.#at = from;
    this.value(value, 1);
    const size = this.#at - from;
    this.#expected = headerSize(size, false);
    this.#need(5);
    this.#close(start, from, size, false);
  }

  value(value: unknown, depth: number): void {
    if (typeof value === "string") this.text(value);
    else if (typeof value === "number") this.#number(value);
    else if (typeof value === "bigint") this.#whole(value);
    else if (typeof value === "boolean") this.#byte(value ? 0xc3 : 0xc2);
    else if (value === null || value === undefined) this.#byte(0xc0);
    else if (typeof value !== "object") throw new TypeError(`there is no ${typeof value} in it`);
    else if (depth > maxDepth) throw new RangeError(`it is more than ${maxDepth} levels deep`);
    else if (Array.isArray(value)) {
      this.array(value.length);
      for (let i = 0; i < value.length; i++) this.value(value[i], depth + 1);
    } else if (ArrayBuffer.isView(value)) this.binary(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
    else if (value instanceof Date) this.#time(value);
    else this.#map(value as Record<string, unknown>, depth);
  }

  #map(value: Record<string, unknown>, depth: number): void {
    let keys = Object.keys(value);
    for (const key of keys) {
      if (value[key] !== undefined) continue;
      keys = keys.filter((key) => value[key] !== undefined);
      break;
    }
    this.#collection(keys.length, 0x80, 0xde);
    for (const key of keys) {
      this.text(key);
      this.value(value[key], depth + 1);
    }
  }

  #number(value: number): void {
    this.#need(9);
    const view = this.#view;
    const at = this.#at;
    const negative = value < 0;
    if (!Number.isSafeInteger(value)) {
      view.setUint8(at, 0xcb);
      view.setFloat64(at + 1, value);
      this.#at += 9;
    } else if (value < -0x80000000 || value > 0xffffffff) {
      view.setUint8(at, negative ? 0xd3 : 0xcf);
      view.setBigInt64(at + 1, BigInt(value));
      this.#at += 9;
    } else if (value < -0x8000 || value > 0xffff) {
      view.setUint8(at, negative ? 0xd2 : 0xce);
      view.setInt32(at + 1, value);
      this.#at += 5;
    } else if (value < -0x80 || value > 0xff) {
      view.setUint8(at, negative ? 0xd1 : 0xcd);
      view.setInt16(at + 1, value);
      this.#at += 3;
    } else if (value < -0x20 || value > 0x7f) {
      view.setUint8(at, negative ? 0xd0 : 0xcc);
      view.setInt8(at + 1, value);
      this.#at += 2;
    } else {
      view.setInt8(at, value);
      this.#at++;
    }
  }

  #whole(value: bigint): void {
    const number = Number(value);
    if (Number.isSafeInteger(number)) return this.#number(number);
    const signed = value < 0n;
    if ((signed ? BigInt.asIntN(64, value) : BigInt.asUintN(64, value)) !== value) throw new RangeError(`${value} has more than 64 bits`);
    this.#need(9);
    this.#view.setUint8(this.#at, signed ? 0xd3 : 0xcf);
    this.#view.setBigInt64(this.#at + 1, value);
    this.#at += 9;
  }

  /** Writes a time as the extension that msgpack has for it. */
  #time(value: Date): void {
    const data = encodeTimestampExtension(value)!;
    if (data.length === 12) this.#byte(0xc7);
    this.#byte(data.length === 12 ? 12 : data.length === 8 ? 0xd7 : 0xd6);
    this.#byte(EXT_TIMESTAMP & 0xff);
    for (const byte of data) this.#byte(byte);
  }

  #byte(value: number): void {
    this.#need(1);
    this.#bytes[this.#at++] = value;
  }

  /** Writes the header of an array or a map. */
  #collection(length: number, short: number, long: number): void {
    this.#need(5);
    if (length < 16) {
      this.#bytes[this.#at++] = short | length;
    } else if (length < 0x10000) {
      this.#bytes[this.#at] = long;
      this.#view.setUint16(this.#at + 1, length);
      this.#at += 3;
    } else {
      this.#bytes[this.#at] = long + 1;
      this.#view.setUint32(this.#at + 1, length);
      this.#at += 5;
    }
  }

  /** Ends a text or a binary value whose bytes are there and whose header is not: it may need more room than was left. */
  #close(start: number, from: number, size: number, text: boolean): void {
    const to = start + headerSize(size, text);
    if (to !== from) this.#bytes.copyWithin(to, from, from + size);
    this.#at = start;
    this.#header(size, text);
    this.#at += size;
  }

  /** Writes the header of a text or a binary value, for which there is room. */
  #header(size: number, text: boolean): void {
    const at = this.#at;
    const first = text ? 0xd9 : 0xc4;
    this.#at += headerSize(size, text);
    if (text && size < 32) {
      this.#bytes[at] = 0xa0 | size;
    } else if (size < 0x100) {
      this.#bytes[at] = first;
      this.#bytes[at + 1] = size;
    } else if (size < 0x10000) {
      this.#bytes[at] = first + 1;
      this.#view.setUint16(at + 1, size);
    } else {
      this.#bytes[at] = first + 2;
      this.#view.setUint32(at + 1, size);
    }
  }

  #need(more: number): void {
    if (this.#at + more > this.#bytes.length) this.#room(2 * (this.#at + more));
  }

  #room(size: number): void {
    const before = this.#bytes.subarray(0, this.#at);
    this.#bytes = new Uint8Array(size);
    this.#view = new DataView(this.#bytes.buffer);
    this.#bytes.set(before);
  }
}
