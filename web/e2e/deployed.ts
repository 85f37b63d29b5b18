// The demo as it is deployed, by two people in browsers of their own: the server is set up by its link, a room is made and joined,
// and what is written is there after the server was restarted, killed and its machine booted again. Run by .ci/machine, which does
// the latter three when it is asked to, on standard output, and says when it has.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline/promises";
import type { Page } from "playwright-core";
import { Chromium } from "./chromium.js";
import { create, invite, message, say } from "./rooms.js";

const [link, dir] = process.argv.slice(2) as [string, string];
const { origin } = new URL(link);
const faults: string[] = [];
const browsers: Chromium[] = [];
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function device(name: string, address: string): Promise<Page> {
  const profile = join(dir, name);
  mkdirSync(profile);
  const browser = await Chromium.launch(profile, (text) => faults.push(`${name}: ${text}`));
  browsers.push(browser);
  const page = await browser.newTab();
  await page.goto(address);
  if (address === link) return page;
  await page.fill("#who-name", name);
  await page.press("#who-name", "Enter");
  return page;
}

async function asks(what: "restart" | "kill" | "reboot"): Promise<void> {
  console.log(what);
  await answers.next();
}

/** Writes in the room that is shown, and waits until the server has it. */
async function wrote(page: Page, text: string): Promise<void> {
  await say(page, text);
  await page.waitForSelector(`${message(text)} .mark.synced`, { timeout: 60_000 });
}

try {
  const ann = await device("ann", `${origin}/`);
  await create(ann, "Deployed");
  await ann.waitForSelector("#status .setup_required");
  await ann.fill("#setup-link", link);
  await ann.press("#setup-link", "Enter");
  await ann.waitForSelector("#status .online");
  console.log("ok    set up by the link, in the page");
  await wrote(ann, "over TLS");
  const bob = await device("bob", await invite(ann));
  await bob.waitForSelector(message("over TLS"));
  await wrote(bob, "from another browser");
  await ann.waitForSelector(message("from another browser"));
  console.log("ok    a room, joined by its link");
  assert.equal(await ann.evaluate(() => isSecureContext && navigator.serviceWorker.controller !== undefined), true);
  for (const what of ["restart", "kill", "reboot"] as const) {
    await asks(what);
    await wrote(ann, `after ${what}, from ann`);
    await bob.waitForSelector(message(`after ${what}, from ann`));
    await wrote(bob, `after ${what}, from bob`);
    await ann.waitForSelector(message(`after ${what}, from bob`));
    console.log(`ok    after ${what}`);
  }
  const eve = await device("eve", link);
  await eve.waitForSelector("text=This server has an administrator");
  console.log("ok    the link is worth nothing any more");
  assert.deepEqual(faults, []);
} catch (error) {
  console.error(error, faults);
  for (const [n, browser] of browsers.entries()) for (const page of browser.tabs) await page.screenshot({ path: `../build/deployed-${n}.png` });
  process.exitCode = 1;
}
await Promise.all(browsers.map((browser) => browser.kill()));
process.exit();
