// The protocol's hashes, written from PROTOCOL.md a second time, so that tests can check what Go computed.
import { blake3 } from "@noble/hashes/blake3";

type Part = Uint8Array | string;

export function concat(...parts: Part[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part, "utf8") : part))));
}

export function compact(n: number): Uint8Array {
  if (n < 2 ** 6) return Uint8Array.of(n << 2);
  if (n < 2 ** 14) return Uint8Array.of((n << 2) % 256 | 1, n >> 6);
  if (n < 2 ** 30) return u32le(n * 4 + 2);
  throw new Error("not below 2^30");
}

export function u32le(n: number): Uint8Array {
  const b = new Uint8Array(4);
  new DataView(b.buffer).setUint32(0, n, true);
  return b;
}

export function u64le(n: bigint | number): Uint8Array {
  const b = new Uint8Array(8);
  new DataView(b.buffer).setBigUint64(0, BigInt(n), true);
  return b;
}

export function sized(part: Part): Uint8Array {
  const bytes = concat(part);
  return concat(compact(bytes.length), bytes);
}

export function genesisBytes(g: { stamp: Uint8Array; creator: string; module: Uint8Array; params: Uint8Array }): Uint8Array {
  return concat(g.stamp.slice().reverse(), sized(g.creator), g.module, sized(g.params));
}

export interface ChainRecord {
  readonly id: Uint8Array;
  readonly seq: bigint | number;
  readonly receivedAt: bigint | number;
  readonly index: number;
  readonly count: number;
  readonly author: string;
  readonly type: string;
  readonly schema: Uint8Array;
  readonly bytes: Uint8Array;
  readonly api: string;
  readonly clientVersion: string;
}

export function chain(previous: Uint8Array, r: ChainRecord): Uint8Array {
  return blake3(
    concat(
      "skerry.chain.1", previous, u64le(r.seq), u64le(r.receivedAt), u32le(r.index), u32le(r.count), r.id, r.schema,
      blake3(r.bytes), sized(r.author), sized(r.type), sized(r.api), sized(r.clientVersion),
    ),
  );
}

export interface Transaction {
  readonly author: string;
  readonly api: string;
  readonly clientVersion: string;
  readonly events: readonly { id: Uint8Array; schema: Uint8Array; bytes: Uint8Array; type: string }[];
}

export function transactionDigest(space: Uint8Array, t: Transaction): Uint8Array {
  const events = t.events.map((e) => concat(e.id, e.schema, blake3(e.bytes), sized(e.type)));
  return blake3(
    concat("skerry.tx.1", space, sized(t.author), sized(t.api), sized(t.clientVersion), u32le(events.length), ...events),
  );
}

export function seal(secret: Uint8Array, space: Uint8Array, seq: bigint, chainValue: Uint8Array): Uint8Array {
  return blake3(concat(space, u64le(seq), chainValue), { key: secret });
}

export { blake3 };
