// Which modules a space had, as a page tells without its server: what the events here say, and whether one may be missing.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Client } from "../src/client.js";
import { SkerryError } from "../src/error.js";
import { Space } from "../src/space.js";
import { encodeValue } from "../src/encode.js";
import type { ModuleHistory } from "../src/wire.js";

const digest = (n: number): Uint8Array => new Uint8Array(32).fill(n);
const hex = (n: number): string => n.toString(16).padStart(2, "0").repeat(32);
const stamp = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
const made = { module: hex(1), seq: 0, since: 1469922850259 };

/** A record of a space, which is an upgrade to a module if one is given; null: its payload has expired. */
const record = (seq: number, module?: number | null): Uint8Array => {
  const payload = module === null ? new Uint8Array(32) : encodeValue(module === undefined ? { text: "x" } : { hash: digest(module) });
  return encodeValue([new Uint8Array(16), seq, 1000 + seq, 0, 1, "ada", module === undefined ? "note" : "$module", new Uint8Array(8), payload, "1.0.0", ""]);
};

/** Asks a space of which some records are here, from oldest to last. */
async function modules(records: Uint8Array[], { oldest = 1, last = records.length, present = 1, known = true, says }: { oldest?: number; last?: number; present?: number; known?: boolean; says?: object } = {}): Promise<ModuleHistory> {
  const seqs = records.map((_, n) => n + 1).filter((seq) => records[seq - 1]!.length > 0);
  const client = {
    status: {},
    infoOf: () => ({ ...(known && { stamp, genesisModule: hex(1) }), module: hex(present), moduleName: "chat", moduleVersion: "2.0.0", seq: last, oldest }),
    watch: () => () => undefined,
    ask: () => (says instanceof SkerryError ? Promise.reject(says) : Promise.resolve(says)),
    call: (method: string, _id: string, after: number, limit: number) => {
      assert.equal(method, "read");
      assert.ok(after >= oldest - 1, "what is not here is asked for");
      return Promise.resolve(new Uint8Array(Buffer.concat(seqs.filter((seq) => seq > after).slice(0, Math.min(limit, 2)).map((seq) => records[seq - 1]!))));
    },
  };
  return new Space(client as unknown as Client, "ab".repeat(32)).modules();
}

const unreachable = new SkerryError("overloaded", "the server cannot be reached");
const gone = new Uint8Array();

test("the server says, and whether it left some out", async () => {
  const history = [{ module: hex(1), name: "chat", version: "1.0.0", seq: 0, since: 1 }];
  assert.deepEqual(await modules([], { says: { history, earlier: 0 } }), { history, complete: true });
  assert.deepEqual(await modules([], { says: { history, earlier: 3 } }), { history, complete: false });
  await assert.rejects(modules([], { says: new SkerryError("forbidden", "") }), { code: "forbidden" });
});

test("without the server the events here say, all of them", async () => {
  const records = [record(1), record(2, 2), record(3), record(4), record(5, 1), record(6, 3), record(7)];
  const name = { name: "chat", version: "2.0.0" };
  const want = [made, { module: hex(2), seq: 2, since: 1002 }, { module: hex(1), seq: 5, since: 1005 }, { module: hex(3), ...name, seq: 6, since: 1006 }];
  for (const code of ["overloaded", "unknown_space"] as const) {
    assert.deepEqual(await modules(records, { present: 3, says: new SkerryError(code, "") }), { history: want, complete: true });
  }
  assert.deepEqual(await modules([], { says: unreachable }), { history: [{ ...made, ...name }], complete: true });
  assert.deepEqual(await modules([...records, record(8, 4)], { last: 7, present: 3, says: unreachable }), { history: want, complete: true }, "what comes while it is read is not in it");
});

test("where an event is not here, or has expired, one may be missing, and it says so", async () => {
  const two = { module: hex(2), seq: 4, since: 1004 };
  const hole = [gone, gone, gone, record(4, 2), record(5)];
  assert.deepEqual(await modules(hole, { oldest: 4, last: 5, present: 9, says: unreachable }), { history: [made, two], complete: false });
  assert.deepEqual(await modules([record(1), gone, record(3), record(4, 2)], { present: 9, says: unreachable }), { history: [made, two], complete: false });
  assert.deepEqual(await modules([record(1), record(2, null), record(3), record(4, 2)], { present: 9, says: unreachable }), { history: [made, two], complete: false });
  assert.deepEqual(await modules([record(1), gone], { last: 2, present: 9, says: unreachable }), { history: [made], complete: false });
  await assert.rejects(modules([], { known: false, says: unreachable }), { code: "overloaded" }, "of a space of which nothing is known");
});
