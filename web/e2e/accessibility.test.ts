// The demo pages by axe-core: light and dark, on a desktop and on a phone, in the states that a page can be in.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";
import type { Page } from "playwright-core";
import { root } from "../test/root.js";
import { invite } from "./rooms.js";
import { World } from "./world.js";

const axe = readFileSync(createRequire(join(root, "web", "package.json")).resolve("axe-core/axe.min.js"), "utf8");
const sizes = { desktop: { width: 1120, height: 720 }, phone: { width: 360, height: 640 } };

interface Result {
  readonly violations: readonly { id: string; nodes: readonly { target: unknown; failureSummary: string }[] }[];
  readonly passes: readonly unknown[];
}

/** Runs axe in a page, light and dark, large and small. The page's policy forbids eval, so the debugger brings it. */
async function check(page: Page, what: string): Promise<void> {
  const session = await page.context().newCDPSession(page);
  await session.send("Runtime.evaluate", { expression: `${axe};0` });
  for (const [size, viewport] of Object.entries(sizes)) {
    for (const colorScheme of ["light", "dark"] as const) {
      await page.setViewportSize(viewport);
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      const { violations, passes } = await page.evaluate(
        () => (globalThis as unknown as { axe: { run(options: object): Promise<Result> } }).axe.run({ resultTypes: ["violations"] }),
      );
      const told = violations.flatMap((v) => v.nodes.map((node) => `${v.id} at ${String(node.target)}: ${node.failureSummary}`));
      assert.deepEqual(told, [], `${what}, ${size}, ${colorScheme}`);
      assert.ok(passes.length > 10, `axe looked at ${passes.length} rules only`);
      const [wide, inner] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      assert.ok(wide! <= inner!, `${what} is ${wide} wide on a ${size} of ${inner}`);
    }
  }
  await session.detach();
  await page.setViewportSize(sizes.desktop);
}

test("axe finds nothing wrong with chat and inspector", { timeout: 120_000 }, () =>
  World.run(["--limit-payload=1000"], async (world) => {
    const ada = await world.replica("ada");
    const { page } = ada;
    await check(page, "no rooms");
    await page.fill("#name", "harbour");
    await page.press("#name", "Enter");
    await page.waitForSelector("h2:text('harbour')");
    for (const text of ["low tide at six", "too long ".repeat(200)]) {
      await page.fill("#text", text);
      await page.press("#text", "Enter");
    }
    await page.waitForSelector(".message .mark.synced");
    await page.waitForSelector(".message.refused");
    await ada.wire.cut();
    await page.waitForSelector("#status .offline");
    await page.fill("#text", "from the boat");
    await page.press("#text", "Enter");
    await page.waitForSelector(".message .mark.durable");
    await page.focus(".message .more[tabindex='0']");
    await page.keyboard.press("Enter");
    await check(page, "a message's menu");
    await page.click("#menu [aria-label='React: love']");
    await page.waitForSelector(".reaction[aria-pressed='true']");
    await check(page, "a room, offline, with something refused");
    await invite(page);
    await page.keyboard.press("Escape");
    await page.keyboard.press("p");
    await page.waitForSelector("#links li");
    await check(page, "the people of a room");
    await page.click("#people button:text('Close')");
    await page.click("#me");
    await check(page, "the question who writes");
    await page.click("#who-cancel");
    await page.click("#help");
    await check(page, "the keys");
    await page.press("#keys button", "Enter");

    await page.goto(`${ada.wire.origin}/inspector.html?name=ada`); // the service worker has it
    await page.click("#space-rows button");
    await page.waitForSelector("#rejected li");
    await page.waitForSelector("#outbox li");
    await page.click("#events summary");
    await check(page, "the inspector");
  }),
);
