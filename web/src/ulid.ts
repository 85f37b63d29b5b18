import { SkerryError } from "./error.js";

const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const maxTime = 2 ** 48 - 1;

const pool = new Uint8Array(1024);
let unused = 0; // bytes at the end of the pool

/** Fills a few bytes with randomness, of which much is fetched at a time: each call to the browser is dear. */
function fillRandom(bytes: Uint8Array): void {
  if (unused < bytes.length) {
    crypto.getRandomValues(pool);
    unused = pool.length;
  }
  for (let i = 0, from = pool.length - unused; i < bytes.length; i++, from++) {
    bytes[i] = pool[from]!;
    pool[from] = 0;
  }
  unused -= bytes.length;
}

/** Makes ULIDs that rise within one page, also when the clock stands still or steps back. */
export class ULIDSource {
  readonly #fill: (bytes: Uint8Array) => void;
  readonly #now: () => number;
  readonly #random = new Uint8Array(10);
  readonly #step = new Uint8Array(4);
  #last = -1;

  constructor(
    fill: (bytes: Uint8Array) => void = fillRandom,
    now: () => number = Date.now,
  ) {
    this.#fill = fill;
    this.#now = now;
  }

  /** Returns the next ULID as its 16 bytes. */
  next(): Uint8Array {
    const id = new Uint8Array(16);
    this.write(id, 0);
    return id;
  }

  /** Writes the next ULID's 16 bytes. */
  write(into: Uint8Array, at: number): void {
    const now = Math.min(Math.max(Math.floor(this.#now()), 0), maxTime);
    if (now > this.#last) {
      this.#last = now;
      this.#fill(this.#random);
    } else if (!this.#increment()) {
      // The random part of this millisecond is used up: move on rather than fail.
      if (this.#last === maxTime) throw new SkerryError("bad_argument", "the clock is at the end of time");
      this.#last++;
      this.#fill(this.#random);
    }
    for (let i = 5, rest = this.#last; i >= 0; i--, rest = Math.floor(rest / 256)) into[at + i] = rest % 256;
    for (let i = 0; i < 10; i++) into[at + 6 + i] = this.#random[i]!;
  }

  /** Adds a random step to the random part, so that the next id cannot be guessed; false on overflow. */
  #increment(): boolean {
    const step = this.#step;
    this.#fill(step);
    let carry = (((step[0]! << 24) | (step[1]! << 16) | (step[2]! << 8) | step[3]!) >>> 0) + 1;
    for (let i = this.#random.length - 1; i >= 0 && carry > 0; i--) {
      const sum = this.#random[i]! + (carry % 256);
      this.#random[i] = sum % 256;
      carry = Math.floor(carry / 256) + (sum > 255 ? 1 : 0);
    }
    return carry === 0;
  }
}

/** Returns the 26 characters of a ULID. */
export function formatULID(id: Uint8Array): string {
  let text = "";
  let rest = 0;
  let bits = 2; // 26 characters have two bits more than 16 bytes
  for (const byte of id) {
    rest = ((rest << 8) | byte) & 0xfff;
    for (bits += 8; bits >= 5; ) text += alphabet[(rest >> (bits -= 5)) & 31];
  }
  return text;
}

/** Reads the 26 characters of a ULID, of either case. */
export function parseULID(text: string): Uint8Array {
  if (typeof text !== "string" || !/^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$/.test(text)) {
    throw new SkerryError("bad_argument", "a ULID is 26 characters, the first at most 7");
  }
  let value = 0n;
  for (const character of text.toUpperCase()) value = (value << 5n) | BigInt(alphabet.indexOf(character));
  const id = new Uint8Array(16);
  for (let i = 15; i >= 0; i--) {
    id[i] = Number(value & 255n);
    value >>= 8n;
  }
  return id;
}

/** Returns the milliseconds since 1970 that a ULID carries. */
export function ulidTime(id: Uint8Array): number {
  let time = 0;
  for (let i = 0; i < 6; i++) time = time * 256 + id[i]!;
  return time;
}
