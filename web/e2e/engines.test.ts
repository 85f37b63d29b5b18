// What every engine must do, in the one that SKERRY_ENGINE names. What an engine cannot be made to show is a gap with a
// name: the test is skipped and says why.
import assert from "node:assert/strict";
import { test } from "node:test";
import { kept } from "./checkpoints.js";
import { chromium } from "./chromium.js";
import type { Tab } from "./engine.js";
import { chat, hostile, probe, script } from "./guests.js";
import type { Replica } from "./replica.js";
import { engine, name } from "./tested.js";
import { assertSameLogs, World } from "./world.js";

/** Why a test cannot be run in an engine. */
const gaps: Record<string, string | undefined> = {
  "webkit kill": "WebKitGTK keeps nothing on disk while it is automated",
};
const skip = (what: string) => gaps[`${name} ${what}`] ?? false;

interface Made {
  readonly id: string;
  readonly ids: string[];
}

/** Makes a space and writes transactions of one and two events, and returns when all are durable. */
function make(page: Tab, count: number): Promise<Made> {
  return page.evaluate(async (count) => {
    const space = await globalThis.skerry.client.createSpace({ params: { name: "made here" } });
    const receipts = Array.from({ length: count }, (_, i) =>
      space.transact(Array.from({ length: 1 + (i % 2) }, () => ({ type: "note", payload: { i, text: "ünïcode" } }))),
    );
    await Promise.all(receipts.map((receipt) => receipt.durable));
    return { id: space.id, ids: receipts.flatMap((receipt) => [...receipt.ids]) };
  }, count);
}

/** Writes into a space, and returns the ids of the events when all are durable. */
function write(page: Tab, id: string, count: number): Promise<string[]> {
  return page.evaluate(
    async ([id, count]) => {
      const receipts = Array.from({ length: count }, (_, i) => globalThis.skerry.client.space(id).append("note", { i }));
      await Promise.all(receipts.map((receipt) => receipt.durable));
      return receipts.map((receipt) => receipt.id);
    },
    [id, count] as const,
  );
}

/** The ids of the events that wait to be synced. */
function waiting(page: Tab, id: string): Promise<string[]> {
  return page.evaluate(async (id) => {
    const pending = await globalThis.skerry.client.space(id).pending();
    return pending.flatMap((transaction) => transaction.events.map((event) => event.id));
  }, id);
}

/** Waits until a tab has read so many events of a space. */
function holds(page: Tab, id: string, count: number): Promise<void> {
  return page.evaluate(
    async ([id, count]) => {
      const space = globalThis.skerry.client.space(id);
      let read = 0;
      for await (const _ of space.events({ live: true })) if (++read === count) return;
    },
    [id, count] as const,
  );
}

async function leader<T extends Tab>(replica: Replica<T>): Promise<T | undefined> {
  const led = await Promise.all(replica.tabs.map((page) => page.evaluate(() => globalThis.skerry.client.status.leader)));
  assert.ok(led.filter(Boolean).length <= 1, "two tabs lead");
  return replica.tabs[led.indexOf(true)];
}

test(`${name}: what is made offline is there after a reload, and reaches another browser in the same order`, { timeout: 120_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada", engine);
    const bob = await world.replica("bob", chromium);
    await ada.wire.cut();
    const made = await make(ada.page, 20);
    await ada.page.reload();
    await ada.opened();
    assert.deepEqual(await waiting(ada.page, made.id), made.ids);
    const more = await write(ada.page, made.id, 5);
    await ada.wire.mend();
    await ada.poke();
    await ada.synced();
    const answers = await write(bob.page, made.id, 10);
    await bob.synced();
    const all = [...made.ids, ...more, ...answers];
    for (const page of [ada.page, bob.page]) await holds(page, made.id, all.length);
    const logs = await assertSameLogs(world, [made.id]);
    assert.deepEqual(logs.get(made.id), all);
  }),
);

test(`${name}: with no server the page loads, works, and syncs when there is one again`, { timeout: 90_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada", engine);
    await world.server.kill();
    await ada.load();
    const made = await make(ada.page, 3);
    await world.server.start();
    await ada.poke();
    await ada.synced();
    const logs = await assertSameLogs(world, [made.id]);
    assert.deepEqual(logs.get(made.id), made.ids);
  }),
);

test(`${name}: of two tabs one syncs, and the other does when that one is closed`, { timeout: 90_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada", engine);
    await ada.load(await ada.newPage());
    const [first, second] = ada.tabs;
    assert.ok(first && second);
    await ada.until("leading", (c) => c.status.leader);
    await ada.until("following", (c) => !c.status.leader && c.status.connection === "online", 10_000, second);
    const made = await make(second, 4);
    const all = [...made.ids, ...(await write(first, made.id, 4))];
    for (const page of ada.tabs) await holds(page, made.id, all.length);
    assert.equal(await leader(ada), first);
    await first.close();
    all.push(...(await write(second, made.id, 4)));
    await ada.synced();
    assert.equal(await leader(ada), second);
    const logs = await assertSameLogs(world, [made.id]);
    assert.deepEqual(logs.get(made.id), all);
  }),
);

test(`${name}: what was durable is there after the browser was killed`, { timeout: 90_000, skip: skip("kill") }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada", engine);
    await ada.wire.cut();
    const made = await make(ada.page, 30);
    await ada.kill();
    await ada.launch();
    await ada.load();
    assert.deepEqual(await waiting(ada.page, made.id), made.ids);
    await ada.wire.mend();
    await ada.poke();
    await ada.synced();
    const logs = await assertSameLogs(world, [made.id]);
    assert.deepEqual(logs.get(made.id), made.ids);
  }),
);

/** All rows of a space's tables, as text. */
function rows(page: Tab, id: string): Promise<string> {
  return page.evaluate(async (id) => {
    const space = globalThis.skerry.client.space(id);
    const tables = await Promise.all(["messages", "users", "rooms"].map((name) => space.table(name).query()));
    return JSON.stringify(tables);
  }, id);
}

/** Begins a live query of the hall's messages, which window.shows(texts) waits for: a star is behind what waits. */
function begin(page: Tab, id: string): Promise<void> {
  return page.evaluate((id) => {
    const query = globalThis.skerry.client.space(id).table("messages").live({ index: "by_room", prefix: ["hall"] });
    const text = () => query.getSnapshot().map((row) => `${row["text"]}${row.$pending ? "*" : ""}`).join();
    const shows = (want: string) =>
      new Promise<void>((resolve) => {
        const stop = query.subscribe(() => text() === want && (stop(), resolve()));
        if (query.ready && text() === want) (stop(), resolve());
      });
    Object.assign(globalThis, { shows });
  }, id);
}

function shows(page: Tab, want: string): Promise<void> {
  return page.evaluate((want) => (globalThis as unknown as { shows(want: string): Promise<void> }).shows(want), want);
}

test(`${name}: a module that only this page has makes the same tables here, at the server and in another browser`, { timeout: 120_000 }, () =>
  World.run([], async (world) => {
    const key = await world.server.key("ada");
    const ada = await world.replica("ada", engine, key);
    await ada.wire.cut();
    const id = await ada.page.evaluate(
      async (bytes) => (await globalThis.skerry.client.createSpace({ module: await globalThis.skerry.client.putModule(new Uint8Array(bytes)) })).id,
      [...chat()],
    );
    await begin(ada.page, id);
    await shows(ada.page, "");
    const told = await ada.page.evaluate(async (id) => {
      const space = globalThis.skerry.client.space(id);
      space.append("join", { name: "Ada", age: -36 });
      space.append("message", { room: "hall", text: "first" });
      const refused = space.append("message", { room: "hall", text: "" });
      await space.append("message", { room: "hall", text: "second" }).durable;
      const code = await refused.synced.then(() => "", (error: { code: string }) => error.code);
      return [code, ...(await space.rejected()).map(({ by }) => by)];
    }, id);
    assert.deepEqual(told, ["module_2", "preview"]);
    await shows(ada.page, "first*,second*");
    await ada.wire.mend();
    await ada.poke();
    await shows(ada.page, "first,second");
    await ada.page.reload();
    await ada.opened();
    await begin(ada.page, id);
    await shows(ada.page, "first,second");

    await ada.page.evaluate(async (id) => {
      const space = globalThis.skerry.client.space(id);
      const receipts = [
        ...Array.from({ length: 40 }, (_, i) => space.append("message", { room: `room ${i % 3}`, text: `ünïcode ${i}` })),
        space.append("edit", { seq: 7, text: "edited" }),
        space.append("remove", { seq: 9 }),
        space.append("stats", { room: "room 1" }),
        space.transact(Array.from({ length: 954 }, (_, i) => ({ type: "message", payload: { room: "many", text: `${i}` } }))),
      ];
      await Promise.all(receipts.map((receipt) => receipt.synced));
    }, id);
    const elsewhere = await world.replica("ada", chromium, key);
    for (const page of [ada.page, elsewhere.page]) await holds(page, id, 1000);
    const here = await rows(ada.page, id);
    assert.equal(here, await rows(elsewhere.page, id));
    assert.equal(JSON.parse(here)[0].length, 2 + 39 + 954);
    assert.doesNotMatch(here, /"\$pending":true/);
    const digests = await Promise.all([ada, elsewhere].map(({ page }) => kept(page, id, 1000)));
    const url = `http://127.0.0.1:${world.server.port}`;
    const [info] = await world.server.cli<{ checkpoint_seq: number; checkpoint: string }>("space", "info", "--json", "--url", url, "--identity", "ada", id);
    assert.deepEqual({ seq: info!.checkpoint_seq, digests }, { seq: 1000, digests: [info!.checkpoint, info!.checkpoint] });

    await elsewhere.page.evaluate((id) => void globalThis.skerry.client.space(id).append("edit", { seq: 2, text: "FIRST" }), id);
    await shows(ada.page, "FIRST,second");
  }),
);

test(`${name}: a hostile module has a code of its own, and the client goes on`, { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada", engine);
    const told = await ada.page.evaluate(
      async ({ bytes, scripts }) => {
        const { client } = globalThis.skerry;
        const space = await client.createSpace({ module: await client.putModule(new Uint8Array(bytes)) });
        await space.table("kv").query();
        const told: string[] = [];
        for (const bytes of scripts) {
          const receipt = space.append("act", { script: new Uint8Array(bytes), data: new Uint8Array(8) });
          told.push(await receipt.synced.then(() => "synced", (error: { code: string }) => error.code));
        }
        const by = (await space.rejected()).map(({ by }) => by);
        if (by.some((by) => by !== "preview")) told.push(by.join());
        const other = await client.createSpace();
        await Promise.all([space.append("ask", { script: new Uint8Array(), data: new Uint8Array() }).synced, other.append("note", "still here").synced]);
        return [...told, client.status.worker];
      },
      { bytes: [...probe()], scripts: Object.values(hostile).map(([, instructions]) => script(...instructions)) },
    );
    assert.deepEqual(told, [...Object.values(hostile).map(([code]) => code), "running"]);
  }),
);
