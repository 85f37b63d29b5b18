import assert from "node:assert/strict";
import { test } from "node:test";
import { toHex } from "../src/bytes.js";
import { formatULID, parseULID } from "../src/ulid.js";
import { blake3, chain, compact, concat, genesisBytes, seal, sized, transactionDigest } from "./hashes.js";
import { fromHex, readVectors } from "./root.js";

interface Vector {
  name: string;
  encoded?: string;
  refused?: boolean;
  n?: number;
  ulid?: string;
  creator?: string;
  module?: string;
  params?: string;
  digest?: string;
  space?: string;
  author?: string;
  api?: string;
  client_version?: string;
  events?: { id: string; type: string; schema: string; payload: string }[];
  previous?: string;
  seq?: string;
  received_at?: string;
  index?: number;
  count?: number;
  secret?: string;
  nonce?: string;
  server?: string;
  host?: string;
  chain?: string;
}

const checks: Record<string, (v: Vector) => void> = {
  "compact.json": (v) => assert.equal(toHex(compact(v.n ?? 0)), v.encoded),
  "ulid.json": (v) => {
    assert.equal(toHex(parseULID(v.ulid!)), v.encoded);
    assert.equal(formatULID(fromHex(v.encoded!)), v.ulid!.toUpperCase());
  },
  "genesis.json": (v) => {
    const bytes = genesisBytes({
      stamp: parseULID(v.ulid ?? "0".repeat(26)),
      creator: v.creator ?? "",
      module: fromHex(v.module ?? ""),
      params: fromHex(v.params ?? ""),
    });
    if (v.encoded) assert.equal(toHex(bytes), v.encoded);
    assert.equal(toHex(blake3(bytes)), v.digest);
  },
  "genesis_sig.json": (v) => assert.equal(toHex(concat("skerry.genesis.1", fromHex(v.space!))), v.encoded),
  "proof.json": (v) => {
    const message = concat("skerry.proof.1", fromHex(v.nonce!), fromHex(v.server!), sized(v.host!));
    assert.equal(toHex(message), v.encoded);
  },
  "transaction.json": (v) => assert.equal(toHex(transactionDigest(fromHex(v.space!), transactionOf(v))), v.digest),
  "chain.json": (v) => {
    const { events, ...rest } = transactionOf(v);
    const record = { ...rest, ...events[0]!, seq: BigInt(v.seq!), receivedAt: BigInt(v.received_at!), index: v.index ?? 0, count: v.count! };
    assert.equal(toHex(chain(fromHex(v.previous!), record)), v.digest);
  },
  "seal.json": (v) => {
    assert.equal(toHex(seal(fromHex(v.secret!), fromHex(v.space!), BigInt(v.seq!), fromHex(v.chain!))), v.digest);
  },
};

function transactionOf(v: Vector) {
  const events = (v.events ?? []).map((e) => ({
    id: parseULID(e.id),
    type: e.type,
    schema: fromHex(e.schema),
    bytes: fromHex(e.payload),
  }));
  return { author: v.author ?? "", api: v.api ?? "", clientVersion: v.client_version ?? "", events };
}

for (const [file, vectors] of readVectors<Vector[]>("shared/space/testdata/vectors")) {
  const check = checks[file];
  test(file, () => {
    assert.ok(check, "no check for this file");
    let checked = 0;
    for (const v of vectors) {
      checked++;
      try {
        if (!v.refused) check(v);
        else if (v.ulid) assert.throws(() => parseULID(v.ulid!));
      } catch (error) {
        throw new Error(`${v.name}: ${String(error)}`);
      }
    }
    assert.ok(checked > 0, "no vectors");
  });
}
