import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Browser as Connection, chromium as playwright, type Page, type Worker } from "playwright-core";
import type { Browser, Engine } from "./engine.js";

const flags = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--no-default-browser-check",
  "--disable-background-timer-throttling", "--disable-renderer-backgrounding", "--remote-debugging-port=0",
  // No window but the tests' own, and nothing that comes with the browser: a third of the time that starting takes.
  "--no-startup-window", "--disable-extensions", "--disable-component-extensions-with-background-pages", "--disable-default-apps",
  // What the address bar shows is pages too, which each new browser loads, for a third of the time that starting takes.
  "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup,WebUIOmniboxFullPopup",
  "--host-resolver-rules=MAP plain.test 127.0.0.1,MAP sync.example.com 127.0.0.1", // hosts that are not this machine, as far as a page can tell
];

/** Where Chromium is. */
export function executable(): string {
  const named = process.env["CHROMIUM"] ?? process.env["CHROME"];
  const found = [named, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((p) => p && existsSync(p));
  if (!found) throw new Error("no Chromium; set CHROMIUM to its path");
  return found;
}

/** The dedicated worker of a page, which is another one after each start. */
export function workerOf(page: Page): Worker {
  const worker = page.workers().filter((w) => w.url().includes("worker-")).at(-1);
  if (!worker) throw new Error("the page has no worker");
  return worker;
}

/** Chromium, by its DevTools protocol. */
export const chromium: Engine<Page> = { name: "chromium", launch: (profile, fault) => Chromium.launch(profile, fault) };

/** A Chromium that runs. */
export class Chromium implements Browser<Page> {
  readonly tabs: Page[] = [];
  readonly #process: ChildProcess;
  readonly #exited: Promise<unknown>;
  readonly #connection: Connection;
  readonly #fault: (text: string) => void;

  private constructor(process: ChildProcess, exited: Promise<unknown>, connection: Connection, fault: (text: string) => void) {
    this.#process = process;
    this.#exited = exited;
    this.#connection = connection;
    this.#fault = fault;
  }

  static async launch(profile: string, fault: (text: string) => void): Promise<Chromium> {
    const portFile = join(profile, "DevToolsActivePort");
    rmSync(portFile, { force: true });
    const child = spawn(executable(), [...flags, `--user-data-dir=${profile}`], {
      stdio: "ignore",
      detached: true, // a process group, so that all of the browser can be killed at once
    });
    const exited = new Promise((resolve) => child.once("exit", resolve));
    let endpoint = "";
    while (!endpoint) {
      if (child.exitCode !== null) throw new Error("the browser did not start");
      const [port, path] = existsSync(portFile) ? readFileSync(portFile, "utf8").split("\n") : [];
      if (port && path) endpoint = `ws://127.0.0.1:${port}${path}`;
      else await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return new Chromium(child, exited, await playwright.connectOverCDP(endpoint), fault);
  }

  async newTab(): Promise<Page> {
    const page = await this.#connection.contexts()[0]!.newPage();
    this.tabs.push(page);
    page.on("close", () => void this.tabs.splice(this.tabs.indexOf(page), this.tabs.includes(page) ? 1 : 0));
    page.on("pageerror", (error) => this.#fault(`uncaught ${error.stack ?? error.message}`));
    page.on("console", (message) => {
      // The browser itself reports each connection that fails, which here is the point.
      if (message.type() === "error" && !/ERR_|WebSocket connection to/.test(message.text())) this.#fault(`console: ${message.text()}`);
      if (/panic|goroutine \d+ \[/.test(message.text())) this.#fault(`console: ${message.text()}`);
    });
    page.on("worker", (worker) => {
      // Errors that nobody catches end a worker, and the page tells; rejections and policies it would keep to itself.
      const watch = () => {
        addEventListener("unhandledrejection", (event) => console.error(`unhandled rejection in the worker: ${String(event.reason)}`));
        addEventListener("securitypolicyviolation", (event) =>
          console.error(`policy violated in the worker: ${event.violatedDirective} by ${event.blockedURI}`),
        );
      };
      worker.evaluate(watch).catch(() => {}); // it may have ended
    });
    page.on("crash", () => this.#fault("the page crashed"));
    await page.addInitScript(() => {
      addEventListener("securitypolicyviolation", (event) =>
        console.error(`policy violated: ${event.violatedDirective} by ${event.blockedURI}`),
      );
      addEventListener("unhandledrejection", (event) => console.error(`unhandled rejection: ${String(event.reason)}`));
    });
    return page;
  }

  async kill(): Promise<void> {
    process.kill(-this.#process.pid!, "SIGKILL");
    await this.#exited;
    await this.#connection.close().catch(() => {});
  }
}
