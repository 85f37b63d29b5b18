// Takes pictures of the demo pages into build/pictures, and the README's into docs/pictures. Run it by
// `npm run pictures`.
import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { root } from "../test/root.js";
import { withPalette } from "./png.js";
import type { Replica } from "./replica.js";
import { create, follow, invite } from "./rooms.js";
import { World } from "./world.js";

const out = join(root, "build", "pictures");
const readme = join(root, "docs", "pictures");
for (const dir of [out, readme]) mkdirSync(dir, { recursive: true });
const desktop = { width: 1120, height: 720 };
const narrow = { width: 820, height: 700 };
const phone = { width: 390, height: 780 };
const smallest = { width: 320, height: 568 };

/** Writes into the room that is shown, as somebody does who types. */
async function say(page: Page, ...texts: string[]): Promise<void> {
  for (const text of texts) {
    await page.fill("#text", text);
    await page.press("#text", "Enter");
    await page.waitForSelector(`#messages li:has-text(${JSON.stringify(text.slice(0, 20))}) .mark:is(.durable, .synced, .refused)`);
  }
}

/** Reacts to a message, as somebody does with a mouse. */
async function react(page: Page, text: string, sign: string): Promise<void> {
  await page.hover(`.message:has-text("${text}")`);
  await page.click(`.message:has-text("${text}") .more`);
  await page.click(`#menu [aria-label="React: ${sign}"]`);
}

async function drawn(page: Page): Promise<void> {
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
}

async function shoot(page: Page, name: string): Promise<Buffer> {
  await drawn(page);
  return page.screenshot({ path: join(out, `${name}.png`), animations: "disabled" });
}

/** Puts pictures beside each other, as windows on a desk. */
async function beside(replica: Replica, name: string, pictures: readonly Buffer[]): Promise<void> {
  const page = await replica.page.context().newPage();
  await page.setViewportSize({ width: pictures.length * (narrow.width + 20) + 20, height: narrow.height + 40 });
  const images = pictures.map((png) => `<img src="data:image/png;base64,${png.toString("base64")}">`).join("");
  const style = "body{margin:0;padding:20px;display:flex;gap:20px;width:max-content;background:#b9d3da}img{border-radius:12px;box-shadow:0 8px 30px #0b2c3855}";
  await page.setContent(`<style>${style}</style>${images}`);
  const png = await page.locator("body").screenshot();
  await page.close();
  keep(name, png);
}

/** Keeps a picture for the README, which must stay small. */
function keep(name: string, png: Buffer): void {
  const file = join(readme, `${name}.png`);
  writeFileSync(file, withPalette(png));
  const { size } = statSync(file);
  if (size > 200_000) throw new Error(`${file} has ${size} bytes`);
  console.log(file, size);
}

await World.run(["--create-burst=4", "--create-per-hour=12", "--limit-payload=1000"], async (world) => {
  const ada = await world.replica("ada");
  const bob = await world.replica("bob");
  const { page } = ada;
  await page.setViewportSize(desktop);
  await bob.page.setViewportSize(narrow);
  await bob.page.emulateMedia({ colorScheme: "dark" });
  await page.waitForSelector("#status .online");
  await shoot(page, "first");
  for (const [name, text] of [["groceries", "bread, rope, tea"], ["trip to the islands", "Friday, if the wind allows"], ["harbour watch", "Watch begins at five."]]) {
    await create(page, name!);
    await say(page, text!);
  }
  await ada.synced();
  const here = page.url();
  for (const name of ["groceries", "trip to the islands", "harbour watch"]) {
    await page.click(`#rooms a:has-text("${name}")`);
    await page.waitForSelector(`h2:text("${name}")`);
    await follow(bob, await invite(page));
    await bob.page.waitForSelector("#messages li.message");
  }
  await say(page, "The ferry leaves at six from the north pier.");
  await say(bob.page, "Thanks. I bring the maps and the thermos.", "Do we need the long rope?");
  await page.waitForSelector("#messages li:has-text('rope')");
  await say(page, "Yes, please, and the lamp:\nthe path down to the skerry has no light.");
  await page.waitForSelector("#messages li:last-child .mark.synced");
  await ada.synced();
  await bob.synced();
  await bob.page.waitForSelector("#messages li:has-text('lamp')");
  await react(bob.page, "ferry", "agreed");
  await react(page, "thermos", "love");
  await page.waitForSelector(".reaction:has-text('✓')");
  await page.waitForSelector(".readers");
  await bob.page.focus("#text");
  await bob.page.keyboard.type("On my way");
  await page.waitForSelector("#typing:has-text('bob is typing')");
  await shoot(page, "light");
  await page.emulateMedia({ colorScheme: "dark" });
  await shoot(page, "dark");
  await page.emulateMedia({ colorScheme: "light" });
  await page.focus(".more[tabindex='0']");
  await page.keyboard.press("Enter");
  await shoot(page, "menu");
  await page.keyboard.press("Escape");
  await page.click("#share");
  await page.click("#invite button:text('Make a link')");
  await page.waitForSelector("#links li");
  await shoot(page, "people");
  await page.setViewportSize(phone);
  await page.emulateMedia({ colorScheme: "dark" });
  await shoot(page, "people-phone-dark");
  await page.emulateMedia({ colorScheme: "light" });
  await page.click("#people button:text('Close')");
  await page.waitForSelector("#toast:not(.shown)", { state: "attached" });
  await page.setViewportSize(narrow);
  await beside(ada, "chat", [await shoot(page, "ada"), await shoot(bob.page, "bob")]);

  await bob.page.goto(`${bob.wire.origin}/?name=bob#/`);
  await page.setViewportSize(desktop);
  await say(page, "long ".repeat(240));
  await page.waitForSelector(".message.refused");
  await shoot(page, "refused");
  await page.click(".message.refused button:text('Discard')");
  await page.waitForSelector("#toast.shown");
  await page.waitForSelector("#toast:not(.shown)", { state: "attached" });
  await ada.wire.cut();
  await page.waitForSelector("#status .offline");
  await say(page, "On the ferry now, no network at all.", "This one waits on my device until we land.");
  keep("offline", await shoot(page, "offline"));
  await page.emulateMedia({ colorScheme: "dark" });
  await page.setViewportSize(phone);
  await shoot(page, "phone-room-dark");
  await page.emulateMedia({ colorScheme: "light" });
  await shoot(page, "phone-room");
  await page.setViewportSize(smallest);
  await shoot(page, "small-room");
  await page.click("#back");
  await shoot(page, "small-list");
  await page.setViewportSize(phone);
  await shoot(page, "phone-list");

  // More spaces than the server takes at once.
  await page.setViewportSize(desktop);
  await page.evaluate(async () => {
    const { client } = globalThis.skerry;
    const module = client.spaces()[0]!.module!;
    for (const name of ["tides", "birds", "boats"]) await client.createSpace({ module, params: { name } });
  });
  await ada.wire.mend();
  await ada.poke();
  await page.waitForSelector("#status :text('the server takes the next')");
  await page.goto(here);
  await page.waitForSelector("#messages li.message");
  await bob.page.waitForSelector(".unread");
  await shoot(bob.page, "unread");
  await shoot(page, "rate-limited");
  await page.click("#me");
  await shoot(page, "who");
  await page.click("#who-cancel");
  await page.click("#help");
  await shoot(page, "keys");
});

await World.run(["--limit-payload=1000"], async (world) => {
  const ada = await world.replica("ada");
  const bob = await world.replica("bob");
  const { page } = ada;
  for (const name of ["groceries", "trip to the islands", "harbour watch"]) await create(page, name);
  await say(page, "Watch begins at five.", "The ferry leaves at six from the north pier.");
  await ada.synced();
  await follow(bob, await invite(page));
  await bob.page.waitForSelector("#messages li.message");
  await say(page, "long ".repeat(240));
  const inspector = await ada.newPage();
  await inspector.setViewportSize({ width: 1240, height: 860 });
  await inspector.goto(`${ada.wire.origin}/inspector.html?name=ada`);
  await inspector.click("#space-rows button:text('harbour watch')");
  await say(bob.page, "Thanks. I bring the maps and the thermos.", "Do we need the long rope?");
  await inspector.waitForSelector("#events li:has-text('rope')");
  await inspector.fill("#type", "message");
  await inspector.fill("#payload", '{"text": "A north cardinal buoy, bearing 41.5."}');
  await inspector.click("#write button");
  await inspector.waitForSelector("#written:has-text('synced')");
  await inspector.click("text=Count rows");
  await inspector.waitForSelector("#stores dd");
  await inspector.click("#events summary >> nth=0");
  await inspector.evaluate(() => scrollTo(0, 0));
  keep("inspector", await shoot(inspector, "inspector"));
  await inspector.emulateMedia({ colorScheme: "dark" });
  await shoot(inspector, "inspector-dark");
  await inspector.setViewportSize({ width: 1000, height: 900 });
  await shoot(inspector, "inspector-medium");
  await inspector.setViewportSize(phone);
  await drawn(inspector);
  await inspector.screenshot({ path: join(out, "inspector-phone.png"), fullPage: true });
});
