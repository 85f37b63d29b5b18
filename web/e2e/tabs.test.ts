// Several tabs of one profile: all of them write, one syncs, and another takes over when that one is closed.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Page } from "playwright-core";
import type { Replica } from "./replica.js";
import { assertSameLogs, World } from "./world.js";

/** What a tab of this test keeps in its page. */
interface Tab {
  /** Ids by space, in the order in which a live iterator gave them. */
  seen: Record<string, string[]>;
  durable: Promise<unknown>[];
  synced: Promise<unknown>[];
}
declare var tab: Tab;

/** Opens spaces in a tab and collects their events as they come. */
function follow(page: Page, spaces: readonly string[]): Promise<void> {
  return page.evaluate((spaces) => {
    const tab: Tab = { seen: {}, durable: [], synced: [] };
    Object.assign(globalThis, { tab });
    for (const id of spaces) {
      const seen: string[] = (tab.seen[id] = []);
      void (async () => {
        for await (const event of globalThis.skerry.client.space(id).events({ live: true })) seen.push(event.id);
      })();
    }
  }, [...spaces]);
}

/** Begins to write transactions of 1 to 3 events into all spaces in turn and returns their ids. */
function write(page: Page, spaces: readonly string[], count: number, label: string): Promise<string[]> {
  return page.evaluate(
    async ([spaces, count, label]) => {
      const ids: string[] = [];
      for (let n = 0; n < count; n++) {
        const events = Array.from({ length: 1 + (n % 3) }, (_, i) => ({ type: "note", payload: { label, n, i } }));
        const receipt = globalThis.skerry.client.space(spaces[n % spaces.length]!).transact(events);
        tab.durable.push(receipt.durable);
        tab.synced.push(receipt.synced);
        ids.push(...receipt.ids);
        await receipt.applied;
      }
      return ids;
    },
    [[...spaces], count, label] as const,
  );
}

async function leaders(replica: Replica): Promise<Page[]> {
  const led = await Promise.all(replica.tabs.map((page) => page.evaluate(() => globalThis.skerry.client.status.leader)));
  return replica.tabs.filter((_, i) => led[i]);
}

/** Waits until a tab has seen so many events and returns them by space. */
async function seen(page: Page, events: number): Promise<Record<string, string[]>> {
  await page.waitForFunction(
    (events) => Object.values(tab.seen).reduce((sum, ids) => sum + ids.length, 0) >= events,
    events,
    { timeout: 30_000, polling: 50 },
  );
  return page.evaluate(() => tab.seen);
}

function createSpaces(page: Page, count: number): Promise<string[]> {
  return page.evaluate(async (count) => {
    const made = await Promise.all(Array.from({ length: count }, () => globalThis.skerry.client.createSpace()));
    return made.map((space) => space.id);
  }, count);
}

for (const count of [2, 3]) {
  test(`${count} tabs write at once, the one that syncs is closed, another takes over`, { timeout: 90_000 }, () =>
    World.run([], async (world) => {
      const ada = await world.replica("ada");
      for (let n = 1; n < count; n++) await ada.load(await ada.newPage());
      await ada.until("leading", (c) => c.status.leader);
      const spaces = await createSpaces(ada.page, 3);
      await Promise.all(ada.tabs.map((page) => follow(page, spaces)));

      // What one tab writes is in the others at once, while one of them syncs for all.
      const first = (await Promise.all(ada.tabs.map((page, i) => write(page, spaces, 30, `tab ${i}`)))).flat();
      for (const page of ada.tabs) {
        await page.evaluate(() => Promise.all(tab.synced));
        await seen(page, first.length);
      }
      const led = await leaders(ada);
      assert.equal(led.length, 1, "one tab leads");
      // What the one that leads knows of the server is known in all.
      for (const page of ada.tabs) {
        await page.waitForFunction(
          (spaces) => {
            const { client } = globalThis.skerry;
            return client.status.connection === "online" && client.status.lastSync && spaces.every((id) => client.space(id).info().caughtUp);
          },
          spaces,
          { timeout: 5_000, polling: 20 },
        );
      }

      // The others are told by hints: without them each would look again every 5 s.
      const begun = Date.now();
      for (let n = 0; n < 5; n++) {
        const [id] = await write(led[0]!, spaces, 1, "at once");
        first.push(id!);
        for (const page of ada.tabs) {
          await page.waitForFunction((id) => Object.values(tab.seen).some((ids) => ids.includes(id)), id!, { polling: 20 });
        }
      }
      const took = Date.now() - begun;
      assert.ok(took < 12_000, `5 events took ${took} ms to be seen in all tabs`);

      // The leader is closed in the middle of everybody's writing.
      const writing = ada.tabs.map((page, i) => write(page, spaces, 60, `tab ${i} again`));
      const second = (await Promise.all(writing)).flat();
      await led[0]!.evaluate(() => Promise.all(tab.durable));
      await led[0]!.close();
      assert.equal(ada.tabs.length, count - 1);
      const third = (await Promise.all(ada.tabs.map((page, i) => write(page, spaces, 30, `tab ${i} at last`)))).flat();
      for (const page of ada.tabs) await page.evaluate(() => Promise.all(tab.synced));
      assert.equal((await leaders(ada)).length, 1, "one of the others leads");

      const all = [...first, ...second, ...third];
      const lists = await Promise.all(ada.tabs.map((page) => seen(page, all.length)));
      const logs = await assertSameLogs(world, spaces);
      assert.deepEqual(new Set([...logs.values()].flat()), new Set(all));
      assert.equal([...logs.values()].flat().length, all.length);
      for (const list of lists) assert.deepEqual(list, Object.fromEntries(logs), "live events came otherwise than the log has them");
    }),
  );
}

test("two first tabs opened at once are one identity with one replica", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.device("unnamed");
    await ada.newPage();
    await Promise.all(ada.tabs.map((page) => ada.load(page, "?name=")));
    const found = await Promise.all(
      ada.tabs.map((page) =>
        page.evaluate(async () => ({
          identity: globalThis.skerry.client.identity,
          databases: (await indexedDB.databases()).map((database) => database.name!).filter((name) => name.startsWith("skerry/")),
        })),
      ),
    );
    assert.deepEqual(found[0], found[1]);
    assert.equal(found[0]!.databases.length, 1);

    // Both write, and either can sync what the other wrote.
    const spaces = (await Promise.all(ada.tabs.map((page) => createSpaces(page, 1)))).flat();
    await Promise.all(ada.tabs.map((page) => follow(page, spaces)));
    const written = (await Promise.all(ada.tabs.map((page, i) => write(page, spaces, 10, `tab ${i}`)))).flat();
    for (const page of ada.tabs) await page.evaluate(() => Promise.all(tab.synced));
    const [leader, ...more] = await leaders(ada);
    assert.ok(leader && more.length === 0, "one tab leads");
    await leader.close();
    written.push(...(await write(ada.page, spaces, 10, "alone")));
    await ada.page.evaluate(() => Promise.all(tab.synced));
    await seen(ada.page, written.length);
    const logs = await assertSameLogs(world, spaces);
    assert.deepEqual(new Set([...logs.values()].flat()), new Set(written));
    const authors = await ada.page.evaluate(async (spaces) => {
      const authors = new Set<string>();
      for (const id of spaces) for await (const event of globalThis.skerry.client.space(id).events()) authors.add(event.author);
      return [...authors];
    }, spaces);
    assert.deepEqual(authors, [found[0]!.identity]);
  }),
);
