// What happens to a space as a whole reaches the pages of everybody it concerns, in order.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Page } from "playwright-core";
import { members } from "./guests.js";
import { World } from "./world.js";

/** What a page of this test was told. */
declare var told: string[];

/** Has a page note what it is told, and whether `spaces()` says the same at that moment. */
async function note(page: Page): Promise<void> {
  await page.evaluate(() => {
    const told: string[] = [];
    Object.assign(globalThis, { told });
    const { client } = globalThis.skerry;
    client.on("lifecycle", ({ what, info }) => {
      const same = client.spaces().find(({ id }) => id === info.id) === info;
      told.push(`${what} ${info.creator} ${info.module} ${info.code} ${same}`);
    });
  });
}

async function wants(page: Page, ...lines: string[]): Promise<void> {
  await page.waitForFunction((count) => told.length >= count, lines.length, { timeout: 20_000, polling: 20 });
  assert.deepEqual(await page.evaluate(() => told), lines);
}

test("created, joined, upgraded and left are told to every tab and device, in order", { timeout: 90_000 }, () =>
  World.run([], async (world) => {
    const { server } = world;
    const hashes: string[] = [];
    for (const version of ["1.0.0", "1.1.0"]) {
      const file = join(world.dir, `members-${version}.wasm`);
      writeFileSync(file, members(version));
      const url = `http://127.0.0.1:${server.port}`;
      const [put] = await server.cli<{ digest: string }>("module", "put", "--json", "--url", url, "--identity", "ada", file);
      hashes.push(put!.digest);
    }
    const [first, newer] = hashes as [string, string];
    const ada = await world.replica("ada");
    await note(ada.page);
    const bob = await world.replica("bob");
    const second = await bob.newPage();
    await bob.load(second);
    for (const page of bob.tabs) await note(page);
    const id = await ada.page.evaluate(async (module) => {
      const space = await globalThis.skerry.client.createSpace({ module });
      await space.append("add", { who: "bob" }).synced;
      return space.id;
    }, first);
    await wants(ada.page, `created ada ${first} undefined true`);
    const joined = `joined ada ${first} undefined true`; // though bob has asked for nothing
    for (const page of bob.tabs) await wants(page, joined);
    for (const page of bob.tabs) await page.evaluate((id) => void globalThis.skerry.client.space(id), id);

    await ada.page.evaluate(([id, module]) => globalThis.skerry.client.space(id).upgrade(module).synced.then(() => {}), [id, newer] as const);
    const upgraded = (who: string) => `upgraded ${who} ${newer} undefined true`;
    await wants(ada.page, `created ada ${first} undefined true`, upgraded("ada"));
    for (const page of bob.tabs) await wants(page, joined, upgraded("ada"));

    await ada.page.evaluate((id) => globalThis.skerry.client.space(id).append("remove", { who: "bob" }).synced.then(() => {}), id);
    for (const page of bob.tabs) {
      await wants(page, joined, upgraded("ada"), `left ada ${newer} left true`);
    }
    // What he has stays, to be read and exported; nothing more comes.
    await ada.page.evaluate((id) => globalThis.skerry.client.space(id).append("note", { text: "without bob" }).synced.then(() => {}), id);
    const kept = await second.evaluate(async (id) => {
      const { client } = globalThis.skerry;
      const types: string[] = [];
      for await (const { type } of client.space(id).events()) types.push(type);
      return [types.join(), (await client.export(id)).size > 0];
    }, id);
    assert.deepEqual(kept, ["add,$module,$checkpoint,remove", true]);
  }),
);
