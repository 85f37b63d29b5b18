// What people do in the demo's rooms.
import type { Page } from "playwright-core";
import type { Replica } from "./replica.js";

export const message = (text: string): string => `.message:has-text(${JSON.stringify(text)})`;

/** Makes a room. */
export async function create(page: Page, name: string): Promise<void> {
  await page.fill("#name", name);
  await page.press("#name", "Enter");
  await page.waitForSelector(`h2:text("${name}")`);
  await page.waitForSelector("#about:has-text('you: owner')");
}

/** Writes into the room that is shown. */
export async function say(page: Page, text: string): Promise<void> {
  await page.fill("#text", text);
  await page.press("#text", "Enter");
}

/** Makes a link to the room that is shown, for so many people. */
export async function invite(page: Page, role: "admin" | "writer" | "reader" = "writer", people: 1 | 5 | 20 | 100 = 5): Promise<string> {
  await page.click("#share");
  await page.selectOption("#invite-role", role);
  await page.selectOption("#invite-count", String(people));
  await page.click("#invite button:text('Make a link')");
  await page.waitForFunction(() => document.querySelector<HTMLInputElement>("#link")!.checkVisibility());
  const link = await page.inputValue("#link");
  await page.click("#people button:text('Close')");
  return link;
}

/** Follows a link in the page of somebody whose replica is open. */
export async function follow(device: Replica, link: string): Promise<void> {
  await device.page.fill("#name", link);
  await device.page.press("#name", "Enter");
}
