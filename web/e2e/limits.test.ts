// A thousand spaces made offline against a server that takes twenty at once.
import assert from "node:assert/strict";
import { test } from "node:test";
import { World } from "./world.js";

const burst = 20;
const perHour = 144_000; // 40 a second, so that a test can wait for it
const flags = [
  `--create-burst=${burst}`, `--create-per-hour=${perHour}`, `--create-address-burst=${burst}`,
  `--create-address-per-hour=${perHour}`, `--create-server-burst=${burst}`, `--create-server-per-hour=${perHour}`,
];

test("a thousand spaces made offline all arrive, at the server's pace, those with events first", { timeout: 120_000 }, () =>
  World.run(flags, async (world) => {
    const ada = await world.replica("ada");
    await ada.wire.cut();
    const made = await ada.page.evaluate(async () => {
      const { client } = globalThis.skerry;
      const ids: string[] = [];
      for (let i = 0; i < 1000; i += 100) {
        const some = await Promise.all(Array.from({ length: 100 }, () => client.createSpace()));
        ids.push(...some.map((space) => space.id));
      }
      const withEvents = ids.filter((_, i) => i % 20 === 19);
      const receipts = withEvents.map((id) => client.space(id).append("note", { id }));
      await Promise.all(receipts.map((receipt) => receipt.durable));
      // What is watched while they arrive.
      const watched = { early: 0, waits: 0, wrongWaits: 0 };
      Object.assign(globalThis, { watched });
      const eventful = new Set(withEvents);
      client.subscribe(() => {
        let idle = 0;
        let open = 0;
        for (const info of client.spaces()) {
          if (eventful.has(info.id)) open += info.created ? 0 : 1;
          else idle += info.created ? 1 : 0;
        }
        if (open > 0) watched.early = Math.max(watched.early, idle);
        const { pendingSpaces, retryAt, connection } = client.status;
        if (connection === "online" && pendingSpaces > 0 && retryAt !== undefined) {
          watched.waits++;
          if (retryAt > Date.now() + 60_000) watched.wrongWaits++;
        }
      });
      return { ids, withEvents };
    });
    assert.equal(new Set(made.ids).size, 1000);
    assert.equal(await ada.page.evaluate(() => globalThis.skerry.client.status.pendingSpaces), 1000);

    const begun = Date.now();
    await ada.wire.mend();
    await ada.poke();
    await ada.page.waitForSelector("#status :text('spaces to sync')"); // now, as a slow machine may be told of the half when all have arrived
    await ada.until("half through", (c) => c.status.pendingSpaces <= 500, 60_000);
    await world.server.kill();
    await world.server.start();
    await ada.poke();
    const before = await ada.page.evaluate(() => globalThis.skerry.client.status.pendingSpaces);
    const resumed = Date.now();
    await ada.until("hundred further", (c) => c.status.pendingSpaces <= 300, 60_000);
    const after = await ada.page.evaluate(() => globalThis.skerry.client.status.pendingSpaces);
    const seconds = (Date.now() - resumed) / 1000;
    await ada.synced(60_000);
    const took = (Date.now() - begun) / 1000;

    // The pace is the server's all the while, so a restart gave no second burst: what was allowed is one burst and
    // what the time refilled.
    const pace = perHour / 3600;
    assert.ok(took >= (1000 - burst) / pace - 1, `1000 spaces took ${took} s`);
    assert.ok(before - after <= pace * (seconds + 2), `${before - after} spaces in ${seconds} s after the restart`);
    const watched = await ada.page.evaluate(() => (globalThis as unknown as { watched: { early: number; waits: number; wrongWaits: number } }).watched);
    assert.equal(watched.early, 0, "a space without events came before one with");
    assert.ok(watched.waits > 0, "the status showed no wait");
    assert.equal(watched.wrongWaits, 0);

    await world.server.stop();
    const listed = await world.server.cli<{ id: string }>("space", "ls", "--data", world.server.data, "--json");
    const ids = new Set(listed.map((row) => row.id));
    assert.deepEqual(made.ids.filter((id) => !ids.has(id)), []);
    for (const id of made.withEvents) assert.equal((await world.server.log(id)).length, 1);
    console.log(`1000 spaces in ${took.toFixed(1)} s`);
  }),
);
