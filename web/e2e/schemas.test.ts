// Generated code in a page, at a module that is newer than it: what is written, read and told.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { EventRecord, ModuleCode, Space } from "skerry";
import { chromium } from "./chromium.js";
import { chat as code } from "../test/chat.js";
import { chat, type Manifest } from "./guests.js";
import { World } from "./world.js";

test("a page whose code is older than the space's module writes by its own declarations, reads by everybody's, and is told once what differs", { timeout: 90_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada", chromium, await world.server.key("ada"));
    const { page } = ada;
    // The demo opens every space with its own code, and is told what that differs in.
    const identity = await page.evaluate(() => globalThis.skerry.client.identity);
    await ada.load(page, `inspector.html?identity=${encodeURIComponent(identity)}&name=ada`);
    const was = [{ name: "room", type: "text", optional: false }, { name: "body", type: "text", optional: false }];
    // The older module said body; the newer one says text, has lost the event stats, an index and a column, and has a field with a default.
    const older = (m: Manifest) => ({ ...m, abi: 2, events: [{ name: "message", fields: was }, ...m.events!.slice(1)] });
    const newer = (m: Manifest) => ({
      ...m,
      abi: 2,
      events: [
        { name: "message", fields: m.events![0]!.fields, older: [{ fields: was, rename: { body: "text" } }] },
        ...m.events!.slice(1, 4),
        { ...m.events![4]!, removed: true },
      ],
      tables: [{ ...m.tables![0]!, indexes: m.tables![0]!.indexes!.slice(1) }, ...m.tables!.slice(1)],
    });
    const told = await page.evaluate(
      async ({ older, newer, code }) => {
        const { client } = globalThis.skerry;
        const warnings: string[] = [];
        client.on("warning", ({ space, of, name, code }) => space === id && warnings.push(`${of} ${name}: ${code}`));
        let id = "";
        const first = await client.putModule(new Uint8Array(older));
        const plain = await client.createSpace({ module: first });
        const { events } = await plain.tables();
        // What the generator would have made of the older module.
        const schema = (name: string) => events.find((e) => e.name === name)!.declarations[0]!.schema;
        const own: ModuleCode = {
          ...code, hash: first,
          events: {
            ...Object.fromEntries(Object.entries(code.events).map(([name, event]) => [name, { ...event, schema: schema(name) }])),
            message: { schema: schema("message"), fields: [["room", 5, 0], ["body", 5, 0]] },
          },
        } as ModuleCode;
        const said = (f: () => unknown) => {
          try {
            f();
            return "nothing";
          } catch (error) {
            return (error as { code: string; reason: string }).code;
          }
        };
        const space = client.space(plain.id, own) as unknown as Space;
        const append = (type: string, payload: unknown) => space.append(type, payload);
        await append("join", { name: "Ada" }).synced;
        await append("message", { body: "one", room: "hall" }).synced;
        const mismatch = [said(() => append("message", { text: "two", room: "hall" })), said(() => append("message", { body: 2, room: "hall" }))];
        id = plain.id;
        const quiet = [...warnings];
        await plain.upgrade(await client.putModule(new Uint8Array(newer))).synced;
        const ok = append("message", { body: "two", room: "hall" });
        const removed = append("stats", { room: "hall" });
        const after = append("message", { body: "three", room: "hall" });
        await ok.synced;
        await after.synced;
        const refused = await removed.synced.then(() => "accepted", (error: { code: string }) => error.code);
        const { seq } = await plain.append("message", { text: "four", room: "hall" }).synced;
        await new Promise<void>((resolve) => {
          const look = (): void => void (space.info().seq >= seq && resolve());
          space.subscribe(look);
          look();
        });
        const read = [];
        for await (const event of space.events()) {
          read.push(await (space.read as (event: EventRecord) => Promise<{ type: string; payload: unknown } | undefined>).call(space, event).then((r) => r && `${r.type} ${JSON.stringify(r.payload)}`, (error: { code: string }) => error.code));
        }
        const rows = await space.table("messages").query({ index: "by_room", prefix: ["hall"] } as object);
        const live = space.table("messages").live({ index: "by_room", prefix: ["hall"] } as object);
        await new Promise<void>((resolve) => live.subscribe(() => live.getSnapshot().length === 4 && resolve()));
        const current = (await plain.tables()).events.map((e) => [e.name, e.removed, e.declarations.length]);
        for (let i = 0; i < 3; i++) client.space(plain.id, own);
        return {
          mismatch, quiet, refused, read, rows: rows.map((row) => (row as unknown as { text: string }).text), warnings, current,
          live: [live.error?.code, live.getSnapshot().length],
        };
      },
      { older: [...chat("1.0.0", "messages", older)], newer: [...chat("2.0.0", "messages", newer)], code: JSON.parse(JSON.stringify(code)) as ModuleCode },
    );
    assert.deepEqual(told, {
      mismatch: ["schema_mismatch", "schema_mismatch"],
      quiet: [],
      refused: "type_removed",
      read: [
        'join {"name":"Ada"}', 'message {"room":"hall","body":"one"}', undefined, undefined, 'message {"room":"hall","body":"two"}', 'message {"room":"hall","body":"three"}',
        "schema_mismatch", // what says by no declaration what it is, and is not what this code's is
      ],
      rows: ["one", "two", "three", "four"],
      warnings: ["event message: undefined", "event stats: type_removed"], // body is called text now, which the lens says
      current: [["message", false, 2], ["edit", false, 1], ["remove", false, 1], ["join", false, 1], ["stats", true, 1]],
      live: ["schema_incompatible", 4],
    });
  }));
