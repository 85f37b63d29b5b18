// What survives: the browser's death, a page without a server, a reload.
import { decode } from "@msgpack/msgpack";
import assert from "node:assert/strict";
import { appendFileSync, existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { formatULID, parseULID } from "../src/ulid.js";
import { fromHex } from "../test/root.js";
import { follow, noteDurable, write } from "./torture.js";
import { assertSameLogs, readLogs, seededBy, World } from "./world.js";

test("what was durable is there after the browser was killed, and syncs then", { timeout: 90_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada");
    await ada.wire.cut();
    const written = await ada.page.evaluate(async () => {
      const { client } = globalThis.skerry;
      const space = await client.createSpace({ params: { name: "kept" } });
      const receipts = Array.from({ length: 50 }, (_, i) => space.append("note", { i }));
      await Promise.all(receipts.map((receipt) => receipt.durable));
      return { id: space.id, stamp: space.stamp, ids: receipts.map((receipt) => receipt.id) };
    });
    // Only this device has it, and the browser may evict it.
    await ada.until("at risk", (c) => c.status.atRisk === (c.status.storage.persisted ? 0 : 1));
    await ada.kill();
    await ada.launch();
    await ada.load(); // with no server: the service worker serves it
    const found = await ada.page.evaluate(async (id) => {
      const space = globalThis.skerry.client.space(id);
      return { stamp: space.stamp, ids: (await space.pending()).map((transaction) => transaction.id) };
    }, written.id);
    assert.deepEqual(found, { stamp: written.stamp, ids: written.ids });
    await ada.wire.mend();
    await ada.poke();
    await ada.synced();
    await ada.until("at no risk", (c) => c.status.atRisk === 0);
    const logs = await assertSameLogs(world, [written.id]);
    assert.deepEqual(logs.get(written.id), written.ids);
  }),
);

test("the browser is killed after each of a transaction's three moments", { timeout: 90_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada");
    const id = await ada.page.evaluate(async () => (await globalThis.skerry.client.createSpace()).id);
    await ada.synced();
    const wanted: string[] = [];
    for (const moment of ["applied", "durable", "synced"] as const) {
      if (moment !== "synced") await ada.wire.cut();
      const ids = await ada.page.evaluate(
        async ([id, moment]) => {
          const receipt = globalThis.skerry.client.space(id).transact(["a", "b", "c"].map((type) => ({ type, payload: moment })));
          await receipt[moment];
          return [...receipt.ids];
        },
        [id, moment] as const,
      );
      await ada.kill();
      if (moment === "synced") assert.equal((await world.server.log(id)).at(-1)?.id, ids.at(-1)); // in the log, whatever became of the device
      await ada.launch();
      await ada.load();
      const kept = await ada.page.evaluate(
        async (id) => (await globalThis.skerry.client.space(id).pending()).map((transaction) => [transaction.id, transaction.events.length] as const),
        id,
      );
      if (moment === "applied" && kept.length === 0) ids.length = 0; // shown, and promised nothing; but never a part of it
      else if (moment !== "synced") assert.deepEqual(kept, [[ids[0], 3]]);
      wanted.push(...ids);
      await ada.wire.mend();
      await ada.poke();
      await ada.synced();
    }
    assert.deepEqual((await assertSameLogs(world, [id])).get(id), wanted);
  }),
);

test("a browser that was killed in the middle of a write is killed again, and everything is there", { timeout: 90_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada");
    await ada.wire.cut();
    const [id, before] = await ada.page.evaluate(async () => {
      const space = await globalThis.skerry.client.createSpace();
      const receipt = space.append("note", "before");
      await receipt.durable;
      return [space.id, receipt.id] as const;
    });
    const databases = join(ada.profile, "Default", "IndexedDB");
    await ada.kill();
    const torn = readdirSync(databases, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".log"));
    for (const log of torn) tear(join(databases, log));
    await ada.launch();
    await ada.load();
    while (torn.some((log) => existsSync(join(databases, log)))) await new Promise((resolve) => setTimeout(resolve, 20));
    const after = await ada.page.evaluate(async (id) => {
      const receipt = globalThis.skerry.client.space(id).append("note", "after");
      await receipt.durable;
      return receipt.id;
    }, id);
    await ada.kill();
    await ada.launch();
    await ada.load();
    const kept = await ada.page.evaluate(async (id) => (await globalThis.skerry.client.space(id).pending()).map((transaction) => transaction.id), id);
    assert.deepEqual(kept, [before, after]);
    await ada.wire.mend();
    await ada.poke();
    await ada.synced();
    assert.deepEqual((await assertSameLogs(world, [id])).get(id), [before, after]);
  }),
);

/** Leaves a log of LevelDB as a writer does that ends between a record's head and its last byte: a CRC of 4 bytes, a length, a kind. */
function tear(log: string): void {
  const block = 32_768;
  const left = block - (statSync(log).size % block);
  if (left < 8) appendFileSync(log, Buffer.alloc(left)); // no record begins here
  const room = left < 8 ? block : left;
  const length = Math.min(100, room - 7);
  appendFileSync(log, Buffer.from([1, 2, 3, 4, length, 0, 1, ...Array<number>(length - 1).fill(5)]));
}

const kills = Number(process.env["SKERRY_KILLS"] ?? 10);
const killSeed = Number(process.env["SKERRY_KILLS_SEED"]) || Math.floor(Math.random() * 2 ** 30);

test(`the browser is killed ${kills} times at random while it writes (seed ${killSeed})`, { timeout: 60_000 + kills * 30_000 }, () =>
  World.run([], async (world) => {
    const random = seededBy(killSeed);
    const ada = await world.replica("ada");
    const spaces = await ada.page.evaluate(async () => {
      const made = await Promise.all([0, 1].map(() => globalThis.skerry.client.createSpace()));
      return made.map((space) => space.id);
    });
    await ada.synced();
    const durable = new Set<string>();
    for (let n = 0; n < kills; n++) {
      noteDurable(ada.page, durable);
      await follow(ada.page, spaces);
      const offline = random() < 0.3;
      if (offline) await ada.wire.cut();
      await write(ada.page, spaces, `life ${n}`);
      const wait = 50 + random() * 1500;
      await new Promise((resolve) => setTimeout(resolve, wait));
      await ada.kill();
      if (offline) await ada.wire.mend();
      await ada.launch();
      await ada.load();
      if (n % 10 === 9) console.log(`${n + 1} kills, ${durable.size} events were durable`);
    }
    await ada.poke();
    await ada.synced();
    const logs = await assertSameLogs(world, spaces);
    const all = [...logs.values()].flat();
    const there = new Set(all);
    assert.ok(durable.size > kills, `only ${durable.size} events were durable`);
    assert.deepEqual([...durable].filter((id) => !there.has(id)), [], "what was durable is not in the log");
    assert.equal(there.size, all.length, "an event is in the log twice");
    const texts = (await readLogs(ada.page, spaces)).flatMap((log) => log.records.map((record) => record.payload));
    assert.equal(new Set(texts).size, texts.length, "an event is in the log twice, under two ids");
    console.log(`${durable.size} events were durable before a kill, ${all.length} are in the log`);
  }),
);

test("what only this device has is written with strict durability", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada");
    // From here on each transaction of the worker's notes which stores it is over and how durable it is.
    const worker = ada.page.workers().find((w) => w.url().includes("worker-"));
    assert.ok(worker);
    await worker.evaluate(() => {
      const prototype = IDBDatabase.prototype;
      const begin = prototype.transaction;
      Object.assign(globalThis, { told: [] });
      prototype.transaction = function (stores, mode, options) {
        const t = begin.call(this, stores, mode, options);
        (globalThis as unknown as { told: unknown[] }).told.push({ mode: t.mode, durability: t.durability, stores: [...t.objectStoreNames] });
        return t;
      };
    });
    await ada.wire.cut(); // so that every write is the user's own
    await ada.page.evaluate(async () => {
      const space = await globalThis.skerry.client.createSpace();
      await space.append("note", 1).durable;
      await space.transact([{ type: "note" }, { type: "note" }]).durable;
    });
    type Told = { mode: string; durability: string; stores: string[] };
    const told = await worker.evaluate(() => (globalThis as unknown as { told: Told[] }).told);
    const outbox = told.filter((t) => t.mode === "readwrite" && t.stores.includes("outbox"));
    assert.ok(outbox.length > 0, JSON.stringify(told));
    assert.deepEqual(outbox.filter((t) => t.durability !== "strict"), []);
  }),
);

test("with no server the page loads, and a reload keeps what is not synced", { timeout: 90_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada");
    await world.server.kill();
    await ada.load();
    await ada.page.fill("#name", "no network");
    await ada.page.click("#create button");
    await ada.page.waitForSelector("h2:text('no network')");
    await ada.page.fill("#text", "still here");
    await ada.page.press("#text", "Enter");
    await ada.page.waitForSelector("#messages li .mark.durable");
    await ada.page.reload();
    await ada.page.waitForSelector("#messages li:has-text('still here') .mark.durable");
    await world.server.start();
    await ada.poke();
    await ada.page.waitForSelector("#messages li:has-text('still here') .mark.synced");
  }),
);

test("stamp, creator and params are equal on the maker, on another device and on the command line", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada");
    const bob = await world.replica("bob");
    const made = await ada.page.evaluate(async () => {
      const space = await globalThis.skerry.client.createSpace({ params: { name: "équal", nested: [1, { a: null }] } });
      space.append("note", "so that there is something");
      const { id, stamp, creator, module, params } = space.info();
      return { id, stamp, creator, module, params };
    });
    assert.equal(made.creator, ada.identity);
    assert.equal(formatULID(parseULID(made.stamp!)), made.stamp);
    await ada.synced();
    await bob.page.evaluate((id) => void globalThis.skerry.client.space(id), made.id);
    await bob.page.evaluate((id) => Object.assign(globalThis, { wanted: id }), made.id);
    await bob.until("told of the space", (c) => {
      const { wanted } = globalThis as unknown as { wanted: string };
      return c.space(wanted).stamp !== undefined;
    });
    const told = await bob.page.evaluate((id) => {
      const { stamp, creator, module, params } = globalThis.skerry.client.space(id).info();
      return { id, stamp, creator, module, params };
    }, made.id);
    assert.deepEqual(told, made);
    await world.server.stop();
    const [info] = await world.server.cli<Record<string, unknown>>("space", "info", "--data", world.server.data, "--json", made.id);
    assert.equal(info!["stamp"], made.stamp);
    assert.equal(info!["creator"], made.creator);
    assert.equal(info!["module"], made.module);
    assert.deepEqual(decode(fromHex(info!["params"] as string)), made.params);
  }),
);
