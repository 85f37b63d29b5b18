// A device without room, in each phase: when a replica is opened, when what came is stored, when a file is imported.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Page } from "playwright-core";
import type { Replica } from "./replica.js";
import { assertSameLogs, World } from "./world.js";

/** Gives the page's origin so many bytes, from a page of it that has no replica: Chromium remembers for half a minute. */
async function limit(ada: Replica, bytes: number): Promise<() => Promise<unknown>> {
  const { origin } = ada.wire;
  await ada.page.goto(`${origin}/sw.js`);
  const session = await ada.page.context().newCDPSession(ada.page);
  await session.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: bytes });
  return () => session.send("Storage.overrideQuotaForOrigin", { origin });
}

/** Has all writes of the page's worker into some stores fail as they do without room, or none. */
async function fill(page: Page, stores: readonly string[]): Promise<void> {
  const worker = page.workers().find((w) => w.url().includes("worker-"))!;
  await worker.evaluate((stores) => {
    const page = globalThis as unknown as { full?: readonly string[] };
    const patched = page.full !== undefined;
    page.full = stores;
    if (patched) return;
    for (const method of ["put", "add"] as const) {
      const write = IDBObjectStore.prototype[method];
      IDBObjectStore.prototype[method] = function (this: IDBObjectStore, ...args: [unknown, IDBValidKey?]) {
        if (page.full!.includes(this.name)) throw new DOMException("no room", "QuotaExceededError");
        return write.apply(this, args);
      };
    }
  }, stores);
}

const everything = ["meta", "spaces", "segments", "outbox", "rejected"];

test("no room to make a replica: it is in memory, says so and syncs; with room the page has one", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.device("ada");
    const room = await limit(ada, 1);
    await ada.load();
    ada.faults.splice(0, ada.faults.length, ...ada.faults.filter((fault) => !fault.includes("404"))); // the icon
    const told = await ada.page.evaluate(async () => {
      const { client } = globalThis.skerry;
      const space = await client.createSpace();
      const receipt = space.append("note", 1);
      const durable = await receipt.durable.then(() => "durable", (error: { code: string }) => error.code);
      return { state: client.status.storage.state, durable, seq: (await receipt.synced).seq, id: space.id };
    });
    assert.deepEqual({ ...told, id: "" }, { state: "memory", durable: "not_durable", seq: 1, id: "" });
    await room();
    await ada.page.reload();
    await ada.opened();
    await ada.page.evaluate((id) => globalThis.skerry.client.space(id).append("note", 2).durable, told.id);
    await ada.until("stored", (c) => c.status.storage.state === "ok");
    await ada.synced();
    assert.equal((await assertSameLogs(world, [told.id])).get(told.id)!.length, 2);
  }),
);

test("no room when a page is opened: what waits is there, and is sent when there is room", { timeout: 90_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada");
    await ada.wire.cut();
    const made = await ada.page.evaluate(async () => {
      const space = await globalThis.skerry.client.createSpace();
      const receipts = Array.from({ length: 20 }, (_, i) => space.append("note", i));
      await Promise.all(receipts.map((receipt) => receipt.durable));
      return { id: space.id, ids: receipts.map((receipt) => receipt.id) };
    });
    await ada.kill();
    await ada.launch();
    await ada.wire.mend();
    const room = await limit(ada, 1);
    await ada.load();
    ada.faults.splice(0, ada.faults.length, ...ada.faults.filter((fault) => !fault.includes("404")));
    const outcome = await ada.page.evaluate(async ({ id }) => {
      const space = globalThis.skerry.client.space(id);
      return [
        (await space.pending()).map((transaction) => transaction.id),
        await space.append("note", "more").durable.then(() => "durable", (error: { code: string }) => error.code),
      ];
    }, made);
    assert.deepEqual(outcome, [made.ids, "quota"]);
    await ada.until("said", (c) => c.status.storage.state === "degraded" && c.status.code === "quota");
    await room();
    await ada.poke();
    await ada.synced();
    await ada.until("well", (c) => c.status.storage.state === "ok");
    assert.deepEqual((await assertSameLogs(world, [made.id])).get(made.id), made.ids);
  }),
);

test("no room for what is written last: the page says so until there is, though nothing else is written", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada");
    const id = await ada.page.evaluate(async () => {
      const space = await globalThis.skerry.client.createSpace();
      await space.append("note", 0).synced;
      return space.id;
    });
    await ada.synced();
    await ada.wire.cut();
    await fill(ada.page, everything);
    const code = await ada.page.evaluate(
      (id) => globalThis.skerry.client.space(id).append("note", 1).durable.then(() => "durable", (error: { code: string }) => error.code),
      id,
    );
    assert.equal(code, "quota");
    await ada.until("said", (c) => c.status.storage.state === "degraded" && c.status.code === "quota");
    await ada.poke(); // it is tried at once
    await ada.until("still said", (c) => c.status.storage.state === "degraded");
    await fill(ada.page, []);
    await ada.poke();
    await ada.until("well", (c) => c.status.storage.state === "ok");
  }),
);

test("no room for the server's answers: what it took still waits, also after a reload, and is in the log once", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada");
    const id = await ada.page.evaluate(async () => {
      const space = await globalThis.skerry.client.createSpace();
      await space.append("note", 0).synced;
      return space.id;
    });
    await ada.synced(); // the record may come after the verdict
    const write = (count: number) =>
      ada.page.evaluate(async ([id, count]) => {
        const receipts = Array.from({ length: count }, (_, i) => globalThis.skerry.client.space(id).append("note", i));
        await Promise.all(receipts.map((receipt) => receipt.durable));
        return receipts.map((receipt) => receipt.id);
      }, [id, count] as const);
    const waiting = () => ada.page.evaluate(async (id) => (await globalThis.skerry.client.space(id).pending()).map((t) => t.id), id);
    await fill(ada.page, ["segments", "rejected"]);
    const written = await write(5);
    await ada.until("said", (c) => c.status.storage.state === "degraded" && c.status.code === "quota");
    written.push(...(await write(5))); // the user's own is the last to fail
    assert.deepEqual(await waiting(), written);
    await ada.page.reload();
    await ada.opened();
    await fill(ada.page, everything);
    const late = await ada.page.evaluate(
      (id) => globalThis.skerry.client.space(id).append("note", "late").durable.then(() => "durable", (error: { code: string }) => error.code),
      id,
    );
    assert.equal(late, "quota");
    await fill(ada.page, []);
    await ada.poke();
    written.push(...(await write(1)));
    await ada.synced();
    await ada.until("well", (c) => c.status.storage.state === "ok");
    assert.deepEqual(await waiting(), []);
    assert.deepEqual((await assertSameLogs(world, [id])).get(id)!.slice(1), written);
  }),
);

test("no room for a file: its import fails with quota, and does what is left when there is room", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada");
    const made = await ada.page.evaluate(async () => {
      const { client } = globalThis.skerry;
      const space = await client.createSpace();
      await Promise.all(Array.from({ length: 20 }, (_, i) => space.append("note", i).synced));
      return space.id;
    });
    await ada.synced(); // the records may come after the verdicts
    const file = await ada.page.evaluate(async (id) => [...new Uint8Array(await (await globalThis.skerry.client.export(id)).arrayBuffer())], made);
    const ben = await world.replica("ben");
    await ben.wire.cut(); // so that only the file has it
    await fill(ben.page, everything);
    const imported = () =>
      ben.page.evaluate(
        (file) =>
          globalThis.skerry.client
            .import(new Blob([Uint8Array.from(file)]))
            .then(([space]) => space?.code ?? `${space?.records} records`, (error: { code: string }) => error.code),
        file,
      );
    assert.equal(await imported(), "quota");
    await fill(ben.page, []);
    assert.equal(await imported(), "20 records");
    await ben.until("well", (c) => c.status.storage.state === "ok");
    assert.equal((await assertSameLogs(world, [made])).get(made)!.length, 20);
  }),
);
