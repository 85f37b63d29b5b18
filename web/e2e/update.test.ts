// A new build is deployed while pages of the one before are open: those go on with their own files, a reload gets the
// new build whole, with a server or without, and the old build goes with its last page.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { appendFileSync, cpSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "../test/root.js";
import type { Tab } from "./engine.js";
import { engine, name } from "./tested.js";
import { World } from "./world.js";

interface Build {
  readonly build: string;
  readonly worker: string;
  readonly wasm: string;
  readonly files: readonly string[];
  readonly last?: { readonly build: string };
}

const manifest = (dir: string) => JSON.parse(readFileSync(join(dir, "build.json"), "utf8")) as Build;
const script = (page: Tab) => page.evaluate(() => document.querySelector<HTMLScriptElement>("script[type=module]")!.src.split("/").at(-1)!);
const builds = (page: Tab) => page.evaluate(async () => (await caches.keys()).map((name) => name.replace("skerry-build-", "")).sort());

/** Tells the browser to look for a new service worker, and waits for what becomes of it. */
function look(page: Tab): Promise<string> {
  return page.evaluate(async () => {
    const registration = (await navigator.serviceWorker.getRegistration())!;
    const found = new Promise<ServiceWorker>((resolve) => registration.addEventListener("updatefound", () => resolve(registration.installing!), { once: true }));
    await registration.update();
    const worker = await found;
    for (;;) {
      if (worker.state === "activated" || worker.state === "redundant") return worker.state;
      await new Promise((resolve) => worker.addEventListener("statechange", resolve, { once: true }));
    }
  });
}

/** Starts another worker in a page, as one that failed is started again, and writes with it. */
function writes(page: Tab): Promise<void> {
  return page.evaluate(async () => {
    const client = await globalThis.skerry.open({ name: `extra ${Math.random()}`, url: null });
    const space = await client.createSpace();
    await space.append("note", { text: "by a worker that came later" }).durable;
    await client.close();
  });
}

/** Opens a replica with some files of another build, and returns the code of what it fails with. */
function opens(page: Tab, options: { worker?: string; wasmUrl?: string }): Promise<string> {
  return page.evaluate(
    (options) => globalThis.skerry.open({ name: "mixed", url: null, ...options }).then(() => "opened", (error) => error.code as string),
    options,
  );
}

test(`${name}: two builds live side by side until no page uses the older one`, { timeout: 90_000 }, () =>
  World.run([], async (world) => {
    const { server } = world;
    const older = manifest(server.www);
    const deployed = join(world.dir, "deployed");
    const salt = String(Math.random());
    execFileSync(process.execPath, [join(root, "web", "scripts", "build.mjs"), "--out", deployed, "--last", server.www, "--salt", salt]);
    const newer = manifest(deployed);
    assert.notEqual(newer.build, older.build);
    assert.equal(newer.last?.build, older.build);
    assert.equal(newer.files.filter((name) => older.files.includes(name) && /worker|wasm|skerry/.test(name)).length, 0);

    const ada = await world.replica("ada", engine);
    const main = await script(ada.page);
    assert.deepEqual(await builds(ada.page), [older.build]);
    assert.equal(await ada.page.evaluate(() => navigator.serviceWorker.controller !== null), true);

    // Half a build is at the server: it is not installed, and the page is still whole.
    rmSync(server.www, { recursive: true });
    cpSync(deployed, server.www, { recursive: true });
    appendFileSync(join(server.www, "index.html"), "<!-- of yet another build -->");
    assert.equal(await look(ada.page), "redundant");
    await server.stop();
    await ada.load();
    assert.equal(await script(ada.page), main);
    await writes(ada.page);

    // All of it is there: the next page is new, and the old one finds its own files, without a server too.
    await server.start();
    cpSync(deployed, server.www, { recursive: true });
    assert.equal(await look(ada.page), "activated");
    for (const name of [older.worker, older.wasm, newer.worker, newer.wasm]) {
      assert.equal((await fetch(`${ada.wire.origin}/${name}`)).status, 200, name); // for pages without a service worker
    }
    for (const mixed of [{ worker: `/${newer.worker}` }, { wasmUrl: `/${newer.wasm}` }]) {
      assert.equal(await opens(ada.page, mixed), "build_mismatch", JSON.stringify(mixed));
    }
    await server.stop();
    assert.deepEqual(await builds(ada.page), [older.build, newer.build].sort());
    await writes(ada.page);
    const tab = await ada.newPage();
    await ada.load(tab, "index.html?name=ada");
    assert.notEqual(await script(tab), main);
    await writes(tab);
    await writes(ada.page);
    assert.deepEqual(await builds(tab), [older.build, newer.build].sort());

    // The last old page is loaded again, and is new. Nobody needs the old build. WebKit keeps the page that was left, which would
    // need it when it is come back to.
    await ada.load();
    assert.equal(await script(ada.page), await script(tab));
    while (name !== "webkit" && (await builds(tab)).length > 1) await new Promise((resolve) => setTimeout(resolve, 20));
    if (name !== "webkit") assert.deepEqual(await builds(tab), [newer.build]);
    await writes(ada.page);
    await tab.close();
    await server.start();
    await ada.poke();
    await ada.synced();
  }),
);
