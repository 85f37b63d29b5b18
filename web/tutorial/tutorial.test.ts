// The tutorial, followed word by word: its commands are typed, its files are written, and what it says is printed and seen is waited
// for. All of it comes from the document itself. Only this differs: the server's port is one that is free, the checkout is this one,
// and the caches of Go are those of the machine. Everything else begins empty, HOME too.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { test } from "node:test";
import { freePort } from "../e2e/net.js";
import { root } from "../test/root.js";
import { behind, change, type Part, read } from "./markdown.js";
import { People } from "./people.js";
import { Shell, Terminal } from "./terminal.js";

const patience = 120_000;
const address = "127.0.0.1:8080"; // as the document has it

/** What a newcomer has: tools, and no settings. */
function environment(home: string, listen: string): NodeJS.ProcessEnv {
  const caches = Object.fromEntries(["GOCACHE", "GOMODCACHE", "GOPROXY"].map((name) => [name, execFileSync("go", ["env", name], { encoding: "utf8" }).trim()]));
  const path = process.env["PATH"]!.split(delimiter).filter((dir) => !dir.includes("node_modules"));
  const offline = { npm_config_offline: "true" }; // nothing is needed from a registry: the checkout has it
  return { ...caches, ...offline, HOME: home, PATH: path.join(delimiter), LANG: "C.UTF-8", SKERRY_LISTEN: listen };
}

test("the tutorial, word by word", { timeout: 900_000 }, async () => {
  const dir = mkdtempSync(join(tmpdir(), "skerry-tutorial-"));
  const listen = `127.0.0.1:${await freePort()}`;
  const place = join(dir, "place");
  for (const name of ["home", "place"]) mkdirSync(join(dir, name));
  symlinkSync(root, join(place, "skerry"));
  const people = await People.launch();
  const reader = new Reader(new Shell(place, environment(join(dir, "home"), listen)), people);
  try {
    const parts = read(readFileSync(join(root, "docs", "tutorial.md"), "utf8").replaceAll(address, listen));
    assert.deepEqual(new Set(parts.map((part) => part.kind)), new Set(["commands", "output", "file", "change", "table"]));
    for (const part of parts) {
      try {
        await reader.follow(part);
      } catch (error) {
        throw new Error(`docs/tutorial.md:${part.line}: ${(error as Error).message}`, { cause: error });
      }
    }
    assert.deepEqual(people.faults.filter((fault) => !fault.includes("/sync")), []); // nobody was there
  } finally {
    await people.close();
    await reader.leave();
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
  }
});

/** Whoever follows the tutorial. */
class Reader {
  readonly #shell: Shell;
  readonly #people: People;
  readonly #terminals: Terminal[] = [];
  #printed: string | undefined; // by the last commands; undefined if the next output is that of the newest terminal

  constructor(shell: Shell, people: People) {
    this.#shell = shell;
    this.#people = people;
  }

  async leave(): Promise<void> {
    for (const terminal of this.#terminals) await terminal.interrupt();
  }

  async follow(part: Part): Promise<void> {
    switch (part.kind) {
      case "commands": {
        this.#printed = part.another ? undefined : this.#shell.run(part.text);
        if (part.another) this.#terminals.push(this.#shell.open(part.text));
        return;
      }
      case "output":
        if (this.#printed === undefined) return this.#terminals.at(-1)!.prints(part.lines, patience);
        this.#printed = behind(this.#printed, part.lines) ?? assert.fail(`it is not so that this is printed:\n${part.lines.join("\n")}\nbut:\n${this.#printed}`);
        return;
      case "file":
        writeFileSync(join(this.#shell.dir, part.name), part.text);
        this.#printed = undefined;
        return;
      case "change": {
        const file = join(this.#shell.dir, part.name);
        writeFileSync(file, change(readFileSync(file, "utf8"), part));
        this.#printed = undefined;
        return;
      }
      case "table": {
        const server = this.#terminals[0]!;
        return this.#people.follow(part, {
          stop: () => server.interrupt(),
          start: async () => {
            server.again();
            await server.prints(["listening on …"], patience);
          },
        });
      }
    }
  }
}
