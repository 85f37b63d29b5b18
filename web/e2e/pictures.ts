// Takes pictures of the demo page into build/pictures, and the README's into docs/pictures. Run it by
// `npm run pictures`.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { root } from "../test/root.js";
import { World } from "./world.js";

const out = join(root, "build", "pictures");
const readme = join(root, "docs", "pictures");
for (const dir of [out, readme]) mkdirSync(dir, { recursive: true });
const desktop = { width: 1120, height: 680 };
const phone = { width: 390, height: 780 };

/** Writes into the space that is shown, as somebody does who types. */
async function say(page: Page, ...texts: string[]): Promise<void> {
  for (const text of texts) {
    await page.fill("#text", text);
    await page.press("#text", "Enter");
    await page.waitForSelector(`#messages li:has-text(${JSON.stringify(text.slice(0, 20))}) .mark:is(.durable, .synced)`);
  }
}

async function shoot(page: Page, name: string, dir = out): Promise<void> {
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
  await page.screenshot({ path: join(dir, `${name}.png`) });
  console.log(join(dir, `${name}.png`));
}

await World.run(["--create-burst=4", "--create-per-hour=12"], async (world) => {
  const ada = await world.replica("ada");
  const bob = await world.replica("bob");
  const { page } = ada;
  await page.setViewportSize(desktop);
  await page.waitForSelector("#status .online");
  await shoot(page, "first");
  for (const name of ["groceries", "trip to the islands", "harbour watch"]) {
    await page.fill("#name", name);
    await page.click("#create button");
    await page.waitForSelector(`h2:text("${name}")`);
    await say(page, `a space for ${name}`);
  }
  await ada.synced();
  const id = new URL(page.url()).hash;
  await bob.page.fill("#id", ada.wire.origin + id);
  await bob.page.click("#open button");
  await bob.page.waitForSelector("#messages li");
  await say(page, "The ferry leaves at six from the north pier.");
  await say(bob.page, "Thanks. I bring the maps and the thermos.", "Do we need the long rope?");
  await page.waitForSelector("#messages li:has-text('rope')");
  await say(page, "Yes, please, and the lamp:\nthe path down to the skerry has no light.");
  await page.waitForSelector("#messages li:last-child .mark.synced");
  await ada.synced();
  await shoot(page, "light");
  await page.emulateMedia({ colorScheme: "dark" });
  await shoot(page, "dark");
  await page.emulateMedia({ colorScheme: "light" });

  await ada.wire.cut();
  await page.waitForSelector("#status .offline");
  await say(page, "On the ferry now, no network at all.", "This one waits on my device until we land.");
  await shoot(page, "offline");
  await shoot(page, "demo", readme);
  await page.emulateMedia({ colorScheme: "dark" });
  await page.setViewportSize(phone);
  await shoot(page, "phone-space-dark");
  await page.emulateMedia({ colorScheme: "light" });
  await shoot(page, "phone-space");
  await page.click("#back");
  await shoot(page, "phone-list");

  // More spaces than the server takes at once.
  await page.setViewportSize(desktop);
  await page.evaluate(async () => {
    for (const name of ["tides", "birds", "boats"]) await globalThis.skerry.client.createSpace({ params: { name } });
  });
  await ada.wire.mend();
  await ada.poke();
  await page.waitForSelector("#status :text('the server takes the next')");
  await page.waitForTimeout(300);
  await shoot(page, "rate-limited");
});
