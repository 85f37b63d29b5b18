import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { root } from "./root.js";

const { strip } = (await import(join(root, "web/scripts/strip.mjs"))) as {
  strip(module: Uint8Array): { module: Uint8Array; lines: boolean };
};
const dir = mkdtempSync(join(tmpdir(), "skerry-strip-"));
after(() => rmSync(dir, { recursive: true, force: true }));
const go = (...args: string[]) => execFileSync("go", args, { cwd: dir, encoding: "utf8", env: { ...process.env, GOOS: "js", GOARCH: "wasm" } });

// What reads the runtime's tables: stacks that grow and are scanned, deferred calls and recovered panics, names of
// callers, and at the end a trace.
const program = `package main

import ("fmt"; "os"; "runtime")

type node struct { next *node; at int }

func deep(n int, list *node) int {
	var space [64]int
	space[n%64] = n
	if n == 0 {
		runtime.GC()
		return list.at
	}
	return deep(n-1, &node{list, n}) + space[n%64]
}

func caught() (err any) {
	defer func() { err = recover() }()
	var list *node
	return list.at
}

func main() {
	fmt.Println(deep(20_000, nil), caught())
	pc, _, _, _ := runtime.Caller(0)
	fmt.Println(runtime.FuncForPC(pc).Name(), len(os.Args))
	failing(1)
}

//go:noinline
func failing(n int) { panic(fmt.Sprint("failed with ", n)) }
`;

test("a stripped program does the same, and its trace names functions without lines", () => {
  writeFileSync(join(dir, "main.go"), program);
  const built = join(dir, "built.wasm");
  go("build", "-ldflags=-s -w", "-o", built, "main.go");
  const plain = readFileSync(built);
  const { module, lines } = strip(plain);
  assert.ok(lines, "Go's tables of lines are not laid out as strip.mjs expects");
  const stripped = join(dir, "stripped.wasm");
  writeFileSync(stripped, module);

  const run = (name: string) => spawnSync(process.execPath, [join(go("env", "GOROOT").trim(), "lib/wasm/wasm_exec_node.js"), name], { encoding: "utf8" });
  const [before, now] = [run(built), run(stripped)];
  assert.match(before.stdout, /^200010001 runtime error: invalid memory address or nil pointer dereference\nmain\.main 1\n$/);
  assert.equal(now.stdout, before.stdout);
  assert.equal(now.status, before.status);
  assert.match(before.stderr, /panic: failed with 1\n[^]*main\.failing\([^]*\n\t\S*main\.go:\d+ /);
  assert.match(now.stderr, /panic: failed with 1\n[^]*main\.failing\([^]*\n\t\?:0 /);
});

test("lines are left where the tables are not Go's", () => {
  const header = Buffer.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
  const data = Buffer.from([11, 16, 2, 0, 0x41, 0xc6, 0, 0x0b, 1, 7, 0, 0x41, 0xc0, 0, 0x0b, 2, 8, 9]); // 7 at 70; 8, 9 at 64
  const { module, lines } = strip(Buffer.concat([header, data]));
  assert.equal(lines, false);
  const one = Buffer.from([11, 14, 1, 0, 0x41, 0xc0, 0, 0x0b, 7, 8, 9, 0, 0, 0, 0, 7]);
  assert.deepEqual(Buffer.from(module), Buffer.concat([header, one]));
});
