import { SkerryError } from "./error.js";

const pairs = Array.from({ length: 256 }, (_, byte) => (byte < 16 ? "0" : "") + byte.toString(16));

/** Returns bytes as lower-case hexadecimal digits. */
export function toHex(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i++) text += pairs[bytes[i]!];
  return text;
}

/** Returns a space's ID or a module's hash in its one form: 64 lower-case hexadecimal digits. */
export function checkDigest(text: string, what: string): string {
  if (typeof text !== "string" || !/^[0-9a-fA-F]{64}$/.test(text)) {
    throw new SkerryError("bad_argument", `${what} is 64 hexadecimal digits`);
  }
  return text.toLowerCase();
}

/** Returns the bytes that hexadecimal digits say. */
export function fromHex(text: string): Uint8Array {
  return Uint8Array.from(text.match(/../g)!, (pair) => parseInt(pair, 16));
}
