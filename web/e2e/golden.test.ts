// What an earlier version left must be read by this one: its server's data, its replica's database, its client.
import assert from "node:assert/strict";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { brotliDecompressSync } from "node:zlib";
import type { Page } from "playwright-core";
import { toConfig } from "../src/options.js";
import { root } from "../test/root.js";
import { importDatabase } from "./database.js";
import { type GoldenDatabase, type Manifest, readRows } from "./manifest.js";
import { assertSameLogs, fold, readLogs, World } from "./world.js";

const golden = process.env["SKERRY_GOLDEN"] ?? join(root, "testdata", "golden");
const versions = existsSync(golden) ? readdirSync(golden).filter((name) => /^\d+$/.test(name)) : [];
const read = <T>(version: string, name: string) => JSON.parse(readFileSync(join(golden, version, name), "utf8")) as T;

// The README comes with the first golden directory. From then on that one must be there.
const none = !existsSync(join(golden, "README.md")) && `${golden} was not made yet: make golden`;
test("golden files are there", { skip: none }, () => assert.ok(versions.includes("1"), `${golden} lacks version 1`));

for (const version of versions) {
  test(`a replica of version ${version} is read whole, and syncs`, { timeout: 60_000 }, () =>
    World.run([], async (world) => {
      const manifest = read<Manifest>(version, "manifest.json");
      const ada = await world.device(manifest.identity);
      await ada.load(ada.page, "?identity=somebody"); // installs the page, so that it loads with no server
      await ada.installed();
      await ada.wire.cut();
      const { database } = await toConfig({ url: `${ada.wire.origin}/sync`, identity: manifest.identity });
      await importDatabase(ada.page, database, read<GoldenDatabase>(version, "indexeddb.json"));

      // Offline everything is there.
      await ada.load();
      const ids = manifest.spaces.map((space) => space.id);
      const infos = await ada.page.evaluate(() => globalThis.skerry.client.spaces());
      const told = infos.map(({ id, stamp, creator, module, params, created, seq }) => ({ id, stamp, creator, module, params, created, seq }));
      const want = manifest.spaces.map(({ records, ...space }) => ({ ...space, seq: records.length }));
      assert.deepEqual(byID(told), byID(want));
      const logs = await readLogs(ada.page, ids);
      for (const [i, { id, records }] of manifest.spaces.entries()) assert.deepEqual(fold(id, logs[i]!.records), records);
      const { waiting, rejected } = await ada.page.evaluate(readRows, ids);
      assert.deepEqual({ waiting, rejected }, { waiting: manifest.waiting, rejected: manifest.rejected });

      // Online what waited reaches the server, behind what it had.
      await ada.wire.mend();
      await ada.poke();
      await ada.synced();
      const after = await assertSameLogs(world, ids);
      for (const { id, records } of manifest.spaces) {
        const waited = manifest.waiting.filter((t) => t.space === id).flatMap((t) => t.events);
        assert.deepEqual(after.get(id), [...records, ...waited].map((event) => event.id));
      }
      const left = await ada.page.evaluate(readRows, ids);
      assert.deepEqual(left, { waiting: [], rejected: manifest.rejected });
    }, { data: join(golden, version, "data") }),
  );

  test(`the client of version ${version} works with this server`, { timeout: 60_000 }, async () => {
    const client = mkdtempSync(join(tmpdir(), "skerry-golden-"));
    try {
      unpack(version, client);
      await World.run([], async (world) => {
        const ada = await world.replica("ada");
        const bob = await world.replica("bob");
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
      }, { www: client });
    } finally {
      rmSync(client, { recursive: true, force: true });
    }
  });

  test(`a tab of version ${version} beside one of this version: one replica, one order`, { timeout: 60_000 }, async () => {
    const both = mkdtempSync(join(tmpdir(), "skerry-golden-"));
    try {
      cpSync(join(root, "web", "dist"), both, { recursive: true });
      unpack(version, join(both, "old"));
      await World.run([], async (world) => {
        const ada = await world.replica("ada");
        const older = await ada.newPage();
        await older.goto(`${ada.wire.origin}/old/?identity=ada`);
        await ada.opened(older);
        const id = await older.evaluate(async () => (await globalThis.skerry.client.createSpace()).id);
        const write = (page: Page, count: number) =>
          page.evaluate(
            async ([id, count]) => {
              const space = globalThis.skerry.client.space(id);
              const receipts = Array.from({ length: count }, (_, i) => space.transact(Array.from({ length: 1 + (i % 3) }, () => ({ type: "note", payload: i }))));
              await Promise.all(receipts.map((receipt) => receipt.synced));
              return receipts.flatMap((receipt) => [...receipt.ids]);
            },
            [id, count] as const,
          );
        const written = (await Promise.all([write(ada.page, 60), write(older, 60)])).flat();
        const [led, follows] = await Promise.all([ada.page, older].map((page) => page.evaluate(() => globalThis.skerry.client.status.leader)));
        assert.notEqual(led, follows, "one of the two leads");
        for (const page of [ada.page, older]) await ada.until("all read", (c) => c.spaces()[0]!.seq === 240, 20_000, page);
        const logs = await assertSameLogs(world, [id]);
        assert.deepEqual(new Set(logs.get(id)), new Set(written));

        // Whoever leads goes, and the other one takes over what both wrote meanwhile.
        await world.server.start();
        const [leader, other] = led ? [ada.page, older] : [older, ada.page];
        await leader.evaluate(async (id) => void (await globalThis.skerry.client.space(id).append("note", "last words").durable), id);
        await leader.close();
        written.push(...(await write(other, 10)));
        await ada.until("all read", (c) => c.spaces()[0]!.seq === 240 + 1 + 19, 20_000, other);
        await assertSameLogs(world, [id]);
      }, { www: both });
    } finally {
      rmSync(both, { recursive: true, force: true });
    }
  });
}

/** Lays out the files that a server of an earlier version served. */
function unpack(version: string, into: string): void {
  cpSync(join(golden, version, "client"), into, { recursive: true });
  for (const name of readdirSync(into)) {
    if (name.endsWith(".wasm.br")) writeFileSync(join(into, name.slice(0, -3)), brotliDecompressSync(readFileSync(join(into, name))));
  }
}

function byID<T extends { id: string }>(rows: readonly T[]): T[] {
  return [...rows].sort((a, b) => (a.id < b.id ? -1 : 1));
}
