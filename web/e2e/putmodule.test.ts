// A module that only one page has: it comes to the server by itself.
import assert from "node:assert/strict";
import { test } from "node:test";
import { chat } from "./guests.js";
import { assertSameLogs, World } from "./world.js";

test("a space made offline of a module that only this page has: the server gets module, genesis and events, unasked", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const { server } = world;
    const content = [...chat()];
    const ada = await world.replica("ada");
    await server.kill();
    const { hash, id, receipts } = await ada.page.evaluate(async (content) => {
      const { client } = globalThis.skerry;
      const hash = await client.putModule(new Uint8Array(content));
      if ((await client.putModule(new Uint8Array([0, ...content]).subarray(1))) !== hash) throw new Error("another hash the second time");
      const space = await client.createSpace({ module: hash });
      const receipts = [space.append("join", { name: "Ada" }), space.append("message", { room: "hall", text: "" }), space.append("message", { room: "hall", text: "hello" })];
      await Promise.all(receipts.map((receipt) => receipt.durable));
      return { hash, id: space.id, receipts: receipts.map((receipt) => receipt.id) };
    }, content);
    const by = await ada.page.evaluate(async (module) => {
      for (let tries = 0; tries < 10; tries++) { // a busy machine may not make the first one's tables in time
        const space = await globalThis.skerry.client.createSpace({ module });
        await space.append("message", { room: "hall", text: "" }).durable;
        const [refused] = await space.rejected();
        if (refused) return refused.by;
      }
      return "nobody";
    }, hash);
    assert.equal(by, "preview", "who refuses the first words of a new space");
    const codes = await ada.page.evaluate(async (content) => {
      const { client } = globalThis.skerry;
      const bad = [[], content.slice(0, -1), new Array<number>((4 << 20) + 1).fill(0)].map((bytes) => new Uint8Array(bytes));
      const frame = document.body.appendChild(document.createElement("iframe"));
      const other = (frame.contentWindow as unknown as typeof globalThis).Uint8Array.from(content); // an array of another realm is one, too
      return Promise.all(
        [...bad, content as unknown as Uint8Array, other].map((bytes) => client.putModule(bytes).then(String, (error: { code: string }) => error.code)),
      );
    }, content);
    assert.deepEqual(codes, ["bad_module", "bad_module", "too_large", "bad_argument", hash]);

    await ada.page.reload(); // module, space and events are on the disk, and nowhere else
    await ada.page.waitForFunction(() => globalThis.skerry?.client !== undefined);
    await server.start();
    const outcomes = await ada.page.evaluate(
      async ({ id, receipts }) => {
        const space = globalThis.skerry.client.space(id);
        return Promise.all(receipts.map((receipt) => space.receipt(receipt).synced.then(({ seq }) => `${seq}`, (error: { code: string }) => error.code)));
      },
      { id, receipts },
    );
    assert.deepEqual(outcomes, ["1", "module_2", "2"]);
    const url = `http://127.0.0.1:${server.port}`;
    assert.deepEqual(await server.cli("module", "has", "--json", "--url", url, "--identity", "ada", hash), [{ has: true }]);

    await ada.page.waitForFunction((id) => globalThis.skerry.client.space(id).info().seq === 2, id);
    const logs = await assertSameLogs(world, [id]);
    assert.deepEqual(logs.get(id), [receipts[0], receipts[2]]);
  }),
);
