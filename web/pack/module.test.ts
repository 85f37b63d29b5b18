// The package of the compiler for modules as npm has it: what `skerry module new` makes with it builds, to the same bytes as in
// the checkout, and passes its tests.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "../test/root.js";

interface Locked {
  dependencies?: Record<string, string>;
  dev?: boolean;
}

const binary = join(root, "build", "skerry");
const compiler = join(root, "web", "node_modules", "typescript", "bin", "tsc");

function run(cwd: string, command: string, ...args: string[]): string {
  return execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

/** What npm would have locked, if it had asked the registry: the versions that the checkout has, whose hashes are known. */
function lock(tarball: string, integrity: string): object {
  const read = (file: string) => JSON.parse(readFileSync(join(root, "web", file), "utf8"));
  const known = read("package-lock.json").packages as Record<string, Locked>;
  const { version, dependencies } = read("module-sdk/package.json") as { version: string; dependencies: Record<string, string> };
  const packages: Record<string, object> = {
    "": { name: "notes", devDependencies: { "skerry-module": `file:${tarball}` } },
    "node_modules/skerry-module": { version, resolved: `file:${tarball}`, integrity, dev: true, dependencies },
  };
  const wanted = Object.keys(dependencies);
  for (const name of wanted) {
    const entry = known[`node_modules/${name}`];
    assert.ok(entry, `${name} is not in web/package-lock.json`);
    packages[`node_modules/${name}`] = entry;
    wanted.push(...Object.keys(entry.dependencies ?? {}).filter((other) => !wanted.includes(other)));
  }
  return { name: "notes", lockfileVersion: 3, requires: true, packages };
}

test("a new module with the packed compiler", () => {
  const dir = mkdtempSync(join(tmpdir(), "skerry-module-"));
  try {
    const [packed] = JSON.parse(run(join(root, "web", "module-sdk"), "npm", "pack", "--json", "--ignore-scripts", "--pack-destination", dir));
    const names = packed.files.map((file: { path: string }) => file.path).sort();
    assert.ok(names.includes("assembly/skerry/module.ts") && names.includes("README.md") && names.includes("LICENSE"), String(names));
    run(dir, binary, "module", "new", "--sdk", packed.filename, "notes");
    const notes = join(dir, "notes");
    writeFileSync(join(notes, "package-lock.json"), JSON.stringify(lock(`../${packed.filename}`, packed.integrity)));
    run(notes, "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error");
    run(notes, process.execPath, compiler, "--noEmit"); // editors have nothing to underline
    assert.match(run(notes, binary, "module", "test", "notes.ts"), /^2 tests passed$/m);
    const here = run(notes, binary, "module", "build", "--out", "notes.wasm", "notes.ts");
    run(dir, binary, "module", "new", "--sdk", root, "checkout/notes");
    run(join(dir, "checkout", "notes"), "npm", "install", "--offline", "--no-audit", "--no-fund", "--loglevel=error");
    writeFileSync(join(notes, "notes.ts"), readFileSync(join(notes, "notes.ts"), "utf8").replace("note.author", "note.auhtor"));
    assert.throws(() => run(notes, process.execPath, compiler, "--noEmit"), (error: { stdout: string }) => /Property 'auhtor' does not exist/.test(error.stdout));
    run(join(dir, "checkout", "notes"), process.execPath, compiler, "--noEmit");
    assert.equal(run(join(dir, "checkout", "notes"), binary, "module", "build", "--out", "notes.wasm", "notes.ts"), here);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
