// The chat as people use it: two of them in two browsers, offline, by a link, by the keyboard alone, on a small phone.
import assert from "node:assert/strict";
import { test } from "node:test";
import { create, invite, message, say } from "./rooms.js";
import { World } from "./world.js";

test("two people chat; what one writes offline is marked, and arrives later", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada");
    await create(ada.page, "harbour");
    await say(ada.page, "low tide at six");
    await ada.page.waitForSelector(`.mine${message("low tide")} .mark.synced`);

    // Somebody who follows the link is asked for a name first.
    const bob = await world.device("bob");
    const link = await invite(ada.page);
    await bob.page.goto(link.replace(ada.wire.origin, bob.wire.origin));
    await bob.page.waitForSelector("#who-title:text('invited')");
    await bob.page.fill("#who-name", "bob");
    await bob.page.press("#who-name", "Enter");
    await bob.page.waitForSelector(message("low tide"));
    await bob.page.waitForSelector("h2:text('harbour')");
    assert.match(bob.page.url(), /#\/room\/[0-9a-f]{64}$/);
    await say(bob.page, "thanks");
    await ada.page.waitForSelector(message("thanks"));
    await ada.page.waitForSelector(".message .by:not(.sr) b:text-is('bob')"); // by his own word, which may come a moment later

    // Offline the marks say so, and the line below says when it tries again.
    await bob.wire.cut();
    await bob.page.waitForSelector("#status .offline");
    await say(bob.page, "from the boat");
    await bob.page.waitForSelector(`${message("from the boat")} .mark.durable:has-text('on this device')`);
    await bob.page.waitForSelector("#status:has-text('1 change to sync'):has-text('Tries again in')");
    await ada.page.goto(`${ada.wire.origin}/?name=ada#/`);
    await bob.wire.mend();
    const tryNow = bob.page.locator("#status button:text('Try now')");
    await Promise.race([tryNow.click(), tryNow.waitFor({ state: "detached" })]); // it may have tried by itself
    await bob.page.waitForSelector(`${message("from the boat")} .mark.synced`);
    await ada.page.waitForSelector("#rooms a:has-text('harbour') .unread:has-text('1')"); // she looks at no room
    await ada.page.click("#rooms a:has-text('harbour')");
    await ada.page.waitForSelector(`.new + ${message("from the boat")}`);
    await ada.page.waitForSelector("#rooms .unread", { state: "detached" });
  }),
);

test("on a developer's own machine one click sets a new server up", { timeout: 60_000 }, () =>
  World.run(["--local-setup"], async (world) => {
    const { page, wire } = await world.device("ada");
    await page.goto(`${wire.origin}/?name=`);
    await page.waitForSelector("#name");
    await create(page, "harbour");
    await say(page, "is anybody there?");
    await page.waitForSelector("#status .setup_required");
    await page.click("#status button:text('Make me its administrator')");
    await page.waitForSelector(`${message("is anybody there?")} .mark.synced`);
    await page.waitForSelector("#status .online");
  }),
);

test("a refused message is shown with its reason and can be discarded, by the keyboard alone", { timeout: 60_000 }, () =>
  World.run(["--limit-payload=1000"], async (world) => {
    const { page } = await world.replica("ada");
    const { keyboard } = page;
    const focus = () => page.evaluate(() => document.activeElement?.id || document.activeElement?.textContent || "");
    await keyboard.press("?");
    await page.waitForSelector("#keys[open]");
    await keyboard.press("Escape");
    await keyboard.press("n");
    assert.equal(await focus(), "name");
    for (const name of ["alpha", "beta"]) {
      await page.focus("#name");
      await keyboard.type(name);
      await keyboard.press("Enter");
      await page.waitForSelector(`h2:text("${name}")`);
      assert.equal(await focus(), "text");
    }
    await keyboard.type("one line");
    await keyboard.press("Shift+Enter");
    await keyboard.type("and another");
    await keyboard.press("Enter");
    await page.waitForSelector(`${message("and another")} .mark.synced`);
    assert.equal(await page.locator(".message .text").innerText(), "one line\nand another");
    await page.fill("#text", "too long ".repeat(200));
    await keyboard.press("Enter");
    await page.waitForSelector(".message.refused .mark.refused:has-text('too large')");
    await page.waitForFunction(() => {
      const log = document.getElementById("log")!;
      return log.scrollHeight - log.scrollTop - log.clientHeight < 5; // however long it is, its end is in view
    });

    // From the messages one gets to the buttons, and from there back to writing.
    await page.locator(".message.refused button:text('Discard')").focus();
    await keyboard.press("Enter");
    await page.waitForSelector(".message.refused", { state: "detached" });
    assert.equal(await focus(), "text");

    // The list is one stop of the tab key; arrows go within it.
    await keyboard.press("Escape");
    assert.equal(await focus(), "log");
    await keyboard.press("Escape");
    assert.match(await focus(), /beta/);
    assert.equal(await page.locator("#rooms a[tabindex='0']").count(), 1);
    await keyboard.press("End");
    assert.match(await focus(), /alpha/);
    await keyboard.press("Enter");
    await page.waitForSelector("h2:text('alpha')");
    await keyboard.press("Alt+ArrowUp");
    await page.waitForSelector("h2:text('beta')");
    await page.waitForSelector(message("and another"));
  }),
);

test("a long log opens at its end, goes back page by page, and fits a small phone", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada");
    const { page } = ada;
    await page.setViewportSize({ width: 320, height: 568 });
    await create(page, "long");
    const total = 3000;
    await page.evaluate(async (total) => {
      const id = location.hash.split("/").at(-1)!;
      const space = globalThis.skerry.client.space(id);
      const receipts = [];
      for (let i = 0; i < total; i += 100) {
        receipts.push(space.transact(Array.from({ length: 100 }, (_, n) => ({ type: "message", payload: { text: `message ${i + n + 1}` } }))));
      }
      await Promise.all(receipts.map((receipt) => receipt.synced));
    }, total);
    await ada.synced();
    await page.reload();
    await page.waitForSelector(`.message:has-text("message ${total}") .mark.synced`);
    const shown = () => page.locator(".message").count();
    assert.ok((await shown()) <= 200, `${await shown()} messages of ${total} are on the page`);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
    for (let seen = total; seen > total - 1000; ) {
      const before = await page.locator(".message").first().getAttribute("data-id");
      await page.evaluate(() => (document.getElementById("log")!.scrollTop = 0));
      await page.waitForFunction((id) => document.querySelector(".message")?.getAttribute("data-id") !== id, before);
      seen = Number(/message (\d+)/.exec((await page.locator(".message .text").first().textContent())!)![1]);
    }
    assert.ok((await shown()) <= 1000, `${await shown()} messages are on the page`);
    await page.click("#newest");
    await page.waitForSelector(`.message:has-text("message ${total}")`);
    // What is below the fold gets its height when it is first laid out, and the log stays at its end meanwhile.
    await page.waitForFunction(() => {
      const log = document.getElementById("log")!;
      return log.scrollHeight - log.scrollTop - log.clientHeight < 50;
    });

    // The rooms and one room take turns, and Escape leads back.
    assert.ok(!(await page.isVisible("nav")));
    await page.press("#text", "Escape");
    await page.press("#log", "Escape");
    assert.ok(await page.isVisible("nav"));
    assert.match(await page.locator("#rooms a:focus").innerText(), /long/);
  }),
);

test("an owner deletes a room: others see that it is gone, keep what they have, and take it off their device", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada");
    await create(ada.page, "harbour");
    await say(ada.page, "low tide at six");
    const bob = await world.device("bob");
    const link = await invite(ada.page);
    await bob.page.goto(link.replace(ada.wire.origin, bob.wire.origin));
    await bob.page.fill("#who-name", "bob");
    await bob.page.press("#who-name", "Enter");
    await bob.page.waitForSelector(message("low tide"));
    for (const { page } of [ada, bob]) page.on("dialog", (dialog) => void dialog.accept());
    await ada.page.click("#share");
    await ada.page.click("#leave button:text('Delete this room')");
    for (const { page } of [ada, bob]) {
      await page.waitForSelector("#gone:has-text('This room was deleted')");
      await page.waitForSelector(message("low tide"));
      await page.waitForSelector("#text:disabled");
      await page.waitForSelector("#rooms a:has-text('harbour'):has-text('deleted')");
    }
    const saved = bob.page.waitForEvent("download");
    await bob.page.click("#save");
    assert.match((await saved).suggestedFilename(), /\.skerry$/);
    await bob.page.click("#forget");
    await bob.page.waitForSelector("#none:not([hidden])");
    await bob.page.waitForSelector("#rooms a", { state: "detached" });
    assert.equal(await bob.page.locator("#refused, .message.refused").count(), 0);
  }),
);
