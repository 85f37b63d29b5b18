import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import type { Client, open } from "../src/index.js";
import { Wire } from "./net.js";

declare global {
  /** What the demo page leaves for the console, and so for these tests. */
  var skerry: { open: typeof open; client: Client; error?: unknown };
}

const flags = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--no-default-browser-check",
  "--disable-background-timer-throttling", "--disable-renderer-backgrounding", "--remote-debugging-port=0",
];

/** Where the browser is. */
export function executable(): string {
  const named = process.env["CHROMIUM"] ?? process.env["CHROME"];
  const found = [named, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((p) => p && existsSync(p));
  if (!found) throw new Error("no Chromium; set CHROMIUM to its path");
  return found;
}

/** One device: a browser of its own, with a profile that outlives it, and a wire of its own to the server. */
export class Replica {
  readonly identity: string;
  readonly wire: Wire;
  /** What should never happen: uncaught errors, unhandled rejections, errors on the console, violated policies. */
  readonly faults: string[] = [];
  readonly #profile: string;
  #process: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();
  #browser: Browser | undefined;
  readonly #tabs: Page[] = [];

  private constructor(identity: string, profile: string, wire: Wire) {
    this.identity = identity;
    this.#profile = profile;
    this.wire = wire;
  }

  /** Starts a device whose wire goes to a server's port. */
  static async start(dir: string, identity: string, server: number): Promise<Replica> {
    const profile = join(dir, `profile-${identity}`);
    mkdirSync(profile, { recursive: true });
    const replica = new Replica(identity, profile, await Wire.make(server));
    await replica.launch();
    return replica;
  }

  /** Every tab that is open, the oldest first. */
  get tabs(): readonly Page[] {
    return this.#tabs;
  }

  /** The oldest tab. */
  get page(): Page {
    const [page] = this.#tabs;
    if (!page) throw new Error(`${this.identity} has no page`);
    return page;
  }

  get context(): BrowserContext {
    return this.#browser!.contexts()[0]!;
  }

  /** Starts the browser, on the same profile as before. */
  async launch(): Promise<void> {
    const portFile = join(this.#profile, "DevToolsActivePort");
    rmSync(portFile, { force: true });
    const child = spawn(executable(), [...flags, `--user-data-dir=${this.#profile}`, "about:blank"], {
      stdio: "ignore",
      detached: true, // a process group, so that all of the browser can be killed at once
    });
    this.#process = child;
    let over = false;
    this.#exited = new Promise((resolve) =>
      child.once("exit", () => {
        over = true;
        resolve();
      }),
    );
    let endpoint = "";
    while (!endpoint) {
      if (over) throw new Error("the browser did not start");
      const [port, path] = existsSync(portFile) ? readFileSync(portFile, "utf8").split("\n") : [];
      if (port && path) endpoint = `ws://127.0.0.1:${port}${path}`;
      else await new Promise((resolve) => setTimeout(resolve, 20));
    }
    this.#browser = await chromium.connectOverCDP(endpoint);
    await this.newPage();
  }

  /** Opens another tab, watched for faults. */
  async newPage(): Promise<Page> {
    const page = await this.context.newPage();
    this.#tabs.push(page);
    page.on("close", () => void this.#tabs.splice(this.#tabs.indexOf(page), this.#tabs.includes(page) ? 1 : 0));
    const fault = (text: string) => this.faults.push(`${this.identity}: ${text}`);
    page.on("pageerror", (error) => fault(`uncaught ${error.stack ?? error.message}`));
    page.on("console", (message) => {
      // The browser itself reports each connection that fails, which here is the point.
      if (message.type() === "error" && !/ERR_|WebSocket connection to/.test(message.text())) fault(`console: ${message.text()}`);
      if (/panic|goroutine \d+ \[/.test(message.text())) fault(`console: ${message.text()}`);
    });
    page.on("crash", () => fault("the page crashed"));
    await page.addInitScript(() => {
      addEventListener("securitypolicyviolation", (event) =>
        console.error(`policy violated: ${event.violatedDirective} by ${event.blockedURI}`),
      );
      addEventListener("unhandledrejection", (event) => console.error(`unhandled rejection: ${String(event.reason)}`));
    });
    return page;
  }

  /** Loads the page and waits until its replica is open. */
  async load(page = this.page, search = `?identity=${encodeURIComponent(this.identity)}`): Promise<void> {
    await page.goto(`${this.wire.origin}/${search}`);
    await page.waitForFunction(() => globalThis.skerry !== undefined);
    const error = await page.evaluate(() => globalThis.skerry.error && String(globalThis.skerry.error));
    if (error) throw new Error(`${this.identity} could not open: ${error}`);
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
  async until(what: string, condition: (client: Client) => boolean, timeout = 60_000, page = this.page): Promise<void> {
    const source = condition.toString();
    const outcome = await page.evaluate(
      ([, limit]) =>
        new Promise<string>((resolve) => {
          const { client } = globalThis.skerry;
          const check = (globalThis as unknown as { condition: (c: Client) => boolean }).condition;
          let stop = () => {};
          const timer = setTimeout(() => {
            stop();
            resolve(JSON.stringify([client.status, ...client.spaces().map((s) => [s.id.slice(0, 4), s.seq, s.pending, s.created, s.caughtUp, s.code])]));
          }, limit as number);
          const look = () => {
            if (!check(client)) return;
            clearTimeout(timer);
            stop();
            resolve("");
          };
          stop = client.subscribe(look);
          look();
        }),
      [await this.#define(page, source), timeout] as const,
    );
    if (outcome) throw new Error(`${this.identity}: not ${what} after ${timeout} ms: ${outcome}`);
  }

  /** Puts a condition into the page without eval there, which the page's policy forbids. */
  async #define(page: Page, source: string): Promise<string> {
    const session = await this.context.newCDPSession(page);
    await session.send("Runtime.evaluate", { expression: `globalThis.condition = ${source}; 0` });
    await session.detach();
    return "condition";
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
    if (this.#process?.pid) process.kill(-this.#process.pid, "SIGKILL");
    await this.#exited;
    await this.#browser?.close().catch(() => {});
    this.#process = this.#browser = undefined;
    this.#tabs.length = 0;
  }

  async close(): Promise<void> {
    if (this.#process) await this.kill();
    await this.wire.cut();
  }
}
