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

/** Opens a room from the list. */
export async function openRoom(page: Page, name: string): Promise<void> {
  if (await page.isVisible("#people")) await page.click("#people button:text('Close')");
  await page.click(`#rooms a:has-text(${JSON.stringify(name)})`);
  await page.waitForSelector(`h2:text("${name}")`);
}

/** Gives a member of the room that is shown another role. */
export async function give(page: Page, { identity }: Replica, role: string): Promise<void> {
  await page.click("#share");
  await page.selectOption(`.member[data-identity="${identity}"] select`, role);
  await page.waitForSelector(`.member[data-identity="${identity}"]:has(:is(.role, option:checked):text-is("${role}"))`, { state: "attached" });
  await page.click("#people button:text('Close')");
}

/** Chooses in the menu of a message. */
export async function menu(page: Page, text: string, ...labels: string[]): Promise<void> {
  await page.hover(message(text));
  await page.click(`${message(text)} .more`);
  for (const label of labels) await page.getByRole("button", { name: label, exact: true }).click();
}
