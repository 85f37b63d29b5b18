import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { behind } from "./markdown.js";

/** The terminal in which most is typed: where it is and what was exported stays from one block to the next. */
export class Shell {
  readonly #state: string;
  readonly #env: NodeJS.ProcessEnv;
  readonly #dir: string;

  constructor(dir: string, env: NodeJS.ProcessEnv) {
    this.#dir = dir;
    this.#env = env;
    this.#state = join(dir, ".shell");
  }

  /** Runs commands, all of which have to succeed, and returns what they print. */
  run(commands: string): string {
    const script = `${this.#before()}set -e\n${commands}\n{ export -p; printf 'cd %q\\n' "$PWD"; } > "${this.#state}"\n`;
    const { status, stdout, stderr, error } = spawnSync("bash", ["-c", script], { cwd: this.#dir, env: this.#env, encoding: "utf8" });
    if (error) throw error;
    if (status !== 0) throw new Error(`exit ${status}:\n${commands}\n${stdout}${stderr}`);
    return stdout + stderr;
  }

  /** Opens another terminal in the same place, for commands that go on. */
  open(commands: string): Terminal {
    return new Terminal(this.#before() + commands, this.#dir, this.#env);
  }

  /** Where it is. */
  get dir(): string {
    return this.run("pwd").trim();
  }

  #before(): string {
    return existsSync(this.#state) ? `${readFileSync(this.#state, "utf8")}\n` : "";
  }
}

/** A terminal in which a program runs until it is interrupted. */
export class Terminal {
  readonly #start: () => ChildProcess;
  #process: ChildProcess;
  #printed = "";
  #woken: () => void = () => {};

  constructor(script: string, cwd: string, env: NodeJS.ProcessEnv) {
    this.#start = () => {
      const child = spawn("bash", ["-c", script], { cwd, env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding("utf8").on("data", (text: string) => {
          this.#printed += text;
          this.#woken();
        });
      }
      child.once("exit", () => this.#woken());
      return child;
    };
    this.#process = this.#start();
  }

  get running(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** Waits until lines were printed; the next ones are looked for behind them. */
  async prints(lines: readonly string[], timeout: number): Promise<void> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.#woken();
    }, timeout);
    try {
      for (;;) {
        const woken = new Promise<void>((resolve) => (this.#woken = resolve));
        const rest = behind(this.#printed, lines);
        if (rest !== undefined) {
          this.#printed = rest;
          return;
        }
        if (late || !this.running) throw new Error(`it does not print\n${lines.join("\n")}\nbut\n${this.#printed}`);
        await woken;
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** Presses Ctrl+C, and waits for the end. */
  async interrupt(): Promise<void> {
    if (!this.running) return;
    const over = new Promise((resolve) => this.#process.once("exit", resolve));
    process.kill(-this.#process.pid!, "SIGINT");
    await over;
  }

  /** Types the same command again. */
  again(): void {
    this.#process = this.#start();
  }
}
