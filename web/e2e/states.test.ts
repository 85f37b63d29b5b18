// Where a page cannot store, or cannot sync until somebody does something: it says which it is, and keeps what is written.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertSameLogs, World } from "./world.js";

test("a page that was loaded without https is told that it can store nothing", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.device("ada");
    await ada.page.goto(`http://plain.test:${new URL(ada.wire.origin).port}/?name=ada`);
    await ada.page.waitForFunction(() => globalThis.skerry !== undefined);
    const told = await ada.page.evaluate(async () => {
      const { open, error } = globalThis.skerry;
      const again = await open().then(() => "", (error: { code: string }) => error.code);
      return { secure: isSecureContext, code: (error as { code?: string } | undefined)?.code, again };
    });
    assert.deepEqual(told, { secure: false, code: "insecure_context", again: "insecure_context" });
    ada.faults.splice(0, ada.faults.length); // the page's own: a service worker needs https too
  }),
);

test("a new server waits for its administrator, and what was written meanwhile goes up when there is one", { timeout: 60_000 }, () =>
  World.run(["--local-setup"], async (world) => {
    const ada = await world.device("ada");
    await ada.load();
    const id = await ada.page.evaluate(async () => {
      const space = await globalThis.skerry.client.createSpace();
      await space.append("note", "waits").durable;
      return space.id;
    });
    await ada.until("waiting", ({ status }) => status.connection === "setup_required");
    const setUp = () =>
      ada.page.evaluate(async () => {
        const body = JSON.stringify({ identity: globalThis.skerry.client.identity });
        return (await fetch("/api/v1/setup", { method: "POST", body })).status;
      });
    assert.deepEqual([await setUp(), await setUp()], [200, 409]);
    await ada.until("synced", ({ status }) => status.connection === "online" && status.pending === 0);
    assert.equal((await world.server.log(id)).length, 1);
    ada.faults.splice(0, ada.faults.length); // the second answer is told in the console
  }),
);

test("a server that waits for its administrator: setup_required until it takes something", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada");
    const space = await ada.page.evaluate(async () => {
      const space = await globalThis.skerry.client.createSpace();
      await space.append("note", 1).synced;
      return space.id;
    });
    await ada.synced();
    await ada.wire.cut();
    // No server says so yet. So its answer is changed on its way: each `pushed` defers its one transaction.
    const worker = ada.page.workers().find((w) => w.url().includes("worker-"))!;
    await worker.evaluate(() => {
      const { get, set } = Object.getOwnPropertyDescriptor(WebSocket.prototype, "onmessage")!;
      Object.defineProperty(WebSocket.prototype, "onmessage", {
        configurable: true,
        get: get!,
        set(this: WebSocket, heard: ((event: MessageEvent<ArrayBuffer>) => void) | null) {
          set!.call(this, heard && ((event: MessageEvent<ArrayBuffer>) => {
            const bytes = new Uint8Array(event.data);
            const changed = (globalThis as { setUp?: boolean }).setUp !== true && bytes[1] === 7; // [7, space, n, genesis, verdicts]
            const deferred = [0xc0, 0x91, 0x95, 4, 0xc0, 47, 0xa0, 0]; // no genesis, [[deferred, nil, setup_required, "", 0]]
            heard(changed ? new MessageEvent("message", { data: Uint8Array.of(0x95, ...bytes.subarray(1, 37), ...deferred).buffer }) : event);
          }));
        },
      });
    });
    await ada.wire.mend();
    await ada.poke();
    const write = (text: string) =>
      ada.page.evaluate(([space, text]) => globalThis.skerry.client.space(space).append("note", text).durable, [space, text] as const);
    await write("while it is not set up");
    await ada.until("told", ({ status }) => status.connection === "setup_required");
    await worker.evaluate(() => void Object.assign(globalThis, { setUp: true }));
    await write("when it is");
    await ada.synced();
    assert.equal((await assertSameLogs(world, [space])).get(space)!.length, 3);
  }),
);
