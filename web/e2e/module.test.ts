// A space that a module judges. The server runs it; the page sends what it wrote and is told.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { chat } from "./guests.js";
import { assertSameLogs, World } from "./world.js";

test("a space whose module the server does not have yet waits for it, and is judged by it then", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const { server } = world;
    const file = join(world.dir, "chat.wasm");
    writeFileSync(file, chat());
    const [shown] = await server.cli<{ digest: string }>("module", "inspect", "--json", file);
    const ada = await world.replica("ada");
    const { id, receipts } = await ada.page.evaluate(async (module) => {
      const space = await globalThis.skerry.client.createSpace({ module });
      const receipts = [
        space.append("message", { room: "hall", text: "" }),
        space.append("join", { name: "Ada" }),
        space.append("message", { room: "hall", text: "hello" }),
        space.append("message", { room: "hall" }),
        space.append("message", { room: "hall", text: "there" }),
      ];
      await Promise.all(receipts.map((receipt) => receipt.durable));
      return { id: space.id, receipts: receipts.map((receipt) => receipt.id) };
    }, shown!.digest);
    await ada.page.waitForFunction((id) => globalThis.skerry.client.space(id).info().code === "module_missing", id);

    await server.cli("module", "put", "--json", "--url", `http://127.0.0.1:${server.port}`, "--identity", "ada", file);
    const outcomes = await ada.page.evaluate(
      async ({ id, receipts }) => {
        const space = globalThis.skerry.client.space(id);
        const told = receipts.map((receipt) =>
          space.receipt(receipt).synced.then(({ seq }) => `${seq}`, (error: { code: string; reason: string }) => `${error.code}: ${error.reason}`),
        );
        return Promise.all(told);
      },
      { id, receipts },
    );
    assert.deepEqual(outcomes, ["module_2: ", "1", "2", "bad_payload: message: field text is missing", "3"]);
    const rejected = await ada.page.evaluate(async (id) => (await globalThis.skerry.client.space(id).rejected()).map(({ code }) => code), id);
    assert.deepEqual(rejected, ["module_2", "bad_payload"]);
    await ada.page.waitForFunction((id) => globalThis.skerry.client.space(id).info().seq === 3, id);

    // Bob, who has not joined, may not read it, and is told so.
    const bob = await world.replica("bob");
    await bob.page.evaluate((id) => void globalThis.skerry.client.space(id).events({ live: true }).next(), id);
    await bob.page.waitForFunction((id) => globalThis.skerry.client.space(id).info().code === "forbidden", id);
    assert.equal(await bob.page.evaluate((id) => globalThis.skerry.client.space(id).info().seq, id), 0);
    await bob.close();
    const logs = await assertSameLogs(world, [id]);
    assert.deepEqual(logs.get(id), [receipts[1], receipts[2], receipts[4]]);
  }),
);
