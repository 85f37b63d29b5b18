// Pages of one version, and servers, workers, service workers and databases of another: they work together, or stop with a code that says
// what to do. Golden clients are those that earlier versions built (testdata/golden).
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Page } from "playwright-core";
import { root } from "../test/root.js";
import { exportDatabase } from "./database.js";
import { golden, goldenVersions, readGolden, unpackGolden } from "./goldens.js";
import type { Manifest } from "./manifest.js";
import type { Replica } from "./replica.js";
import { assertSameLogs, World } from "./world.js";

interface Build {
  readonly build: string;
  readonly worker: string;
  readonly wasm: string;
}

const dist = join(root, "web", "dist");
const built = (dir: string) => JSON.parse(readFileSync(join(dir, "build.json"), "utf8")) as Build;
const proves = (version: string) => readGolden<Manifest>(version, "manifest.json").key !== undefined;

/** Runs a body with a directory that goes with it. */
async function withDirectory(body: (dir: string) => Promise<void>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), "skerry-versions-"));
  try {
    await body(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Writes a note and returns its id, when it has come so far. */
function note(page: Page, id: string, moment: "durable" | "synced" = "durable"): Promise<string> {
  return page.evaluate(
    async ([id, moment]) => {
      const receipt = globalThis.skerry.client.space(id).append("note", { by: document.title });
      await receipt[moment];
      return receipt.id;
    },
    [id, moment] as const,
  );
}

/** Has a wire say of the server that it speaks other versions of the wire contract. */
function speaks(device: Replica, low: string, high: string): void {
  const text = (version: string) => `\xa5${version}`; // as msgpack has it
  device.wire.change = (piece) => Buffer.from(piece.toString("latin1").replace(text("1.0.0") + text("1.0.0"), text(low) + text(high)), "latin1");
}

/** Opens a replica with some files of another build, and returns the code of what it fails with. */
function opens(page: Page, options: { worker?: string; wasmUrl?: string }): Promise<string> {
  return page.evaluate(
    (options) => globalThis.skerry.open({ name: "mixed", url: null, ...options }).then(() => "opened", (error) => error.code as string),
    options as object,
  );
}

const clients = [{ name: "this version", version: "" }, ...goldenVersions.filter(proves).map((version) => ({ name: `version ${version}`, version }))];

for (const { name, version } of clients) {
  /** Runs a body with a server of the client. */
  const withClient = (body: (world: World) => Promise<void>) =>
    withDirectory(async (dir) => {
      const www = join(dir, "www");
      if (version) unpackGolden(version, www);
      await World.run([], body, version ? { www } : {});
    });

  test(`the page of ${name} and a server that does not speak its wire: it says so, keeps all, and syncs when the server does`, { timeout: 60_000 }, () =>
    withClient(async (world) => {
      const ada = await world.replica("ada");
      const id = await ada.page.evaluate(async () => (await globalThis.skerry.client.createSpace()).id);
      const ids = [await note(ada.page, id, "synced")];
      await ada.synced(); // and back
      for (const [low, high, connection, said] of [
        ["2.0.0", "2.1.0", "upgrade_required", "this client is to be updated"],
        ["0.8.0", "0.9.0", "server_outdated", "the server is to be updated"],
      ] as const) {
        await ada.wire.cut();
        speaks(ada, low, high);
        await ada.wire.mend();
        await ada.poke();
        ids.push(await note(ada.page, id));
        const look = () => ada.page.waitForFunction(
          ([connection, range]) => {
            const { status } = globalThis.skerry.client; // it dials now and then, and says so for a moment
            return status.connection === connection && status.code === "api_unsupported" && status.reason.includes(range) && { reason: status.reason, pending: status.pending };
          },
          [version ? "upgrade_required" : connection, `${low} to ${high}`] as const, // which version 2 says of both
          { timeout: 5000 },
        ).catch(() => undefined);
        let told = await look();
        while (!told) { // a dial that was cut off is tried again after a minute, or when somebody looks
          await ada.poke();
          told = await look();
        }
        const { reason, pending } = (await told.jsonValue()) as { reason: string; pending: number };
        assert.equal(pending, ids.length - 1);
        for (const part of ["1.0.0 to 1.0.0", ...(version ? [] : [said])]) assert.ok(reason.includes(part), `${reason} does not say ${part}`);
        await ada.load(); // and again, from what is stored
        await ada.until("told again", (c) => c.status.code === "api_unsupported");
        await ada.page.evaluate((id) => void globalThis.skerry.client.space(id), id);
      }
      ada.wire.change = (piece) => piece;
      await ada.wire.cut();
      await ada.wire.mend();
      await ada.poke();
      await ada.synced();
      assert.deepEqual((await assertSameLogs(world, [id])).get(id), ids);
    }),
  );

  test(`the page of ${name} and a database that asks for more than it knows: it stops, says so, and changes no byte`, { timeout: 60_000 }, () =>
    withClient(async (world) => {
      const ada = await world.replica("ada");
      const id = await ada.page.evaluate(async () => (await globalThis.skerry.client.createSpace()).id);
      await note(ada.page, id, "synced");
      await ada.synced();
      await ada.page.waitForFunction((id) => globalThis.skerry.client.space(id).info().seq === 1, id); // it is stored here, too
      await ada.wire.cut();
      const waits = await note(ada.page, id);
      const [database] = await ada.page.evaluate(async () => (await indexedDB.databases()).map(({ name }) => name!).filter((name) => name.startsWith("skerry/")));
      for (const asks of ["min_writer", "min_reader"]) {
        await ada.wire.mend();
        await ada.page.goto(`${ada.wire.origin}/nothing.html`);
        await ada.page.evaluate(
          async ([name, asks]) => {
            const database = await new Promise<IDBDatabase>((resolve) => {
              const request = indexedDB.open(name);
              request.onsuccess = () => resolve(request.result);
            });
            const transaction = database.transaction("meta", "readwrite");
            transaction.objectStore("meta").put(Uint8Array.of(1, 99), asks); // in the format of numbers there
            await new Promise((resolve) => (transaction.oncomplete = resolve));
            database.close();
          },
          [database!, asks] as const,
        );
        const before = await exportDatabase(ada.page, database!);
        await ada.page.goto(`${ada.wire.origin}/?name=ada`);
        const error = await ada.opened().then(() => "", String);
        if (asks === "min_reader") {
          assert.match(error, /newer version of Skerry/);
          assert.equal(await ada.page.evaluate(() => (globalThis.skerry.error as { code: string }).code), "upgrade_required");
        } else {
          assert.equal(error, "");
          await ada.until("told", (c) => c.status.connection === "upgrade_required" && c.status.code === "upgrade_required" && !c.status.leader);
          const code = await note(ada.page, id).then(() => "durable", String);
          assert.match(code, /newer version of Skerry/);
          const seen = await ada.page.evaluate(async (id) => {
            const space = globalThis.skerry.client.space(id);
            const ids: string[] = [];
            for await (const event of space.events()) ids.push(event.id);
            return { ids: ids.length, waiting: (await space.pending()).map(({ id }) => id) };
          }, id);
          assert.deepEqual(seen, { ids: 1, waiting: [waits] });
        }
        await ada.page.goto(`${ada.wire.origin}/nothing.html`);
        assert.deepEqual(await exportDatabase(ada.page, database!), before);
      }
      await world.server.stop();
      assert.equal((await world.server.log(id)).length, 1);
      world.replicas[0]!.faults.length = 0; // of the page that could not open, the demo says so on the console
    }),
  );
}

for (const version of goldenVersions) {
  test(`page, worker and WebAssembly of version ${version} and of this one: none runs with what is of the other`, { timeout: 60_000 }, () =>
    withDirectory(async (dir) => {
      cpSync(dist, dir, { recursive: true });
      unpackGolden(version, join(dir, "old"));
      const newer = built(dist);
      const older = built(join(golden, version, "client"));
      await World.run(
        [],
        async (world) => {
          const ada = await world.device("ada");
          await ada.load(ada.page, "inspector.html?identity=ada");
          assert.equal(await opens(ada.page, { worker: `/old/${older.worker}` }), "build_mismatch");
          assert.equal(await opens(ada.page, { wasmUrl: `/old/${older.wasm}` }), "build_mismatch");
          assert.equal(await opens(ada.page, { worker: `/old/${older.worker}`, wasmUrl: `/old/${older.wasm}` }), "build_mismatch");
          const tab = await ada.newPage();
          await ada.load(tab, `old/?${proves(version) ? "name" : "identity"}=ada`);
          assert.equal(await opens(tab, { worker: `/${newer.worker}` }), "build_mismatch");
          // The worker of version 1 did not look whose WebAssembly it is, and cannot start it.
          assert.equal(await opens(tab, { wasmUrl: `/${newer.wasm}` }), proves(version) ? "build_mismatch" : "internal");
          assert.equal(await opens(tab, { worker: `/${newer.worker}`, wasmUrl: `/${newer.wasm}` }), "build_mismatch");
        },
        { www: dir },
      );
    }),
  );
}

for (const version of goldenVersions.filter(proves)) {
  test(`this version is deployed under open pages of version ${version}: they go on, the next page is new, and nothing is lost`, { timeout: 90_000 }, () =>
    withDirectory(async (dir) => {
      unpackGolden(version, join(dir, "www"));
      await World.run(
        [],
        async (world) => {
          const { server } = world;
          const older = built(server.www);
          const script = (page: Page) => page.evaluate(() => document.querySelector<HTMLScriptElement>("script[type=module]")!.src.split("/").at(-1)!);
          const builds = (page: Page) => page.evaluate(async () => (await caches.keys()).map((name) => name.replace("skerry-build-", "")).sort());
          const ada = await world.replica("ada");
          const id = await ada.page.evaluate(async () => (await globalThis.skerry.client.createSpace()).id);
          const ids = [await note(ada.page, id, "synced")];
          const main = await script(ada.page);
          assert.deepEqual(await builds(ada.page), [older.build]);
          await ada.wire.cut();
          ids.push(await note(ada.page, id)); // offline, while the server becomes another one

          await server.stop();
          rmSync(server.www, { recursive: true });
          cpSync(dist, server.www, { recursive: true });
          await server.start();
          await ada.wire.mend();
          await ada.poke();
          await ada.synced();
          const state = await ada.page.evaluate(async () => {
            const registration = (await navigator.serviceWorker.getRegistration())!;
            await registration.update();
            const worker = (registration.installing ?? registration.waiting ?? registration.active)!;
            while (worker.state !== "activated" && worker.state !== "redundant") {
              await new Promise((resolve) => worker.addEventListener("statechange", resolve, { once: true }));
            }
            return worker.state;
          });
          assert.equal(state, "activated");
          const newer = built(server.www);
          assert.deepEqual(await builds(ada.page), [older.build, newer.build].sort());

          // The old page has its own files, which the server has not any more: its worker can be started again.
          ids.push(
            await ada.page.evaluate(async (id) => {
              const extra = await globalThis.skerry.open({ name: `extra ${Math.random()}`, url: null });
              const space = await extra.createSpace();
              await space.append("note", "by a worker that came later").durable;
              await extra.close();
              const receipt = globalThis.skerry.client.space(id).append("note", "by the old page");
              await receipt.synced;
              return receipt.id;
            }, id),
          );

          // The next page is new, on the same replica, and either writes what the other reads.
          const tab = await ada.newPage();
          await ada.load(tab, "?name=ada");
          assert.notEqual(await script(tab), main);
          await tab.evaluate((id) => void globalThis.skerry.client.space(id), id);
          for (const page of [tab, ada.page, tab, ada.page]) ids.push(await note(page, id, "synced"));
          const read = (page: Page) =>
            page.evaluate(
              async ([id, count]) => {
                const ids: string[] = [];
                for await (const event of globalThis.skerry.client.space(id).events({ live: true })) {
                  ids.push(event.id);
                  if (ids.length === count) break;
                }
                return ids;
              },
              [id, ids.length] as const,
            );
          for (const page of [tab, ada.page]) assert.deepEqual(await read(page), ids);

          // What the old page exports, the new one takes on a device that has nothing.
          const file = await ada.page.evaluate(async () => [...new Uint8Array(await (await globalThis.skerry.client.export()).arrayBuffer())]);
          const bob = await world.replica("bob");
          await bob.wire.cut();
          const [imported] = await bob.page.evaluate((file) => globalThis.skerry.client.import(new Blob([Uint8Array.from(file)])), file);
          assert.deepEqual([imported!.id, imported!.records], [id, ids.length]);
          assert.deepEqual(await read(bob.page), ids);
          await bob.wire.mend();
          await bob.poke();

          // Offline too it is the new one that a reload gives, and the old build goes.
          await server.stop();
          await ada.load();
          assert.equal(await script(ada.page), await script(tab));
          while ((await builds(tab)).length > 1) await new Promise((resolve) => setTimeout(resolve, 20));
          await ada.page.evaluate((id) => void globalThis.skerry.client.space(id), id);
          ids.push(await note(ada.page, id));
          await server.start();
          await ada.poke();
          await bob.poke();
          await ada.synced();
          for (const page of [tab, ada.page, bob.page]) {
            await page.waitForFunction(([id, count]) => globalThis.skerry.client.space(id).info().seq === count, [id, ids.length] as const);
          }
          assert.deepEqual((await assertSameLogs(world, [id])).get(id), ids);
        },
        { www: join(dir, "www") },
      );
    }),
  );
}
