// Records as the worker hands them over. A cold load is mostly this code, so it reads the eleven elements of a record
// directly instead of by a general decoder, and makes what records in a row have in common once.
import { SkerryError } from "./error.js";
import { toHex } from "./bytes.js";
import { formatULID, ulidTime } from "./ulid.js";
import { decodePayload, type EventRecord, toPosition } from "./wire.js";

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true }); // a text may begin with U+FEFF

/** A text or a digest that the last record had, and its bytes. */
class Last {
  #from = 0;
  #to = -1; // nothing yet
  #text = "";

  /** Returns what make makes of some bytes, or what it made before if they are the same. */
  get(bytes: Uint8Array, from: number, to: number, make: (bytes: Uint8Array) => string): string {
    const back = from - this.#from;
    let i = to - from === this.#to - this.#from ? from : to + 1;
    while (i < to && bytes[i] === bytes[i - back]) i++;
    if (i !== to) this.#text = make(bytes.subarray(from, to));
    this.#from = from;
    this.#to = to;
    return this.#text;
  }
}

const text = (bytes: Uint8Array): string => utf8.decode(bytes);

/** Returns how many records follow one another, and the number of the last. */
export function scanRecords(bytes: Uint8Array): { count: number; last: number } {
  const reader = new Reader(bytes);
  let count = 0;
  let last = 0;
  for (; reader.at < bytes.length; count++) last = reader.skip();
  return { count, last };
}

/** Reads records that follow one another in wire encoding. Large payloads are decoded when they are looked at. */
export function decodeRecords(bytes: Uint8Array): EventRecord[] {
  const records: EventRecord[] = [];
  const reader = new Reader(bytes);
  while (reader.at < bytes.length) records.push(reader.record());
  return records;
}

class Reader {
  at = 0;
  readonly #bytes: Uint8Array;
  readonly #author = new Last();
  readonly #type = new Last();
  readonly #schema = new Last();
  readonly #api = new Last();
  readonly #version = new Last();

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  record(): EventRecord {
    const bytes = this.#bytes;
    if (bytes[this.at++] !== 0x9b) throw malformed();
    const id = this.#binary();
    const seq = this.#number();
    const receivedAt = this.#number();
    const index = this.#number();
    const count = this.#number();
    const author = this.#common(this.#author, text, 0xd9);
    const type = this.#common(this.#type, text, 0xd9);
    const schema = this.#common(this.#schema, toHex, 0xc4);
    const payload = this.#binary();
    const api = this.#common(this.#api, text, 0xd9);
    const clientVersion = this.#common(this.#version, text, 0xd9);
    if (this.at > bytes.length) throw malformed();
    return toRecord(id, seq, receivedAt, index, count, author, type, schema, payload, api, clientVersion);
  }

  /** Passes over a record and returns its number. */
  skip(): number {
    if (this.#bytes[this.at++] !== 0x9b) throw malformed();
    this.#pass(0xc4);
    const seq = this.#number();
    for (let i = 0; i < 3; i++) this.#number();
    for (let i = 0; i < 2; i++) this.#pass(0xd9);
    for (let i = 0; i < 2; i++) this.#pass(0xc4);
    for (let i = 0; i < 2; i++) this.#pass(0xd9);
    if (this.at > this.#bytes.length) throw malformed();
    return seq;
  }

  /** Reads an unsigned integer of so many bytes. */
  #bigEndian(size: number): number {
    let value = 0;
    for (let i = 0; i < size; i++) value = value * 256 + this.#bytes[this.at++]!;
    return value;
  }

  #number(): number {
    const code = this.#bytes[this.at++]!;
    if (code < 0x80) return code;
    if (code >= 0xcc && code <= 0xcf) return this.#bigEndian(1 << (code - 0xcc));
    throw malformed();
  }

  /** Reads the length of a binary (c4 and on) or a text (d9 and on). */
  #length(first: number): number {
    const code = this.#bytes[this.at++]!;
    if (first === 0xd9 && (code & 0xe0) === 0xa0) return code & 31;
    if (code >= first && code <= first + 2) return this.#bigEndian(1 << (code - first));
    throw malformed();
  }

  #pass(first: number): void {
    const length = this.#length(first);
    this.at += length;
  }

  #binary(): Uint8Array {
    const length = this.#length(0xc4);
    return this.#bytes.subarray(this.at, (this.at += length));
  }

  #common(last: Last, make: (bytes: Uint8Array) => string, first: number): string {
    const length = this.#length(first);
    return last.get(this.#bytes, this.at, (this.at += length), make);
  }
}

const malformed = (): SkerryError => new SkerryError("internal", "the worker's records are malformed");

/** Up to how many bytes a payload is decoded at once, which costs no more than getting ready to do so later. */
const small = 1024;

const unread = Symbol();

/** Makes a record of its parts. All that a page can see are properties of its own, so that spreading copies them. */
function toRecord(
  id: Uint8Array,
  seq: number,
  receivedAt: number,
  index: number,
  count: number,
  author: string,
  type: string,
  schema: string,
  bytes: Uint8Array,
  api: string,
  clientVersion: string,
): EventRecord {
  const record = {
    id: formatULID(id),
    seq,
    author,
    type,
    payload: bytes.length <= small ? decodePayload(bytes) : undefined,
    bytes,
    position: toPosition(seq),
    time: Math.min(ulidTime(id), receivedAt),
    receivedAt,
    index,
    count,
    api,
    clientVersion,
    schema,
  };
  if (bytes.length > small) {
    let payload: unknown = unread;
    Object.defineProperty(record, "payload", {
      enumerable: true,
      get: () => (payload === unread ? (payload = decodePayload(bytes)) : payload),
    });
  }
  return record;
}
