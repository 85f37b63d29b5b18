// Four tabs of one profile write at once while they are closed, killed, stopped, frozen, hidden and loaded again, the
// server dies and the network is cut. After each round everything settles: no durable transaction is lost, none is there
// twice, and all tabs show the server's order.
//
// What happens in a round is chosen by its seed. SKERRY_TORTURE_SEED and SKERRY_TORTURE_ROUNDS=1 repeat one, as far as
// the machine's own timing lets them.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Page } from "playwright-core";
import type { Replica } from "./replica.js";
import { finish, follow, freezer, look, noteDurable, processOf, seen, settled, write } from "./torture.js";
import { assertSameLogs, type ReplicaLog, readLogs, seededBy, World } from "./world.js";

const rounds = Number(process.env["SKERRY_TORTURE_ROUNDS"] ?? 5);
const firstSeed = Number(process.env["SKERRY_TORTURE_SEED"]) || Math.floor(Math.random() * 2 ** 30);
const perWorld = 10;
const tabs = 4;
const spaces = 2;
const patience = 60_000;

const since = (time: number) => `${((Date.now() - time) / 1000).toFixed(1)} s`;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** One device under torture. */
class Torture {
  readonly #world: World;
  readonly #device: Replica;
  readonly #processes = new Map<Page, number>();
  /** Of all events that a page called durable. */
  readonly #durable = new Set<string>();
  readonly #tried = new Map<string, number>(); // what was done, and how often
  readonly #struck = new Set<object>(); // tabs, and the world for server and network
  #random: () => number = Math.random;
  #spaces: string[] = [];
  #label = 0;

  constructor(world: World, device: Replica) {
    this.#world = world;
    this.#device = device;
  }

  get tried(): string {
    return [...this.#tried].map(([what, n]) => `${what} ${n}`).sort().join(", ");
  }

  async round(seed: number): Promise<void> {
    this.#random = seededBy(seed);
    const told: string[] = [];
    const begun = Date.now();
    try {
      while (this.#device.tabs.length < tabs) await this.#open();
      await this.#device.installed();
      this.#spaces = await this.#device.page.evaluate(async (count) => {
        const made = await Promise.all(Array.from({ length: count }, () => globalThis.skerry.client.createSpace()));
        return made.map((space) => space.id);
      }, spaces);
      await Promise.all(this.#device.tabs.map((page) => this.#begin(page)));
      const strikes: Promise<unknown>[] = [];
      for (let count = 1 + Math.floor(this.#random() * 4); count > 0; count--) {
        await pause(50 + this.#random() * 500);
        const [name, done] = await this.#strike();
        told.push(`${since(begun)} ${name}`);
        strikes.push(done);
        done.catch(() => {}); // told below
        if (this.#random() < 0.5) await done; // or else the next one comes meanwhile
        else told.push("meanwhile");
      }
      await Promise.all(strikes);
      await pause(100 + this.#random() * 300);
      told.push(`${since(begun)} rest`);
      const events = await this.#settle();
      console.log(`seed ${seed}: ${told.join(", ")} with ${events} events by ${since(begun)}`);
    } catch (error) {
      console.log(`seed ${seed} FAILED (SKERRY_TORTURE_SEED=${seed} SKERRY_TORTURE_ROUNDS=1 repeats it): ${told.join(", ")}`);
      throw error;
    }
  }

  /** Opens a tab, while nothing else happens, so that its process can be found. */
  async #open(): Promise<Page> {
    const page = await this.#device.newPage();
    noteDurable(page, this.#durable);
    await this.#device.load(page);
    this.#processes.set(page, await processOf(page));
    return page;
  }

  async #begin(page: Page): Promise<void> {
    await follow(page, this.#spaces);
    await write(page, this.#spaces, `${++this.#label}`);
  }

  /** The tabs that nothing is done to. */
  get #free(): Page[] {
    return this.#device.tabs.filter((page) => !this.#struck.has(page));
  }

  /** A tab that nothing is done to: mostly the one that syncs. */
  async #victim(): Promise<Page | undefined> {
    const free = this.#free;
    const any = free[Math.floor(this.#random() * free.length)];
    if (this.#random() < 0.25) return any;
    const led = await Promise.all(free.map((page) => page.evaluate(() => globalThis.skerry.client.status.leader)));
    return free[led.indexOf(true)] ?? any;
  }

  /** Begins something bad, which undoes itself as far as it is not for good. */
  async #strike(): Promise<[string, Promise<unknown>]> {
    const { wire } = this.#device;
    const { server } = this.#world;
    const page = await this.#victim();
    const short = 100 + this.#random() * 1500;
    if (!page) return ["nobody left", Promise.resolve()];
    const what: [number, string, () => Promise<unknown>][] = [
      [2, "close", () => page.close()],
      [2, "kill", () => this.#kill(page)],
      [2, "stop", () => this.#stop(page, short)],
      [0.5, "stop for long", () => this.#stop(page, 14_000 + short)],
      [2, "freeze", () => this.#freeze(page, short)],
      [2, "freeze by events", () => this.#freezeByEvents(page, short)],
      [1, "reload", () => this.#reload(page)],
      [1, "hide", () => this.#hide(page, short)],
      [1, "SIGKILL server", async () => (await server.kill(), await pause(short / 2), await server.start())],
      [1, "SIGTERM server", async () => (await server.stop(), await pause(short / 2), await server.start())],
      [2, "cut", async () => (await wire.cut(), await pause(short), await wire.mend())],
    ];
    let at = this.#random() * what.reduce((sum, [weight]) => sum + weight, 0);
    const [, name, act] = what.find(([weight]) => (at -= weight) < 0) ?? what[0]!;
    const gone = /^(close|kill)$/.test(name);
    if (gone && this.#free.length < 2) return ["one left", Promise.resolve()]; // somebody must be left to tell
    const target = /server|cut/.test(name) ? this.#world : page;
    if (this.#struck.has(target)) return [`no ${name}`, Promise.resolve()];
    this.#struck.add(target);
    this.#tried.set(name, (this.#tried.get(name) ?? 0) + 1);
    return [`${name}${/stop|freeze|hide|cut/.test(name) ? ` ${Math.round(short)} ms` : ""}`, act().finally(() => this.#struck.delete(target))];
  }

  /** Stops a process that no other tab is in. */
  #process(page: Page): number {
    const id = this.#processes.get(page)!;
    const shared = [...this.#processes].filter(([other, its]) => its === id && this.#device.tabs.includes(other));
    assert.equal(shared.length, 1, "two tabs share a process");
    return id;
  }

  async #kill(page: Page): Promise<void> {
    const crashed = page.waitForEvent("crash");
    process.kill(this.#process(page), "SIGKILL");
    await crashed;
    const { faults } = this.#device;
    faults.splice(faults.findIndex((fault) => fault.endsWith("the page crashed")), 1);
    await page.close();
  }

  async #stop(page: Page, ms: number): Promise<void> {
    const id = this.#process(page);
    process.kill(id, "SIGSTOP");
    try {
      await pause(ms);
    } finally {
      process.kill(id, "SIGCONT");
    }
  }

  async #freeze(page: Page, ms: number): Promise<void> {
    const browser = await freezer(page);
    await browser.set("frozen");
    await pause(ms);
    await browser.set("active");
  }

  async #freezeByEvents(page: Page, ms: number): Promise<void> {
    await page.evaluate(() => void document.dispatchEvent(new Event("freeze")));
    await pause(ms);
    await page.evaluate(() => void document.dispatchEvent(new Event("resume")));
  }

  async #hide(page: Page, ms: number): Promise<void> {
    await look(page, "hidden");
    await pause(ms);
    await look(page, "visible");
  }

  /** A page that is loaded again loses what was not durable, and goes on writing. */
  async #reload(page: Page): Promise<void> {
    await this.#device.load(page);
    await this.#begin(page);
  }

  /** Waits until all is at rest, holds all tabs to the server's log, and returns how many events that has. */
  async #settle(): Promise<number> {
    const end = Date.now() + patience;
    const inTime = async <T>(what: string, done: Promise<T>): Promise<T> => {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error(`not ${what} after ${patience} ms`)), end - Date.now());
      });
      return Promise.race([done, late]).finally(() => clearTimeout(timer));
    };
    const open = this.#device.tabs;
    const written = (await inTime("everything synced", Promise.all(open.map((page) => finish(page))))).flat();
    let counts: number[][];
    do {
      counts = await inTime("nothing pending", Promise.all(open.map((page) => settled(page, this.#spaces))));
    } while (counts.some((count) => count.join() !== counts[0]!.join()));
    const shown = await inTime("all events shown", Promise.all(open.map((page) => seen(page, counts[0]!))));
    const texts = await textsOf(open[0]!, this.#spaces);

    const logs = await assertSameLogs(this.#world, this.#spaces);
    await this.#world.server.start();
    const all = new Set([...logs.values()].flat());
    const lost = [...this.#durable, ...written].filter((id) => !all.has(id));
    assert.deepEqual(lost, [], "what was durable is not in the log");
    assert.equal(new Set(texts).size, texts.length, "an event is in the log twice, under two ids");
    for (const tab of shown) assert.deepEqual(tab, Object.fromEntries(logs), "a tab showed another order");
    assert.deepEqual(this.#device.faults, []);
    this.#durable.clear();
    return all.size;
  }
}

/** The payloads of all events. */
async function textsOf(page: Page, spaces: readonly string[]): Promise<string[]> {
  const logs: ReplicaLog[] = await readLogs(page, spaces);
  return logs.flatMap((log) => log.records.map((record) => record.payload));
}

for (let first = 0; first < rounds; first += perWorld) {
  const count = Math.min(perWorld, rounds - first);
  test(`${count} rounds of torture from seed ${firstSeed + first}`, { timeout: count * 90_000 }, () =>
    World.run([], async (world) => {
      const torture = new Torture(world, await world.device("ada"));
      await world.replicas[0]!.tabs[0]!.close();
      for (let n = 0; n < count; n++) await torture.round(firstSeed + first + n);
      console.log(torture.tried);
    }),
  );
}
