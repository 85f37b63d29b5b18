// Spaces of the modules that are built in, which pages know by name.
import assert from "node:assert/strict";
import { test } from "node:test";
import { blake3 } from "@noble/hashes/blake3";
import { assertSameLogs, World } from "./world.js";

test("personal and broadcast: made by name with no network, judged here and on the server, read by whom they say", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const { server } = world;
    const ada = await world.replica("ada");
    await server.kill();
    const made = await ada.page.evaluate(async () => {
      const { client } = globalThis.skerry;
      const spaces = [];
      for (const module of ["personal", "broadcast"]) {
        const space = await client.createSpace({ module, params: { name: module } });
        await space.append("note", { text: "written offline" }).durable;
        spaces.push({ id: space.id, owner: (await space.table("owner").query()).map(({ identity }) => identity) });
      }
      const unknown = await client.createSpace({ module: "closed" }).catch((error: { code: string }) => error.code);
      return { spaces, unknown };
    });
    const [diary, news] = made.spaces.map(({ id }) => id) as [string, string];
    assert.deepEqual(made.spaces.map(({ owner }) => owner), [["ada"], ["ada"]]);
    assert.equal(made.unknown, "bad_argument");

    await server.start();
    await ada.page.waitForFunction((ids) => ids.every((id) => globalThis.skerry.client.space(id).info().seq === 1), [diary, news]);

    const bob = await world.replica("bob");
    const told = await bob.page.evaluate(async (news) => {
      const { client } = globalThis.skerry;
      const texts = [];
      for await (const event of client.space(news).events({ live: true })) {
        texts.push((event.payload as { text: string }).text);
        break;
      }
      const refused = await client.space(news).append("note", { text: "by bob" }).synced.then(String, (error: { code: string; reason: string }) => `${error.code}: ${error.reason}`);
      return { texts, refused };
    }, news);
    assert.deepEqual(told, { texts: ["written offline"], refused: "refused: only who made this space writes to it" });
    await bob.page.evaluate((id) => void globalThis.skerry.client.space(id).events({ live: true }).next(), diary);
    await bob.page.waitForFunction((id) => globalThis.skerry.client.space(id).info().code === "forbidden", diary);
    assert.equal(await bob.page.evaluate((id) => globalThis.skerry.client.space(id).info().seq, diary), 0);
  }),
);

test("members: invited with no network, and let in by the link after that, with the first words in the same transaction", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const { server } = world;
    const secret = crypto.getRandomValues(new Uint8Array(32));
    const link = { secret: [...secret], hash: [...blake3(secret)] };
    const ada = await world.replica("ada");
    await server.kill();
    const id = await ada.page.evaluate(async ({ hash }) => {
      const space = await globalThis.skerry.client.createSpace({ module: "members" });
      await space.append("invite", { role: "writer", hashes: new Uint8Array(hash) }).durable;
      return space.id;
    }, link);
    await server.start();
    await ada.page.waitForFunction((id) => globalThis.skerry.client.space(id).info().seq === 1, id);

    const bob = await world.replica("bob");
    await bob.page.evaluate(async ({ id, secret }) => {
      const space = globalThis.skerry.client.space(id);
      await space.transact([
        { type: "redeem", payload: { secret: new Uint8Array(secret) } },
        { type: "note", payload: { text: "hello" } },
      ]).synced;
    }, { id, secret: link.secret });
    for (const { page } of [ada, bob]) await page.waitForFunction((id) => globalThis.skerry.client.space(id).info().seq === 3, id);
    const people = await bob.page.evaluate(async (id) => {
      const rows = await globalThis.skerry.client.space(id).table("members").query();
      return rows.map(({ identity, role, by }) => ({ identity, role, by }));
    }, id);
    assert.deepEqual(people, [{ identity: "ada", role: "owner", by: "ada" }, { identity: "bob", role: "writer", by: "ada" }]);

    const eve = await world.replica("eve");
    const refused = await eve.page.evaluate(async ({ id, secret }) => {
      const space = globalThis.skerry.client.space(id);
      return space.append("redeem", { secret: new Uint8Array(secret) }).synced.then(String, (error: { code: string }) => error.code);
    }, { id, secret: link.secret });
    assert.equal(refused, "module_3");
    await eve.close();
    assert.equal((await assertSameLogs(world, [id])).get(id)?.length, 3);
  }),
);
