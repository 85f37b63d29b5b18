import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser, Engine } from "./engine.js";
import { type DriverTab, Marionette, Tabs } from "./webdriver.js";

const preferences = {
  "marionette.port": 0,
  "devtools.console.stdout.content": true, // what pages write to the console
  "browser.dom.window.dump.enabled": true,
  "browser.startup.page": 0,
  "browser.sessionstore.resume_from_crash": false, // it is killed on purpose
  "toolkit.startup.max_resumed_crashes": -1,
};

/** Firefox, by its own protocol. */
export const firefox: Engine<DriverTab> = { name: "firefox", launch: (profile, fault) => Firefox.launch(profile, fault) };

class Firefox implements Browser<DriverTab> {
  readonly #process: ChildProcess;
  readonly #exited: Promise<unknown>;
  readonly #tabs: Tabs;

  private constructor(process: ChildProcess, exited: Promise<unknown>, tabs: Tabs) {
    this.#process = process;
    this.#exited = exited;
    this.#tabs = tabs;
  }

  static async launch(profile: string, fault: (text: string) => void): Promise<Firefox> {
    const portFile = join(profile, "MarionetteActivePort");
    rmSync(portFile, { force: true });
    writeFileSync(
      join(profile, "user.js"),
      Object.entries(preferences).map(([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`).join(""),
    );
    const args = ["--headless", "--no-remote", "--marionette", "--remote-allow-system-access", "--profile", profile];
    const child = spawn(process.env["FIREFOX"] ?? "firefox-esr", args, { stdio: ["ignore", "pipe", "pipe"], detached: true });
    const exited = new Promise((resolve) => child.once("exit", resolve).once("error", resolve));
    for (const stream of [child.stdout, child.stderr]) listen(stream, fault);
    let port = 0;
    while (!port) {
      if (child.pid === undefined || child.exitCode !== null) throw new Error("Firefox did not start");
      if (existsSync(portFile)) port = Number(readFileSync(portFile, "utf8"));
      if (!port) await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const session = await Marionette.begin(port);
    await session.call("Marionette:SetContext", { value: "chrome" });
    await session.call("WebDriver:ExecuteScript", { script: `(${watchConsole.toString()})()`, sandbox: "system" });
    await session.call("Marionette:SetContext", { value: "content" });
    return new Firefox(child, exited, await Tabs.of(session, fault));
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

/** In the browser itself: prints what its console is told of pages and their workers. */
function watchConsole(): void {
  const { Services, dump } = globalThis as unknown as {
    Services: { console: { registerListener(listener: { observe(message: { message: string }): void }): void } };
    dump(text: string): void;
  };
  Services.console.registerListener({
    observe: ({ message }) => {
      if (/^\[JavaScript Error/.test(message) && /http:\/\/127\.0\.0\.1/.test(message)) dump(`FAULT ${JSON.stringify(message)}\n`);
    },
  });
}

/** Reads what the browser prints, line by line. */
function listen(stream: NodeJS.ReadableStream, fault: (text: string) => void): void {
  let rest = "";
  stream.setEncoding("utf8").on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      // The browser itself reports each connection that fails, which here is the point.
      if (line.startsWith("FAULT ") && !/connection to the server|was interrupted while the page/.test(line)) fault(line.slice("FAULT ".length));
      if (/panic|goroutine \d+ \[/.test(line)) fault(`console: ${line}`);
    }
  });
}
