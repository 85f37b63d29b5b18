// What storage does to a page: deleted, closed and blocked under it, full, of a newer version, or not there at all.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Page } from "playwright-core";
import type { Replica } from "./replica.js";
import { assertSameLogs, World } from "./world.js";

/** The database of a page's replica. */
function databaseOf(page: Page): Promise<string> {
  return page.evaluate(async () => {
    const names = (await indexedDB.databases()).map(({ name }) => name!);
    return names.find((name) => name !== "skerry-identities")!;
  });
}

/** Makes a space of which the server has so many events. */
async function spaceOf(ada: Replica, events: number): Promise<string> {
  return ada.page.evaluate(async (events) => {
    const space = await globalThis.skerry.client.createSpace({ params: { name: "stored" } });
    await Promise.all(Array.from({ length: events }, (_, i) => space.append("note", { i }).synced));
    return space.id;
  }, events);
}

const deletions: Record<string, (page: Page) => Promise<unknown>> = {
  "another tab deletes the database": async (page) => {
    const name = await databaseOf(page);
    await page.evaluate(
      (name) =>
        new Promise<void>((resolve, reject) => {
          const request = indexedDB.deleteDatabase(name);
          request.onsuccess = () => resolve();
          request.onerror = () => reject(request.error);
          request.onblocked = () => reject(new Error("a tab stands in the way"));
        }),
      name,
    );
  },
  "the user clears the site's data": async (page) => {
    const session = await page.context().newCDPSession(page);
    await session.send("Storage.clearDataForOrigin", { origin: new URL(page.url()).origin, storageTypes: "indexeddb" });
    await session.detach();
  },
};

for (const [what, deletes] of Object.entries(deletions)) {
  test(`${what}: both tabs say so, and go on with what the server and they have`, { timeout: 60_000 }, () =>
    World.run([], async (world) => {
      const ada = await world.replica("ada");
      const second = await ada.newPage();
      await ada.load(second);
      const id = await spaceOf(ada, 20);
      await ada.page.evaluate((id) => {
        const space = globalThis.skerry.client.space(id);
        const seqs: number[] = [];
        Object.assign(globalThis, { seqs });
        void (async () => {
          for await (const event of space.events({ live: true })) seqs.push(event.seq);
        })();
        const unheard: Promise<unknown>[] = [];
        Object.assign(globalThis, { unheard });
        for (let i = 0; i < 200; i++) unheard.push(space.append("note", { during: i }).synced);
      }, id);
      await deletes(second);
      const outcomes = await ada.page.evaluate(async () => {
        const { unheard } = globalThis as unknown as { unheard: Promise<unknown>[] };
        const settled = await Promise.allSettled(unheard);
        return settled.map((one) => (one.status === "fulfilled" ? "synced" : (one.reason as { code: string }).code));
      });
      for (const page of ada.tabs) {
        await page.waitForFunction(() => globalThis.skerry.client.status.storage.state === "replica_lost");
        await page.evaluate((id) => globalThis.skerry.client.space(id).append("note", "afterwards").synced, id);
      }
      const synced = outcomes.filter((outcome) => outcome === "synced").length;
      assert.deepEqual(outcomes.filter((outcome) => outcome !== "synced" && outcome !== "replica_lost"), []);
      await ada.page.waitForFunction(
        (n) => (globalThis as unknown as { seqs: number[] }).seqs.length === n,
        20 + synced + 2,
      );
      const seqs = await ada.page.evaluate(() => (globalThis as unknown as { seqs: number[] }).seqs);
      assert.deepEqual(seqs, seqs.map((_, i) => i + 1), "a reader that goes on misses events or has them twice");
      for (const page of ada.tabs) {
        await page.waitForFunction(([id, n]) => globalThis.skerry.client.space(id).info().seq === n, [id, 20 + synced + 2] as const);
      }
      const logs = await assertSameLogs(world, [id]);
      assert.equal(logs.get(id)!.length, 20 + synced + 2);
      console.log(`${synced} of 200 that were under way are in the log; of the others their authors were told`);
    }),
  );
}
