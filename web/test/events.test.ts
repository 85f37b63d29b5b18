// The iterator over a source that is played here.
import assert from "node:assert/strict";
import { test } from "node:test";
import { EventIterator, type EventsOptions, type Source } from "../src/events.js";
import { decodeRecords, scanRecords } from "../src/records.js";
import { encode } from "@msgpack/msgpack";

const settled = () => new Promise((resolve) => setImmediate(resolve));

class Played implements Source {
  head: number;
  asked: [string, number, number][] = [];
  changed: (() => void)[] = [];
  fail: Error | undefined;

  constructor(head: number) {
    this.head = head;
  }
  async read(direction: "after" | "before", seq: number, limit: number): Promise<Uint8Array> {
    this.asked.push([direction, seq, limit]);
    if (this.fail) throw this.fail;
    const from = direction === "after" ? seq + 1 : Math.max(1, Math.min(seq, this.head + 1) - limit);
    const to = direction === "after" ? Math.min(this.head, seq + limit) : Math.min(this.head, seq - 1);
    await settled();
    return Buffer.concat(Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => encode(wide(from + i, "text", i))));
  }
  watch(f: () => void): () => void {
    this.changed.push(f);
    return () => void this.changed.splice(this.changed.indexOf(f), 1);
  }
}

async function all(source: Source, options: EventsOptions): Promise<number[]> {
  const seen: number[] = [];
  for await (const event of new EventIterator(source, options)) seen.push(event.seq);
  return seen;
}

const range = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, i) => first + i);

test("one batch is read ahead, and nothing that no one wants", async () => {
  const source = new Played(5000);
  for await (const event of new EventIterator(source, {})) {
    await settled();
    assert.deepEqual(source.asked, [["after", 0, 256], ["after", 256, 512]]);
    if (event.seq === 256) break;
  }
  source.asked = [];
  assert.deepEqual(await all(source, { limit: 1030 }), range(1, 1030));
  assert.deepEqual(source.asked, [["after", 0, 256], ["after", 256, 512], ["after", 768, 262]]);
  source.asked = [];
  assert.deepEqual(await all(source, { after: "p100", limit: 50 }), range(101, 150));
  assert.deepEqual(source.asked, [["after", 100, 50]]);
  source.asked = [];
  assert.deepEqual(await all(source, { after: "p100", before: "p869" }), range(101, 868));
  assert.equal(source.asked.length, 2); // nothing is wanted behind the second
  assert.deepEqual(await all(source, { after: "p100", before: "p2000" }), range(101, 1999));
  source.asked = [];
  assert.deepEqual(await all(source, { reverse: true, after: "p3000", limit: 1500 }), range(3501, 5000).reverse());
  assert.deepEqual(source.asked, [["before", 2 ** 32, 256], ["before", 4745, 512], ["before", 4233, 732]]);
  assert.deepEqual(await all(source, { reverse: true, after: "p4000" }), range(4001, 5000).reverse());
  assert.deepEqual(await all(source, { limit: 0 }), []);
});

test("calls of next that do not wait for each other are answered in order, also across batches", async () => {
  const source = new Played(3000);
  const events = new EventIterator(source, {});
  const seen: number[] = [];
  const first = await Promise.all(Array.from({ length: 2000 }, () => events.next()));
  seen.push(...first.map((result) => (result.done ? -1 : result.value.seq)));
  seen.push((await events.next()).value.seq);
  const rest = await Promise.all(Array.from({ length: 1000 }, () => events.next()));
  for (const result of rest) if (!result.done) seen.push(result.value.seq);
  assert.deepEqual(seen, range(1, 3000));
  assert.equal((await events.next()).done, true);
});

test("what was read ahead is given before the error behind it, once", async () => {
  const source = new Played(5000);
  const events = new EventIterator(source, {});
  await events.next();
  source.fail = new Error("gone");
  const seen: number[] = [];
  await assert.rejects(async () => {
    for await (const event of events) seen.push(event.seq);
  }, /gone/);
  assert.deepEqual(seen, range(2, 768)); // the second batch was asked for before
  assert.equal((await events.next()).done, true);
  const ended = new EventIterator(new Played(5000), {});
  await ended.next();
  await ended.return();
  assert.equal((await ended.next()).done, true); // not the rest of the batch
});

test("live iteration gives what came while the end was read ahead", async () => {
  const source = new Played(3);
  const events = new EventIterator(source, { live: true });
  assert.equal((await events.next()).value.seq, 1);
  await settled(); // what was read ahead is nothing, and it is old
  await settled();
  source.head = 5;
  for (const f of [...source.changed]) f();
  const seen: number[] = [];
  for (let i = 0; i < 4; i++) seen.push((await events.next()).value.seq);
  assert.deepEqual(seen, [2, 3, 4, 5]);
  const waiting = events.next();
  await settled();
  source.head = 6;
  for (const f of [...source.changed]) f();
  assert.equal((await waiting).value.seq, 6);
  const open = events.next();
  await events.return();
  assert.equal((await open).done, true);
  assert.deepEqual(source.changed, []);
});

const wide = (seq: number, text: string, payload: unknown) => [
  Uint8Array.from(range(1, 16), (n) => (n * seq) % 256), seq, 2 ** 41 + seq, seq % 7, seq, text, `${text}!`,
  new Uint8Array(8).fill(seq), encode(payload), text.slice(0, 3), "",
];

test("records that have something in common, and nothing, are read right", () => {
  const texts = ["", "a", "a", "b", "\ufeffb", "å".repeat(20), "å".repeat(20), "x".repeat(300), "x".repeat(299) + "y", "y".repeat(70_000)];
  const packed = texts.map((text, i) => encode(wide(i * i * i * 40, text, { text, i })));
  const records = decodeRecords(Buffer.concat(packed));
  assert.equal(records.length, texts.length);
  for (const [i, text] of texts.entries()) {
    const { seq, author, type, payload, receivedAt, index, count, api, clientVersion, schema, position } = records[i]!;
    const n = i * i * i * 40;
    assert.deepEqual(
      [seq, author, type, payload, receivedAt, index, count, api, clientVersion, schema, position],
      [n, text, `${text}!`, { text, i }, 2 ** 41 + n, n % 7, n, text.slice(0, 3), "", (n % 256).toString(16).padStart(2, "0").repeat(8), `p${n}`],
    );
    assert.equal(records[i]!.payload, payload); // the same object each time
    assert.deepEqual({ ...records[i] }, records[i]);
  }
  assert.deepEqual(scanRecords(Buffer.concat(packed)), { count: texts.length, last: records.at(-1)!.seq });
  assert.deepEqual(scanRecords(new Uint8Array()), { count: 0, last: 0 });
  assert.throws(() => scanRecords(packed[3]!.subarray(0, -1)), { code: "internal" });
  assert.throws(() => decodeRecords(packed[3]!.subarray(0, -1)), { code: "internal" });
  assert.throws(() => decodeRecords(encode([1, 2])), { code: "internal" });
});
