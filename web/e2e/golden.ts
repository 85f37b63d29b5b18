// Makes a golden directory: what later versions are held to.
//
//	data/           a server's data directory
//	indexeddb.json  every store of a replica's database
//	manifest.json   what is in both
//
// It takes the directory as its argument. Run it by `npm run golden -- DIR`.
import assert from "node:assert/strict";
import { cpSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { chromium } from "./chromium.js";
import { exportDatabase } from "./database.js";
import { type GoldenSpace, type Manifest, readRows } from "./manifest.js";
import { assertSameLogs, fold, readLogs, World } from "./world.js";

const out = process.argv[2];
if (!out || !isAbsolute(out)) throw new Error("usage: npm run golden -- DIR (absolute)");
mkdirSync(out, { recursive: true });
if (readdirSync(out).length > 0) throw new Error(`${out} is not empty`);

// Payloads over this are refused, so that the replica has a transaction that the server does not want.
const largest = 40_000;

await World.run([`--limit-payload=${largest}`], async (world) => {
  const key = await world.server.key("ada");
  const ada = await world.replica("ada", chromium, key);
  const bob = await world.replica("bob");

  // What both devices and the server have.
  const [harbour, quiet] = await ada.page.evaluate(async (largest) => {
    const { client } = globalThis.skerry;
    const harbour = await client.createSpace({ params: { name: "Häfen ⚓ 港", nested: [1, -1, 2 ** 40, null, true, { "": "" }] } });
    const quiet = await client.createSpace({ params: { name: "nothing in it" } });
    for (let size = 1; size <= 5; size++) {
      const events = Array.from({ length: size }, (_, i) => ({ type: "message", payload: { text: `${i + 1} of ${size}` } }));
      await harbour.transact(events).synced;
    }
    const payloads = [
      undefined, null, 0, -129, 1.5, "", "naïve café", "عربي", "\u{1F9ED}", new Uint8Array([0, 255, 1]), [], {},
      { text: "é".normalize("NFD") }, { big: "x".repeat(largest - 100) },
    ];
    for (const payload of payloads) await harbour.append("täglich/ünïcode", payload).synced;
    for (let i = 0; i < 40; i++) await harbour.append("message", { text: `one of many, ${i}` }).synced; // a segment each
    const refused = harbour.append("message", { big: "y".repeat(largest) });
    await refused.synced.then(
      () => Promise.reject(new Error("what is too large was taken")),
      () => {},
    );
    return [harbour.id, quiet.id];
  }, largest);
  const shared = [harbour!, quiet!];
  await bob.page.evaluate((id) => void globalThis.skerry.client.space(id), harbour!);
  await bob.until("following", (c) => c.spaces().some((space) => space.seq > 50));
  const answer = await bob.page.evaluate(async (id) => {
    const { client } = globalThis.skerry;
    await client.space(id).transact([{ type: "message", payload: { text: "thanks" } }, { type: "seen" }]).synced;
    const own = await client.createSpace({ params: { name: "bob's" } });
    await own.append("message", { text: "from bob" }).synced;
    return own.id;
  }, harbour!);
  shared.push(answer);
  await ada.page.evaluate((id) => void globalThis.skerry.client.space(id), answer);
  await ada.until("told of bob's space", (c) => c.spaces().filter((space) => space.caughtUp).length === 3);
  await bob.page.evaluate((ids) => ids.forEach((id) => globalThis.skerry.client.space(id)), shared);
  await bob.until("told of ada's", (c) => c.spaces().filter((space) => space.caughtUp).length === 3);
  await Promise.all([ada.synced(), bob.synced()]);
  await assertSameLogs(world, shared); // stops the server
  cpSync(world.server.data, join(out, "data"), { recursive: true });

  // What only ada's device has.
  const offline = await ada.page.evaluate(async (id) => {
    const { client } = globalThis.skerry;
    const offline = await client.createSpace({ params: { name: "made offline" } });
    const receipts = [
      client.space(id).append("message", { text: "waits" }),
      offline.transact([{ type: "message", payload: { text: "first" } }, { type: "message", payload: { text: "second" } }]),
      client.space(id).append("message", { text: "waits too" }),
    ];
    await Promise.all(receipts.map((receipt) => receipt.durable));
    return offline.id;
  }, harbour!);

  const ids = [...shared, offline];
  const logs = await readLogs(ada.page, ids);
  const infos = await ada.page.evaluate((ids) => ids.map((id) => globalThis.skerry.client.space(id).info()), ids);
  const spaces = infos.map(
    ({ id, stamp, creator, module, params, created }, i): GoldenSpace => ({
      id, stamp: stamp!, creator: creator!, module: module!, params, created, records: fold(id, logs[i]!.records),
    }),
  );
  const manifest: Manifest = { identity: ada.identity, name: ada.name, key, spaces, ...(await ada.page.evaluate(readRows, ids)) };
  assert.deepEqual(spaces.map((space) => space.created), [true, true, true, false]);
  assert.deepEqual([spaces[0]!.records.length, spaces[1]!.records.length, spaces[2]!.records.length], [71, 0, 1]);
  assert.deepEqual([manifest.waiting.length, manifest.rejected.length], [3, 1]);
  const databases = await ada.page.evaluate(async () => (await indexedDB.databases()).map((database) => database.name!).filter((name) => name.startsWith("skerry/")));
  assert.equal(databases.length, 1);
  const database = await exportDatabase(ada.page, databases[0]!);
  const segments = database.stores.find((store) => store.name === "segments")!.rows.length;
  assert.ok(segments >= 3, `only ${segments} segments`);
  writeFileSync(join(out, "indexeddb.json"), JSON.stringify(database, undefined, 1) + "\n");
  writeFileSync(join(out, "manifest.json"), JSON.stringify(manifest, undefined, 1) + "\n");
  console.log(`${ids.length} spaces, ${spaces.reduce((n, space) => n + space.records.length, 0)} records, ${segments} segments`);
});
for (const name of readdirSync(join(out, "data"))) {
  // SQLite makes the index of a write-ahead log anew, and one that was taken over is empty.
  if (name.endsWith("-shm") || statSync(join(out, "data", name)).size === 0) rmSync(join(out, "data", name));
}
