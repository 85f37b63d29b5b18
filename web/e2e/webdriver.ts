// WebDriver, as far as these tests need it: Firefox speaks it over a socket (Marionette, under geckodriver), WebKit's
// driver over HTTP.
import { createConnection, type Socket } from "node:net";
import type { Tab } from "./engine.js";

/** The commands that are used: as methods and paths of WebDriver, and as Marionette has them. */
const commands = {
  navigate: ["POST", "/url", "WebDriver:Navigate"],
  execute: ["POST", "/execute/sync", "WebDriver:ExecuteScript"],
  handle: ["GET", "/window", "WebDriver:GetWindowHandle"],
  open: ["POST", "/window/new", "WebDriver:NewWindow"],
  switch: ["POST", "/window", "WebDriver:SwitchToWindow"],
  close: ["DELETE", "/window", "WebDriver:CloseWindow"],
} as const;

type Command = keyof typeof commands;

/** A session, over whatever carries it. */
export interface Session {
  send(command: Command, parameters?: Record<string, unknown>): Promise<unknown>;
  /** Breaks the connection. */
  end(): void;
}

/** Begins a session with a driver that listens on a port. */
export async function beginHTTP(port: number, capabilities: object): Promise<Session> {
  const call = async (method: string, path: string, body?: object): Promise<unknown> => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { method, ...(body && { body: JSON.stringify(body) }) });
    const { value } = (await response.json()) as { value: unknown };
    if (!response.ok) throw new Error(`${method} ${path}: ${JSON.stringify(value).slice(0, 1000)}`);
    return value;
  };
  const { sessionId } = (await call("POST", "/session", { capabilities: { alwaysMatch: capabilities } })) as { sessionId: string };
  return {
    send(command, parameters = {}) {
      const [method, path] = commands[command];
      return call(method, `/session/${sessionId}${path}`, method === "POST" ? parameters : undefined);
    },
    end() {},
  };
}

/** Marionette's session: messages are JSON behind their length, each answered under its number. */
export class Marionette implements Session {
  readonly #socket: Socket;
  readonly #calls = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  #buffer = Buffer.alloc(0);
  #last = 0;

  private constructor(port: number) {
    this.#socket = createConnection(port, "127.0.0.1");
    this.#socket.on("error", () => {}); // "close" follows
    this.#socket.on("data", (data: Buffer) => this.#read(data));
    this.#socket.on("close", () => {
      for (const { reject } of this.#calls.values()) reject(new Error("the browser is gone"));
    });
  }

  static async begin(port: number): Promise<Marionette> {
    const session = new Marionette(port);
    await session.call("WebDriver:NewSession", { capabilities: { alwaysMatch: {} } });
    return session;
  }

  send(command: Command, parameters: Record<string, unknown> = {}): Promise<unknown> {
    const own = command === "execute" ? { sandbox: null } : command === "switch" ? { focus: false } : {};
    return this.call(commands[command][2], { ...parameters, ...own });
  }

  async call(name: string, parameters: Record<string, unknown> = {}): Promise<unknown> {
    const id = ++this.#last;
    const answer = await new Promise<unknown>((resolve, reject) => {
      this.#calls.set(id, { resolve, reject });
      const text = JSON.stringify([0, id, name, parameters]);
      this.#socket.write(`${Buffer.byteLength(text)}:${text}`);
    });
    return typeof answer === "object" && answer && "value" in answer ? answer.value : answer;
  }

  end(): void {
    this.#socket.destroy();
  }

  #read(data: Buffer): void {
    this.#buffer = Buffer.concat([this.#buffer, data]);
    for (;;) {
      const colon = this.#buffer.indexOf(":");
      const end = colon + 1 + Number(this.#buffer.toString("latin1", 0, Math.max(colon, 0)));
      if (colon < 0 || this.#buffer.length < end) return;
      const message = JSON.parse(this.#buffer.toString("utf8", colon + 1, end)) as [number, number, { message: string } | null, unknown];
      this.#buffer = this.#buffer.subarray(end);
      if (!Array.isArray(message)) continue; // what it says of itself at first
      const [, id, error, result] = message;
      const call = this.#calls.get(id);
      this.#calls.delete(id);
      if (error) call?.reject(new Error(error.message));
      else call?.resolve(result);
    }
  }
}

/** The tabs of a session. A session has one tab that commands go to, so they go one after the other. */
export class Tabs {
  readonly all: DriverTab[] = [];
  readonly #session: Session;
  readonly #fault: (text: string) => void;
  #unused: string | undefined; // the tab that the session began with, until it is opened
  #current: string;
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(session: Session, first: string, fault: (text: string) => void) {
    this.#session = session;
    this.#fault = fault;
    this.#unused = this.#current = first;
  }

  static async of(session: Session, fault: (text: string) => void): Promise<Tabs> {
    return new Tabs(session, (await session.send("handle")) as string, fault);
  }

  /** Opens a tab, in a window of its own so that all can be seen. */
  async open(): Promise<DriverTab> {
    const handle = this.#unused ?? ((await this.send("", "open", { type: "window" })) as { handle: string }).handle;
    this.#unused = undefined;
    const tab = new DriverTab(this, handle, this.#fault);
    this.all.push(tab);
    return tab;
  }

  /** Sends a command to a tab, or to the session. */
  send(handle: string, command: Command, parameters?: Record<string, unknown>): Promise<unknown> {
    const sent = this.#turn.then(async () => {
      if (handle && handle !== this.#current) {
        await this.#session.send("switch", { handle });
        this.#current = handle;
      }
      return this.#session.send(command, parameters);
    });
    this.#turn = sent.catch(() => {});
    return sent;
  }

  end(): void {
    this.#session.end();
  }
}

const firstPoll = 5;
const slowestPoll = 50;
const pause = (time: number) => new Promise((resolve) => setTimeout(resolve, time));

/** What a page tells: what became of a call, which is nothing before that, and what should not have happened. */
interface Told {
  readonly outcome: { readonly value?: unknown; readonly error?: string } | null;
  readonly faults: readonly string[];
}

export class DriverTab implements Tab {
  readonly #tabs: Tabs;
  readonly #handle: string;
  readonly #fault: (text: string) => void;
  #calls = 0;

  constructor(tabs: Tabs, handle: string, fault: (text: string) => void) {
    this.#tabs = tabs;
    this.#handle = handle;
    this.#fault = fault;
  }

  async goto(url: string): Promise<void> {
    await this.#tabs.send(this.#handle, "navigate", { url });
    await this.#execute(`(${watch.toString()})(window)`);
  }

  /** Reloads as a page or a person does it: by Firefox's driver it would pass by the service worker. */
  async reload(): Promise<void> {
    await this.#execute("window.stale = true; location.reload()");
    const script = "return !window.stale && document.readyState === 'complete'";
    while (!(await this.#execute(script).catch(() => false))) await pause(slowestPoll);
    await this.#execute(`(${watch.toString()})(window)`);
  }

  async close(): Promise<void> {
    this.#tabs.all.splice(this.#tabs.all.indexOf(this), 1);
    await this.#tabs.send(this.#handle, "close");
  }

  /** Begins the call and then asks for its outcome, as a script that waits would hold up every other tab. */
  async evaluate<R>(f: string | ((argument: never) => R | Promise<R>), argument?: unknown): Promise<R> {
    const call = `call${++this.#calls}`;
    const expression = typeof f === "string" ? f : `(${f.toString()})(argument)`;
    // Firefox's scripts have a global object of their own, whose prototype is the page's.
    await this.#execute(
      `const globalThis = window, [name, argument] = arguments;
       const outcomes = (window.outcomes ??= {});
       outcomes[name] = null;
       (async () => ${expression})().then(
         (value) => (outcomes[name] = { value }),
         (error) => (outcomes[name] = { error: [error?.code, error?.message ?? error, error?.stack].join(" ") }),
       );`,
      call,
      argument ?? null,
    );
    const script = `
      const outcome = window.outcomes?.[arguments[0]];
      return { outcome: outcome === undefined ? { error: "the page was left" } : outcome, faults: window.faults?.splice(0) ?? [] };`;
    for (let wait = firstPoll; ; wait = Math.min(2 * wait, slowestPoll)) {
      const { outcome, faults } = (await this.#execute(script, call)) as Told;
      faults.forEach(this.#fault);
      if (outcome?.error !== undefined) throw new Error(outcome.error);
      if (outcome) return outcome.value as R;
      await pause(wait);
    }
  }

  #execute(script: string, ...args: unknown[]): Promise<unknown> {
    return this.#tabs.send(this.#handle, "execute", { script, args });
  }
}

/** In the page: notes from here on what should not happen. */
function watch(page: Window & { faults?: string[]; console?: Console }): void {
  const faults: string[] = (page.faults = []);
  page.addEventListener("securitypolicyviolation", (e) => faults.push(`policy violated: ${e.violatedDirective} by ${e.blockedURI}`));
  page.addEventListener("unhandledrejection", (e) => faults.push(`unhandled rejection: ${String(e.reason)}`));
  page.addEventListener("error", (e) => faults.push(`uncaught ${e.message}`));
  const { error } = page.console!;
  page.console!.error = (...args: unknown[]) => {
    faults.push(`console: ${args.map(String).join(" ")}`);
    error.apply(page.console, args);
  };
}
