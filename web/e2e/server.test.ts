// Another server where one was expected.
import assert from "node:assert/strict";
import { renameSync, rmSync } from "node:fs";
import { test } from "node:test";
import { assertSameLogs, World } from "./world.js";

test("another server at the same address is told nothing, and the first one everything when it is back", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const { server } = world;
    const ada = await world.replica("ada");
    const id = await ada.page.evaluate(async () => {
      const space = await globalThis.skerry.client.createSpace();
      await space.append("note", "to the first server").synced;
      return space.id;
    });
    await ada.synced();
    await server.stop();
    renameSync(server.data, `${server.data}-first`);
    await server.start(); // on an empty directory it makes a key of its own
    const waiting = await ada.page.evaluate(async (id) => {
      const { client } = globalThis.skerry;
      const receipts = [client.space(id).append("note", "while another server answers")];
      receipts.push((await client.createSpace()).append("note", "in a space of its own"));
      await Promise.all(receipts.map((receipt) => receipt.durable));
      return receipts.map((receipt) => receipt.id);
    }, id);
    await ada.poke();
    await ada.until("told of the other server", (c) => c.status.connection === "server_changed");
    const { status, pending } = await ada.page.evaluate(async (id) => {
      const { client } = globalThis.skerry;
      return { status: client.status, pending: (await client.space(id).pending()).map((transaction) => transaction.id) };
    }, id);
    assert.deepEqual([status.code, status.pending, status.pendingSpaces], ["server_changed", 2, 1]);
    assert.deepEqual(pending, waiting.slice(0, 1));
    await server.stop();
    assert.deepEqual(await server.spaces(), [], "the other server was told of spaces");

    rmSync(server.data, { recursive: true });
    renameSync(`${server.data}-first`, server.data);
    await server.start();
    await ada.poke();
    await ada.synced();
    const logs = await assertSameLogs(world, [id]);
    assert.equal(logs.get(id)!.length, 2);
    assert.equal(logs.get(id)![1], waiting[0]);
  }),
);
