// Modules that take what they can: each has its code in the page and at the server, and what is beside them goes on.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Page } from "playwright-core";
import type { LiveQuery } from "skerry";
import { workerOf } from "./chromium.js";
import { chat, hostile, least, probe, probeDoes, script } from "./guests.js";
import { assertSameLogs, World } from "./world.js";

declare global {
  /** What these tests keep in a page: a space of the chat, one of the probe, and live queries of both. */
  var both: { hall: string; probe: string; said: LiveQuery; kept: LiveQuery; workers: Set<string> };
}

const { put, grow, loop, again, add, dataAt } = probeDoes;

/** Makes both spaces in the page, and begins the queries. */
async function begin(page: Page): Promise<void> {
  await page.evaluate(
    async (modules) => {
      const { client } = globalThis.skerry;
      const spaces = [];
      for (const bytes of modules) spaces.push(await client.createSpace({ module: await client.putModule(new Uint8Array(bytes)) }));
      const [hall, probe] = spaces as [(typeof spaces)[0], (typeof spaces)[0]];
      const said = hall.table("messages").live();
      const kept = probe.table("kv").live();
      const both = (globalThis.both = { hall: hall.id, probe: probe.id, said, kept, workers: new Set<string>() });
      for (const query of [said, kept]) query.subscribe(() => {});
      client.subscribe(() => both.workers.add(client.status.worker));
      hall.append("join", { name: "Ada" });
    },
    [[...chat()], [...probe()]],
  );
  await page.waitForFunction(() => globalThis.both.said.ready && globalThis.both.kept.ready);
}

/** Says something in the hall, and waits until it is at the server and the query shows it. */
async function say(page: Page, text: string): Promise<void> {
  await page.evaluate(async (text) => void (await globalThis.skerry.client.space(globalThis.both.hall).append("message", { room: "hall", text }).synced), text);
  await page.waitForFunction((text) => globalThis.both.said.getSnapshot().some((row) => row["text"] === text && !row.$pending), text);
}

/** Puts a row with a key into the probe's table. */
async function keep(page: Page, key: number): Promise<string> {
  return page.evaluate(
    ([key, script]) => {
      const space = globalThis.skerry.client.space(globalThis.both.probe);
      const data = new Uint8Array(12);
      data[0] = key;
      return space.append("act", { script: new Uint8Array(script), data }).durable.then(() => "durable", (error: { code: string }) => error.code);
    },
    [key, script([put, 0, dataAt, 12])] as const,
  );
}

const shows = (page: Page, keys: number[]) =>
  page.waitForFunction((want) => globalThis.both.kept.getSnapshot().map((row) => Number(row["k"])).join() === want, keys.join());

test("a hostile module has a code of its own in the page and at the server, and other spaces go on in both", { timeout: 90_000 }, () =>
  World.run([], async (world) => {
    const { page } = await world.replica("ada");
    await begin(page);
    let said = 0;
    for (const [name, [code, instructions]] of Object.entries(hostile)) {
      const told = await page.evaluate(
        async (bytes) => {
          const space = globalThis.skerry.client.space(globalThis.both.probe);
          const payload = { script: new Uint8Array(bytes), data: new Uint8Array(8) };
          const receipts = ["act", "ask"].map((type) => space.append(type, payload));
          const codes = (ids: string[]) => Promise.all(ids.map((id) => space.receipt(id).synced.then(() => "synced", (error: { code: string }) => error.code)));
          await Promise.all(receipts.map((receipt) => receipt.synced.catch(() => {})));
          const ids = receipts.map((receipt) => receipt.id);
          const by = async () => (await space.rejected()).filter((transaction) => ids.includes(transaction.events[0]!.id)).map(({ by }) => by);
          const here = [...(await codes(ids)), ...(await by())];
          for (const id of ids) await space.retry(id); // the page sends it all the same
          const there = [...(await codes(ids)), ...(await by())];
          return { here, there };
        },
        script(...instructions),
      );
      assert.deepEqual(told, { here: [code, code, "preview", "preview"], there: [code, code, "server", "server"] }, name);
      await say(page, `${++said}`);
    }
    assert.equal(await keep(page, 1), "durable");
    await shows(page, [1]);
    // As many writes as a transaction may have, and one more.
    const flood = await page.evaluate(
      async (scripts) => {
        const space = globalThis.skerry.client.space(globalThis.both.probe);
        const data = new Uint8Array(12);
        data[1] = 1;
        const receipts = scripts.map((bytes) => space.append("act", { script: new Uint8Array(bytes), data }));
        return Promise.all(receipts.map(({ synced }) => synced.then(() => "synced", (error: { code: string }) => error.code)));
      },
      [4096, 4095].map((n) => script([put, 0, dataAt, 12], [add, dataAt, 1], [again, 2, n])),
    );
    assert.deepEqual(flood, ["quota_tables", "synced"]);
    await say(page, "in the end");
    const { hall, probe: id, workers } = await page.evaluate(() => ({ ...globalThis.both, workers: [...globalThis.both.workers], said: 0, kept: 0 }));
    assert.ok(!workers.includes("restarting"), workers.join());
    const logs = await assertSameLogs(world, [hall, id]);
    assert.equal(logs.get(id)!.length, 2);
  }),
);

test("modules that cannot be are refused with a code, wherever that is seen, and other spaces go on", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada");
    await begin(ada.page);
    const modules = {
      "no such import": least({ imports: ["skerry1", "now"] }),
      "an import of another module": least({ imports: ["env", "abort"] }),
      "a region larger than its memory": least({ manifest: { name: "liar", version: "1.0.0", abi: 1, io: 1 << 17 } }),
      "another ABI": least({ manifest: { name: "liar", version: "1.0.0", abi: 99 } }),
      "readable by a table that is not there": least({ manifest: { name: "liar", version: "1.0.0", abi: 1, readable: ["users"] } }),
      "a start that loops": least({ start: [0x03, 0x40, 0x0c, 0, 0x0b] }),
      "a start that recurses": least({ start: [0x10, 3] }),
      "a start that traps": least({ start: [0x00] }),
      "skerry_io that traps": least({ io: [0x00] }),
      "a region outside of its memory": least({ io: [0x41, 1] }),
    };
    const url = `http://127.0.0.1:${world.server.port}`;
    const file = join(world.dir, "module.wasm");
    for (const [name, bytes] of Object.entries(modules)) {
      const code = await ada.page.evaluate(
        (bytes) => globalThis.skerry.client.putModule(new Uint8Array(bytes)).then(() => "taken", (error: { code: string }) => error.code),
        [...bytes],
      );
      assert.equal(code, "bad_module", name);
      writeFileSync(file, bytes);
      await assert.rejects(world.server.cli("module", "put", "--url", url, "--identity", "ada", file), /bad_module/, name);
    }
    await say(ada.page, "still here");
  }),
);

test("live queries go on when the worker dies, and when the machine has no room for a module", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const { page } = await world.replica("ada");
    await begin(page);
    await say(page, "one");
    assert.equal(await keep(page, 1), "durable");
    await shows(page, [1]);
    // It dies while the module loops.
    await workerOf(page).evaluate(() => void setTimeout(() => { throw new Error("the test ends this worker"); }));
    const code = await page.evaluate(
      (bytes) => {
        const space = globalThis.skerry.client.space(globalThis.both.probe);
        return space.append("act", { script: new Uint8Array(bytes), data: new Uint8Array() }).synced.then(() => "synced", (error: { code: string }) => error.code);
      },
      script([loop]),
    );
    assert.equal(code, "out_of_fuel");
    assert.ok(await page.evaluate(() => globalThis.both.workers.has("restarting")));
    await say(page, "two");
    assert.equal(await keep(page, 2), "durable");
    await shows(page, [1, 2]);

    // An instance that has grown is dropped, and there is no room for another one: no module's fault, so nothing is refused.
    await workerOf(page).evaluate(() => {
      const { Instance } = WebAssembly;
      WebAssembly.Instance = function () { throw new RangeError("the test leaves no memory"); } as unknown as typeof Instance;
      Object.assign(globalThis, { mend: () => (WebAssembly.Instance = Instance) });
    });
    await page.evaluate(
      async (bytes) => void (await globalThis.skerry.client.space(globalThis.both.probe).append("act", { script: new Uint8Array(bytes), data: new Uint8Array() }).synced),
      script([grow, 1]),
    );
    assert.equal(await keep(page, 3), "durable");
    await page.waitForFunction(() => globalThis.both.kept.error !== undefined);
    await page.evaluate(async () => void (await globalThis.skerry.client.space(globalThis.both.hall).append("message", { room: "hall", text: "three" }).synced));
    assert.deepEqual(await page.evaluate(async () => (await globalThis.skerry.client.space(globalThis.both.probe).rejected()).length), 1);
    await workerOf(page).evaluate(() => void (globalThis as unknown as { mend(): void }).mend());
    await shows(page, [1, 2, 3]);
    await page.waitForFunction(() => globalThis.both.said.getSnapshot().map((row) => row["text"]).join() === "one,two,three");
    assert.equal(await page.evaluate(() => globalThis.both.kept.error), undefined);
  }),
);
