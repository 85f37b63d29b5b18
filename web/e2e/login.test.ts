// Who logs out syncs no more, in any tab, until they log in; what they wrote stays, unless they have it forgotten.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertSameLogs, World } from "./world.js";

const key = "?name=";

test("logged out in one tab is logged out in all, over reloads and with no network; what is written waits, and goes when they log in", { timeout: 90_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.device("ada");
    await ada.load(ada.page, key);
    const id = await ada.page.evaluate(async () => {
      const space = await globalThis.skerry.client.createSpace();
      await space.append("note", 1).synced;
      return space.id;
    });
    const other = await ada.newPage();
    await ada.load(other, key);
    await ada.until("told", (c) => c.status.connection === "online", 60_000, other);
    await other.evaluate(() => globalThis.skerry.client.logout());
    await ada.until("logged out", (c) => c.status.connection === "logged_out");
    const write = (page: typeof other, n: number) =>
      page.evaluate(async ({ id, n }) => {
        const { client } = globalThis.skerry;
        await client.space(id).append("note", n).durable;
        return client.status.connection;
      }, { id, n });
    assert.equal(await write(ada.page, 2), "logged_out");
    await other.reload();
    await ada.opened(other);
    assert.equal(await write(other, 3), "logged_out");
    await ada.page.close();
    await ada.until("leads", (c) => c.status.leader && c.status.pending === 2, 60_000, other);
    // Unreachable is something else.
    await ada.wire.cut();
    await ada.poke();
    assert.equal(await other.evaluate(() => globalThis.skerry.client.status.connection), "logged_out");
    assert.equal((await world.server.log(id)).length, 1);
    await other.evaluate(() => globalThis.skerry.client.login());
    await ada.until("offline", (c) => c.status.connection === "offline", 60_000, other);
    await ada.wire.mend();
    await ada.poke();
    await ada.synced();
    assert.equal((await assertSameLogs(world, [id])).get(id)!.length, 3);
  }),
);

test("who has everything forgotten is refused while something was not sent; then key and replica are gone, for every tab", { timeout: 90_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.device("ada");
    await ada.load(ada.page, key);
    const first = await ada.page.evaluate(async () => {
      const { client } = globalThis.skerry;
      const space = await client.createSpace();
      await space.append("note", 1).synced;
      await client.logout();
      await space.append("note", 2).durable;
      const refused = await client.logout({ forget: true }).then(() => undefined, (error: { code: string; reason: string }) => [error.code, error.reason]);
      const pending = (await space.pending()).length;
      await client.login();
      for (let done = false; !done; ) {
        await new Promise((resolve) => setTimeout(resolve, 10));
        done = client.status.connection === "online" && client.status.pending === 0;
      }
      return { id: space.id, identity: client.identity, refused, pending };
    });
    assert.equal(first.refused?.[0], "unsynced");
    assert.match(first.refused![1]!, /^1 transactions wait to be sent/);
    assert.equal(first.pending, 1);
    const other = await ada.newPage();
    await ada.load(other, key);
    const ended = await other.evaluate(async (id) => {
      const { client } = globalThis.skerry;
      const over = new Promise<string | undefined>((resolve) => client.subscribe(() => client.status.worker === "ended" && resolve(client.status.code)));
      (globalThis as { over?: typeof over }).over = over;
      await client.space(id).append("note", 3).synced;
      return client.status.worker;
    }, first.id);
    assert.equal(ended, "running");
    const left = await ada.page.evaluate(async () => {
      const { client, open } = globalThis.skerry;
      await client.logout({ forget: true });
      const done = <T>(request: IDBRequest<T>) => new Promise<T>((resolve, reject) => ((request.onsuccess = () => resolve(request.result)), (request.onerror = () => reject(request.error))));
      const name = (await indexedDB.databases()).map(({ name }) => name!).find((name) => name.startsWith("skerry/"))!;
      const database = await done(indexedDB.open(name));
      const rows: Record<string, number> = {};
      for (const store of database.objectStoreNames) rows[store] = await done(database.transaction(store).objectStore(store).count());
      database.close();
      const keys = await done(indexedDB.open("skerry-identities"));
      const kept = await done(keys.transaction("identities").objectStore("identities").count());
      keys.close();
      const written = await client.space("0".repeat(64)).append("note", 1).durable.then(() => "written", (error: { code: string }) => error.code);
      const next = await open();
      const { identity, status } = next;
      await next.close();
      return { rows, kept, written, code: client.status.code, identity, state: status.storage.state };
    });
    assert.deepEqual(left.rows, { meta: 2, spaces: 0, outbox: 0, rejected: 0, lost: 0, segments: 0, checkpoints: 0, modules: 0 });
    assert.deepEqual([left.kept, left.written, left.code], [0, "forgotten", "forgotten"]);
    assert.notEqual(left.identity, first.identity);
    assert.equal(left.state, "ok"); // forgotten is not lost
    assert.equal(await other.evaluate(() => (globalThis as { over?: Promise<string> }).over), "forgotten");
    assert.equal((await world.server.log(first.id)).length, 3);
  }),
);

test("who is slow to forget a key deletes no other: another tab has begun anew under a new one meanwhile, and keeps it", { timeout: 90_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.device("ada");
    await ada.load(ada.page, key);
    const other = await ada.newPage();
    await ada.load(other, key);
    const watch = () => {
      const { client } = globalThis.skerry;
      const over = new Promise<string | undefined>((resolve) => client.subscribe(() => client.status.worker === "ended" && resolve(client.status.code)));
      (globalThis as { over?: typeof over }).over = over;
      return client.identity;
    };
    const old = await other.evaluate(watch);
    // The tab that forgets is stopped when the replica is erased, before it comes to the key.
    await ada.page.evaluate(() => {
      const { open } = IDBFactory.prototype;
      const page = globalThis as unknown as { release: () => void; left: Promise<void> };
      const released = new Promise<void>((resolve) => (page.release = resolve));
      IDBFactory.prototype.open = function (name, version) {
        if (name !== "skerry-identities") return open.call(this, name, version);
        const late = {} as { result?: IDBDatabase; error?: unknown; onsuccess(): void; onerror(): void };
        void released.then(() => {
          const request = open.call(this, name, version);
          request.onsuccess = () => ((late.result = request.result), late.onsuccess());
          request.onerror = () => ((late.error = request.error), late.onerror());
        });
        return late as unknown as IDBOpenDBRequest;
      };
      page.left = globalThis.skerry.client.logout({ forget: true });
      page.left.catch(() => {});
    });
    assert.equal(await other.evaluate(() => (globalThis as { over?: Promise<string> }).over), "forgotten");
    await other.reload();
    await ada.opened(other);
    const next = await other.evaluate(async () => {
      const { client } = globalThis.skerry;
      const space = await client.createSpace();
      await space.append("note", 1).durable;
      return { id: space.id, identity: client.identity };
    });
    assert.notEqual(next.identity, old, "what was forgotten begins anew under its key");
    await ada.page.evaluate(() => {
      const page = globalThis as unknown as { release: () => void; left: Promise<void> };
      page.release();
      return page.left;
    });
    await other.reload();
    await ada.opened(other);
    const kept = await other.evaluate(() => ({ identity: globalThis.skerry.client.identity, spaces: globalThis.skerry.client.spaces().map(({ id }) => id) }));
    assert.deepEqual(kept, { identity: next.identity, spaces: [next.id] });
  }),
);
