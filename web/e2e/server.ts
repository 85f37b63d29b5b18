import { type ChildProcess, execFile, spawn } from "node:child_process";
import { createPrivateKey, createPublicKey } from "node:crypto";
import { cpSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../test/root.js";
import type { Key } from "./key.js";
import { freePort } from "./net.js";

const binary = join(root, "build", "skerry");

/** A record as `skerry space log --json` prints it. */
export interface LoggedRecord {
  readonly seq: number;
  readonly id: string;
  readonly chain: string;
  readonly received_at: number;
  readonly index: number;
  readonly count: number;
  readonly author: string;
  readonly type: string;
  readonly api: string;
  readonly client_version: string;
  readonly payload: unknown;
}

/** The real server, on one port and one data directory however often it is started. */
export class TestServer {
  readonly port: number;
  readonly data: string;
  /** The files that it serves. */
  readonly www: string;
  readonly #flags: string[];
  readonly output: string[] = [];
  #process: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();

  private constructor(port: number, data: string, www: string, flags: string[]) {
    this.port = port;
    this.data = data;
    this.www = www;
    this.#flags = flags;
  }

  static async make(dir: string, flags: string[] = [], www = join(root, "web", "dist")): Promise<TestServer> {
    if (!existsSync(binary)) throw new Error(`${binary} is not there: make bin`);
    cpSync(www, join(dir, "www"), { recursive: true }); // what is built meanwhile is another build
    writeFileSync(join(dir, "www", "nothing.html"), '<!doctype html><link rel="icon" href="icon.svg" />');
    return new TestServer(await freePort(), join(dir, "data"), join(dir, "www"), flags);
  }

  get #keys(): string {
    return `${this.data}-keys`;
  }

  get running(): boolean {
    return this.#process !== undefined;
  }

  async start(...more: string[]): Promise<void> {
    if (this.running) throw new Error("the server runs already: stop it first"); // it would answer for the other, and outlive the test
    const args = ["serve", "--listen", `127.0.0.1:${this.port}`, "--data", this.data, "--web", this.www];
    if (!this.#flags.includes("--local-setup")) args.push("--admin", "nobody");
    const child = spawn(binary, [...args, ...this.#flags, ...more], { stdio: ["ignore", "pipe", "pipe"] });
    this.#process = child;
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.setEncoding("utf8").on("data", (text: string) => this.output.push(text));
    }
    let over = false;
    this.#exited = new Promise((resolve) =>
      child.once("exit", () => {
        over = true;
        this.#process = undefined;
        resolve();
      }),
    );
    for (;;) {
      if (over) throw new Error(`the server did not start:\n${this.output.join("")}`);
      if (await this.#ready()) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async #ready(): Promise<boolean> {
    try {
      return (await fetch(`http://127.0.0.1:${this.port}/readyz`)).ok;
    } catch {
      return false;
    }
  }

  /** Ends the process as a power cut would. */
  async kill(): Promise<void> {
    this.#process?.kill("SIGKILL");
    await this.#exited;
  }

  /** Ends the process as an administrator would. */
  async stop(): Promise<void> {
    this.#process?.kill("SIGTERM");
    await this.#exited;
  }

  /** Runs the command line, whose keys are beside the data directory, and returns what it printed as JSON. */
  async cli<T>(...args: string[]): Promise<T[]> {
    return (await this.print(...args)).split("\n").filter(Boolean).map((line) => JSON.parse(line) as T);
  }

  /** The same, as it printed it. */
  print(...args: string[]): Promise<string> {
    return new Promise((resolve, reject) => {
      const named = args.indexOf("--identity");
      execFile(binary, named < 0 ? args : args.toSpliced(named, 0, "--keys", this.#keys), { maxBuffer: 1 << 28 }, (error, out, err) => (error ? reject(new Error(`${error.message}\n${err}`)) : resolve(out)));
    });
  }

  /** Returns the key by which the command line goes by a name, for devices of the same person. */
  async key(name: string): Promise<Key> {
    const [{ file }] = (await this.cli<{ file: string }>("key", "--json", "--keys", this.#keys, name)) as [{ file: string }];
    const secret = createPrivateKey(readFileSync(file));
    const { x } = createPublicKey(secret).export({ format: "jwk" });
    return { public: [...Buffer.from(x!, "base64url")], secret: [...secret.export({ format: "der", type: "pkcs8" })] };
  }

  /** Returns the IDs of the spaces that the server has on disk, but for its own. */
  async spaces(): Promise<string[]> {
    const [system] = await this.cli<{ id: string }>("system", "--data", this.data, "--json");
    const all = await this.cli<{ id: string }>("space", "ls", "--data", this.data, "--json");
    return all.map(({ id }) => id).filter((id) => id !== system?.id);
  }

  /** Returns a space's log as the server has it on disk. */
  log(id: string): Promise<LoggedRecord[]> {
    return this.cli("space", "log", "--data", this.data, "--json", id);
  }
}
