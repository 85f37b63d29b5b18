// A server that is put back from last week's directory gets back from a page what it had stored since.
import assert from "node:assert/strict";
import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { assertSameLogs, World } from "./world.js";

test("a page brings back what the server lost, as it was", { timeout: 90_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada");
    const write = (id: string, texts: string[]) =>
      ada.page.evaluate(
        async ([id, texts]) => {
          await Promise.all(texts.map((text) => globalThis.skerry.client.space(id).append("note", { text }).synced));
        },
        [id, texts] as const,
      );
    const id = await ada.page.evaluate(async () => (await globalThis.skerry.client.createSpace()).id);
    await write(id, ["one", "two"]);
    await world.server.stop();
    const lastWeek = join(world.dir, "last-week");
    cpSync(world.server.data, lastWeek, { recursive: true });
    await world.server.start();
    await ada.poke();
    await write(id, ["three", "four", "five"]);
    await ada.synced();
    const before = await world.server.log(id);

    await world.server.stop();
    rmSync(world.server.data, { recursive: true });
    cpSync(lastWeek, world.server.data, { recursive: true });
    assert.equal((await world.server.log(id)).length, 2);
    await world.server.start();
    await ada.poke();
    await write(id, ["six"]); // waits until all of it is back
    const after = await world.server.log(id);
    assert.deepEqual(after.slice(0, 5), before);
    assert.equal(after.length, 6);
    await ada.synced();
    await assertSameLogs(world, [id]);
  }),
);
