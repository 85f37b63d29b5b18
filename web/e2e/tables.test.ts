// Tables in a page: what its module makes of a space, of what is stored and of what waits.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { LiveQuery, Row } from "skerry";
import { chromium } from "./chromium.js";
import { chat } from "./guests.js";
import { Replica } from "./replica.js";
import { World } from "./world.js";

declare global {
  var live: { query: LiveQuery; snapshots: (readonly Row[])[] };
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
    const ada = await world.replica("ada");
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
    assert.deepEqual(await ada.page.evaluate(shown), ["ada: hello*"]);

    await server.start();
    await ada.page.waitForFunction(() => globalThis.live.query.getSnapshot().every((row) => !row.$pending));
    assert.deepEqual(await ada.page.evaluate(shown), ["ada: hello"]);
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
    assert.deepEqual(await tab.evaluate(shown), ["ada: hello", "ada: again"]);
    await tab.evaluate((id) => void globalThis.skerry.client.space(id).append("edit", { seq: 2, text: "HELLO" }), id);
    await ada.page.waitForFunction(() => globalThis.live.query.getSnapshot()[0]!["text"] === "HELLO");

    // Another device of hers, which has nothing yet, gets the log and the module.
    const dir = join(world.dir, "elsewhere");
    mkdirSync(dir);
    const elsewhere = await Replica.start(chromium, dir, "ada", server.port);
    world.replicas.push(elsewhere);
    await elsewhere.load();
    await elsewhere.page.evaluate(begin, id);
    await elsewhere.page.waitForFunction(() => globalThis.live.query.getSnapshot().length === 2);
    assert.deepEqual(await elsewhere.page.evaluate(shown), ["ada: HELLO", "ada: again"]);
  }),
);
