// The name of a key: did:key, as shared/identity writes it.

const alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/** Which signatures a key makes: Ed25519, or ECDSA over P-256 where the engine has no Ed25519. */
export type KeyKind = "Ed25519" | "P-256";

/** Returns the name of a key by its raw public half: 32 bytes, or the 65 of an uncompressed point. */
export function didOf(kind: KeyKind, raw: Uint8Array): string {
  const name = kind === "Ed25519" ? [0xed, 0x01, ...raw] : [0x80, 0x24, 2 | (raw[64]! & 1), ...raw.subarray(1, 33)];
  let number = name.reduce((n, byte) => n * 256n + BigInt(byte), 0n); // it begins with no zero
  let text = "";
  for (; number > 0n; number /= 58n) text = alphabet[Number(number % 58n)] + text;
  return `did:key:z${text}`;
}
