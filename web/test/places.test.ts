import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { root } from "./root.js";

const { strip } = (await import(join(root, "web/scripts/strip.mjs"))) as { strip(module: Uint8Array): { module: Uint8Array; tables?: Uint8Array } };
const dir = mkdtempSync(join(tmpdir(), "skerry-places-"));
after(() => rmSync(dir, { recursive: true, force: true }));
const program = join(root, "web/test/testdata/places");
const go = (...args: string[]) => execFileSync("go", args, { cwd: program, encoding: "utf8", env: { ...process.env, GOOS: "js", GOARCH: "wasm" } });
const wasmExec = join(go("env", "GOROOT").trim(), "lib/wasm/wasm_exec.js");

/** What the program prints. What was freed is overwritten, so that a pointer that the collector did not find leads to nonsense. */
function run(name: string): string {
  const { stdout, stderr, status } = spawnSync(process.execPath, [join(program, "run.cjs"), wasmExec, name], { encoding: "utf8", env: { ...process.env, GODEBUG: "clobberfree=1" } });
  assert.equal(status, 0, stdout + stderr);
  assert.equal(stderr, "");
  return stdout;
}

for (const [what, ...flags] of [["no call"], ["calls", "-gcflags=skerry/web/test/testdata/places="]] as const) {
  test(`a program goes on at each of its places as the one that Go linked does, with ${what} inlined`, () => {
    const [built, stripped] = [join(dir, "built.wasm"), join(dir, "stripped.wasm")];
    go("build", "-trimpath", "-gcflags=all=-l", ...flags, "-ldflags=-s -w", "-o", built, ".");
    const { module, tables } = strip(readFileSync(built));
    assert.ok(tables, "Go's tables are not laid out as pclntab.mjs expects");
    writeFileSync(stripped, module);
    const before = run(built);
    assert.match(before, /^0 10 77 [^]*\n892158\n$/); // it came to its end
    assert.equal(run(stripped), before);
  });
}
