// A room of several people, as its module rules it: roles that change while some are away, what is refused then, and links
// that outlive who made them. The week that two of them are away is one by the server's clock.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Page } from "playwright-core";
import type { Replica } from "./replica.js";
import { create, follow, give, invite, menu, message, openRoom, say } from "./rooms.js";
import { assertSameLogs, World } from "./world.js";

/** Returns all tables of a room, with all their rows, when nothing waits any more. */
async function tables(device: Replica, id: string): Promise<Record<string, unknown[]>> {
  return device.page.evaluate(async (id) => {
    const space = globalThis.skerry.client.space(id);
    const found: Record<string, unknown[]> = {};
    for (const { name } of (await space.tables()).tables) {
      const rows = await space.table(name).query();
      if (rows.some(({ $pending }) => $pending)) throw new Error(`a row of ${name} waits`);
      found[name] = rows.map((row) => Object.entries(row).map(([column, value]) => [column, value instanceof Uint8Array ? [...value].join() : String(value)]));
    }
    return found;
  }, id);
}

const refused = (page: Page) => page.locator(".message.refused");

test("five people, two of them away while roles change: all have the same tables, and what is refused is said and can be mended", { timeout: 120_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada");
    await create(ada.page, "harbour");
    await say(ada.page, "low tide at six");
    const link = await invite(ada.page);
    const [bob, cyd, dan] = [await world.replica("bob"), await world.replica("cyd"), await world.replica("dan")];
    await bob.page.evaluate(() => void (Math.random = () => 0)); // he uses the first of the link's secrets
    for (const device of [bob, cyd, dan]) {
      await follow(device, link);
      await device.page.waitForSelector(message("low tide"));
    }
    await give(ada.page, dan, "admin");
    await dan.page.waitForSelector("#about:has-text('you: admin')");
    await say(bob.page, "who has the ropes?");
    await say(cyd.page, "I am late");
    await ada.page.waitForSelector(message("I am late"));
    await ada.page.waitForSelector("#faces:has-text('bob, cyd, dan')");
    await dan.page.locator("#text").pressSequentially("In");
    await ada.page.waitForSelector("#typing:text('dan is typing…')");
    await dan.page.fill("#text", "");

    // Two are away, and write.
    for (const device of [bob, cyd]) {
      await device.synced();
      await device.wire.cut();
      await device.page.waitForSelector("#status .offline");
    }
    await say(bob.page, "from the island");
    await menu(bob.page, "low tide", "React: love");
    await bob.page.focus("#text");
    await bob.page.keyboard.press("ArrowUp"); // his last message
    await bob.page.fill("#text", "from the island, by hand");
    await bob.page.press("#text", "Enter");
    await bob.page.waitForSelector(`${message("by hand")} .mark.durable`);
    await bob.page.waitForSelector(`${message("low tide")} .reaction[aria-pressed='true']`);
    await say(cyd.page, "the ropes are here");
    await menu(cyd.page, "I am late", "Delete", "Delete for everybody");
    await cyd.page.waitForSelector(".deleted:has-text('deleted by you')");

    // Meanwhile one of them may not write any more, the other one may do more, and who made the room and invited all leaves.
    await give(ada.page, bob, "reader");
    await give(ada.page, cyd, "admin");
    ada.page.once("dialog", (dialog) => void dialog.accept());
    await give(ada.page, dan, "owner");
    await dan.page.waitForSelector("#about:has-text('you: owner')");
    await ada.page.click("#share");
    await ada.page.click("#people button:text('Leave this room')");
    await ada.page.click("#people button:text('Close')");
    await ada.page.waitForSelector("#none-here:has-text('no member of this room any more')");
    assert.ok(await ada.page.isDisabled("#text"));
    await say(dan.page, "Ada has left for the season");
    await dan.synced();
    await world.server.stop();
    await world.server.start("--clock-ahead", "168h");

    // A week later somebody new opens the link of who left, with no network first.
    const eve = await world.replica("eve");
    await eve.wire.cut();
    await eve.page.evaluate(() => void (Math.random = () => 0)); // she tries that first, and what she writes is refused with it
    await follow(eve, link);
    await eve.page.waitForSelector("#about:has-text('you join when the server can be reached')");
    await say(eve.page, "hello, I am new");
    await eve.page.waitForSelector(`${message("I am new")} .mark.durable`);
    await eve.wire.mend();
    await eve.poke();
    await eve.page.waitForSelector("h2:text('harbour')");
    await eve.page.waitForSelector(`${message("I am new")} .mark.synced`);
    await dan.page.waitForSelector(message("I am new"));

    // They are back. What the one wrote is in; what the other one wrote is not, and he sees why.
    for (const device of [cyd, bob]) {
      await device.wire.mend();
      await device.poke();
    }
    await dan.page.waitForSelector(message("the ropes are here"));
    await cyd.page.waitForSelector("#about:has-text('you: admin')");
    await bob.page.waitForSelector("#about:has-text('you: reader')");
    await refused(bob.page).nth(2).waitFor();
    for (const why of await refused(bob.page).locator(".mark.refused").allInnerTexts()) assert.match(why, /refused.*: readers do not write$/);
    assert.ok(await bob.page.isDisabled("#text"));

    // He discards the one, and retries the others when he may write again.
    await refused(bob.page).filter({ hasText: "React with ♥" }).getByText("Discard").click();
    await give(dan.page, bob, "writer");
    await bob.page.waitForSelector("#about:has-text('you: writer')");
    for (const text of ["from the island", "by hand"]) {
      await refused(bob.page).filter({ hasText: text }).first().getByText("Retry").click();
      await bob.page.waitForFunction((left) => document.querySelectorAll(".message.refused").length === left, text === "by hand" ? 0 : 1);
    }
    const devices = [bob, cyd, dan, eve];
    for (const device of devices) {
      await device.page.waitForSelector(message("from the island, by hand"));
      await device.page.waitForSelector(".deleted:has-text('deleted by')");
    }
    await menu(eve.page, "by hand", "React: agreed");
    for (const device of devices) await device.page.waitForSelector(`${message("by hand")} .reaction:has-text('✓')`);

    const id = new URL(dan.page.url()).hash.split("/").at(-1)!;
    const want = await settled(world, devices, id);
    const people = want["members"]!.map((row) => Object.fromEntries(row as [string, string][]));
    const called = new Map(world.replicas.map(({ identity, name }) => [identity, name]));
    const named = (identity: string | undefined) => called.get(identity ?? "");
    assert.deepEqual(people.map(({ identity, role, by }) => `${named(identity)} ${role} by ${named(by)}`).sort(), ["bob writer by dan", "cyd admin by ada", "dan owner by ada", "eve writer by ada"]);
    assert.deepEqual(want["people"]!.map((row) => Object.fromEntries(row as [string, string][])).map(({ identity, name }) => named(identity) === name), Array(5).fill(true));
    const texts = want["messages"]!.map((row) => Object.fromEntries(row as [string, string][])).sort((a, b) => Number(a["number"]) - Number(b["number"]));
    assert.deepEqual(texts.map(({ author, text }) => `${named(author)}: ${text}`).slice(0, 4), ["ada: low tide at six", "bob: who has the ropes?", "cyd: ", "dan: Ada has left for the season"]);
    assert.equal(texts.length, 7);
    for (const device of devices) assert.equal(await refused(device.page).count(), 0);
    await ada.close(); // who left has less
    await assertSameLogs(world, [id]);
    const records = await world.server.log(id);
    const week = 7 * 24 * 3600 * 1000;
    const later = records.filter(({ received_at }) => received_at > records[0]!.received_at + week);
    assert.deepEqual(new Set(later.map(({ author }) => named(author))), new Set(["bob", "cyd", "dan", "eve"]));
    assert.ok(records.at(-later.length)!.received_at - records.at(-later.length - 1)!.received_at > week - 120_000, "nobody was away for a week");
  }),
);

/** Leaves the room on all devices, waits until they have the same log and nothing waits, and returns the tables, which are then the same. */
async function settled(world: World, devices: readonly Replica[], id: string): Promise<Record<string, unknown[]>> {
  for (const device of devices) {
    await device.page.evaluate((id) => globalThis.skerry.client.space(id).pin(), id);
    await device.page.evaluate(() => (location.hash = "#/")); // who looks at it writes how far they have read
    await device.page.waitForSelector("#room", { state: "hidden" });
  }
  const stand = (device: Replica) => device.page.evaluate((id) => {
    const { chain, pending } = globalThis.skerry.client.space(id).info();
    return pending > 0 ? "" : chain;
  }, id);
  for (;;) {
    const before = await Promise.all(devices.map(stand));
    const all = await Promise.all(devices.map((device) => tables(device, id).catch(() => undefined)));
    const after = await Promise.all(devices.map(stand));
    if (before[0] && new Set([...before, ...after]).size === 1 && all.every((found) => found !== undefined)) {
      for (const [i, found] of all.entries()) assert.deepEqual(found, all[0], `${devices[i]!.name} and ${devices[0]!.name} have other tables`);
      return all[0]!;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.ok(world.server.running);
  }
}

test("a link lets in as many as it is for, and nobody when it was taken back", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.replica("ada");
    await create(ada.page, "harbour");
    await say(ada.page, "low tide at six");
    const one = await invite(ada.page, "reader", 1);
    const many = await invite(ada.page, "writer", 20);
    const bob = await world.replica("bob");
    await follow(bob, one);
    await bob.page.waitForSelector("#about:has-text('you: reader')");
    await bob.page.waitForSelector(message("low tide"));
    assert.ok(await bob.page.isDisabled("#text"));
    await ada.page.click("#share");
    await ada.page.waitForSelector("#links li >> nth=0");
    assert.deepEqual(await ada.page.locator("#links li span").allInnerTexts(), ["20 writers, by you"]);
    await ada.page.click("#links button:text('Take back')");
    await ada.page.waitForSelector("#links li", { state: "detached" });
    await ada.synced();

    const eve = await world.replica("eve");
    for (const link of [one, many.replace(/20$/, "2")]) {
      await follow(eve, link);
      await eve.page.waitForSelector("#toast.shown:has-text('used up or taken back')");
      await eve.page.waitForSelector("#none-here:has-text('for its members')");
      await eve.page.waitForSelector("#toast:not(.shown)", { state: "attached" });
    }
    assert.equal(await eve.page.evaluate(() => globalThis.skerry.client.status.rejected), 0); // nothing is left of the tries
    await openRoom(ada.page, "harbour");
    await say(ada.page, "nobody new");
    await bob.page.waitForSelector(message("nobody new"));
    assert.equal(await eve.page.locator(message("nobody new")).count(), 0);

    // A space of another module is no room, and is said to be none.
    await ada.page.evaluate(async () => void (await globalThis.skerry.client.createSpace({ module: "open", params: { name: "buoys" } })));
    await ada.page.waitForSelector("#rooms a:has-text('buoys'):has-text('no room')");
    await openRoom(ada.page, "buoys");
    await ada.page.waitForSelector("#none-here:has-text('it has another module')");
    assert.ok(await ada.page.isDisabled("#text"));
  }),
);
