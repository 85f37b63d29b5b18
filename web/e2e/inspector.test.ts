// The inspector: one more tab of the same replica, which shows it, writes into it and takes it with it.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { chat } from "./guests.js";
import { World } from "./world.js";

test("the inspector shows a replica that another tab leads, writes into it, exports it and imports it", { timeout: 60_000 }, () =>
  World.run(["--limit-payload=1000"], async (world) => {
    const ada = await world.replica("ada");
    await ada.page.fill("#name", "harbour");
    await ada.page.press("#name", "Enter");
    await ada.page.waitForSelector("h2:text('harbour')");
    await ada.page.fill("#text", "low tide at six");
    await ada.page.press("#text", "Enter");
    await ada.page.waitForSelector(".message .mark.synced");

    const page = await ada.newPage();
    await page.goto(`${ada.wire.origin}/inspector.html`); // the only replica there is
    await page.waitForSelector(`#facts [data-term='identity']:has-text('${ada.identity}')`);
    await page.waitForSelector("#facts [data-term='this tab']:has-text('follows')");
    await page.click("#space-rows button:text('harbour')");
    await page.waitForSelector("#events summary:has-text('low tide at six')");
    const info = await ada.page.evaluate(() => globalThis.skerry.client.spaces()[0]!);
    assert.equal(await page.textContent("#space-facts [data-term='chain'] dd"), info.chain);

    // Any event can be written, and is in the chat at once if the room's module takes it; its bytes are shown as they are.
    await page.fill("#type", "message");
    await page.fill("#payload", '{"text": "buoy"}');
    await page.click("#write button");
    await page.waitForSelector("#written:has-text('synced as 3 after')");
    await page.waitForSelector("#timeline .verdict:has-text('is in the log')");
    await ada.page.waitForSelector(".message:has-text('buoy') .mark.synced");
    await page.click("#events summary:has-text('buoy')");
    await page.waitForSelector(".hex:has-text('81 a4 74 65 78 74 a4 62 75 6f 79')");
    await page.selectOption("#order", "oldest");
    await page.waitForSelector("#events li:nth-child(2) summary:has-text('low tide')"); // behind ada's name

    await page.fill("#payload", JSON.stringify({ text: "x".repeat(1200) }));
    await page.click("#write button");
    await page.waitForSelector("#rejected li:has-text('too_large')");
    await page.waitForSelector("#timeline .bad:has-text('too_large')");

    await page.click("#space button:text('Check')");
    await page.waitForSelector("#timeline li:has-text('All is well: 3 events')");

    // What it exports another device imports.
    const [download] = await Promise.all([page.waitForEvent("download"), page.click("#space button:text('Export')")]);
    const file = join(world.dir, "harbour.skerry");
    writeFileSync(file, readFileSync(await download.path()));
    await page.click("#rejected button:text('Discard')");
    await page.waitForSelector("#rejected li", { state: "detached" });
    const bob = await world.replica("bob");
    await bob.wire.cut();
    await bob.page.goto(`${bob.wire.origin}/inspector.html?name=bob`);
    await bob.page.waitForSelector(`#facts [data-term='identity']:has-text('${bob.identity}')`);
    await bob.page.setInputFiles("#import-file", file);
    await bob.page.click("#space-rows button:text('harbour')");
    await bob.page.waitForSelector("#events summary:has-text('low tide at six')");
    assert.equal(await bob.page.locator("#events li").count(), 3);
  }),
);

test("of a long outbox chat shows the newest first and the inspector the oldest, and how many more there are", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada");
    await ada.wire.cut();
    await ada.page.fill("#name", "harbour");
    await ada.page.press("#name", "Enter");
    await ada.page.waitForSelector("h2:text('harbour')");
    await ada.page.evaluate(async () => {
      const { client } = globalThis.skerry;
      const space = client.space(client.spaces()[0]!.id);
      await Promise.all(Array.from({ length: 260 }, (_, i) => space.append("message", { text: `number ${i}.` }).durable));
    });
    await ada.page.waitForSelector(".message:has-text('number 259.') .mark.durable");
    assert.equal(await ada.page.locator(".message:has-text('number 59.')").count(), 0);
    await ada.page.evaluate(async () => {
      while (!document.querySelector(".message")!.textContent!.includes("number 0.")) {
        document.getElementById("log")!.scrollTop = 0;
        await new Promise(requestAnimationFrame);
      }
    });
    assert.equal(await ada.page.locator(".message").count(), 260);
    await ada.page.click("#newest");

    const page = await ada.newPage();
    await page.goto(`${ada.wire.origin}/inspector.html`);
    await page.click("#space-rows button:text('harbour')");
    await page.waitForSelector("#outbox :text-is('and 161 more')");
    assert.equal(await page.locator("#outbox .transaction").count(), 100);
    assert.match(await page.innerText("#outbox .transaction:first-child"), /name/); // what ada is called is the first of all
    assert.match(await page.innerText("#outbox .transaction:nth-child(2)"), /number 0\./);

    await ada.wire.mend();
    await ada.poke();
    await page.waitForSelector("#waiting", { state: "hidden" });
    await ada.page.waitForSelector(".message:has-text('number 259.') .mark.synced");
  }),
);

test("the inspector shows the tables of a space, live, and those of the module that it goes over to", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada");
    const id = await ada.page.evaluate(async (bytes) => {
      const { client } = globalThis.skerry;
      const space = await client.createSpace({ module: await client.putModule(new Uint8Array(bytes)), params: { name: "harbour" } });
      space.append("join", { name: "Ada" });
      await space.append("message", { room: "hall", text: "low tide at six" }).synced;
      return space.id;
    }, [...chat()]);
    const page = await ada.newPage();
    await page.goto(`${ada.wire.origin}/inspector.html#${id}`);
    await page.waitForSelector("#table-rows tr:has-text('low tide at six'):not(.wait)");
    assert.match(await page.innerText("#tables-module"), /^by chat 1\.0\.0-e2e, [0-9a-f]{12}$/);
    assert.deepEqual(await page.locator("#row-columns th").allInnerTexts(), ["seq", "author", "room", "text"]);
    assert.deepEqual(await page.locator("#table option").allInnerTexts(), ["messages", "users", "rooms"]);

    await ada.wire.cut(); // the tab that leads, so that what comes next waits
    await ada.page.evaluate((id) => {
      const space = globalThis.skerry.client.space(id);
      space.transact(Array.from({ length: 60 }, (_, i) => ({ type: "message", payload: { room: i < 59 ? "hall" : "attic", text: `number ${i}` } })));
    }, id);
    await page.waitForSelector("#table-rows tr.wait:has-text('number 3')");
    await page.waitForSelector("#rows-told:has-text('the first 50 rows, 49 of them waiting')");
    await page.click("#rows-more");
    await page.waitForSelector("#rows-told:text-is('61 rows, 60 of them waiting')");
    await page.selectOption("#index", "by_room");
    await page.waitForSelector("#table-rows tr:first-child:has-text('attic')");
    await page.check("#reverse");
    await page.waitForSelector("#table-rows tr:first-child:has-text('number 58')");
    await ada.wire.mend();
    await ada.poke();
    await page.selectOption("#table", "users");
    await page.waitForSelector("#table-rows tr:has-text('Ada')");

    const next = await ada.page.evaluate(
      async ({ id, bytes }) => {
        const { client } = globalThis.skerry;
        const next = await client.putModule(new Uint8Array(bytes));
        await client.space(id).upgrade(next).synced;
        return next;
      },
      { id, bytes: [...chat("2.0.0", "posts")] },
    );
    await page.waitForSelector(`#tables-module:text-is('by chat 2.0.0, ${next.slice(0, 12)}')`);
    await page.waitForSelector(`#space-facts [data-term='made with']`);
    assert.deepEqual(await page.locator("#table option").allInnerTexts(), ["posts", "users", "rooms"]);
  }),
);
