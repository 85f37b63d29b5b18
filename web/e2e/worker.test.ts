// What a page keeps while its worker fails, and what it finds again.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import type { Page } from "playwright-core";
import type { Receipt, Space } from "../src/index.js";
import { workerOf } from "./chromium.js";
import { assertSameLogs, World } from "./world.js";

declare global {
  /** What these tests keep in a page. */
  var begun: { space: Space; receipts: Receipt[]; workers: Set<string>; left: number };
}

/** Begins to write so many events, a few in each turn, and returns the space's ID while most are still to come. */
async function begin(page: Page, events: number): Promise<string> {
  return page.evaluate(async (events) => {
    const { client } = globalThis.skerry;
    const space = await client.createSpace();
    const begun = (globalThis.begun = { space, receipts: [] as Receipt[], workers: new Set<string>(), left: events });
    client.subscribe(() => begun.workers.add(client.status.worker));
    const write = () => {
      for (let i = 0; i < 5 && begun.left > 0; i++, begun.left--) begun.receipts.push(space.append("note", begun.left));
      if (begun.left > 0) setTimeout(write, 1);
    };
    write();
    return space.id;
  }, events);
}

/** Waits until all is synced, and returns the ids in the order in which they were written. */
async function written(page: Page): Promise<{ ids: string[]; workers: string[]; warned: number }> {
  await page.waitForFunction(() => globalThis.begun.left === 0);
  return page.evaluate(async () => {
    const { receipts, workers } = globalThis.begun;
    await Promise.all(receipts.flatMap((receipt) => [receipt.applied, receipt.durable, receipt.synced]));
    return { ids: receipts.map((receipt) => receipt.id), workers: [...workers], warned: globalThis.skerry.client.status.undurable };
  });
}

test("a worker that dies in the middle of 200 appends loses none and doubles none", { timeout: 90_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada");
    const space = await begin(ada.page, 200);
    for (let i = 0; i < 3; i++) {
      await ada.page.waitForFunction((left) => globalThis.begun.left < left, 180 - 60 * i);
      // An exception that nobody catches, as Go throws one when it panics or runs out of memory.
      await workerOf(ada.page).evaluate(() => void setTimeout(() => { throw new Error("the test ends this worker"); }));
      await ada.page.waitForFunction(() => globalThis.skerry.client.status.worker === "restarting");
      await ada.page.waitForFunction(() => globalThis.skerry.client.status.worker === "running");
    }
    const { ids, workers, warned } = await written(ada.page);
    await ada.synced(); // and its records are back
    assert.deepEqual(new Set(workers), new Set(["running", "restarting"]));
    assert.equal(warned, 0);
    const logs = await assertSameLogs(world, [space]);
    assert.deepEqual(logs.get(space), ids); // in the order in which they were written, too
  }),
);

test("a worker that hangs makes way for another one", { timeout: 90_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada");
    const space = await begin(ada.page, 20);
    await workerOf(ada.page).evaluate(() => void setTimeout(() => { for (;;); }));
    await ada.page.evaluate(() => {
      // What another worker has to take up for sure: the 20 may have been synced before the first one hung.
      for (let i = 0; i < 20; i++) globalThis.begun.receipts.push(globalThis.begun.space.append("note", i));
    });
    const { ids, workers } = await written(ada.page);
    await ada.synced(); // and its records are back
    assert.ok(workers.includes("restarting"), workers.join());
    const logs = await assertSameLogs(world, [space]);
    assert.deepEqual(logs.get(space), ids);
  }),
);

test("a receipt is found again after a reload and in another tab", { timeout: 90_000 }, () =>
  World.run(["--limit-payload=1000"], async (world) => {
    const ada = await world.replica("ada");
    const first = await ada.page.evaluate(async () => {
      const space = await globalThis.skerry.client.createSpace();
      const receipt = space.append("note", "in the log");
      const refused = space.append("note", "x".repeat(2000));
      const { seq } = await receipt.synced;
      await refused.synced.catch(() => {});
      await space.append("note", "later").synced;
      return { space: space.id, receipt: receipt.id, refused: refused.id, seq };
    });
    await ada.wire.cut();
    const waits = await ada.page.evaluate(async (id) => {
      const receipt = globalThis.skerry.client.space(id).append("note", "waits");
      await receipt.durable;
      return receipt.id;
    }, first.space);
    await ada.page.reload();
    await ada.page.waitForFunction(() => globalThis.skerry?.client !== undefined);
    const other = await ada.newPage();
    await ada.load(other);
    const ids = { space: first.space, receipt: first.receipt, refused: first.refused, waits, never: "01ARZ3NDEKTSV4RRFFQ69G5FAV" };
    for (const page of [ada.page, other]) {
      const found = await page.evaluate(async ({ space: id, ...ids }) => {
        const space = globalThis.skerry.client.space(id);
        const told = (p: Promise<unknown>) => p.then((value) => (value as { seq?: number })?.seq ?? "yes", (error: { code: string }) => error.code);
        const out: Record<string, unknown> = {};
        for (const [name, id] of Object.entries(ids)) {
          const receipt = space.receipt(id);
          if (name === "waits") Object.assign(globalThis, { waits: receipt });
          out[name] = [await told(receipt.durable), name === "waits" ? "waits" : await told(receipt.synced)];
        }
        return out;
      }, ids);
      assert.deepEqual(found, {
        receipt: ["yes", first.seq], refused: ["yes", "too_large"], waits: ["yes", "waits"], never: ["discarded", "discarded"],
      });
    }
    await ada.wire.mend();
    await ada.poke();
    for (const page of [ada.page, other]) {
      await page.evaluate(() => (globalThis as unknown as { waits: Receipt }).waits.synced);
    }
  }),
);

test("one page has one worker, which outlives a close by a second; the browser warns of what is not durable", { timeout: 90_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada");
    await ada.page.click("body"); // a page that nobody touched may not keep people from leaving
    const workers = async (want: number) => {
      while (ada.page.workers().filter((w) => w.url().includes("worker-")).length !== want) await setImmediate();
    };
    await ada.page.evaluate(async () => {
      const { open } = globalThis.skerry;
      const options = { name: "ada", clientVersion: "other" };
      const refused = await open(options).then(() => undefined, (error: { code: string }) => error.code);
      if (refused !== "bad_argument") throw new Error(`other options: ${refused}`);
      const again = await Promise.all([1, 2].map(() => open({ ...options, clientVersion: "mine", name: "second" })));
      await Promise.all(again.map((c) => c.close()));
      const more = await Promise.all([1, 2].map(() => open({ ...options, clientVersion: "mine", name: "second" })));
      const closing = more.map((c) => c.close());
      const last = await open({ ...options, clientVersion: "mine", name: "second" }); // as a page that renders twice does
      await Promise.all(closing);
      const space = await last.createSpace();
      await space.append("note", 1).durable;
      Object.assign(globalThis, { last });
    });
    await workers(2);
    await ada.page.evaluate(() => (globalThis as unknown as { last: { close(): Promise<void> } }).last.close());
    await workers(1);

    // A transaction of somebody else's keeps the worker from storing anything.
    let asked = 0;
    ada.page.on("dialog", (dialog) => {
      asked++;
      void dialog.dismiss();
    });
    await ada.page.evaluate(async () => {
      const { client } = globalThis.skerry;
      const space = await client.createSpace();
      const name = (await indexedDB.databases()).find(({ name }) => name?.includes("/ada/"))!.name!;
      const database = await new Promise<IDBDatabase>((resolve) => {
        const request = indexedDB.open(name);
        request.onsuccess = () => resolve(request.result);
      });
      const store = database.transaction([...database.objectStoreNames], "readwrite").objectStore("meta");
      let held = true;
      const hold = () => {
        if (held) store.get("epoch").onsuccess = hold;
        else database.close();
      };
      hold();
      const receipt = space.append("note", "not durable yet");
      await receipt.applied;
      Object.assign(globalThis, { letGo: () => ((held = false), receipt.durable) });
    });
    assert.equal(await ada.page.evaluate(() => globalThis.skerry.client.status.undurable), 1);
    await ada.page.close({ runBeforeUnload: true });
    await ada.page.evaluate(() => (globalThis as unknown as { letGo(): Promise<void> }).letGo());
    assert.equal(asked, 1);
    const gone = ada.page.waitForEvent("close");
    await ada.page.close({ runBeforeUnload: true });
    await gone;
    assert.equal(asked, 1);
  }),
);

test("two identities on one page write under their own names", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada");
    const { space, authors, bob } = await ada.page.evaluate(async () => {
      const { open, client } = globalThis.skerry;
      const bob = await open({ name: "bob", clientVersion: "of bob" });
      const mine = await client.createSpace();
      const his = bob.space(mine.id);
      const receipts = Array.from({ length: 40 }, (_, i) => (i % 2 ? his : mine).append("note", i));
      await Promise.all(receipts.map((receipt) => receipt.synced));
      const authors: string[] = [];
      while (mine.info().seq < 40) await new Promise<void>((resolve) => { const stop = mine.subscribe(() => (stop(), resolve())); });
      for await (const event of mine.events()) authors[event.payload as number] = `${event.author} ${event.clientVersion}`;
      const names = (await indexedDB.databases()).map(({ name }) => name).filter((name) => /\/(ada|bob)\/did/.test(name ?? ""));
      if (names.length !== 2) throw new Error(`databases: ${names.join()}`);
      await bob.close();
      return { space: mine.id, authors, bob: bob.identity };
    });
    assert.deepEqual(authors.map((author) => author.split(" ")[0]), Array.from({ length: 40 }, (_, i) => (i % 2 ? bob : ada.identity)));
    assert.deepEqual([...new Set(authors)].filter((author) => author.startsWith(bob)), [`${bob} of bob`]);
    await ada.synced();
    await assertSameLogs(world, [space]);
  }),
);

test("10,000 events are read from either end, and from any place in between", { timeout: 90_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada");
    const wrong = await ada.page.evaluate(async () => {
      const { client } = globalThis.skerry;
      const space = await client.createSpace();
      const total = 10_000;
      const receipts = Array.from({ length: 10 }, (_, t) =>
        space.transact(Array.from({ length: total / 10 }, (_, i) => ({ type: "n", payload: t * (total / 10) + i + 1 }))),
      );
      await Promise.all(receipts.map((receipt) => receipt.synced));
      while (space.info().seq < total) await new Promise<void>((resolve) => { const stop = space.subscribe(() => (stop(), resolve())); });
      const wrong: string[] = [];
      const read = async (what: string, options: Parameters<Space["events"]>[0], first: number, last: number) => {
        const step = first <= last ? 1 : -1;
        let want = first;
        for await (const event of space.events(options)) {
          if (event.payload !== want || event.seq !== want) wrong.push(`${what}: ${event.seq} with ${String(event.payload)}, want ${want}`);
          want += step;
          if (wrong.length > 5) return;
        }
        if (want !== last + step) wrong.push(`${what}: ended before ${want}, not after ${last}`);
      };
      const at: string[] = [""];
      for await (const event of space.events()) at.push(event.position);
      await read("all", {}, 1, total);
      await read("backwards", { reverse: true }, total, 1);
      for (const n of [1, 1001, total]) {
        const position = at[n]!;
        if (n < total) await read(`after ${n}`, { after: position }, n + 1, total);
        if (n > 1) await read(`before ${n}`, { before: position }, 1, n - 1);
        if (n > 1) await read(`backwards before ${n}`, { reverse: true, before: position }, n - 1, 1);
        if (n < total) await read(`backwards after ${n}`, { reverse: true, after: position }, total, n + 1);
      }
      await read("between", { after: at[2500]!, before: at[7501]! }, 2501, 7500);
      await read("backwards between", { reverse: true, after: at[2500]!, before: at[7501]! }, 7500, 2501);
      await read("some", { after: at[700]!, limit: 1500 }, 701, 2200);
      await read("some backwards", { reverse: true, before: at[2201]!, limit: 1500 }, 2200, 701);
      const info = space.info();
      if (at[total] !== info.position) wrong.push(`the last position is ${at[total]}, the space's ${info.position}`);
      return wrong;
    });
    assert.deepEqual(wrong, []);
  }),
);
