import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Browser, Engine } from "./engine.js";
import { freePort } from "./net.js";
import { beginHTTP, type DriverTab, Tabs } from "./webdriver.js";

/** WebKitGTK's MiniBrowser, by its WebDriver. It needs a display and a session bus. */
export const webkit: Engine<DriverTab> = { name: "webkit", launch: (profile, fault) => WebKit.launch(profile, fault) };

function miniBrowser(): string {
  const libraries = "/usr/lib";
  for (const machine of readdirSync(libraries)) {
    for (const version of ["4.1", "6.0", "4.0"]) {
      const path = join(libraries, machine, `webkit2gtk-${version}`, "MiniBrowser");
      if (existsSync(path)) return path;
    }
  }
  throw new Error("no MiniBrowser of WebKitGTK (Debian: apt-get install webkit2gtk-driver)");
}

class WebKit implements Browser<DriverTab> {
  readonly #process: ChildProcess;
  readonly #exited: Promise<unknown>;
  readonly #tabs: Tabs;

  private constructor(process: ChildProcess, exited: Promise<unknown>, tabs: Tabs) {
    this.#process = process;
    this.#exited = exited;
    this.#tabs = tabs;
  }

  static async launch(profile: string, fault: (text: string) => void): Promise<WebKit> {
    const run = join(profile, "run");
    mkdirSync(run, { recursive: true, mode: 0o700 });
    const port = await freePort();
    const env = {
      ...process.env,
      HOME: profile,
      XDG_RUNTIME_DIR: run,
      NO_AT_BRIDGE: "1",
      GTK_USE_PORTAL: "0",
      ...(process.getuid?.() === 0 && { WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: "1" }), // bubblewrap does not run as root
    };
    const child = spawn("WebKitWebDriver", [`--port=${port}`], { stdio: "ignore", detached: true, env });
    const exited = new Promise((resolve) => child.once("exit", resolve).once("error", resolve));
    while (!(await fetch(`http://127.0.0.1:${port}/status`).then((response) => response.ok, () => false))) {
      if (child.pid === undefined || child.exitCode !== null) throw new Error("WebKitWebDriver did not start");
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const session = await beginHTTP(port, { "webkitgtk:browserOptions": { binary: miniBrowser(), args: ["--automation"] } });
    return new WebKit(child, exited, await Tabs.of(session, fault));
  }

  get tabs(): readonly DriverTab[] {
    return this.#tabs.all;
  }

  newTab(): Promise<DriverTab> {
    return this.#tabs.open();
  }

  async kill(): Promise<void> {
    process.kill(-this.#process.pid!, "SIGKILL");
    await this.#exited;
    this.#tabs.end();
  }
}
