// What storage does to a page: deleted, closed and blocked under it, full, of a newer version, or not there at all.
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Page } from "playwright-core";
import { databaseOf } from "./database.js";
import type { Replica } from "./replica.js";
import { assertSameLogs, World } from "./world.js";

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

test("a page whose browser lost its databases says so when it is opened", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada");
    await spaceOf(ada, 1);
    const state = () => ada.page.evaluate(() => globalThis.skerry.client.status.storage.state);
    assert.equal(await state(), "ok");
    const before = ada.identity;
    await ada.page.goto(`${ada.wire.origin}/nothing.html`);
    await ada.page.evaluate(async () => {
      for (const { name } of await indexedDB.databases()) {
        await new Promise((resolve, reject) => {
          const request = indexedDB.deleteDatabase(name!);
          request.onsuccess = resolve;
          request.onerror = () => reject(request.error);
        });
      }
    });
    await ada.load();
    assert.notEqual(ada.identity, before);
    assert.equal(await state(), "replica_lost");
    await ada.load();
    assert.equal(await state(), "ok"); // it has been said
  }),
);

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
      const check = await ada.page.evaluate((id) => globalThis.skerry.client.space(id).check(), id);
      assert.deepEqual(check, { seq: 20 + synced + 2, damage: "" });
      const logs = await assertSameLogs(world, [id]);
      assert.equal(logs.get(id)!.length, 20 + synced + 2);
      console.log(`${synced} of 200 that were under way are in the log; of the others their authors were told`);
    }),
  );
}

test("a device without room takes nothing more in, says so, and goes on when there is room", { timeout: 150_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.device("ada");
    const bob = await world.replica("bob");
    const { origin } = ada.wire;
    await ada.page.goto(`${origin}/sw.js`); // a page of the origin with no replica, and no icon
    const session = await ada.page.context().newCDPSession(ada.page);
    // Before the first use: Chromium remembers for half a minute how much room there was. It has been seen to forget what it was told.
    const little = async () => {
      await session.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 8.5e6 });
      await ada.page.waitForFunction(async () => (await navigator.storage.estimate()).quota === 8.5e6);
    };
    await little();
    await ada.load();
    await ada.installed();
    await little();
    const id = await spaceOf(ada, 1);

    const written = await bob.page.evaluate(async (id) => {
      const space = globalThis.skerry.client.space(id);
      // What can be compressed takes no room.
      const noise = () => Array.from({ length: 2 }, () => crypto.getRandomValues(new Uint8Array(50_000)));
      await Promise.all(Array.from({ length: 80 }, () => space.append("note", noise()).synced));
      return 80;
    }, id);
    const full = () =>
      ada.page.waitForFunction(() => {
        const { storage, code } = globalThis.skerry.client.status;
        return storage.state === "degraded" && code === "quota";
      }, undefined, { timeout: 20_000 });
    const told = () => little().then(full);
    await full().catch(told).catch(told).catch(told).catch(async (error: unknown) => {
      const state = await ada.page.evaluate((id) => [globalThis.skerry.client.status, globalThis.skerry.client.space(id).info()], id);
      throw new Error(`the device is not full: ${JSON.stringify(state)}`, { cause: error });
    });
    const outcomes = await ada.page.evaluate(async (id) => {
      const space = globalThis.skerry.client.space(id);
      const outcomes: string[] = [];
      for (let i = 0; i < 100 && outcomes.at(-1) !== "quota"; i++) {
        const receipt = space.append("note", crypto.getRandomValues(new Uint8Array(50_000)));
        receipt.synced.catch(() => {});
        outcomes.push(await receipt.durable.then(() => "durable", (error: { code: string }) => error.code));
      }
      return outcomes;
    }, id);
    assert.equal(outcomes.at(-1), "quota", outcomes.join());
    const durable = outcomes.filter((outcome) => outcome === "durable").length;

    await session.send("Storage.overrideQuotaForOrigin", { origin });
    await ada.poke();
    const end = 1 + written + durable;
    for (const page of [ada.page, bob.page]) {
      await page.waitForFunction(([id, n]) => globalThis.skerry.client.space(id).info().seq === n, [id, end] as const, { timeout: 60_000 });
    }
    await ada.page.waitForFunction(() => globalThis.skerry.client.status.storage.state === "ok");
    await assertSameLogs(world, [id]);
    ada.faults.splice(0, ada.faults.length, ...ada.faults.filter((fault) => !fault.includes("404"))); // the icon
    console.log(`${durable} were durable before one was refused`);
  }),
);

test("where the browser gives no storage a replica is in memory: it says so, and syncs", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.device("ada");
    await ada.kill();
    const settings = join(ada.profile, "Default");
    mkdirSync(settings, { recursive: true });
    // 2: sites may store nothing
    writeFileSync(join(settings, "Preferences"), JSON.stringify({ profile: { default_content_setting_values: { cookies: 2 } } }));
    await ada.launch();
    await ada.load();
    const told = await ada.page.evaluate(async () => {
      const { client } = globalThis.skerry;
      const before = client.status.storage.state;
      const space = await client.createSpace();
      const receipt = space.append("note", 1);
      await receipt.applied;
      const durable = await receipt.durable.then(() => "durable", (error: { code: string }) => error.code);
      const { seq } = await receipt.synced;
      const events: number[] = [];
      // The server's verdict may be here before the record is.
      for await (const event of space.events({ live: true })) {
        events.push(event.seq);
        break;
      }
      return { before, durable, seq, events, undurable: client.status.undurable, id: space.id };
    });
    assert.deepEqual({ ...told, id: "" }, { before: "memory", durable: "not_durable", seq: 1, events: [1], undurable: 0, id: "" });
    await world.server.stop();
    assert.equal((await world.server.log(told.id)).length, 1);
  }),
);

test("a worker that ends in the middle of its commits leaves all or nothing of each", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada");
    await ada.wire.cut();
    const made = await ada.page.evaluate(async () => {
      const space = await globalThis.skerry.client.createSpace();
      const durable = new Set<string>();
      const receipts: { id: string; durable: Promise<void> }[] = [];
      Object.assign(globalThis, { receipts, durable });
      const transact = () => {
        const receipt = space.transact(Array.from({ length: 10 }, (_, i) => ({ type: "note", payload: { i, text: "z".repeat(1000) } })));
        receipts.push(receipt);
        receipt.synced.catch(() => {});
        receipt.durable.then(() => durable.add(receipt.id), () => {});
      };
      for (let i = 0; i < 300; i++) transact();
      await receipts[20]!.durable;
      return space.id;
    });
    const worker = ada.page.workers().find((w) => w.url().includes("worker-"))!;
    await worker.evaluate(() => close()).catch(() => {}); // without a word
    const durable = await ada.page.evaluate(() => [...(globalThis as unknown as { durable: Set<string> }).durable]);
    await ada.page.reload();
    await ada.page.waitForFunction(() => globalThis.skerry !== undefined);
    const found = await ada.page.evaluate(async (id) => {
      const pending = await globalThis.skerry.client.space(id).pending();
      return pending.map(({ id, events }) => ({ id, events: events.length }));
    }, made);
    const ids = new Set(found.map(({ id }) => id));
    assert.deepEqual(durable.filter((id) => !ids.has(id)), [], "what was durable is gone");
    assert.deepEqual(found.filter(({ events }) => events !== 10), [], "a part of a transaction was stored");
    await ada.wire.mend();
    await ada.poke();
    await ada.synced();
    const logs = await assertSameLogs(world, [made]);
    assert.equal(logs.get(made)!.length, 10 * found.length);
    console.log(`${durable.length} of 300 were durable, ${found.length} found`);
  }),
);

test("a newer version took the replica over: an old page writes nothing more, says so, and reads on", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada");
    const id = await spaceOf(ada, 3);
    await ada.synced();
    await ada.wire.cut();
    await ada.page.evaluate((id) => globalThis.skerry.client.space(id).append("note", "waits").durable, id);
    await ada.page.evaluate(async (name) => {
      const database = await new Promise<IDBDatabase>((resolve) => {
        const request = indexedDB.open(name);
        request.onsuccess = () => resolve(request.result);
      });
      const transaction = database.transaction("meta", "readwrite");
      transaction.objectStore("meta").put(Uint8Array.of(1, 99), "min_writer"); // in the format of numbers there
      await new Promise((resolve) => (transaction.oncomplete = resolve));
      database.close();
    }, await databaseOf(ada.page));
    const told = await ada.page.evaluate(async (id) => {
      const space = globalThis.skerry.client.space(id);
      const code = await space.append("note", "too late").durable.then(() => "durable", (error: { code: string }) => error.code);
      const seqs: number[] = [];
      for await (const event of space.events()) seqs.push(event.seq);
      return { code, seqs, waiting: (await space.pending()).map(({ events }) => events[0]?.payload) };
    }, id);
    assert.deepEqual(told, { code: "upgrade_required", seqs: [1, 2, 3], waiting: ["waits"] });
    await ada.until("told to upgrade", (c) => c.status.connection === "upgrade_required" && !c.status.leader && c.status.undurable === 0);
    await ada.wire.mend();
    await ada.poke();
    await ada.page.evaluate(() => globalThis.skerry.client.close());
    await world.server.stop();
    assert.equal((await world.server.log(id)).length, 3); // what waits is the newer version's to send
  }),
);

/** What a disk does to bytes: it changes one bit, of what still reads as events, or more than one text, as a bad sector does. */
const damages = ["one bit", "a sector"] as const;

/** Spoils the newest segment from its middle on, and returns the number of its first event. */
async function spoil(page: Page, damage: (typeof damages)[number]): Promise<number> {
  const name = await databaseOf(page);
  return page.evaluate(async ([name, damage]) => {
    const done = <T>(request: IDBRequest<T>) =>
      new Promise<T>((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
      });
    const database = await done(indexedDB.open(name));
    const segments = database.transaction("segments", "readwrite").objectStore("segments");
    const key = (await done(segments.getAllKeys())).at(-1) as [IDBValidKey, number, number];
    const value = (await done(segments.get(key))) as Uint8Array;
    const middle = value.length >> 1;
    const spoiled =
      damage === "one bit" ? value.map((b, i) => (i === middle ? b ^ 1 : b)) : value.map((b, i) => (i >= middle && i < middle + 512 ? 0xc1 : b));
    await done(segments.put(spoiled, key));
    database.close();
    return key[1];
  }, [name, damage] as const);
}

for (const damage of damages) test(`a damaged segment (${damage}): both tabs say so, what waits is kept, and the server sends the events again`, { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada");
    const second = await ada.newPage();
    await ada.load(second);
    const id = await spaceOf(ada, 20);
    await second.evaluate((id) => {
      const seqs: number[] = [];
      Object.assign(globalThis, { seqs });
      void (async () => {
        for await (const event of globalThis.skerry.client.space(id).events({ live: true })) seqs.push(event.seq);
      })();
    }, id);
    await second.waitForFunction(() => (globalThis as unknown as { seqs: number[] }).seqs.length === 20);
    await ada.wire.cut();
    await ada.page.evaluate((id) => globalThis.skerry.client.space(id).append("note", "waits").durable, id);
    const first = await spoil(ada.page, damage);

    await ada.page.reload(); // so that nothing is read from memory
    await ada.opened();
    const [read, code] = await ada.page.evaluate(async (id) => {
      let read = 0;
      try {
        for await (const event of globalThis.skerry.client.space(id).events()) read = event.seq;
      } catch (error) {
        return [read, (error as { code?: string }).code];
      }
      return [read, "none"];
    }, id);
    assert.deepEqual([read, code], [first - 1, "damaged"]);
    for (const page of ada.tabs) {
      await page.waitForFunction((id) => {
        const { client } = globalThis.skerry;
        const { code, pending, seq } = client.space(id).info();
        return code === "damaged" && pending === 1 && seq === 20 && client.status.storage.state === "degraded";
      }, id);
    }

    await ada.wire.mend();
    for (const page of ada.tabs) await page.evaluate(() => void globalThis.dispatchEvent(new Event("online")));
    for (const page of ada.tabs) {
      await page.waitForFunction((id) => {
        const { client } = globalThis.skerry;
        const { code, pending, seq } = client.space(id).info();
        return code === undefined && pending === 0 && seq === 21 && client.status.storage.state === "ok";
      }, id);
      assert.deepEqual(await page.evaluate((id) => globalThis.skerry.client.space(id).check(), id), { seq: 21, damage: "" });
    }
    await second.waitForFunction(() => (globalThis as unknown as { seqs: number[] }).seqs.length >= 21);
    const seqs = await second.evaluate(() => (globalThis as unknown as { seqs: number[] }).seqs);
    assert.deepEqual(seqs, Array.from({ length: 21 }, (_, i) => i + 1), "a reader that goes on misses events or has them twice");
    const logs = await assertSameLogs(world, [id]);
    assert.equal(logs.get(id)!.length, 21);
  }),
);

test("damaged rows: the page opens, a space is made anew from its events, and of what waits one is set aside", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada");
    const id = await spaceOf(ada, 20);
    await ada.synced();
    await ada.wire.cut();
    const waiting = await ada.page.evaluate(async (id) => {
      const receipts = Array.from({ length: 3 }, (_, i) => globalThis.skerry.client.space(id).append("note", i));
      await Promise.all(receipts.map((receipt) => receipt.durable));
      return receipts.map((receipt) => receipt.id);
    }, id);
    await ada.page.evaluate(async (name) => {
      const done = <T>(request: IDBRequest<T>) =>
        new Promise<T>((resolve, reject) => {
          request.onsuccess = () => resolve(request.result);
          request.onerror = () => reject(request.error);
        });
      const database = await done(indexedDB.open(name));
      const transaction = database.transaction(["meta", "spaces", "outbox"], "readwrite");
      const [spaces, outbox] = [transaction.objectStore("spaces"), transaction.objectStore("outbox")];
      await done(spaces.put(new Uint8Array(9), (await done(spaces.getAllKeys()))[0]));
      const key = (await done(outbox.getAllKeys()))[1]!;
      await done(outbox.put({ ...((await done(outbox.get(key))) as object), row: Uint8Array.of(1, 2, 3) }, key));
      await done(transaction.objectStore("meta").put(new Uint8Array(3), "epoch"));
      database.close();
    }, await databaseOf(ada.page));

    await ada.page.reload();
    await ada.opened();
    const told = await ada.page.evaluate(async (id) => {
      const space = globalThis.skerry.client.space(id);
      const pending = (await space.pending()).map((transaction) => transaction.id);
      const [refused, ...others] = await space.rejected();
      const seqs: number[] = [];
      for await (const event of space.events()) seqs.push(event.seq);
      const bytes = [...(refused!.events[0]!.payload as Uint8Array)];
      const decided = await space.receipt(refused!.id).synced.then(() => "synced", (error: { code: string }) => error.code);
      return { pending, id: refused!.id, code: refused!.code, by: refused!.by, bytes, decided, others: others.length, read: seqs.length };
    }, id);
    assert.deepEqual(told, {
      pending: [waiting[0], waiting[2]], id: waiting[1], code: "damaged", by: "device", bytes: [1, 2, 3], decided: "damaged", others: 0, read: 20,
    });
    await ada.wire.mend();
    await ada.poke();
    await ada.synced();
    await ada.until("well", (c) => c.status.storage.state === "ok" && c.status.rejected === 1 && c.spaces()[0]!.code === undefined);
    assert.deepEqual(await ada.page.evaluate((id) => globalThis.skerry.client.space(id).check(), id), { seq: 22, damage: "" });
    assert.deepEqual((await assertSameLogs(world, [id])).get(id)!.slice(20), [waiting[0], waiting[2]]);
  }),
);
