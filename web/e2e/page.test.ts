// The page itself: what it shows, that it needs no server once installed, and what it is allowed to do.
import assert from "node:assert/strict";
import { test } from "node:test";
import { invite } from "./rooms.js";
import { World } from "./world.js";

test("a space made and written on the page reaches another device", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada");
    await ada.page.fill("#name", "harbour");
    await ada.page.click("#create button");
    await ada.page.waitForSelector("h2:text('harbour')");
    await ada.page.fill("#text", "low tide at six");
    await ada.page.press("#text", "Enter");
    await ada.page.waitForSelector("#messages li.mine .mark.synced");
    const link = await invite(ada.page);
    const bob = await world.replica("bob");
    await bob.page.fill("#name", link);
    await bob.page.click("#create button:text('Join')");
    await bob.page.waitForSelector("#messages li:has-text('low tide at six')");
    await bob.page.waitForSelector("h2:text('harbour')");
    await bob.page.fill("#text", "thanks");
    await bob.page.press("#text", "Enter");
    await ada.page.waitForSelector("#messages li:has-text('thanks')");
    assert.match(await ada.page.innerText("#status"), /Online/);
    // On a phone the list and a space take turns.
    await ada.page.setViewportSize({ width: 360, height: 640 });
    assert.ok(await ada.page.isVisible("#text"));
    assert.ok(!(await ada.page.isVisible("nav")));
    await ada.page.click("#back");
    assert.ok(await ada.page.isVisible("nav"));
    assert.ok(await ada.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  }),
);

test("a room that is asked for before the page is ready is made when it is", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const { page, wire } = await world.device("ada");
    await page.goto(`${wire.origin}/`);
    await page.waitForSelector("#who[open]"); // nothing is open before it has a name
    await page.evaluate(() => {
      document.querySelector<HTMLInputElement>("#name")!.value = "early";
      document.querySelector<HTMLFormElement>("#create")!.requestSubmit();
    });
    await page.fill("#who-name", "ada");
    await page.press("#who-name", "Enter");
    await page.waitForSelector("h2:text('early')");
    assert.equal(await page.inputValue("#name"), "");
  }),
);

test("what the server refuses stays on the page, to be retried, discarded or written in other words", { timeout: 60_000 }, () =>
  World.run(["--limit-payload=1000"], async (world) => {
    const { page } = await world.replica("ada");
    await page.fill("#name", "small");
    await page.click("#create button");
    await page.waitForSelector("h2:text('small')");
    await page.fill("#text", "too long ".repeat(200));
    await page.press("#text", "Enter");
    await page.waitForSelector("#messages li.refused .mark.refused");
    await page.fill("#text", "short");
    await page.press("#text", "Enter");
    await page.waitForSelector("#messages li:has-text('short') .mark.synced"); // it holds nothing up
    await page.reload();
    await page.click("#messages li.refused button:text('Retry')");
    await page.waitForSelector("#messages li.refused button:text('Retry'):enabled"); // refused again
    await page.waitForSelector("#status:has-text('1 change refused')");
    await page.click("#messages li.refused button:text('Change')");
    await page.waitForSelector("#messages li.refused", { state: "detached" });
    assert.equal(await page.locator("#messages li.message").count(), 1);
    assert.equal(await page.inputValue("#text"), "too long ".repeat(200).trim());
    await page.fill("#text", "in other words");
    await page.press("#text", "Enter");
    await page.waitForSelector("#messages li:has-text('in other words') .mark.synced");
  }),
);

test("a page that was loaded past the service worker is served by it again", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada");
    await ada.installed();
    const session = await ada.page.context().newCDPSession(ada.page);
    await Promise.all([ada.page.waitForEvent("load"), session.send("Page.reload", { ignoreCache: true })]);
    await ada.installed();
    await world.server.kill();
    await ada.page.reload();
    await ada.page.waitForSelector("#status:has-text('Offline')");
  }),
);

test("what nobody catches would fail these tests, in a page and in its worker", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada");
    await ada.page.evaluate(() => void Promise.reject(new Error("of the page")));
    const worker = ada.page.workers().find((w) => w.url().includes("worker-"))!;
    await worker.evaluate(() => void Promise.reject(new Error("of the worker")));
    const told = (of: string) => ada.faults.some((fault) => fault.includes("unhandled rejection") && fault.includes(of));
    while (!told("of the page") || !told("of the worker")) await new Promise((resolve) => setTimeout(resolve, 20));
    ada.faults.splice(0, ada.faults.length);
  }),
);
