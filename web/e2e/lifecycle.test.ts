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
    const id = await ada.page.evaluate(async ([module, bob]) => {
      const space = await globalThis.skerry.client.createSpace({ module });
      await space.append("add", { who: bob }).synced;
      return space.id;
    }, [first, bob.identity] as const);
    await wants(ada.page, `created ${ada.identity} ${first} undefined true`);
    const joined = `joined ${ada.identity} ${first} undefined true`; // though bob has asked for nothing
    for (const page of bob.tabs) await wants(page, joined);
    for (const page of bob.tabs) await page.evaluate((id) => void globalThis.skerry.client.space(id), id);

    await ada.page.evaluate(([id, module]) => globalThis.skerry.client.space(id).upgrade(module).synced.then(() => {}), [id, newer] as const);
    const upgraded = (who: string) => `upgraded ${who} ${newer} undefined true`;
    await wants(ada.page, `created ${ada.identity} ${first} undefined true`, upgraded(ada.identity));
    for (const page of bob.tabs) await wants(page, joined, upgraded(ada.identity));

    await ada.page.evaluate(([id, bob]) => globalThis.skerry.client.space(id).append("remove", { who: bob }).synced.then(() => {}), [id, bob.identity] as const);
    for (const page of bob.tabs) {
      await wants(page, joined, upgraded(ada.identity), `left ${ada.identity} ${newer} left true`);
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

test("a space that its owner deletes is deleted everywhere, stays where it was, and goes when it is forgotten", { timeout: 90_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada");
    await note(ada.page);
    const bob = await world.replica("bob");
    const second = await bob.newPage();
    await bob.load(second);
    for (const page of bob.tabs) await note(page);
    const id = await ada.page.evaluate(async (bob) => {
      const space = await globalThis.skerry.client.createSpace({ module: "members" });
      await space.append("grant", { identity: bob, role: "writer" }).synced;
      return space.id;
    }, bob.identity);
    const module = await ada.page.evaluate((id) => globalThis.skerry.client.space(id).info().module, id);
    const line = (what: string, code?: string) => `${what} ${ada.identity} ${module} ${code} true`;
    for (const page of bob.tabs) await wants(page, line("joined"));
    await bob.page.evaluate((id) => globalThis.skerry.client.space(id).append("note", { text: "hello" }).synced.then(() => {}), id);
    await bob.page.waitForFunction((id) => globalThis.skerry.client.space(id).info().seq === 2, id); // its record comes after the word
    await bob.wire.cut();
    await second.evaluate((id) => globalThis.skerry.client.space(id).append("note", { text: "from the boat" }).durable, id);
    const refused = await bob.page.evaluate(
      (id) => globalThis.skerry.client.space(id).delete().durable.then(() => "", () => "refused"), id,
    ); // by the module in the page already, or later
    assert.ok(["", "refused"].includes(refused));
    await ada.page.evaluate((id) => globalThis.skerry.client.space(id).delete().synced.then(() => {}), id);
    await wants(ada.page, line("created"), line("deleted", "deleted"));
    await bob.wire.mend();
    for (const page of bob.tabs) await wants(page, line("joined"), line("deleted", "deleted"));
    await second.waitForFunction(async (id) => (await globalThis.skerry.client.space(id).rejected()).length === 2, id);
    const kept = await second.evaluate(async (id) => {
      const { client } = globalThis.skerry;
      const types: string[] = [];
      for await (const { type } of client.space(id).events()) types.push(type);
      const codes = (await client.space(id).rejected()).map(({ code }) => code).filter((code) => code === "deleted").length;
      const forgotten = await client.forget(id).then(() => "", ({ code }) => code);
      return [types.slice(0, 2).join(), codes >= 1, (await client.export(id)).size > 0, forgotten];
    }, id);
    assert.deepEqual(kept, ["grant,note", true, true, "bad_argument"]);
    await second.evaluate((id) => globalThis.skerry.client.forget(id, { force: true }), id);
    for (const page of bob.tabs) await page.waitForFunction(() => globalThis.skerry.client.spaces().length === 0, undefined, { polling: 50 });
    await bob.load(second);
    assert.equal(await second.evaluate(() => globalThis.skerry.client.spaces().length), 0);
  }),
);
