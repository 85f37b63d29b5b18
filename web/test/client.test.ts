// The library over a worker that is played here, so that each answer comes when the test says.
import { encode } from "@msgpack/msgpack";
import assert from "node:assert/strict";
import { test } from "node:test";
import { type ModuleCode, open, SkerryError } from "../src/index.js";
import { FakeWorker, id } from "./fake.js";

let names = 0;
const fresh = () => `test-${names++}`;

async function opened() {
  const worker = new FakeWorker();
  const name = fresh();
  const client = await open({ url: "ws://127.0.0.1:1/sync", name, identity: "alice", worker: () => worker, wasmUrl: "https://page.test/client.wasm" });
  return { worker, client, space: client.space(id) };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

process.on("unhandledRejection", (error) => {
  throw error;
});

test("a replica has one database for server, name and identity", async () => {
  const worker = new FakeWorker();
  await open({ url: "ws://127.0.0.1:1/sync", identity: "alice", worker: () => worker, wasmUrl: "https://page.test/client.wasm" });
  const config = worker.sent.find((message) => message[1] === "open")![2] as { database: string; url: string };
  assert.equal(config.database, "skerry/127.0.0.1%3A1/default/alice");
  assert.equal(config.url, "ws://127.0.0.1:1/sync");
});

test("url null never syncs; what is no server's address is refused", async () => {
  const worker = new FakeWorker();
  await open({ url: null, identity: "a/b", worker: () => worker, wasmUrl: "https://page.test/x" });
  const config = worker.sent.find((message) => message[1] === "open")![2] as { database: string; url: string };
  assert.deepEqual([config.url, config.database], ["", "skerry/local/default/a%2Fb"]);
  await assert.rejects(open({ url: "ftp://host", worker: () => worker }), { code: "bad_argument" });
  await assert.rejects(open({ url: null, identity: "", worker: () => worker }), { code: "bad_argument" });
  await assert.rejects(open({ url: null, identity: "a", wasmUrl: "no address", worker: () => worker }), { code: "bad_argument" });
});

test("a receipt has three moments", async () => {
  const { worker, space } = await opened();
  const receipt = space.append("note", { text: "hi" });
  const ref = worker.ref("append");
  const seen: string[] = [];
  void receipt.applied.then(() => seen.push("applied"));
  void receipt.durable.then(() => seen.push("durable"));
  void receipt.synced.then((at) => seen.push(`synced ${at.seq}`));
  for (const [result, want] of [[null, "applied"], [null, "durable"], [encode([7]), "synced 7"]] as const) {
    worker.answer(ref, result);
    await settled();
    assert.equal(seen.at(-1), want);
  }
  assert.equal(seen.length, 3);
});

test("a promise that is asked for late still tells, and a refusal nobody looks at is no unhandled rejection", async () => {
  const { worker, space } = await opened();
  const receipt = space.append("note");
  const ref = worker.ref("append");
  worker.answer(ref);
  worker.answer(ref);
  worker.answer(ref, null, ["forbidden", "not here"]);
  await settled();
  await receipt.durable;
  const error = await receipt.synced.then(() => undefined, (e: unknown) => e);
  assert.ok(error instanceof SkerryError);
  assert.deepEqual([error.code, error.reason], ["forbidden", "not here"]);
  space.append("note");
  worker.answer(worker.ref("append"), null, ["too_large", ""]);
  await settled();
});

test("what cannot be written is refused at once", async () => {
  const { space } = await opened();
  assert.throws(() => space.transact([]), { code: "bad_argument" });
  assert.throws(() => space.append(""), { code: "bad_argument" });
  assert.throws(() => space.append("note", () => 1), { code: "bad_argument" });
});

test("events come in batches, forwards and backwards, within bounds", async () => {
  const { worker, space } = await opened();
  worker.head = 2500;
  const forwards: number[] = [];
  for await (const event of space.events()) forwards.push(event.seq);
  assert.deepEqual(forwards, Array.from({ length: 2500 }, (_, i) => i + 1));
  assert.deepEqual(worker.messages("read").map((message) => message.slice(3, 5)), [[0, 256], [256, 512], [768, 1024], [1792, 1024], [2500, 1024]]);
  const some: unknown[] = [];
  for await (const event of space.events({ after: "p10", before: "p14" })) some.push(event.payload);
  assert.deepEqual(some, [{ seq: 11 }, { seq: 12 }, { seq: 13 }]);
  const backwards: number[] = [];
  for await (const event of space.events({ reverse: true, after: "p300", limit: 299 })) backwards.push(event.seq);
  assert.deepEqual(backwards, Array.from({ length: 299 }, (_, i) => 2500 - i));
  assert.throws(() => space.events({ live: true, reverse: true }), { code: "bad_argument" });
  assert.throws(() => space.events({ after: "7" }), { code: "bad_argument" });
});

test("live iteration waits for changes and loses none that come while it reads", async () => {
  const { worker, space } = await opened();
  worker.head = 2;
  const seen: number[] = [];
  const abort = new AbortController();
  const done = (async () => {
    for await (const event of space.events({ live: true, signal: abort.signal })) {
      seen.push(event.seq);
      if (event.seq === 3) worker.change(4); // while the batch of 3 is being looked at
    }
  })();
  await settled();
  assert.deepEqual(seen, [1, 2]);
  worker.change(3);
  await settled();
  await settled();
  assert.deepEqual(seen, [1, 2, 3, 4]);
  abort.abort();
  await done;
});

test("return ends an iteration that waits", async () => {
  const { space } = await opened();
  const events = space.events({ live: true });
  const next = events.next();
  await settled();
  await events.return();
  assert.equal((await next).done, true);
});

test("status and infos are replaced, never changed, and listeners are told", async () => {
  const { worker, client, space } = await opened();
  const before = { status: client.status, spaces: client.spaces(), info: space.info() };
  let told = 0;
  const stop = client.subscribe(() => told++);
  worker.change(3);
  assert.equal(told, 1);
  assert.notEqual(client.status, before.status);
  assert.equal(client.status.connection, "online");
  assert.notEqual(client.spaces(), before.spaces);
  assert.equal(before.info.seq, 0);
  assert.equal(space.info().seq, 3);
  assert.equal(client.spaces(), client.spaces());
  stop();
  worker.change(4);
  assert.equal(told, 1);
});

test("close waits for what is not durable and rejects what is not synced", async () => {
  const { worker, client, space } = await opened();
  const receipt = space.append("note");
  const ref = worker.ref("append");
  worker.answer(ref);
  const closing = client.close();
  await settled();
  assert.ok(!worker.terminated);
  worker.answer(ref);
  await closing;
  assert.ok(worker.terminated);
  await receipt.durable;
  await assert.rejects(receipt.synced, { code: "closed" });
  await assert.rejects(space.pending(), { code: "closed" });
  await assert.rejects(space.append("note").applied, { code: "closed" });
});

test("what waits is asked for in pieces, from either end", async () => {
  const { worker, space } = await opened();
  const row = (n: number) => [new Uint8Array(16).fill(n), ["alice", 1, new Uint8Array(0), []], 0, n, n, 0, "", 0];
  for (const [options, asked, times] of [
    [undefined, [1000, false], [1, 2]],
    [{ limit: 20 }, [20, false], [1, 2]],
    [{ limit: 1, reverse: true }, [1, true], [2, 1]],
    [{ limit: Infinity }, [2 ** 31 - 1, false], [1, 2]],
  ] as const) {
    const pending = space.pending(options);
    const message = worker.messages("pending").at(-1)!;
    assert.deepEqual(message.slice(3), asked);
    worker.answer(message[0], encode([row(1), row(2)]));
    assert.deepEqual((await pending).map(({ appendedAt }) => appendedAt), times);
  }
  const before = worker.messages("pending").length;
  for (const limit of [0, -1, 0.5, NaN]) assert.deepEqual(await space.pending({ limit }), []);
  assert.equal(worker.messages("pending").length, before);
});

test("a worker of another build is loaded once more, past caches, and then not talked to", async () => {
  const workers: FakeWorker[] = [];
  const reloaded: unknown[] = [];
  globalThis.fetch = async (file, options) => {
    reloaded.push([file, options?.cache]);
    return new Response();
  };
  const start = () => {
    const worker = new FakeWorker();
    worker.postMessage = function (this: FakeWorker, message: unknown) {
      if ((message as unknown[])[1] === "start") queueMicrotask(() => this.tell([0, "failed", ["build_mismatch", "other"]]));
    };
    workers.push(worker);
    return worker;
  };
  await assert.rejects(open({ url: null, name: fresh(), identity: "a", worker: start, wasmUrl: "https://page.test/x" }), { code: "build_mismatch" });
  assert.deepEqual(workers.map((worker) => worker.terminated), [true, true]);
  assert.deepEqual(reloaded, [["https://page.test/x", "reload"]]);
});

test("a page that was loaded without https is told so", async () => {
  Object.assign(globalThis, { isSecureContext: false });
  try {
    await assert.rejects(open({ url: null, worker: () => new FakeWorker() }), { code: "insecure_context" });
  } finally {
    Reflect.deleteProperty(globalThis, "isSecureContext");
  }
});

test("a signal gives up opening", async () => {
  const worker = new FakeWorker();
  worker.postMessage = () => {};
  const abort = new AbortController();
  const opening = open({ url: null, name: fresh(), identity: "a", worker: () => worker, wasmUrl: "https://page.test/x", signal: abort.signal });
  abort.abort();
  await assert.rejects(opening, { code: "closed" });
  assert.ok(worker.terminated);
});

test("what differs is told once for each type, and again of another module or by other code", async () => {
  const { worker, client } = await opened();
  const code = (version: string): ModuleCode => ({ hash: version.repeat(64).slice(0, 64), name: "chat", version, api: "", events: {}, tables: {} });
  const told: string[] = [];
  client.on("warning", ({ name, reason }) => told.push(`${name}: ${reason}`));
  const read = async (version: string, type: string): Promise<void> => void (await client.space(id, code(version)).read({ type, schema: "0".repeat(16), payload: {} }));
  await read("1", "note");
  await read("1", "note");
  await read("1", "other");
  await read("2", "note"); // another part of the page has newer code
  assert.deepEqual(told.splice(0), ["note: chat 1 does not know it", "other: chat 1 does not know it", "note: chat 2 does not know it"]);
  worker.change(0, 0xcd);
  await settled();
  await read("1", "note");
  await read("1", "note");
  assert.deepEqual(told, ["note: chat 1 does not know it"]);
  await client.close();
});
