// A long space on a new device: it begins at the server's checkpoint, and older history is fetched where somebody reads it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { World } from "./world.js";

const long = 12_500;

test("a new device begins a long space at the checkpoint, reads back what is older, and keeps it without a network", { timeout: 180_000 }, () =>
  World.run([], async (world) => {
    const { server } = world;
    const ada = await world.replica("ada");
    const id = await ada.page.evaluate(async (long) => {
      const space = await globalThis.skerry.client.createSpace({ module: "broadcast" });
      for (let n = 0; n < long; n += 500) {
        await space.transact(Array.from({ length: 500 }, (_, i) => ({ type: "note", payload: { n: n + i + 1 } }))).synced;
      }
      return space.id;
    }, long);

    const bob = await world.replica("bob");
    const newest = await bob.page.evaluate(
      async ({ id, long }) => {
        const space = globalThis.skerry.client.space(id);
        await new Promise<void>((resolve) => {
          const look = (): void => {
            if (space.info().caughtUp && space.info().seq >= long) resolve();
          };
          space.subscribe(look);
          look();
        });
        const seqs: number[] = [];
        for await (const event of space.events({ reverse: true, limit: 100 })) seqs.push(event.seq);
        const owner = await space.table("owner").query();
        return { seqs, owner: owner.length, oldest: space.info().oldest, seq: space.info().seq };
      },
      { id, long },
    );
    assert.equal(newest.seq, long);
    assert.equal(newest.owner, 1);
    assert.deepEqual(newest.seqs, Array.from({ length: 100 }, (_, i) => long - i));
    assert.ok(newest.oldest > 10_000, `all from ${newest.oldest} on is there`);

    // Two tabs read backwards, the second one asks the first for what is missing.
    const tab = await bob.newPage();
    await bob.load(tab);
    const back = await tab.evaluate(
      async ({ id, oldest }) => {
        const space = globalThis.skerry.client.space(id);
        const wrong: number[] = [];
        let n = 0;
        let last = 0;
        for await (const event of space.events({ reverse: true })) {
          if ((event.payload as { n: number }).n !== event.seq) wrong.push(event.seq);
          last = event.seq;
          if (++n > 4000 && last < oldest - 1000) break;
        }
        return { wrong, last, oldest: space.info().oldest };
      },
      { id, oldest: newest.oldest },
    );
    assert.deepEqual(back.wrong, []);
    assert.ok(back.last < newest.oldest - 900 && back.oldest <= back.last, JSON.stringify(back));

    await server.kill();
    await bob.until("cut off", (c) => c.status.connection !== "online", 60_000, tab);
    const without = await tab.evaluate(async (id) => {
      const space = globalThis.skerry.client.space(id);
      let n = 0;
      let code = "";
      try {
        for await (const _ of space.events({ reverse: true })) n++;
      } catch (error) {
        code = (error as { code: string }).code;
      }
      return { n, code, ...(await space.check()), info: space.info(), modules: await space.modules() };
    }, id);
    assert.equal(without.code, "not_here");
    assert.equal(without.n, long - without.info.oldest + 1);
    assert.equal(without.damage, "");
    assert.deepEqual([without.modules.complete, without.modules.history.map((use) => [use.module, use.seq])], [false, [[without.info.genesisModule, 0]]], "an upgrade may be among what is not here");

    await server.start();
    const all = await tab.evaluate(async (id) => {
      const space = globalThis.skerry.client.space(id);
      await new Promise<void>((resolve) => {
        const look = (): void => {
          if (globalThis.skerry.client.status.connection === "online") resolve();
        };
        globalThis.skerry.client.subscribe(look);
        look();
      });
      let n = 0;
      for await (const event of space.events()) if (event.seq === ++n && (event.payload as { n: number }).n === n) continue;
      return { n, oldest: space.info().oldest, ...(await space.check()) };
    }, id);
    assert.deepEqual(all, { n: long, oldest: 1, seq: long, damage: "" });
    const told = await tab.evaluate((id) => globalThis.skerry.client.space(id).modules(), id);
    await server.kill();
    const here = await tab.evaluate((id) => globalThis.skerry.client.space(id).modules(), id);
    assert.equal(here.complete, true);
    assert.deepEqual(here, told);
  }),
);
