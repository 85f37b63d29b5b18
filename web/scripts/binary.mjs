// Reads and writes the numbers that WebAssembly and Go's tables are made of.

/** Reads from a buffer, beginning at a place in it. */
export function reader(buffer, at) {
  return {
    at,
    byte() {
      return buffer[this.at++];
    },
    bytes(n) {
      return buffer.subarray(this.at, (this.at += n));
    },
    /** A LEB128 number, not negative. */
    number() {
      for (let n = 0, scale = 1; ; scale *= 128) {
        const byte = this.byte();
        n += (byte & 127) * scale;
        if (byte < 128) return n;
      }
    },
    /** A LEB128 number with a sign. */
    signed() {
      for (let n = 0n, shift = 0n; ; ) {
        const byte = this.byte();
        n |= BigInt(byte & 127) << shift;
        shift += 7n;
        if (byte < 128) return byte & 64 ? n - (1n << shift) : n;
      }
    },
  };
}

/** The LEB128 form of a number that is not negative, whose last byte must stay below: 128, or 64 where it has a sign. */
export function leb(n, below = 128) {
  const bytes = [];
  for (; n >= below; n = Math.floor(n / 128)) bytes.push((n & 127) | 128);
  return [...bytes, n];
}
