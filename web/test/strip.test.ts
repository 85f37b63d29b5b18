import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { gzipSync } from "node:zlib";
import { root } from "./root.js";

const { strip } = (await import(join(root, "web/scripts/strip.mjs"))) as {
  strip(module: Uint8Array): { module: Uint8Array; tables?: Uint8Array };
};
const dir = mkdtempSync(join(tmpdir(), "skerry-strip-"));
after(() => rmSync(dir, { recursive: true, force: true }));
const go = (...args: string[]) => execFileSync("go", args, { cwd: dir, encoding: "utf8", env: { ...process.env, GOOS: "js", GOARCH: "wasm" } });

// What reads the runtime's tables: stacks that grow and are scanned, deferred calls and recovered panics, names of
// callers, and at the end a trace.
const program = `package main

import ("fmt"; "os"; "reflect"; "runtime")

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

type value struct{ n int }

func (v value) method() int { return v.n }

type methods interface{ method() int }

// A method that is not called by its name: the runtime finds the arguments by the name of its own function.
func (v value) Reflected(a, b int) int { runtime.GC(); return deep(100, nil) - 5051 + v.n + a + b }

func nilValue() (err any) {
	defer func() { err = recover() }()
	return called(nil)
}

//go:noinline
func called(v *value) int {
	var m methods = v
	return indirect(m)
}

//go:noinline
func indirect(m methods) int { return m.method() }

func main() {
	fmt.Println(deep(20_000, nil), caught())
	fmt.Println(nilValue())
	method := reflect.ValueOf(value{40}).Method(0).Interface().(func(int, int) int)
	made := reflect.MakeFunc(reflect.TypeOf(method), func(args []reflect.Value) []reflect.Value {
		runtime.GC()
		return []reflect.Value{reflect.ValueOf(int(args[0].Int() * args[1].Int()) + deep(100, nil) - 5051)}
	}).Interface().(func(int, int) int)
	fmt.Println(method(1, 1), made(6, 7))
	pc, _, _, _ := runtime.Caller(0)
	fmt.Println(runtime.FuncForPC(pc).Name(), len(os.Args))
	done := make(chan bool)
	go func() { failing(len(os.Args)); close(done) }()
	<-done
}

//go:noinline
func failing(n int) {
	if n > 1 {
		var list *node
		list.at = n
	}
	panic(fmt.Sprint("failed with ", n))
}
`;

test("a stripped program does the same, and its trace can be read by the tables that were taken out", () => {
  writeFileSync(join(dir, "main.go"), program);
  const built = join(dir, "built.wasm");
  go("build", "-trimpath", "-gcflags=all=-l", "-gcflags=fmt=", "-ldflags=-s -w", "-o", built, "main.go"); // inlined calls: some
  const plain = readFileSync(built);
  const { module, tables } = strip(plain);
  assert.ok(tables, "Go's tables are not laid out as pclntab.mjs expects");
  const [stripped, taken] = [join(dir, "stripped.wasm"), join(dir, "stripped.pclntab.gz")];
  writeFileSync(stripped, module);
  writeFileSync(taken, gzipSync(tables));

  const run = (name: string, ...args: string[]) =>
    spawnSync(process.execPath, [join(go("env", "GOROOT").trim(), "lib/wasm/wasm_exec_node.js"), name, ...args], { encoding: "utf8" });
  const [before, now] = [run(built), run(stripped)];
  assert.match(before.stdout, /^200010001 runtime error: invalid memory address or nil pointer dereference\nvalue method main\.value\.method called using nil \*value pointer\n42 42\n/);
  assert.match(before.stdout, /\nmain\.main 1\n$/);
  const nameless = /program\.\(\*[0-9a-f]{4}\)\.f/;
  assert.equal(now.stdout.replace(/value method .*/, "").replace(nameless, "main.main"), before.stdout.replace(/value method .*/, ""));
  assert.equal(now.status, before.status);

  const trace = (text: string) => execFileSync(process.execPath, [join(root, "web/scripts/trace.mjs"), taken], { input: text, encoding: "utf8" });
  const frames = (text: string) => text.slice(text.indexOf("goroutine ")).trimEnd().replace(/ \+0x\w+$/gm, ""); // places are counted anew
  assert.match(before.stderr, /panic: failed with 1\n[^]*main\.failing\([^]*\n\t\S*main\.go:\d+ /);
  assert.match(now.stderr, /panic: failed with 1\n[^]*program\.\(\*[0-9a-f]{4}\)\.f\([^]*\n\t\?:0 /);
  assert.doesNotMatch(now.stderr, /main\.failing|\.go:/);
  assert.equal(frames(trace(now.stderr)), frames(before.stderr).replace("failing(0x1)", "failing()")); // arguments are lost

  // A nil check has no place of its own: of these alone a trace names the line where the function begins.
  const [nilBefore, nilNow] = [run(built, "nil"), run(stripped, "nil")];
  const line = (text: string) => `main.go:${program.split("\n").indexOf(text) + 1}`;
  const begun = frames(nilBefore.stderr).replace("failing(0x2)", "failing()").replace(line("\t\tlist.at = n"), line("func failing(n int) {"));
  assert.notEqual(begun, frames(nilBefore.stderr).replace("failing(0x2)", "failing()"));
  assert.equal(frames(trace(nilNow.stderr)), begun);

  const number = parseInt(/\(\*([0-9a-f]{4})\)\.f\(/.exec(frames(now.stderr))![1]!, 16);
  assert.equal(trace(`at x.wasm:wasm-function[${number}]:0x1f`), "at x.wasm:main.failing:0x1f\n");
});

test("tables are left where they are not Go's", () => {
  const header = Buffer.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
  const data = Buffer.from([11, 16, 2, 0, 0x41, 0xc6, 0, 0x0b, 1, 7, 0, 0x41, 0xc0, 0, 0x0b, 2, 8, 9]); // 7 at 70; 8, 9 at 64
  const { module, tables } = strip(Buffer.concat([header, data]));
  assert.equal(tables, undefined);
  const one = Buffer.from([11, 14, 1, 0, 0x41, 0xc0, 0, 0x0b, 7, 8, 9, 0, 0, 0, 0, 7]);
  assert.deepEqual(Buffer.from(module), Buffer.concat([header, one]));
});

test("a segment ends where there is nothing but zeros for long", () => {
  const header = Buffer.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
  const far = [0xc0, 0xc0, 0]; // 8,256: 64 and 8,192
  const data = Buffer.from([11, 17, 2, 0, 0x41, ...far, 0x0b, 1, 7, 0, 0x41, 0xc0, 0, 0x0b, 2, 8, 9]);
  const { module } = strip(Buffer.concat([header, data]));
  const two = Buffer.from([11, 17, 2, 0, 0x41, 0xc0, 0, 0x0b, 2, 8, 9, 0, 0x41, ...far, 0x0b, 1, 7]);
  assert.deepEqual(Buffer.from(module), Buffer.concat([header, two]));
});
