// What an earlier version left must be read by this one: its server's data, its replica's database, its client. In engines other than Chromium it is what the
// newest of them left: what is in a database is the same in all.
import assert from "node:assert/strict";
import { cpSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "../test/root.js";
import { importDatabase } from "./database.js";
import type { Tab } from "./engine.js";
import { golden, goldenVersions as versions, readGolden as read, unpackGolden as unpack } from "./goldens.js";
import { type GoldenDatabase, type Manifest, readRows } from "./manifest.js";
import type { Replica } from "./replica.js";
import { engine, name as tested } from "./tested.js";
import { assertSameLogs, fold, readLogs, World } from "./world.js";

// The README comes with the first golden directory. From then on that one must be there.
const none = !existsSync(join(golden, "README.md")) && `${golden} was not made yet: make golden`;
test("golden files are there", { skip: none }, () => assert.ok(versions.includes("1"), `${golden} lacks version 1`));

for (const version of tested === "chromium" ? versions : versions.slice(-1)) {
  const manifest = read<Manifest>(version, "manifest.json");
  const { key, name } = manifest;

  /** Runs a body with a device that has the replica of that version, offline, and the page of this one. */
  const withReplica = (body: (world: World, ada: Replica<Tab>) => Promise<void>) =>
    World.run([], async (world) => {
      const ada = await world.device(name ?? "somebody", engine, key);
      await ada.load(ada.page, "?name=nobody"); // installs the page, so that it loads with no server
      await ada.installed();
      await ada.wire.cut();
      const host = new URL(ada.wire.origin).host;
      const database = ["skerry", host, name ?? "default", manifest.identity].map(encodeURIComponent).join("/");
      await importDatabase(ada.page, database, read<GoldenDatabase>(version, "indexeddb.json"));
      await ada.load(ada.page, `inspector.html?identity=${encodeURIComponent(manifest.identity)}&name=${name ?? "default"}`);
      await body(world, ada);
    }, { data: join(golden, version, "data") });

  /** Runs a body with the client of that version, served beside that of this one. */
  const withClient = async (body: (world: World) => Promise<void>) => {
    const both = mkdtempSync(join(tmpdir(), "skerry-golden-"));
    try {
      cpSync(join(root, "web", "dist"), both, { recursive: true });
      unpack(version, join(both, "old"));
      await World.run([], body, { www: both });
    } finally {
      rmSync(both, { recursive: true, force: true });
    }
  };

  test(`a replica of version ${version} is read whole${key ? ", and syncs" : "; what waits in it stays, as nobody can prove whose it is"}`, { timeout: 60_000 }, () =>
    withReplica(async (world, ada) => {
      // Offline everything is there.
      const ids = manifest.spaces.map((space) => space.id);
      const infos = await ada.page.evaluate(() => globalThis.skerry.client.spaces());
      const told = infos.map(({ id, stamp, creator, module, params, created, seq }) => ({ id, stamp, creator, module, params, created, seq }));
      const want = manifest.spaces.map(({ records, ...space }) => ({ ...space, seq: records.length }));
      assert.deepEqual(byID(told), byID(want));
      const logs = await readLogs(ada.page, ids);
      for (const [i, { id, records }] of manifest.spaces.entries()) assert.deepEqual(fold(id, logs[i]!.records), records);
      const { waiting, rejected } = await ada.page.evaluate(readRows, ids);
      assert.deepEqual({ waiting, rejected }, { waiting: manifest.waiting, rejected: manifest.rejected });

      await ada.wire.mend();
      await ada.poke();
      if (key) {
        // Online what waited reaches the server, behind what it had.
        await ada.synced();
        const after = await assertSameLogs(world, ids);
        for (const { id, records } of manifest.spaces) {
          const waited = manifest.waiting.filter((t) => t.space === id).flatMap((t) => t.events);
          assert.deepEqual(after.get(id), [...records, ...waited].map((event) => event.id));
        }
        assert.deepEqual(await ada.page.evaluate(readRows, ids), { waiting: [], rejected: manifest.rejected });
        return;
      }

      // Online it is told why nothing goes on, and keeps all. What it exports any browser reads.
      await ada.until("told", ({ status }) => status.connection === "auth_required" && status.code === "auth_required");
      assert.deepEqual(await ada.page.evaluate(readRows, ids), { waiting, rejected });
      const file = await ada.page.evaluate(async () => [...new Uint8Array(await (await globalThis.skerry.client.export()).arrayBuffer())]);
      const bob = await world.replica("bob", engine);
      await bob.wire.cut();
      const done = await bob.page.evaluate((file) => globalThis.skerry.client.import(new Blob([Uint8Array.from(file)])), file);
      const counts = manifest.spaces.map(({ id, records }) => ({ id, records: records.length, foreign: waiting.filter((t) => t.space === id).length }));
      assert.deepEqual(byID(done.map(({ id, records, foreign }) => ({ id, records, foreign }))), byID(counts));
      assert.deepEqual(await readLogs(bob.page, ids), logs);
      await bob.close();
      world.replicas.pop();
      await assertSameLogs(world, manifest.spaces.filter(({ created }) => created).map(({ id }) => id));
    }),
  );

  test(`the client of version ${version} ${key ? "works with this server" : "says no more than a name: it is told to prove it, and keeps what it wrote"}`, { timeout: 60_000, skip: tested !== "chromium" && "a tab of it beside one of this version does as much" }, () =>
    withClient(async (world) => {
      const old = (path: string) => `old/?${key ? "name" : "identity"}=${path}`;
      const ada = await world.device("ada", engine);
      await ada.load(ada.page, old("ada"));
      if (!key) {
        const written = await ada.page.evaluate(async () => {
          const space = await globalThis.skerry.client.createSpace({ params: { name: "by an old client" } });
          const receipts = [1, 2, 3].map((size) => space.transact(Array.from({ length: size }, (_, i) => ({ type: "message", payload: { text: `${i}` } }))));
          await Promise.all(receipts.map((receipt) => receipt.durable));
          return receipts.map((receipt) => receipt.id);
        });
        await ada.until("told", ({ status }) => status.connection === "auth_required");
        await ada.load(ada.page, old("ada"));
        await ada.until("told again", ({ status }) => status.connection === "auth_required" && status.pending === 3 && status.rejected === 0);
        assert.deepEqual(await waitingIn(ada.page), written);
        assert.deepEqual(await world.server.spaces(), []);
        await ada.load(ada.page, "inspector.html?identity=ada"); // and so does this version
        assert.deepEqual(await waitingIn(ada.page), written);
        return;
      }
      const bob = await world.device("bob", engine);
      await bob.load(bob.page, old("bob"));
      const id = await ada.page.evaluate(async () => {
        const space = await globalThis.skerry.client.createSpace({ params: { name: "by an old client" } });
        for (let size = 1; size <= 5; size++) {
          await space.transact(Array.from({ length: size }, (_, i) => ({ type: "message", payload: { text: `${i}` } }))).synced;
        }
        return space.id;
      });
      await bob.page.evaluate(async (id) => {
        const space = globalThis.skerry.client.space(id);
        await space.append("message", { text: "an answer" }).synced;
      }, id);
      await Promise.all(world.replicas.map((replica) => replica.synced()));
      await ada.until("all read", (c) => c.spaces()[0]!.seq === 16);
      const logs = await assertSameLogs(world, [id]);
      assert.equal(logs.get(id)!.length, 16);
    }),
  );

  test(`a tab of version ${version} beside one of this version: one replica, one order`, { timeout: 60_000 }, () =>
    withClient(async (world) => {
      const ada = await world.device("ada", engine);
      await ada.load(ada.page, key ? "" : "inspector.html?identity=ada");
      const older = await ada.newPage();
      await older.goto(`${ada.wire.origin}/old/?${key ? "name" : "identity"}=ada`);
      await ada.opened(older);
      const id = await older.evaluate(async () => (await globalThis.skerry.client.createSpace()).id);
      const write = (page: Tab, count: number) =>
        page.evaluate(
          async ([id, count, moment]) => {
            const space = globalThis.skerry.client.space(id);
            const receipts = Array.from({ length: count }, (_, i) => space.transact(Array.from({ length: 1 + (i % 3) }, () => ({ type: "note", payload: i }))));
            await Promise.all(receipts.map((receipt) => receipt[moment]));
            return receipts.flatMap((receipt) => [...receipt.ids]);
          },
          [id, count, key ? "synced" : "durable"] as const,
        );
      const written = (await Promise.all([write(ada.page, 60), write(older, 60)])).flat();
      const settled = async (pages: readonly Tab[], count: number) => {
        for (const page of pages) {
          await page.evaluate(([count, id]) => Object.assign(globalThis, { count, id }), [count, id] as const);
          await ada.until("all there", (c) => {
            const { count, id } = globalThis as unknown as { count: number; id: string };
            return c.spaces().find((space) => space.id === id)!.seq === count;
          }, 20_000, page);
        }
      };
      const [led, follows] = await Promise.all([ada.page, older].map((page) => page.evaluate(() => globalThis.skerry.client.status.leader)));
      assert.notEqual(led, follows, "one of the two leads");
      const [leader, other] = led ? [ada.page, older] : [older, ada.page];
      if (!key) {
        // Nobody takes it. Either tab has all of it, in one order, and takes the lead from the other.
        const order = await waitingIn(ada.page);
        assert.equal(order.length, 120);
        assert.deepEqual(await waitingIn(older), order);
        await leader.close();
        await write(other, 10);
        await ada.until("told", ({ status }) => status.leader && status.connection === "auth_required" && status.pending === 130, 20_000, other);
        assert.deepEqual((await waitingIn(other)).slice(0, 120), order);
        assert.deepEqual(await world.server.spaces(), []);
        return;
      }
      await settled([ada.page, older], 240);
      const logs = await assertSameLogs(world, [id]);
      assert.deepEqual(new Set(logs.get(id)), new Set(written));

      // Whoever leads goes, and the other one takes over what both wrote meanwhile.
      await world.server.start();
      await leader.evaluate(async (id) => void (await globalThis.skerry.client.space(id).append("note", "last words").durable), id);
      await leader.close();
      written.push(...(await write(other, 10)));
      await settled([other], 240 + 1 + 19);
      await assertSameLogs(world, [id]);
    }),
  );
}

/** Returns the transactions that wait in the only space, or in all, in outbox order. */
function waitingIn(page: Tab): Promise<string[]> {
  return page.evaluate(async () => {
    const { client } = globalThis.skerry;
    const all = await Promise.all(client.spaces().map(({ id }) => client.space(id).pending()));
    return all.flat().map(({ id }) => id);
  });
}

function byID<T extends { id: string }>(rows: readonly T[]): T[] {
  return [...rows].sort((a, b) => (a.id < b.id ? -1 : 1));
}
