import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import wabt from "wabt";
import { root } from "./root.js";

const { strip } = (await import(join(root, "web/scripts/strip.mjs"))) as { strip(module: Uint8Array): { module: Uint8Array } };
const { shrinkCode } = (await import(join(root, "web/scripts/code.mjs"))) as { shrinkCode(code: Uint8Array, index: number, isGoFunction: (number: number) => boolean, known?: Known): Uint8Array };
const { parseWat, readWasm } = await wabt();

const { leb, reader } = (await import(join(root, "web/scripts/binary.mjs"))) as {
  leb(n: number): number[];
  reader(buffer: Buffer, at: number): { at: number; byte(): number; number(): number; bytes(n: number): Buffer };
};

interface Known {
  sigpanic: number;
  framed: boolean;
  deferReturn: number;
  places?: { before: number[]; deferReturn: number };
}

/** A module whose first type is that of Go's functions, of one function besides what it calls, which has the number that Go's linker gives it. */
function assemble(name: string, body: string, signature = "(param i32) (result i32)"): Uint8Array {
  return fromText(name, `(module (type $go (func (param i32) (result i32))) (import "m" "f" (func $f (type $go))) (memory 1)
    (global $sp (mut i32) (i32.const 0)) (global $ret (mut i64) (i64.const 0)) (table 4097 funcref)
    (func $only ${signature} ${body}) (elem (i32.const 4096) $only) (data (i32.const 8) "x"))`);
}

function fromText(name: string, text: string): Uint8Array {
  const module = parseWat(`${name}.wat`, text);
  try {
    module.validate();
    return module.toBinary({}).buffer;
  } finally {
    module.destroy();
  }
}

/** A module with what Go's linker writes about itself. */
function by(version: string, module: Uint8Array): Uint8Array {
  const field = (name: string, compiler: string) => [name, compiler, version].map((part) => String.fromCharCode(part.length) + part).join("").replace(name, `${name}\x01`);
  const section = Buffer.from(`\tproducers\x02${field("language", "Go")}${field("processed-by", "Go cmd/compile")}`);
  return Buffer.concat([module, Buffer.of(0, ...leb(section.length)), section]);
}

function disassemble(module: Uint8Array): string {
  const parsed = readWasm(Uint8Array.from(module), {}); // it would read past the end of a part of a buffer
  try {
    return parsed.toText({ foldExprs: false, inlineExport: false });
  } finally {
    parsed.destroy();
  }
}

/** A function that begins by putting a return address that it gets on the stack, as all of Go do in their smaller form. */
function takes(body: string): string {
  const [locals] = /^\s*(\(local[^)]*\))?/.exec(body)!;
  const push = "global.get 0 i32.const 8 i32.sub global.set 0 global.get 0 local.get 0 i64.extend_i32_u i64.store i32.const 0 local.set 0";
  return `${locals} local.get 0 i32.const 65535 i32.gt_u if ${push} end ${body.slice(locals.length)}`;
}

/** Compares what becomes of a function with what should: the same besides what it begins with, where nothing is given. */
function becomes(name: string, before: string, after = before, signature?: string): void {
  const wanted = assemble(name, signature ? after : takes(after), signature);
  assert.equal(disassemble(strip(by("go1.26.1", assemble(name, before, signature))).module), disassemble(wanted), name);
}

const begin = "(local i32 i64) global.get 0 local.set 1";
const address = 0x1000n << 16n; // that of the first function

const pushed = (place: bigint) => `local.get 1 i32.const 8 i32.sub local.tee 1 global.set 0 local.get 1 i64.const ${place} i64.store`;

test("a return address is passed to the function that is called", () => {
  const direct = (place: bigint, callee = 1) => `${pushed(place)} i32.const 0 call ${callee} drop`;
  const indirect = (given: string) => `i64.const 16 i64.shr_u i32.wrap_i64 local.set 0 ${given} local.get 0 call_indirect (type 0) drop`;
  becomes("direct", `${begin} ${direct(address + 1n)} i32.const 0`, `${begin} i32.const ${address + 1n} call 1 drop i32.const 0`);
  becomes("by address", `${begin} local.get 2 ${pushed(address + 1n)} ${indirect("i32.const 0")} i32.const 0`,
    `${begin} local.get 2 ${indirect(`i32.const ${address + 1n}`)} i32.const 0`);
  becomes("imported", `${begin} ${direct(address, 0)} i32.const 0`);
  becomes("of another function", `${begin} ${direct(address + 65536n)} i32.const 0`);
  becomes("by an address that is made otherwise", `${begin} local.get 2 ${pushed(address)} i32.wrap_i64 local.set 0 i32.const 0 local.get 0 call_indirect (type 0)`);
  becomes("it stays where it was", `${begin} i32.const 0 call 1`);
});

test("a return address is its function's number, once, and the place in it", () => {
  const call = (place: bigint) => `${pushed(address + place)} i32.const 0 call 1 drop`;
  const locals = "local.get 2 i64.const 1 i64.add local.set 2";
  const own = `(local i32 i32 i64) global.get 0 local.set 1 i32.const ${address} local.set 2`;
  becomes("two", `${begin} ${call(0n)} ${locals} ${call(70n)} i32.const 0`,
    `${own} local.get 2 call 1 drop local.get 3 i64.const 1 i64.add local.set 3 local.get 2 i32.const 70 i32.add call 1 drop i32.const 0`);
  becomes("one", `${begin} ${call(1n)} i32.const 0`, `${begin} i32.const ${address + 1n} call 1 drop i32.const 0`);
});

test("an offset from the stack pointer is in the instruction that uses it", () => {
  const far = (n: number | string) => `local.get 1 i64.extend_i32_u i64.const ${n} i64.add`;
  becomes("load", `${begin} ${far(24)} i32.wrap_i64 i32.load offset=4`, `${begin} local.get 1 i32.load offset=28`);
  becomes(
    "store what was computed",
    `${begin} ${far(24)} i32.wrap_i64 ${far(8)} i32.wrap_i64 i64.load local.tee 2 local.get 2 i64.eqz i64.extend_i32_u i64.add i64.store8 i32.const 0`,
    `${begin} local.get 1 local.get 1 i64.load offset=8 local.tee 2 local.get 2 i64.eqz i64.extend_i32_u i64.add i64.store8 offset=24 i32.const 0`,
  );
  becomes("the address is a value", `${begin} local.get 1 ${far(24)} i64.store i32.const 0`);
  becomes("the address is kept", `${begin} ${far(24)} i32.wrap_i64 local.tee 0 i32.load`);
  becomes("it is computed with", `${begin} ${far(24)} i32.wrap_i64 i32.const 1 i32.add i32.load`);
  becomes("it is stored", `${begin} local.get 1 ${far(24)} i32.wrap_i64 i32.store i32.const 0`);
  becomes("a call lies between", `${begin} ${far(24)} i32.wrap_i64 i32.const 0 call 0 i32.store i32.const 0`);
  becomes("below", `${begin} ${far(-8)} i32.wrap_i64 i32.load`);
  becomes("another register", `${begin} local.get 0 i64.extend_i32_u i64.const 8 i64.add i32.wrap_i64 i32.load`);
});

test("a frame is freed in one step", () => {
  const free = (n: number) => `local.get 1 i32.const ${n} i32.add local.tee 1 global.set 0`;
  const once = (n: number) => `local.get 1 i32.const ${n} i32.add global.set 0`;
  becomes("frame and address", `${begin} ${free(64)} ${free(8)} i32.const 0 return`, `${begin} ${once(72)} i32.const 0 return`);
  becomes("address", `${begin} ${free(8)} i32.const 1 return`, `${begin} ${once(8)} i32.const 1 return`);
  becomes("a call follows", `${begin} ${free(64)} i32.const 0 call 0 return`);
});

test("who leaves for another goroutine returns at once", () => {
  const call = "i32.const 0 call 0 global.get 0 local.set 1";
  const body = (leave: string, end = "i32.const 1") => `${begin} block block ${call} ${leave} end unreachable end ${end}`;
  becomes("exit", body("br_if 1"), body("if i32.const 1 return end"));
  becomes("another block", body("br_if 0"));
  becomes("another result", body("br_if 1", "i32.const 0"));
});

/** A function of four places, as the compiler writes it. What is in the third is given. */
const places = (third: string, header = "loop") => `${begin} ${header} block block block block
  local.get 0 br_table 0 (;0;) 0 (;1;) 1 (;2;) 2 (;3;) 3 end
  global.get 1 drop end ${third} end global.get 1 drop end global.get 1 drop end unreachable`;
const jump = (place: number, depth: number) => `i32.const ${place} local.set 0 br ${depth}`;

test("a jump forward goes there, and only one back needs the loop", () => {
  becomes("forward", places(jump(3, 2)), places("br 0", "block"));
  becomes("further", places(jump(4, 2)), places("br 1", "block"));
  becomes("further than the table", places(jump(9, 2)), places("br 1", "block"));
  becomes("if", places(`local.get 2 i64.eqz if ${jump(4, 3)} end`), places("local.get 2 i64.eqz br_if 1", "block"));
  becomes("else", places(`local.get 2 i64.eqz if ${jump(4, 3)} else global.get 1 drop end`), places("local.get 2 i64.eqz if br 2 else global.get 1 drop end", "block"));
  becomes("if with more in it", places(`local.get 2 i64.eqz if global.get 1 drop ${jump(4, 3)} end`), places("local.get 2 i64.eqz if global.get 1 drop br 2 end", "block"));
  becomes("back", places(jump(1, 2)));
  becomes("to itself", places(jump(2, 2)));
  becomes("both", places(`local.get 2 i64.eqz if ${jump(3, 3)} end ${jump(0, 2)}`), places(`local.get 2 i64.eqz br_if 0 ${jump(0, 2)}`));
});

test("jumps stay where the target is used otherwise", () => {
  becomes("read", places(`local.get 0 drop ${jump(3, 2)}`));
  becomes("kept", places(`i32.const 3 local.tee 0 drop ${jump(3, 2)}`));
  becomes("computed", places(`global.get 0 local.set 0 br 2`));
  becomes("a branch if", places(`i32.const 1 local.set 0 global.get 0 br_if 2 ${jump(3, 2)}`));
  becomes("a call by address", places(`i32.const 0 i32.const 7 local.set 0 i32.const 0 local.get 0 call_indirect (type 0) drop drop ${jump(3, 2)}`),
    places(`i32.const 0 i32.const 7 local.set 0 i32.const 0 local.get 0 call_indirect (type 0) drop drop br 0`, "block"));
});

/** Compares what becomes of a function of which it is known where it goes on after a panic, and what its places were. */
function numbers(name: string, before: string, after: string, pcs: number[] | undefined, deferReturn = [0, 0], sigpanic = 99): void {
  const known: Known = { sigpanic, framed: true, deferReturn: deferReturn[0]! };
  const module = Buffer.from(assemble(name, before));
  const parts = [module.subarray(0, 8)];
  for (const r = reader(module, 8); r.at < module.length; ) {
    const start = r.at;
    const [id, section] = [r.byte(), r.bytes(r.number())];
    const only = reader(section, 1); // the one function
    const body = id === 10 ? shrinkCode(only.bytes(only.number()), 0, (called) => called > 0, known) : undefined;
    const code = body && Buffer.concat([Buffer.from([1, ...leb(body.length)]), body]);
    parts.push(...(code ? [Buffer.from([id, ...leb(code.length)]), code] : [module.subarray(start, r.at)]));
  }
  const made = Buffer.concat(parts);
  assert.equal(disassemble(made), disassemble(assemble(name, takes(after))), name);
  assert.deepEqual(known.places?.before, pcs, name);
  assert.equal(known.places?.deferReturn ?? 0, deferReturn[1], name);
}

test("a place has a number where a call returns, a jump goes back or one forward across another place, and no other", () => {
  const call = (place: number) => `${pushed(address + BigInt(place))} i32.const 0 call 1 drop`;
  const now = (place: number) => `i32.const ${address + BigInt(place)} call 1 drop`;
  const other = "global.get 1 drop";
  const branch = (to: string) => `global.get 1 i64.eqz ${to}`;
  const of = (first: string, second: string, third: string) => `${begin} loop block block block block
    local.get 0 br_table 0 (;0;) 0 (;1;) 0 (;2;) 1 (;3;) 1 (;4;) 2 (;5;) 3 (;6;) end
    ${first} end ${second} end ${third} end unreachable end unreachable`;
  const twice = (place: number) => `local.get 2 i32.const ${place} i32.add call 1 drop`;
  const own = `(local i32 i32 i64) global.get 0 local.set 1 i32.const ${address} local.set 2`;
  numbers("calls", of(call(3), call(5), other), `${own} block block block block local.get 0 br_table 0 0 1 2 end ${twice(2)} end ${twice(3)} end ${other} unreachable end unreachable`, [0, 1, 3, 5]);
  numbers("a jump between places", of(call(3), branch(`if ${jump(6, 3)} end`), other),
    `${begin} block block block local.get 0 br_table 0 0 1 end ${now(2)} end block ${branch("br_if 0")} ${other} end unreachable end unreachable`, [0, 1, 3]);
  numbers("a jump across a place", of(branch(`if ${jump(6, 4)} end`), call(5), other),
    `${begin} block block block block local.get 0 br_table 0 0 1 2 end ${branch("br_if 1")} ${now(2)} end ${other} end unreachable end unreachable`, [0, 1, 5, 6]);
  numbers("a jump back", of(other, other, branch(`if ${jump(3, 2)} end`)),
    `${begin} loop block block local.get 0 br_table 0 0 1 end ${other} end ${other} ${branch(`if ${jump(2, 1)} end`)} unreachable end unreachable`, [0, 1, 3]);
  numbers("after a panic", of(other, other, other),
    `${begin} block block block local.get 0 br_table 0 0 1 end ${other} ${other} end ${other} unreachable end unreachable`, [0, 1, 5], [5, 2]);
  const check = (place: number) => branch(`if ${call(place)} end`);
  numbers("nil checks", of(check(1), check(2), other), `${own} block block local.get 0 br_table 0 0 end
    ${branch(`if ${twice(1)} end`)} ${branch(`if ${twice(1)} end`)} ${other} unreachable end unreachable`, [0, 1], [0, 0], 1);
  const plain = (first: string) => of(first, other, other).replace("loop", "block");
  numbers("a call that returns to no place", of(call(4), other, other), plain(now(4)), undefined);
  numbers("a number that is no return address", of(`i64.const ${address + 3n} drop`, other, other), plain(`i64.const ${address + 3n} drop`), undefined);
  const argument = (n: bigint) => `local.get 1 i64.const ${n} i64.store`;
  const frame = "local.get 1 i32.const 8 i32.sub local.tee 1 global.set 0";
  numbers("an argument that looks like a return address", of(`${frame} ${argument(address + 3n)} ${call(3)}`, other, other), plain(`${frame} ${argument(address + 3n)} ${now(3)}`), undefined);
  numbers("the place is read", of("local.get 0 drop", other, other), of("local.get 0 drop", other, other), undefined);
});

test("functions that are not Go's stay", () => {
  const frees = "local.get 1 i32.const 8 i32.add local.tee 1 global.set 0 i32.const 0 return";
  becomes("another type", `${begin} ${frees}`, undefined, "(param i64) (result i32)");
  becomes("what JavaScript calls", "local.get 0", "local.get 0", `(export "f") (param i32) (result i32)`);
  const calling = (body: string) => fromText("calling", `(module (type $go (func (param i32) (result i32))) (import "m" "f" (func $f (type $go))) (memory 1)
    (global $sp (mut i32) (i32.const 0)) (table 4098 funcref) (func $only (type $go) ${body}) (func $js (export "js") (type $go) local.get 0)
    (elem (i32.const 4096) $only $js) (data (i32.const 8) "x"))`);
  const call = `${begin} ${pushed(address)} i32.const 0 call 2`;
  assert.equal(disassemble(strip(by("go1.26.1", calling(call))).module), disassemble(calling(takes(call))), "its caller");
});

test("what is not known to be code of Go 1.26 is refused", () => {
  const go = `${begin} i32.const 0`;
  const refused = (error: RegExp, module: Uint8Array, version = "go1.26.1") => assert.throws(() => strip(by(version, module)), error);
  assert.doesNotThrow(() => strip(by("go1.26", assemble("known", go))));
  for (const version of ["go1.25.9", "go1.27.0", "go1.27rc1", "go1.26rc2", "go1.26.1-X:newabi", "devel go1.26-abcdef", "go1.260"]) refused(/knows the code of Go 1\.26, and not of .*go1\./, assemble("version", go), version);
  assert.throws(() => strip(assemble("no version", go)), /not of another compiler/);
  refused(/function 1 does not begin as those of Go 1\.26 do/, assemble("no stack pointer", "(local i32) global.get 0 drop i32.const 0"));
  refused(/function 1 does not begin/, assemble("two locals", "(local i32 i32) global.get 0 local.set 1 i32.const 0"));
  const text = (parts: string) => fromText("module", `(module ${parts} (memory 1) (global $sp (mut i32) (i32.const 0)) (func $only (param i32) (result i32) ${go}) (data (i32.const 8) "x"))`);
  const [type, imported] = ["(type $go (func (param i32) (result i32)))", `(import "m" "f" (func $f (param i32) (result i32)))`];
  const table = (at: number, all = "$only") => `(table 5000 funcref) (elem (i32.const ${at}) ${all})`;
  assert.doesNotThrow(() => strip(by("go1.26.1", text(`${type} ${imported} ${table(4096)}`))));
  refused(/the first type is not that of Go's functions/, text(`(type $other (func)) ${type} ${imported} ${table(4096)}`));
  refused(/the table does not have all functions/, text(`${type} ${imported} ${table(4097)}`));
  refused(/the table does not have all functions/, text(`${type} ${imported} ${table(4096, "$f")}`));
  refused(/the table does not have all functions/, text(`${type} ${imported} ${table(4096, "$only $only")}`));
  refused(/the table does not have all functions/, text(`${type} ${imported}`));
  refused(/m g is imported, and is no function/, text(`${type} ${imported} (import "m" "g" (global i32)) ${table(4096)}`));
});

test("there are as many functions as program counters of 32 bits have room for", () => {
  const of = (count: number) => {
    const functions = `(func (param i32) (result i32) ${begin} i32.const 0)`.repeat(count);
    const numbers = Array.from({ length: count }, (_, n) => n + 1).join(" ");
    return by("go1.26.1", fromText("many", `(module (type $go (func (param i32) (result i32))) (import "m" "f" (func $f (type $go))) (memory 1)
      (global $sp (mut i32) (i32.const 0)) (table 66000 funcref) ${functions} (elem (i32.const 4096) ${numbers}) (data (i32.const 8) "x"))`));
  };
  assert.doesNotThrow(() => strip(of(0xf000)));
  assert.throws(() => strip(of(0xf001)), /61441 functions, and only 61440/);
});

test("a package passes its tests as pages get it", () => {
  execFileSync("go", ["test", "-short", "-vet=off", "-gcflags=all=-l", "-exec", `node ${join(root, "web/scripts/exec.mjs")}`, "./shared/wire"], {
    cwd: root,
    encoding: "utf8",
    env: { ...process.env, GOOS: "js", GOARCH: "wasm" },
  });
});
