// What becomes of a page whose worker fails, played here so that it fails when the test says.
import { encode } from "@msgpack/msgpack";
import assert from "node:assert/strict";
import { beforeEach, test, type TestContext } from "node:test";
import { open, type OpenOptions, type Verdict } from "../src/index.js";
import { parseULID } from "../src/ulid.js";
import { fromHex } from "./root.js";
import { FakeWorker, id } from "./fake.js";

let names = 0;

process.on("unhandledRejection", (error) => {
  throw error;
});

/** What a page has and Node has not. */
const page = new EventTarget();
const document = Object.assign(new EventTarget(), { visibilityState: "visible" });
const warns = () => !page.dispatchEvent(new Event("beforeunload", { cancelable: true }));

beforeEach(() => {
  document.visibilityState = "visible";
  Object.assign(globalThis, {
    document,
    addEventListener: page.addEventListener.bind(page),
    removeEventListener: page.removeEventListener.bind(page),
  });
});

const settled = () => new Promise((resolve) => setImmediate(resolve));

/** Opens a replica whose workers are played, the newest last, and whose clock is the test's. */
async function opened(t: TestContext, options: OpenOptions = {}, prepare = (_: FakeWorker, __: number) => {}) {
  t.mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"] });
  const workers: FakeWorker[] = [];
  const all: OpenOptions = {
    url: "ws://127.0.0.1:1/sync", name: `supervision-${names++}`, identity: "alice", wasmUrl: "https://page.test/client.wasm",
    worker: () => {
      const worker = new FakeWorker();
      prepare(worker, workers.push(worker));
      return worker;
    },
    ...options,
  };
  const client = await open(all);
  const end = async () => {
    const closing = client.close();
    await settled();
    for (let i = 0; i < 3; i++) {
      t.mock.timers.tick(1000);
      await settled();
    }
    await closing;
  };
  return { workers, client, space: client.space(id), options: all, end, worker: () => workers.at(-1)! };
}

const crash = (worker: FakeWorker) => worker.onerror?.({ message: "out of memory" } as ErrorEvent);

/** Lets so many ticks of the page's clock pass, each with time for answers. */
async function ticks(t: TestContext, n: number): Promise<void> {
  for (let i = 0; i < n; i++) {
    t.mock.timers.tick(2000);
    await settled();
  }
}

async function restarted(t: TestContext): Promise<void> {
  await settled();
  t.mock.timers.tick(0);
  await settled();
}

test("another worker is told everything that waits, in its order, and nothing else", async (t) => {
  const { worker, client, space, end } = await opened(t);
  const first = worker();
  const receipts = ["a", "b", "c", "d"].map((type) => space.append(type));
  const [a, b, c] = first.messages("append") as [[number, string], [number, string], [number, string]];
  for (const result of [null, null, encode([1])]) first.answer(a[0], result);
  for (const result of [null, null]) first.answer(b[0], result);
  first.answer(c[0]);
  first.mute.add("pending");
  const pending = space.pending();
  const live = space.events({ live: true })[Symbol.asyncIterator]();
  const next = live.next();
  await settled();
  assert.equal(client.status.undurable, 2);
  crash(first);
  assert.ok(first.terminated);
  assert.equal(client.status.worker, "restarting");
  assert.deepEqual([client.status.connection, client.status.code], ["offline", "internal"]);
  await restarted(t);
  const second = worker();
  assert.notEqual(second, first);
  assert.equal(client.status.worker, "running");
  assert.equal(client.status.code, undefined);
  const told = second.sent.map(([, method, ...args]) => [method, ...args]);
  const bytes = first.messages("append").map((message) => message[3]);
  assert.deepEqual(told.slice(2), [
    ["lifecycle", "visible"],
    ["space", id],
    ["receipt", id, receipts[1]!.id],
    ["append", id, bytes[2], true],
    ["append", id, bytes[3], true],
    ["pending", id, 1000, false],
    ["read", id, 0, 512, 256 << 10], // the iteration looks whether something came meanwhile
  ]);
  assert.deepEqual(told.slice(0, 2).map(([method]) => method), ["start", "open"]);

  // The second worker's answers count from the first again.
  const receipt = second.messages("receipt")[0]!;
  const [again, last] = second.messages("append") as [[number, string], [number, string]];
  for (const [ref, results] of [[receipt[0], [null, null, encode([2])]], [again[0], [null, null, encode([3])]], [last[0], [null]]] as const) {
    for (const result of results) second.answer(ref, result);
  }
  second.answer(second.ref("pending"), encode([]));
  second.change(1);
  assert.deepEqual(await pending, []);
  assert.equal((await next).value?.seq, 1);
  assert.deepEqual(await Promise.all(receipts.slice(0, 3).map((r) => r.synced.then(({ seq }) => seq))), [1, 2, 3]);
  await receipts[3]!.applied;
  let durable = false;
  void receipts[3]!.durable.then(() => (durable = true));
  await settled();
  assert.equal(durable, false);
  second.answer(last[0]);
  await settled();
  assert.ok(durable);
  assert.equal(client.status.undurable, 0);
  await end();
  await assert.rejects(receipts[3]!.synced, { code: "closed" });
});

test("a space is made with the same stamp by the next worker", async (t) => {
  const { worker, client, end } = await opened(t, {}, (w) => w.mute.add("create"));
  const making = client.createSpace({ params: { name: "x" } });
  const [asked] = worker().messages("create");
  crash(worker());
  await restarted(t);
  const [again] = worker().messages("create");
  assert.deepEqual(again!.slice(2), asked!.slice(2));
  assert.equal((again![4] as Uint8Array).length, 16);
  worker().mute.clear();
  const bytes = fromHex(id);
  worker().answer(again![0], encode([bytes, [new Uint8Array(16), "alice", bytes, new Uint8Array()], false, bytes, 0, bytes, false, 0, 0, 0, 0, "", 0]));
  assert.equal((await making).id, id);
  await end();
});

test("silence counts while the page is visible and its clock on time", async (t) => {
  const { workers, worker, client, end } = await opened(t);
  await ticks(t, 20);
  assert.equal(workers.length, 1); // it answers pings
  worker().mute.add("ping");
  document.visibilityState = "hidden";
  await ticks(t, 20);
  assert.equal(workers.length, 1);
  document.visibilityState = "visible";
  for (let i = 0; i < 20; i++) {
    const now = Date.now();
    t.mock.timers.setTime(now + 60_000); // the machine slept: all that was due comes at once
    await settled();
  }
  assert.equal(workers.length, 1);
  const before = worker();
  before.mute.add("ping");
  await ticks(t, 4);
  assert.ok(!before.terminated);
  await ticks(t, 3);
  assert.ok(before.terminated);
  await restarted(t);
  assert.equal(client.status.worker, "running");
  await end();
});

test("a worker that fails again and again is started more and more seldom, and status says so", async (t) => {
  const { workers, client, space, end } = await opened(t, {}, (worker, n) => {
    if (n > 1 && n < 9) worker.mute.add("open");
  });
  const receipt = space.append("note");
  crash(workers[0]!);
  const waits: number[] = [];
  for (let n = 1; n < 9; n++) {
    let waited = 0;
    while (workers.length === n) {
      t.mock.timers.tick(waited < 250 ? 50 : 250);
      waited += waited < 250 ? 50 : 250;
      await settled();
    }
    waits.push(waited);
    if (n < 8) {
      assert.equal(client.status.worker, n < 5 ? "restarting" : "failing");
      crash(workers[n]!);
    }
  }
  assert.deepEqual(waits.map((wait) => Math.round(wait / 1000)), [0, 0, 1, 4, 16, 30, 30, 30]);
  await settled();
  assert.equal(client.status.worker, "running");
  assert.equal(workers[8]!.messages("append").length, 1);
  await ticks(t, 16);
  crash(workers[8]!); // that lived long enough to be the first failure
  t.mock.timers.tick(0);
  await settled();
  assert.equal(workers.length, 10);
  for (const result of [null, null]) workers[9]!.answer(workers[9]!.ref("append"), result);
  await receipt.durable;
  await end();
});

test("what another start would not change ends the client, and every failure is told", async (t) => {
  const verdicts: Verdict[] = [];
  const { workers, client, space } = await opened(t, {}, (worker, n) => {
    if (n > 1) worker.mute.add("open");
  });
  client.on("verdict", (verdict) => verdicts.push(verdict));
  const receipt = space.append("note");
  const pending = space.pending();
  const events = space.events({ live: true }).next();
  crash(workers[0]!);
  await restarted(t);
  const second = workers[1]!;
  second.answer(second.ref("open"), null, ["upgrade_required", "reload the page"]);
  await assert.rejects(receipt.durable, { code: "upgrade_required" });
  await assert.rejects(receipt.synced, { code: "upgrade_required" });
  await assert.rejects(pending, { code: "upgrade_required" });
  await assert.rejects(events, { code: "upgrade_required" });
  assert.deepEqual([client.status.code, client.status.worker, client.status.undurable], ["upgrade_required", "ended", 0]);
  assert.deepEqual(verdicts.map(({ id, code }) => [id, code]), [[receipt.id, "upgrade_required"]]);
  assert.equal(client.status.refusal, verdicts[0]);
  await client.close();
});

test("a worker whose script never comes makes way for another, also before any was open", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"] });
  const workers: FakeWorker[] = [];
  const opening = open({
    url: "ws://127.0.0.1:1/sync", name: `supervision-${names++}`, identity: "alice", wasmUrl: "https://page.test/client.wasm",
    worker: () => {
      const worker = new FakeWorker();
      const n = workers.push(worker);
      if (n < 3) worker.mute.add("start");
      if (n < 4) worker.mute.add("open"); // the third is there, and takes long to load the rest
      return worker;
    },
  });
  const counts: number[] = [];
  await settled();
  for (const ms of [19_999, 1, 20_000, 250, 60_000]) {
    t.mock.timers.tick(ms);
    await settled();
    counts.push(workers.length);
  }
  assert.deepEqual(counts, [1, 2, 2, 3, 3]);
  assert.deepEqual(workers.map(({ terminated }) => terminated), [true, true, false]);
  const third = workers[2]!;
  third.mute.clear();
  third.postMessage(third.messages("open")[0]!);
  const client = await opening;
  assert.equal(client.status.worker, "running");
  const closing = client.close();
  await settled();
  t.mock.timers.tick(1000);
  await closing;
});

test("a call that three workers die of is given up, a transaction never", async (t) => {
  const { workers, worker, space, end } = await opened(t, {}, (w) => w.mute.add("pending"));
  const receipt = space.append("note");
  const pending = space.pending();
  for (let i = 0; i < 6; i++) {
    const waits = pending.then(() => "", (error: { code: string }) => error.code);
    crash(worker());
    if (i === 2) assert.equal(await waits, "internal");
    await ticks(t, 20);
  }
  assert.deepEqual(workers.map((w) => w.messages("pending").length), [1, 1, 1, 0, 0, 0, 0]);
  assert.deepEqual(workers.map((w) => w.messages("append").length), [1, 1, 1, 1, 1, 1, 1]);
  for (const result of [null, null]) worker().answer(worker().ref("append"), result);
  await receipt.durable;
  await end();
});

test("close does not wait for ever for a worker that keeps failing", async (t) => {
  const { workers, client, space } = await opened(t, {}, (worker, n) => {
    if (n > 1) worker.mute.add("open");
  });
  const receipt = space.append("note");
  crash(workers[0]!);
  await restarted(t);
  crash(workers[1]!);
  const closing = client.close(); // starts the next one at once, for the last time
  assert.equal(workers.length, 3);
  crash(workers[2]!);
  await closing;
  await assert.rejects(receipt.durable, { code: "internal" });
});

test("what is written while the worker may be suspended waits in the page", async (t) => {
  const { worker, space, end } = await opened(t);
  const say = (name: string, persisted = false) => page.dispatchEvent(Object.assign(new Event(name), { persisted }));
  const since = () => worker().sent.splice(0).map(([, method, what]) => (method === "lifecycle" ? what : method));
  space.append("note"); // there is something to be flushed
  since();
  say("pagehide");
  const receipt = space.append("note");
  const pending = space.pending();
  assert.deepEqual(since(), ["pagehide"]);
  say("pageshow", true);
  assert.deepEqual(since(), ["pageshow", "append", "pending"]);
  say("pageshow"); // of a page that was only loaded
  document.visibilityState = "hidden";
  document.dispatchEvent(new Event("visibilitychange"));
  document.dispatchEvent(new Event("freeze"));
  const second = space.append("note");
  document.dispatchEvent(new Event("resume"));
  assert.deepEqual(since(), ["hidden", "freeze", "resume", "append"]);
  say("online");
  assert.deepEqual(since(), ["poke"]);
  document.visibilityState = "visible";
  document.dispatchEvent(new Event("visibilitychange"));
  document.dispatchEvent(new Event("freeze"));
  const third = space.append("note");
  assert.deepEqual(since(), ["visible", "freeze"]);
  t.mock.timers.tick(2000); // nobody told that the page goes on, but its clock does
  assert.deepEqual(since(), ["visible", "append"]);
  for (const ref of [1, 2]) worker().answer(ref); // answers that nobody waits for are harmless
  void pending;
  void receipt;
  crash(worker()); // its answers were thrown away: another one gives them
  await restarted(t);
  for (const [ref] of worker().messages("append")) for (const result of [null, null]) worker().answer(ref, result);
  await Promise.all([receipt.durable, second.durable, third.durable]);
  worker().answer(worker().ref("pending"), encode([]));
  await pending;
  await end();
});

test("a page that is left with nothing to be flushed ends its worker, and has another one when it is come back to", async (t) => {
  const { workers, client, space, end } = await opened(t);
  const pending = space.pending();
  page.dispatchEvent(Object.assign(new Event("pagehide"), { persisted: true }));
  assert.ok(workers[0]!.terminated);
  const receipt = space.append("note");
  page.dispatchEvent(Object.assign(new Event("pagehide"), { persisted: true })); // twice changes nothing
  assert.equal(workers.length, 1);
  assert.equal(client.status.worker, "running");
  page.dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true }));
  await settled();
  assert.equal(workers.length, 2);
  assert.deepEqual(workers[1]!.sent.map(([, method]) => method), ["start", "open", "lifecycle", "space", "pending", "append"]);
  for (const result of [null, null]) workers[1]!.answer(workers[1]!.ref("append"), result);
  await receipt.durable;
  workers[1]!.answer(workers[1]!.ref("pending"), encode([]));
  await pending;
  await end();
});

test("a page has one worker for a replica, until a second after the last close", async (t) => {
  const { workers, worker, client, space, options } = await opened(t);
  const other = await open(options);
  assert.equal(workers.length, 1);
  await assert.rejects(open({ ...options, clientVersion: "2" }), { code: "bad_argument" });
  await assert.rejects(open({ ...options, wasmUrl: "https://page.test/other.wasm" }), { code: "bad_argument" });
  const receipt = space.append("note");
  const ref = worker().ref("append");
  worker().answer(ref);
  worker().answer(ref);
  let told = 0;
  client.subscribe(() => told++);
  const live = space.events({ live: true });
  const next = live.next();
  await settled();
  await client.close(); // not the last one
  await assert.rejects(receipt.synced, { code: "closed" });
  await assert.rejects(space.append("late").durable, { code: "closed" });
  await assert.rejects(next, { code: "closed" });
  await assert.rejects(client.createSpace(), { code: "closed" });
  told = 0;
  worker().change(1);
  assert.equal(told, 0);
  const late = other.space(id).append("note");
  for (const result of [null, null]) worker().answer(worker().ref("append"), result);
  await late.durable;

  const closing = other.close();
  await settled();
  t.mock.timers.tick(999);
  const third = await open(options);
  await closing;
  assert.equal(workers.length, 1);
  t.mock.timers.tick(5000);
  await settled();
  assert.ok(!worker().terminated);
  const last = third.close();
  assert.equal(third.close(), last);
  await settled();
  t.mock.timers.tick(1000);
  await last;
  assert.ok(worker().terminated);
  const fourth = await open(options);
  assert.equal(workers.length, 2);
  const end = fourth.close();
  await settled();
  t.mock.timers.tick(1000);
  await end;
});

test("the browser asks before a page is left that holds what is not durable", async (t) => {
  const { worker, client, space, end } = await opened(t);
  let told = 0;
  client.subscribe(() => told++);
  assert.equal(warns(), false);
  const receipts = [space.append("a"), space.append("b")];
  assert.equal(warns(), true);
  assert.equal(client.status.undurable, 2);
  await settled();
  assert.equal(told, 1);
  for (const [ref] of worker().messages("append")) {
    assert.equal(warns(), true);
    worker().answer(ref);
    worker().answer(ref);
    await settled();
  }
  await Promise.all(receipts.map((receipt) => receipt.durable));
  assert.equal(warns(), false);
  assert.equal(client.status.undurable, 0);
  space.append("c");
  worker().answer(worker().ref("append"), null, ["quota", "full"]);
  await settled();
  assert.equal(warns(), false);
  assert.equal(client.status.refusal?.code, "quota");
  await end();
});

test("in memory nothing is durable, all of it reaches the server, and another worker is told it anew", async (t) => {
  const { worker, client, space, end } = await opened(t, {}, (w) => {
    w.storage = "memory";
    w.mute.add("create");
  });
  assert.equal(client.status.storage.state, "memory");
  const making = client.createSpace();
  const bytes = fromHex(id);
  worker().answer(worker().ref("create"), encode([bytes, [new Uint8Array(16), "alice", bytes, new Uint8Array()], false, bytes, 0, bytes, false, 0, 0, 0, 0, "", 0]));
  await making;
  const receipt = space.append("note");
  const first = worker();
  first.answer(first.ref("append"));
  first.answer(first.ref("append"));
  await assert.rejects(receipt.durable, { code: "not_durable" });
  assert.equal(warns(), true);
  crash(first);
  await restarted(t);
  assert.deepEqual(worker().sent.map((message) => message[1]), ["start", "open", "lifecycle", "create", "space", "append"]);
  assert.deepEqual(worker().messages("append")[0]!.slice(2), [...first.messages("append")[0]!.slice(2, -1), true]);
  for (const result of [null, null, encode([1])]) worker().answer(worker().ref("append"), result);
  assert.equal((await receipt.synced).seq, 1);
  assert.equal(warns(), false);
  await end();
});

test("refusals are told, whoever wrote it, and status keeps the last one", async (t) => {
  const { worker, client, space, end } = await opened(t);
  const verdicts: Verdict[] = [];
  const stop = client.on("verdict", (verdict) => verdicts.push(verdict));
  assert.throws(() => client.on("verdicts" as "verdict", () => {}), { code: "bad_argument" });
  const receipt = space.append("note");
  for (const result of [null, null, encode([4])]) worker().answer(worker().ref("append"), result);
  await receipt.synced;
  const refused = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
  worker().tell([0, "refused", encode([fromHex(id), parseULID(refused), 81, "not yours"])]);
  assert.deepEqual(verdicts.map((v) => ({ ...v })), [
    { space: id, id: receipt.id, code: undefined, reason: "", position: "p4" },
    { space: id, id: refused, code: "forbidden", reason: "not yours", position: undefined },
  ]);
  assert.equal(client.status.refusal, verdicts[1]);
  const gone = space.append("note");
  for (const result of [null, null]) worker().answer(worker().ref("append"), result);
  worker().answer(worker().ref("append"), null, ["replica_lost", "deleted"]);
  await assert.rejects(gone.synced, { reason: "deleted" });
  assert.deepEqual([verdicts[2]?.id, verdicts[2]?.reason], [gone.id, "deleted"]);
  stop();
  worker().tell([0, "refused", encode([fromHex(id), parseULID(refused), 81, "not yours"])]);
  assert.equal(verdicts.length, 3);
  await end();
});

test("a receipt is found again by its id", async (t) => {
  const { worker, space, end } = await opened(t);
  const name = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
  const receipt = space.receipt(name.toLowerCase());
  assert.equal(receipt.id, name);
  assert.deepEqual(worker().messages("receipt")[0]!.slice(2), [id, name]);
  crash(worker());
  await restarted(t);
  for (const result of [null, null, encode([9])]) worker().answer(worker().ref("receipt"), result);
  assert.equal((await receipt.synced).position, "p9");
  await receipt.durable;
  assert.throws(() => space.receipt("7"), { code: "bad_argument" });
  const lost = space.receipt(name);
  worker().answer(worker().ref("receipt"));
  worker().answer(worker().ref("receipt"), null, ["discarded", ""]);
  await assert.rejects(lost.durable, { code: "discarded" });
  await assert.rejects(lost.synced, { code: "discarded" });
  await end();
});

test("a retry that the last worker did before it failed is no failure", async (t) => {
  const { worker, space, end } = await opened(t);
  const name = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
  const retried = space.retry(name);
  crash(worker());
  await restarted(t);
  worker().answer(worker().ref("retry"), null, ["not_found", ""]);
  await retried;
  const missing = space.retry(name);
  worker().answer(worker().ref("retry"), null, ["not_found", ""]);
  await assert.rejects(missing, { code: "not_found" });
  await end();
});

test("storage is asked about at the first durable write, and not to be evicted where nobody is asked", async (t) => {
  const calls: string[] = [];
  const storage = (persisted: boolean) => ({
    persisted: async () => persisted,
    estimate: async () => ({ usage: 5, quota: 100 }),
    persist: async () => {
      calls.push("persist");
      persisted = true;
      return true;
    },
  });
  const navigator = (userAgent: string, state: string, has = false) =>
    Object.defineProperty(globalThis, "navigator", {
      configurable: true,
      value: { userAgent, storage: storage(has), permissions: { query: async () => ({ state }) } },
    });
  const original = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  t.after(() => void (original ? Object.defineProperty(globalThis, "navigator", original) : Reflect.deleteProperty(globalThis, "navigator")));
  for (const [agent, state, asked] of [
    ["Chrome/1", "prompt", true], ["Firefox/1", "prompt", false], ["Firefox/1", "granted", true], ["Chrome/1", "denied", false],
  ] as const) {
    navigator(agent, state);
    const { worker, client, space, end } = await opened(t);
    await settled();
    assert.deepEqual(client.status.storage, { state: "ok", persisted: false, usage: 5, quota: 100 });
    assert.deepEqual(calls, []);
    const receipt = space.append("note");
    for (const result of [null, null]) worker().answer(worker().ref("append"), result);
    await receipt.durable;
    await settled();
    assert.deepEqual(calls.splice(0), asked ? ["persist"] : [], `${agent} ${state}`);
    assert.equal(client.status.storage.persisted, asked);
    if (!asked) {
      assert.equal(await client.persist(), true); // from a click
      assert.equal(client.status.storage.persisted, true);
      calls.length = 0;
    }
    await end();
    t.mock.timers.reset();
  }
});

test("a worker that has grown large makes way for another when it has nothing to do, and not again at once", async (t) => {
  const { worker, workers, space, end } = await opened(t, {}, (worker) => (worker.memory = 257 << 20));
  const busy = space.append("note");
  await ticks(t, 35); // over a minute
  assert.equal(workers.length, 1, "it was replaced over what it had not made durable");
  const [[ref]] = worker().messages("append") as [[number, string]];
  for (const result of [null, null]) worker().answer(ref, result);
  await busy.durable;
  await ticks(t, 35);
  assert.equal(workers.length, 2);
  assert.ok(workers[0]!.terminated);
  assert.deepEqual(worker().messages("receipt").map(([, , space, id]) => [space, id]), [[id, busy.id]]);
  await ticks(t, 200);
  assert.equal(workers.length, 2, "within ten minutes it was replaced again");
  await ticks(t, 100);
  assert.equal(workers.length, 3);
  await end();
});

test("a worker of ordinary size stays", async (t) => {
  const { workers, end } = await opened(t, {}, (worker) => (worker.memory = 256 << 20));
  await ticks(t, 700);
  assert.equal(workers.length, 1);
  await end();
});
