// What is said and not kept: heard by who reads the space at that moment, by no stranger, and found nowhere afterwards.
import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Page } from "playwright-core";
import { exportDatabase } from "./database.js";
import { chat } from "./guests.js";
import { World } from "./world.js";

/** What the pages of this test heard, as `author: payload`. */
declare var heard: string[];

/** Listens in a page to a space. */
async function listen(page: Page, id: string): Promise<void> {
  await page.evaluate((id) => {
    const heard: string[] = [];
    Object.assign(globalThis, { heard });
    globalThis.skerry.client.space(id).on("ephemeral", ({ author, payload, bytes }) => {
      heard.push(`${author}: ${payload instanceof Uint8Array ? `${payload.length} bytes` : JSON.stringify(payload)} in ${bytes.length}`);
    });
  }, id);
}

const send = (page: Page, id: string, value: unknown): Promise<string> =>
  page.evaluate(
    ([id, value]) => globalThis.skerry.client.space(id).sendEphemeral(value).then(() => "", (error: { code: string }) => error.code),
    [id, value] as const,
  );

/** Waits until a page has heard so many, and returns them. */
async function hears(page: Page, count: number): Promise<string[]> {
  await page.waitForFunction((count) => heard.length >= count, count, { timeout: 20_000, polling: 20 });
  return page.evaluate(() => heard);
}

const caughtUp = (page: Page, id: string) =>
  page.waitForFunction((id) => globalThis.skerry.client.space(id).info().caughtUp, id, { timeout: 20_000, polling: 20 }); // hidden pages have no frames

/** Returns how often a text is in the files under a directory. */
function countIn(dir: string, text: string): number {
  let count = 0;
  for (const name of readdirSync(dir, { recursive: true }) as string[]) {
    const path = join(dir, name);
    if (statSync(path).isFile()) count += readFileSync(path).toString("latin1").split(text).length - 1;
  }
  return count;
}

test("ephemerals reach who reads the space, on every device and in every tab, and are kept nowhere", { timeout: 90_000 }, () =>
  World.run([], async (world) => {
    const { server } = world;
    const file = join(world.dir, "chat.wasm");
    writeFileSync(file, chat());
    const [shown] = await server.cli<{ digest: string }>("module", "put", "--json", "--url", `http://127.0.0.1:${server.port}`, "--identity", "ada", file);
    const ada = await world.replica("ada");
    const id = await ada.page.evaluate(async (module) => {
      const space = await globalThis.skerry.client.createSpace({ module });
      await space.append("join", { name: "Ada" }).synced;
      return space.id;
    }, shown!.digest);
    const bob = await world.replica("bob");
    await bob.page.evaluate((id) => void globalThis.skerry.client.space(id), id);
    await bob.page.waitForFunction((id) => globalThis.skerry.client.space(id).info().code === "forbidden", id);
    await bob.page.evaluate((id) => globalThis.skerry.client.space(id).append("join", { name: "Bob" }).synced.then(() => {}), id);
    const second = await ada.newPage();
    await ada.load(second);
    const eve = await world.replica("eve");
    for (const page of [ada.page, second, bob.page, eve.page]) await listen(page, id);
    for (const page of [ada.page, second, bob.page]) await caughtUp(page, id);
    await eve.page.waitForFunction((id) => globalThis.skerry.client.space(id).info().code === "forbidden", id, { polling: 20 });

    const marker = "spoken-6e1f2c94";
    assert.equal(await send(ada.page, id, { typing: marker }), "");
    assert.deepEqual(await hears(bob.page, 1), [`${ada.identity}: {"typing":"${marker}"} in 24`]);
    assert.deepEqual(await hears(second, 1), [`${ada.identity}: {"typing":"${marker}"} in 24`]);
    assert.equal(await send(second, id, "from the other tab"), "");
    assert.equal((await hears(bob.page, 2))[1], `${ada.identity}: "from the other tab" in 19`);
    assert.equal((await hears(ada.page, 1))[0], `${ada.identity}: "from the other tab" in 19`);
    const size = await bob.page.evaluate(async (id) => {
      const space = globalThis.skerry.client.space(id);
      await space.sendEphemeral(new Uint8Array(16381)); // and three bytes of msgpack: as large as one may be
      return space.sendEphemeral(new Uint8Array(16382)).then(() => "sent", (error: { code: string }) => error.code);
    }, id);
    assert.equal(size, "too_large");
    for (const [page, before] of [[ada.page, 1], [second, 2 - 1]] as const) {
      assert.equal((await hears(page, before + 1))[before], `${bob.identity}: 16381 bytes in 16384`);
    }
    const rate = await bob.page.evaluate(async (id) => {
      const space = globalThis.skerry.client.space(id);
      for (let n = 0; n < 100; n++) {
        const code = await space.sendEphemeral(new Uint8Array(16000)).then(() => "", (error: { code: string }) => error.code);
        if (code) return code;
      }
      return "no limit";
    }, id);
    assert.equal(rate, "rate_limited");

    // A stranger says nothing, and heard nothing.
    await send(eve.page, id, "let me in");
    await ada.page.evaluate((id) => globalThis.skerry.client.space(id).append("message", { room: "hall", text: "written-9a8b7c21" }).synced.then(() => {}), id);
    await eve.synced();
    assert.deepEqual(await eve.page.evaluate(() => heard), []);
    for (const page of [ada.page, second, bob.page]) {
      assert.deepEqual((await page.evaluate(() => heard)).filter((line) => line.startsWith(eve.identity)), []);
    }

    // Nothing of it is anywhere: not after a reload, in the pages' storage, in the server's.
    await bob.page.reload();
    await bob.opened();
    await listen(bob.page, id);
    await caughtUp(bob.page, id);
    assert.deepEqual(await bob.page.evaluate(() => heard), []);
    const hex = (text: string) => Buffer.from(text).toString("hex");
    for (const { page } of [ada, bob]) {
      const names = await page.evaluate(async () => (await indexedDB.databases()).map(({ name }) => name!).filter((name) => name.startsWith("skerry/")));
      const stored = JSON.stringify(await Promise.all(names.map((name) => exportDatabase(page, name))));
      assert.ok(stored.includes(hex("written-9a8b7c21")), "what was written is stored");
      assert.ok(!stored.includes(hex(marker)), "what was said is not");
    }
    assert.ok(countIn(server.data, "written-9a8b7c21") > 0 && countIn(server.data, marker) === 0, "at the server, as it runs");
    await server.stop();
    assert.ok(countIn(server.data, "written-9a8b7c21") > 0 && countIn(server.data, marker) === 0, "and when it ended");
    assert.ok(!JSON.stringify(await server.log(id)).includes(marker), "in its log");
  }),
);

test("tabs hear one another with no server", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada");
    await ada.synced();
    await ada.wire.cut();
    const second = await ada.newPage();
    await ada.load(second);
    const id = await ada.page.evaluate(async () => (await globalThis.skerry.client.createSpace()).id);
    for (const page of [ada.page, second]) await listen(page, id);
    await second.waitForFunction((id) => globalThis.skerry.client.space(id).info().stamp !== undefined, id, { polling: 20 });
    assert.equal(await send(ada.page, id, [1, "two"]), "");
    assert.deepEqual(await hears(second, 1), [`${ada.identity}: [1,"two"] in 6`]);
    assert.equal(await send(second, id, null), "");
    assert.deepEqual(await hears(ada.page, 1), [`${ada.identity}: null in 1`]);
    const code = await second.evaluate(async (id) => {
      const { client } = globalThis.skerry;
      const space = client.space(id);
      const kinds: string[] = [];
      try {
        space.on("anything" as "ephemeral", () => {});
      } catch (error) {
        kinds.push((error as { code: string }).code);
      }
      await client.close();
      await space.sendEphemeral(1).catch((error: { code: string }) => kinds.push(error.code));
      return kinds.join();
    }, id);
    assert.equal(code, "bad_argument,closed");
  }),
);
