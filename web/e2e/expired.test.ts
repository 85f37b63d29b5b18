// What has expired goes from a device that has it, and its tables stay.
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Page } from "playwright-core";
import { root } from "../test/root.js";
import { databaseOf, exportDatabase, importDatabase } from "./database.js";
import { World } from "./world.js";

/** Makes the site with a worker whose clock goes a day and an hour on when its page says so, as for a device that comes back on the next day. */
function site(dir: string): string {
  const www = join(dir, "www");
  cpSync(join(root, "web", "dist"), www, { recursive: true });
  const { worker } = JSON.parse(readFileSync(join(www, "build.json"), "utf8")) as { worker: string };
  const clock =
    "{const Now=Date;let on=0;new BroadcastChannel('next day').onmessage=()=>{on=25*3600e3};" +
    "globalThis.Date=class extends Now{constructor(...at){super(...(at.length?at:[Now.now()+on]))}static now(){return Now.now()+on}}}\n";
  writeFileSync(join(www, worker), clock + readFileSync(join(www, worker), "utf8"));
  for (const packed of [".br", ".gz"]) rmSync(join(www, worker + packed), { force: true });
  return www;
}

const nextDay = (page: Page) => page.evaluate(() => new BroadcastChannel("next day").postMessage(""));

/** Which of some words are anywhere in the rows of the page's database that hold a space's log. */
async function stored(page: Page, words: readonly string[]): Promise<string[]> {
  const { stores } = await exportDatabase(page, await databaseOf(page));
  const text = JSON.stringify(stores.find(({ name }) => name === "segments")!.rows);
  return words.filter((word) => text.includes(Buffer.from(word).toString("hex")));
}

/** Waits until none of some words is in the database any more. */
async function wantsGone(page: Page, words: readonly string[]): Promise<void> {
  const end = Date.now() + 90_000;
  for (let left: string[] = []; (left = await stored(page, words)).length > 0; ) {
    assert.ok(Date.now() < end, `still stored: ${left.join(", ")}`);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

/** What the table has, the latest events, and how things stand. */
const look = (page: Page, id: string) =>
  page.evaluate(async (id) => {
    const space = globalThis.skerry.client.space(id);
    const fruit = (await space.table("fruit").query()).map((row) => `${String(row["id"])} ${String(row["name"])}`);
    const seqs: number[] = [];
    for await (const event of space.events()) seqs.push(event.seq);
    const { seq, oldest, expired, pending, rejected, code } = space.info();
    return { fruit, seqs, seq, oldest, expired, pending, rejected, code, damage: (await space.check()).damage };
  }, id);

const set = (page: Page, id: string, fruit: string, name: string, what: "durable" | "synced" = "synced") =>
  page.evaluate(([id, fruit, name, what]) => globalThis.skerry.client.space(id).append("set", { table: "fruit", id: fruit, values: { name } })[what].then(() => {}), [id, fruit, name, what] as const);

const reaches = (page: Page, id: string, seq: number) => page.waitForFunction(([id, seq]) => globalThis.skerry.client.space(id).info().seq >= seq, [id, seq] as const, { timeout: 30_000 });

test("a device that was away while events expired drops what they said, keeps its tables, and what it sends again does not come back", { timeout: 180_000 }, async () => {
  const dir = mkdtempSync(join(tmpdir(), "skerry-expired-"));
  await World.run([], async (world) => {
    const ada = await world.device("ada"); // with no service worker to wait for: it takes no worker but the build's
    const bob = await world.device("bob");
    for (const device of [ada, bob]) await device.load();
    const id = await ada.page.evaluate(async (bob) => {
      const space = await globalThis.skerry.client.createSpace({ module: "kv", params: { tables: { fruit: { name: "text" } } } });
      await space.append("grant", { identity: bob, role: "writer" }).synced;
      return space.id;
    }, bob.identity);
    await set(ada.page, id, "1", "strawberry");
    await set(ada.page, id, "2", "blueberry");
    await bob.page.evaluate((id) => void globalThis.skerry.client.space(id), id);
    await reaches(bob.page, id, 3);
    await bob.wire.cut();
    await set(bob.page, id, "3", "raspberry", "durable");
    const name = await databaseOf(bob.page);
    const before = await exportDatabase(bob.page, name); // in which it waits
    await bob.wire.mend();
    await bob.poke();
    await bob.synced();
    await reaches(ada.page, id, 4);
    const words = ["strawberry", "blueberry", "raspberry"];
    assert.deepEqual(await stored(bob.page, words), words);
    await bob.kill(); // it is away

    await ada.page.evaluate((id) => globalThis.skerry.client.space(id).expire(4).synced.then(() => {}), id);
    await set(ada.page, id, "4", "cherry");
    const seq = 7; // the expiry, the server's word of the tables, and that: synced it is before its record is here
    await reaches(ada.page, id, seq);
    await nextDay(ada.page);
    const fruit = ["1 strawberry", "2 blueberry", "3 raspberry", "4 cherry"];
    const seqs = Array.from({ length: seq - 4 }, (_, n) => n + 5);
    const want = { fruit, seqs, seq, oldest: 5, expired: 4, pending: 0, rejected: 0, code: undefined, damage: "" };
    await bob.launch();
    await bob.load();
    await nextDay(bob.page);
    for (const { page } of [ada, bob]) {
      await page.evaluate((id) => void globalThis.skerry.client.space(id), id);
      await reaches(page, id, seq);
      await wantsGone(page, words);
      assert.deepEqual(await stored(page, ["cherry"]), ["cherry"]);
      assert.deepEqual(await look(page, id), want);
    }
    await bob.wire.cut(); // and it is the same with no network
    await bob.until("cut off", (c) => c.status.connection !== "online");
    assert.deepEqual(await look(bob.page, id), want);
    await bob.wire.mend();

    // The device is put back to what it was: it sends again what waited then.
    await bob.page.goto(`${bob.wire.origin}/nothing.html`);
    await bob.page.evaluate(
      (name) =>
        new Promise<void>((resolve, reject) => {
          const request = indexedDB.deleteDatabase(name);
          request.onsuccess = () => resolve();
          request.onerror = () => reject(request.error!);
        }),
      name,
    );
    await importDatabase(bob.page, name, before);
    await bob.load();
    await nextDay(bob.page);
    await bob.page.evaluate((id) => void globalThis.skerry.client.space(id), id);
    await bob.synced();
    await reaches(bob.page, id, seq);
    await wantsGone(bob.page, words);
    const again = await look(bob.page, id);
    assert.deepEqual({ ...again, seqs: again.seqs.filter((n) => n > 4), oldest: 0 }, { ...want, oldest: 0 });
    assert.equal((await look(ada.page, id)).seq, seq);
    const logged = await world.server.log(id);
    assert.equal(logged.length, seq);
    for (const word of words) assert.ok(!JSON.stringify(logged).includes(Buffer.from(word).toString("hex")), word);
  }, { www: site(dir) }).finally(() => rmSync(dir, { recursive: true, force: true }));
});
