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
    assert.deepEqual(made.spaces.map(({ owner }) => owner), [[ada.identity], [ada.identity]]);
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
    assert.deepEqual(people, [
      { identity: ada.identity, role: "owner", by: ada.identity },
      { identity: bob.identity, role: "writer", by: ada.identity },
    ].sort((a, b) => (a.identity < b.identity ? -1 : 1)));

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

test("kv: tables of the params, live and typed; two people who change a row with no network both keep what they wrote", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const { server } = world;
    const ada = await world.replica("ada");
    const bob = await world.replica("bob");
    await server.kill();
    const made = await ada.page.evaluate(async (bob) => {
      const { client } = globalThis.skerry;
      const wrong = await client
        .createSpace({ module: "kv", params: { tables: { todos: { title: "string" } } } })
        .then(String, (error: { code: string; reason: string }) => `${error.code}: ${error.reason}`);
      const space = await client.createSpace({ module: "kv", params: { tables: { todos: { title: "text", done: "bool", due: "f64?" } } } });
      const live = space.table("todos").live();
      const unsubscribe = live.subscribe(() => {});
      const set = space.append("set", { table: "todos", id: "1", values: { title: "Milk", done: false, due: 1.5 } });
      space.append("set", { table: "todos", id: "2", values: { title: "Bread", done: false } });
      await space.append("grant", { identity: bob, role: "writer" }).durable;
      await set.durable;
      while (live.getSnapshot().length < 2) await new Promise(requestAnimationFrame);
      unsubscribe();
      return { id: space.id, wrong, spaces: client.spaces().length, rows: live.getSnapshot().map(({ $key, ...row }) => row) };
    }, bob.identity);
    assert.match(made.wrong, /^bad_genesis: .*module_13: todos\.title is string, and can be bool, i64/);
    assert.equal(made.spaces, 1);
    assert.deepEqual(made.rows, [
      { id: "1", title: "Milk", done: false, due: 1.5, $pending: true },
      { id: "2", title: "Bread", done: false, due: undefined, $pending: true },
    ]);

    await server.start();
    await bob.page.evaluate((id) => void globalThis.skerry.client.space(id), made.id);
    for (const { page } of [ada, bob]) await page.waitForFunction((id) => globalThis.skerry.client.space(id).info().seq === 3, made.id);
    await server.kill();
    const writes = [{ title: "Oat milk", due: null }, { done: true, due: 9 }]; // of which bob's due comes first or last
    for (const [i, { page }] of [ada, bob].entries()) {
      await page.evaluate(({ id, values }) => globalThis.skerry.client.space(id).append("set", { table: "todos", id: "1", values }).durable, { id: made.id, values: writes[i] });
    }
    await bob.page.evaluate((id) => globalThis.skerry.client.space(id).append("delete", { table: "todos", id: "2" }).durable, made.id);
    await server.start();
    for (const { page } of [ada, bob]) {
      await page.waitForFunction((id) => globalThis.skerry.client.space(id).info().seq === 6 && globalThis.skerry.client.status.pending === 0, made.id);
    }
    const rows = (page: typeof ada.page) => page.evaluate(async (id) => (await globalThis.skerry.client.space(id).table("todos").query()).map(({ title, done, due, $pending }) => [title, done, due ?? null, $pending]), made.id);
    const [adas, bobs] = [await rows(ada.page), await rows(bob.page)];
    assert.deepEqual(adas, bobs);
    const last = await bob.page.evaluate(async (id) => {
      let last;
      for await (const { type, author } of globalThis.skerry.client.space(id).events()) if (type === "set") last = author;
      return last;
    }, made.id);
    assert.deepEqual(adas, [["Oat milk", true, last === ada.identity ? null : 9, false]]);
    assert.equal((await assertSameLogs(world, [made.id])).get(made.id)?.length, 6);
  }),
);
