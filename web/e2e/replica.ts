import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import type { Client, open } from "../src/index.js";
import type { Browser, Engine, Tab } from "./engine.js";
import { type Key, keepKey } from "./key.js";
import { Wire } from "./net.js";

declare global {
  /** What the demo page leaves for the console, and so for these tests. */
  var skerry: { open: typeof open; client: Client; error?: unknown };
}

/** One device: a browser of its own, with a profile that outlives it, and a wire of its own to the server. */
export class Replica<T extends Tab = Page> {
  /** By which its page is opened, with a key that the browser made for it. */
  readonly name: string;
  readonly wire: Wire;
  /** What should never happen: uncaught errors, unhandled rejections, errors on the console, violated policies. */
  readonly faults: string[] = [];
  readonly #engine: Engine<T>;
  /** The directory of its browser. */
  readonly profile: string;
  #browser: Browser<T> | undefined;
  #identity: string | undefined;

  private constructor(engine: Engine<T>, name: string, profile: string, wire: Wire) {
    this.#engine = engine;
    this.name = name;
    this.profile = profile;
    this.wire = wire;
  }

  /** Starts a device whose wire goes to a server's port. */
  static async start<T extends Tab>(engine: Engine<T>, dir: string, name: string, server: number): Promise<Replica<T>> {
    const profile = join(dir, `profile-${name}`);
    mkdirSync(profile, { recursive: true });
    const replica = new Replica(engine, name, profile, await Wire.make(server));
    await replica.launch();
    return replica;
  }

  /** Who writes here: the name of the key, once a page was opened by the device's name. */
  get identity(): string {
    if (this.#identity === undefined) throw new Error(`${this.name} has opened nothing yet`);
    return this.#identity;
  }

  /** Every tab that is open, the oldest first. */
  get tabs(): readonly T[] {
    return this.#browser?.tabs ?? [];
  }

  /** The oldest tab. */
  get page(): T {
    const [page] = this.tabs;
    if (!page) throw new Error(`${this.name} has no page`);
    return page;
  }

  /** Starts the browser, on the same profile as before. */
  async launch(): Promise<void> {
    this.#browser = await this.#engine.launch(this.profile, (text) => this.faults.push(`${this.name}: ${text}`));
    await this.newPage();
  }

  /** Opens another tab, watched for faults. */
  newPage(): Promise<T> {
    return this.#browser!.newTab();
  }

  /** Gives the browser the key that it would have made, as another device has it; before anything is loaded. */
  async keep(key: Key): Promise<void> {
    await this.page.goto(`${this.wire.origin}/nothing.html`);
    await this.page.evaluate(keepKey, [this.name, key] as const);
  }

  /** Loads the page and waits until its replica is open. */
  async load(page: Tab = this.page, search = ""): Promise<void> {
    await page.goto(`${this.wire.origin}/${search || `?name=${encodeURIComponent(this.name)}`}`);
    await this.opened(page);
    if (!search) this.#identity = await page.evaluate(() => globalThis.skerry.client.identity);
  }

  /** Waits until the replica of a page that was loaded is open. */
  async opened(page: Tab = this.page): Promise<void> {
    const error = await page.evaluate(async () => {
      while (globalThis.skerry === undefined) await new Promise((resolve) => setTimeout(resolve, 10));
      return globalThis.skerry.error ? String(globalThis.skerry.error) : "";
    });
    if (error) throw new Error(`${this.name} could not open: ${error}`);
  }

  /** Waits until the service worker has installed the build and serves the page. */
  async installed(): Promise<void> {
    await this.page.evaluate(async () => {
      await navigator.serviceWorker.ready;
      while (!navigator.serviceWorker.controller) {
        await new Promise((resolve) => navigator.serviceWorker.addEventListener("controllerchange", resolve, { once: true }));
      }
    });
  }

  /** Waits until something is true in the page, told by each change of the client. */
  async until(what: string, condition: (client: Client) => boolean, timeout = 60_000, page: Tab = this.page): Promise<void> {
    // All in one expression, as the page's policy forbids eval there.
    const outcome = await page.evaluate<string>(`(${waitFor.toString()})(${condition.toString()}, ${timeout})`);
    if (outcome) throw new Error(`${this.name}: not ${what} after ${timeout} ms: ${outcome}`);
  }

  /** Waits until everything written here is at the server and back. */
  synced(timeout?: number): Promise<void> {
    return this.until(
      "synced",
      (c) => c.status.connection === "online" && c.status.pending === 0 && c.status.pendingSpaces === 0 && c.status.catchingUp === 0,
      timeout,
    );
  }

  /** Tells the page what a browser tells it when the network is back, so that no test waits for a backoff. */
  async poke(): Promise<void> {
    await this.page.evaluate(() => void globalThis.dispatchEvent(new Event("online")));
  }

  /** Kills all of the browser at once. */
  async kill(): Promise<void> {
    await this.#browser?.kill();
    this.#browser = undefined;
  }

  async close(): Promise<void> {
    await this.kill();
    await this.wire.cut();
  }
}

/** In the page: waits until the client is as it should be, and returns nothing, or how it is when time is up. */
function waitFor(condition: (client: Client) => boolean, timeout: number): Promise<string> {
  return new Promise((resolve) => {
    const { client } = globalThis.skerry;
    let stop = () => {};
    const end = (outcome: string) => {
      clearTimeout(timer);
      stop();
      resolve(outcome);
    };
    const timer = setTimeout(() => {
      end(JSON.stringify([client.status, ...client.spaces().map((s) => [s.id.slice(0, 4), s.seq, s.pending, s.created, s.caughtUp, s.code])]));
    }, timeout);
    const look = () => {
      if (condition(client)) end("");
    };
    stop = client.subscribe(look);
    look();
  });
}
