// Spaces of the modules that are built in, which pages know by name.
import assert from "node:assert/strict";
import { test } from "node:test";
import { World } from "./world.js";

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
