// Browsers that lack what tabs take turns by: replicas stay whole there, and all tabs show one order.
import assert from "node:assert/strict";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { assertSameLogs, World } from "./world.js";

const missing: Record<string, string> = {
  BroadcastChannel: "delete globalThis.BroadcastChannel;",
  "Web Locks": "Object.defineProperty(WorkerNavigator.prototype, 'locks', { value: undefined });",
};

for (const names of [["BroadcastChannel"], ["Web Locks"]]) {
  test(`two tabs without ${names.join(" and ")}: both write, all arrives once, in one order`, { timeout: 60_000 }, () =>
    World.run([], async (world) => {
      const { www } = world.server;
      for (const name of readdirSync(www).filter((name) => /^worker-/.test(name))) {
        const file = join(www, name);
        if (name.endsWith(".js")) writeFileSync(file, names.map((name) => missing[name]).join("\n") + readFileSync(file, "utf8"));
        else rmSync(file); // compressed
      }
      const ada = await world.device("ada");
      await ada.load();
      const second = await ada.newPage();
      await ada.load(second);
      const id = await ada.page.evaluate(async () => {
        const space = await globalThis.skerry.client.createSpace();
        await space.append("note", 0).durable;
        return space.id;
      });
      const ids = await Promise.all(
        ada.tabs.map((page) =>
          page.evaluate(async (id) => {
            const space = globalThis.skerry.client.space(id);
            const receipts = [];
            for (let i = 0; i < 30; i++) {
              receipts.push(space.append("note", i));
              await receipts.at(-1)!.durable;
            }
            await Promise.all(receipts.map((receipt) => receipt.synced));
            return receipts.map((receipt) => receipt.id);
          }, id),
        ),
      );
      for (const page of ada.tabs) {
        await page.waitForFunction((id) => globalThis.skerry.client.space(id).info().seq === 61, id, { timeout: 20_000, polling: 50 });
      }
      const leaders = await Promise.all(ada.tabs.map((page) => page.evaluate(() => globalThis.skerry.client.status.leader)));
      assert.equal(leaders.filter(Boolean).length, names.includes("Web Locks") ? 2 : 1);
      const log = (await assertSameLogs(world, [id])).get(id)!;
      for (const written of ids) assert.deepEqual(log.filter((id) => written.includes(id)), written, "in another order than it was written");
    }),
  );
}
