// Archives: what one browser exports another one imports, and what no server ever had reaches it once.
import { decode } from "@msgpack/msgpack";
import { blake3 } from "@noble/hashes/blake3";
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Page } from "playwright-core";
import { toHex } from "../src/bytes.js";
import { formatULID } from "../src/ulid.js";
import { concat } from "../test/hashes.js";
import { chromium } from "./chromium.js";
import { assertSameLogs, World } from "./world.js";

/** Exports in a page and hands the file out. */
async function exported(page: Page, id?: string): Promise<Uint8Array> {
  const bytes = await page.evaluate(async (id) => {
    const blob = await globalThis.skerry.client.export(id);
    return [...new Uint8Array(await blob.arrayBuffer())];
  }, id);
  return Uint8Array.from(bytes);
}

function imported(page: Page, file: Uint8Array) {
  return page.evaluate((bytes) => globalThis.skerry.client.import(new Blob([Uint8Array.from(bytes)])), [...file]);
}

/** Reads an archive as its description has it, by an independent msgpack and an independent BLAKE3. */
function read(file: Uint8Array): { line: string; messages: unknown[][] } {
  const end = file.indexOf(10);
  const line = new TextDecoder().decode(file.subarray(0, end));
  const view = new DataView(file.buffer, file.byteOffset);
  const messages: unknown[][] = [];
  let digest = blake3(file.subarray(0, end + 1));
  let at = end + 1;
  for (;;) {
    const length = view.getUint32(at);
    at += 4;
    if (length === 0) break;
    const message = file.subarray(at, at + length);
    messages.push(decode(message) as unknown[]);
    digest = blake3(concat(digest, blake3(message)));
    at += length;
  }
  assert.equal(toHex(file.subarray(at)), toHex(blake3(digest)), "the digest at the end");
  return { line, messages };
}

test("spaces that no server has are carried to another browser in a file, and reach the server once", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const key = await world.server.key("ada"); // which both of her browsers have
    const old = await world.replica("ada", chromium, key);
    await old.wire.cut();
    const made = await old.page.evaluate(async () => {
      const { client } = globalThis.skerry;
      const space = await client.createSpace({ params: { name: "carried" } });
      const receipts = Array.from({ length: 30 }, (_, i) => space.transact([{ type: "note", payload: i }, { type: "note" }]));
      return { id: space.id, ids: receipts.flatMap((receipt) => [...receipt.ids]) };
    });
    const file = await exported(old.page, made.id);
    const { line, messages } = read(file);
    assert.match(line, /^skerry archive 1 [0-9a-f]{64} \d{13}$/);
    const pushes = messages.filter(([number]) => number === 6);
    const waiting = pushes.flatMap((push) => push[6] as [string, string, string, [Uint8Array][]][]);
    assert.deepEqual(waiting.flatMap((t) => t[3].map(([id]) => formatULID(id))), made.ids);

    const ben = await world.device("ada", chromium, key);
    await ben.load();
    await ben.wire.cut();
    const done = await imported(ben.page, file);
    assert.deepEqual(done, [{ id: made.id, records: 0, waiting: 30, rejected: 0, lost: 0, foreign: 0, code: undefined, reason: "" }]);
    await ben.until("30 waiting", (c) => c.status.pending === 30);

    for (const device of [ben, old]) {
      await device.wire.mend();
      await device.poke();
      await device.synced();
    }
    // With history now, into a browser that never meets the server, and from there the file is the same but its time.
    const whole = await exported(ben.page);
    const cy = await world.device("cy");
    await cy.load();
    await cy.wire.cut();
    const [space] = await imported(cy.page, whole);
    assert.equal(space?.records, 60);
    const again = await imported(cy.page, whole);
    assert.equal(again[0]?.records, 0);
    const copy = read(await exported(cy.page));
    assert.deepEqual(copy.messages, read(whole).messages);

    const damaged = whole.slice();
    damaged[damaged.length >> 1]! ^= 1;
    const refused = await cy.page.evaluate(
      (bytes) => globalThis.skerry.client.import(new Blob([Uint8Array.from(bytes)])).then(String, (error) => (error as { code: string }).code),
      [...damaged],
    );
    assert.ok(refused === "bad_archive" || refused === "bad_chain", refused);

    const logs = await assertSameLogs(world, [made.id]);
    assert.deepEqual(logs.get(made.id), made.ids);
  }),
);
