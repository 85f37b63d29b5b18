// The demo's account, as people use it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { World } from "./world.js";

test("in the demo people log out and in, link a device, make a recovery key and recover by it", { timeout: 120_000 }, () =>
  World.run([], async (world) => {
    const [laptop, phone] = [await world.device("laptop"), await world.device("phone")];
    await Promise.all([laptop.load(laptop.page, "?name="), phone.load(phone.page, "?name=")]);
    for (const { page } of [laptop, phone]) {
      await page.click("#me");
      await page.click("text=Account…");
    }
    await laptop.page.click("text=Log out");
    await laptop.until("logged out", (c) => c.status.connection === "logged_out");
    await laptop.page.click("text=Log in");
    await laptop.until("online", (c) => c.status.connection === "online");

    const ann = await laptop.page.evaluate(() => globalThis.skerry.client.identity);
    await phone.page.fill("#account-other", ann);
    await phone.page.click("text=Did it link this one?");
    await phone.page.waitForSelector("text=That device has not linked this one yet.");
    await laptop.page.fill("#account-other", await phone.page.inputValue("#account-name"));
    await laptop.page.click("text=Link it");
    await laptop.page.waitForSelector("#account li");
    await Promise.all([phone.page.waitForNavigation(), phone.page.click("text=Did it link this one?")]);
    await phone.opened();
    assert.equal(await phone.page.evaluate(() => globalThis.skerry.client.identity), ann);

    await laptop.page.click("text=Make one");
    const words = await laptop.page.waitForFunction(() => document.querySelector("#account output")?.textContent || undefined);
    await laptop.page.click("#account .strong");
    assert.equal(await laptop.page.textContent("#account output"), "", "it is shown once");
    const tablet = await world.device("tablet");
    await tablet.load(tablet.page, "?name=");
    await tablet.page.click("#me");
    await tablet.page.click("text=Account…");
    await tablet.page.fill("#account-words", (await words.jsonValue())!);
    await Promise.all([tablet.page.waitForNavigation(), tablet.page.click("text=Recover by it")]);
    await tablet.opened();
    assert.equal(await tablet.page.evaluate(() => globalThis.skerry.client.identity), ann);

    await laptop.page.evaluate(() => globalThis.skerry.client.createSpace());
    await laptop.page.click("#me");
    await laptop.page.click("text=Account…");
    await laptop.synced();
    await Promise.all([laptop.page.waitForNavigation(), laptop.page.click("text=Forget this device")]);
    await laptop.opened();
    assert.notEqual(await laptop.page.evaluate(() => globalThis.skerry.client.identity), ann);
  }),
);
