// Tables in a page: what its module makes of a space, of what is stored and of what waits.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { LiveQuery, Row } from "skerry";
import { chromium } from "./chromium.js";
import { chat } from "./guests.js";
import { World } from "./world.js";

declare global {
  var live: { query: LiveQuery; snapshots: (readonly Row[])[] };
  var modulesOf: (id: string) => Promise<unknown[]>;
}

/** Begins a live query of the hall's messages; runs in the page. */
function begin(id: string): void {
  const query = globalThis.skerry.client.space(id).table("messages").live({ index: "by_room", prefix: ["hall"] });
  globalThis.live = { query, snapshots: [] };
  query.subscribe(() => globalThis.live.snapshots.push(query.getSnapshot()));
}

/** What the live query shows, a star behind what waits; runs in the page. */
function shown(): string[] {
  return globalThis.live.query.getSnapshot().map((row) => `${row["author"]}: ${row["text"]}${row.$pending ? "*" : ""}`);
}

test("a page sees what it wrote offline in its tables at once, and every device has the same rows", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const { server } = world;
    const key = await server.key("ada");
    const ada = await world.replica("ada", chromium, key);
    await server.kill();
    const id = await ada.page.evaluate(async (bytes) => {
      const { client } = globalThis.skerry;
      const space = await client.createSpace({ module: await client.putModule(new Uint8Array(bytes)) });
      return space.id;
    }, [...chat()]);
    await ada.page.evaluate(begin, id);
    await ada.page.waitForFunction(() => globalThis.live.query.ready);
    assert.deepEqual(await ada.page.evaluate(shown), []);
    const refused = await ada.page.evaluate(async (id) => {
      const space = globalThis.skerry.client.space(id);
      await space.append("join", { name: "Ada", age: 36 }).applied;
      await space.append("message", { room: "hall", text: "hello" }).applied;
      await space.append("message", { room: "kitchen", text: "elsewhere" }).durable;
      const empty = space.append("message", { room: "hall", text: "" });
      await empty.durable;
      const told = await empty.synced.catch((error: { code: string }) => error.code);
      const [rejected] = await space.rejected();
      return { told, by: rejected!.by, users: (await space.table("users").query()).map(({ name, age }) => [name, age]) };
    }, id);
    assert.deepEqual(refused, { told: "module_2", by: "preview", users: [["Ada", 36]] });
    await ada.page.waitForFunction(() => globalThis.live.query.getSnapshot().length === 1);
    assert.deepEqual(await ada.page.evaluate(shown), [`${ada.identity}: hello*`]);

    await server.start();
    await ada.page.waitForFunction(() => globalThis.live.query.getSnapshot().every((row) => !row.$pending));
    assert.deepEqual(await ada.page.evaluate(shown), [`${ada.identity}: hello`]);
    const kept = await ada.page.evaluate(async (id) => {
      const [before] = globalThis.live.query.getSnapshot();
      await globalThis.skerry.client.space(id).append("message", { room: "hall", text: "again" }).synced;
      return before!.$key;
    }, id);
    await ada.page.waitForFunction(() => globalThis.live.query.getSnapshot().length === 2 && !globalThis.live.query.getSnapshot()[1]!.$pending);
    const same = await ada.page.evaluate((key) => {
      const firsts = globalThis.live.snapshots.slice(-2).map((rows) => rows.find((row) => row.$key === key));
      return firsts[0] !== undefined && firsts[0] === firsts[1];
    }, kept);
    assert.ok(same, "a row that stayed is another object");

    const tab = await ada.newPage();
    await ada.load(tab);
    await tab.evaluate(begin, id);
    await tab.waitForFunction(() => globalThis.live.query.getSnapshot().length === 2);
    assert.deepEqual(await tab.evaluate(shown), [`${ada.identity}: hello`, `${ada.identity}: again`]);
    await tab.evaluate((id) => void globalThis.skerry.client.space(id).append("edit", { seq: 2, text: "HELLO" }), id);
    await ada.page.waitForFunction(() => globalThis.live.query.getSnapshot()[0]!["text"] === "HELLO");

    // Another device of hers, which has nothing yet, gets the log and the module.
    const elsewhere = await world.device("ada", chromium, key);
    await elsewhere.load();
    await elsewhere.page.evaluate(begin, id);
    await elsewhere.page.waitForFunction(() => globalThis.live.query.getSnapshot().length === 2);
    assert.deepEqual(await elsewhere.page.evaluate(shown), [`${ada.identity}: HELLO`, `${ada.identity}: again`]);
  }),
);

test("a live query goes on when the tab that syncs closes, and over an upgrade, until its table is gone", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada");
    const { id, first } = await ada.page.evaluate(async (bytes) => {
      const { client } = globalThis.skerry;
      const first = await client.putModule(new Uint8Array(bytes));
      const space = await client.createSpace({ module: first });
      space.append("join", { name: "Ada" });
      await space.append("message", { room: "hall", text: "one" }).synced;
      return { id: space.id, first };
    }, [...chat()]);
    const tab = await ada.newPage();
    await ada.load(tab);
    await tab.evaluate(begin, id);
    await tab.waitForFunction(() => globalThis.live.query.getSnapshot().length === 1);
    await ada.page.close();
    await tab.waitForFunction(() => globalThis.skerry.client.status.connection === "online" && globalThis.skerry.client.status.leader);
    await tab.evaluate((id) => globalThis.skerry.client.space(id).append("message", { room: "hall", text: "two" }).synced, id);
    await tab.waitForFunction(() => globalThis.live.query.getSnapshot().length === 2);

    const upgraded = await tab.evaluate(
      async ({ id, bytes }) => {
        const { client } = globalThis.skerry;
        const space = client.space(id);
        const second = await client.putModule(new Uint8Array(bytes));
        await space.upgrade(second).synced;
        await space.append("message", { room: "hall", text: "three" }).synced;
        return second;
      },
      { id, bytes: [...chat("1.1.0")] },
    );
    await tab.waitForFunction(() => globalThis.live.query.getSnapshot().length === 3);
    await tab.evaluate(() => {
      globalThis.modulesOf = async (id) => {
        const { history, complete } = await globalThis.skerry.client.space(id).modules();
        return [complete, ...history.map((use) => [use.module, use.name, use.version, use.seq, Math.abs(use.since - Date.now()) < 3_600_000])];
      };
    });
    const known = await tab.evaluate(async (id) => {
      const space = globalThis.skerry.client.space(id);
      const { module, name, version, tables } = await space.tables();
      const said = (code: Promise<unknown>) => code.then(String, (error: { code: string; reason: string }) => `${error.code}: ${error.reason}`);
      return {
        now: space.info().module, genesis: space.info().genesisModule, tables: [module, name, version, tables[0]],
        named: [space.info().moduleName, space.info().moduleVersion],
        history: await globalThis.modulesOf(id),
        table: await said(space.table("mesages").query()), index: await said(space.table("messages").query({ index: "by_rom" })),
      };
    }, id);
    assert.deepEqual(known, {
      now: upgraded,
      genesis: first,
      named: ["chat", "1.1.0"],
      history: [true, [first, "chat", "1.0.0-e2e", 0, true], [upgraded, "chat", "1.1.0", 4, true]],
      tables: [upgraded, "chat", "1.1.0", {
        name: "messages",
        columns: [
          { name: "seq", type: "u64", optional: false }, { name: "author", type: "text", optional: false },
          { name: "room", type: "text", optional: false }, { name: "text", type: "text", optional: false },
        ],
        key: ["seq"],
        indexes: [{ name: "by_room", columns: ["room"], unique: false }, { name: "by_author", columns: ["author", "room"], unique: false }],
      }],
      table: 'not_found: the module has no table "mesages", but messages, users, rooms',
      index: 'not_found: table messages has no index "by_rom", but by_room, by_author',
    });
    // Offline the events here tell the same, but for what a module that judges no more calls itself.
    await ada.wire.cut();
    assert.deepEqual(await tab.evaluate((id) => globalThis.modulesOf(id), id), [true, [first, undefined, undefined, 0, true], [upgraded, "chat", "1.1.0", 4, true]]);
    await ada.wire.mend();
    await tab.waitForFunction(() => globalThis.skerry.client.status.connection === "online");

    await tab.evaluate(
      async ({ id, bytes }) => {
        const { client } = globalThis.skerry;
        await client.space(id).upgrade(await client.putModule(new Uint8Array(bytes))).synced;
      },
      { id, bytes: [...chat("2.0.0", "posts")] },
    );
    await tab.waitForFunction(() => globalThis.live.query.error?.code === "not_found");
    assert.deepEqual(await tab.evaluate(() => [globalThis.live.query.getSnapshot(), globalThis.live.query.ready]), [[], false]);
  }),
);

test("a new device answers from the server's checkpoint while most of the log is still to come", { timeout: 120_000 }, () =>
  World.run([], async (world) => {
    const { server } = world;
    const key = await server.key("ada");
    const ada = await world.replica("ada", chromium, key);
    const id = await ada.page.evaluate(async (bytes) => {
      const { client } = globalThis.skerry;
      const space = await client.createSpace({ module: await client.putModule(new Uint8Array(bytes)) });
      space.append("message", { room: "hall", text: "first" });
      let last;
      for (let n = 0; n < 8000; n += 400) {
        const edits = Array.from({ length: 400 }, (_, i) => ({ type: "edit", payload: { seq: 1, text: `${n + i + 1}`.padEnd(1000, ".") } }));
        last = space.transact(edits);
      }
      await last!.synced;
      return space.id;
    }, [...chat()]);
    const url = `ws://127.0.0.1:${server.port}/sync`;
    for (let seq = 0; seq < 7000; ) {
      const [info] = await server.cli<{ checkpoint_seq: number }>("space", "info", "--json", "--url", url, "--identity", "ada", id);
      seq = info!.checkpoint_seq;
    }

    const elsewhere = await world.device("ada", chromium, key);
    await elsewhere.load();
    await elsewhere.page.waitForFunction((id) => globalThis.skerry.client.spaces().some((info) => info.id === id && info.creator), id);
    elsewhere.wire.rate = 2_000_000; // the log takes some four seconds
    const first = await elsewhere.page.evaluate(async (id) => {
      const space = globalThis.skerry.client.space(id);
      const [row] = await space.table("messages").query();
      const { seq, code } = space.info(); // where the log was when the tables came
      return { text: parseInt(row!["text"] as string), seq, code };
    }, id);
    assert.ok(first.text >= 6999 && first.seq < 6999 && first.code === undefined, JSON.stringify(first));
    await elsewhere.page.waitForFunction((id) => globalThis.skerry.client.space(id).info().seq === 8001, id, { timeout: 30_000 });
    const last = await elsewhere.page.evaluate(async (id) => {
      const space = globalThis.skerry.client.space(id);
      const [row] = await space.table("messages").query();
      let events = 0;
      for await (const _ of space.events({})) events++;
      return { text: parseInt(row!["text"] as string), events };
    }, id);
    assert.deepEqual(last, { text: 8000, events: 8001 });
  }),
);
