// Reads and writes the instructions of a WebAssembly function. A branch names the block that it leaves, in place of how many
// blocks there are between, and the end of a block its beginning: so instructions can come and go.
import { leb, reader } from "./binary.mjs";

export const op = {
  unreachable: 0x00,
  block: 0x02,
  loop: 0x03,
  if: 0x04,
  else: 0x05,
  end: 0x0b,
  br: 0x0c,
  brIf: 0x0d,
  brTable: 0x0e,
  return: 0x0f,
  call: 0x10,
  callIndirect: 0x11,
  drop: 0x1a,
  select: 0x1b,
  localGet: 0x20,
  localSet: 0x21,
  localTee: 0x22,
  globalGet: 0x23,
  globalSet: 0x24,
  i32Load: 0x28,
  i64Load32U: 0x35,
  i32Store: 0x36,
  i64Store: 0x37,
  i64Store32: 0x3e,
  memorySize: 0x3f,
  memoryGrow: 0x40,
  i32Const: 0x41,
  i64Const: 0x42,
  f32Const: 0x43,
  f64Const: 0x44,
  i32GtU: 0x4b,
  i32Add: 0x6a,
  i32Sub: 0x6b,
  i64Add: 0x7c,
  i32WrapI64: 0xa7,
  i64ExtendI32U: 0xad,
  lastPlain: 0xc4,
  prefix: 0xfc,
};
export const noResult = 0x40; // the type of a block
const [saturate, memoryCopy, memoryFill] = [7, 10, 11]; // behind the prefix: the last of those that truncate, and others

/** A function without its size: groups of locals, each a number and a type, and instructions. */
export function decode(body) {
  const r = reader(body, 0);
  const locals = Array.from({ length: r.number() }, () => ({ n: r.number(), type: r.byte() }));
  const list = [];
  const open = [];
  const label = (depth) => open[open.length - 1 - depth]; // undefined: the function
  while (r.at < body.length) {
    const start = r.at;
    const i = { op: r.byte() };
    if (i.op === op.block || i.op === op.loop || i.op === op.if) {
      i.type = r.byte();
      open.push(i);
    } else if (i.op === op.end) {
      i.of = open.pop();
    } else if (i.op === op.br || i.op === op.brIf) {
      i.to = label(r.number());
    } else if (i.op === op.brTable) {
      i.all = Array.from({ length: r.number() + 1 }, () => label(r.number()));
    } else if (i.op === op.call || (i.op >= op.localGet && i.op <= op.globalSet)) {
      i.n = r.number();
    } else if (i.op >= op.i32Load && i.op <= op.i64Store32) {
      i.align = r.number();
      i.n = r.number();
    } else if (i.op === op.i32Const || i.op === op.i64Const) {
      i.n = r.signed();
    } else {
      skip(r, i.op);
      i.bytes = body.subarray(start, r.at);
    }
    list.push(i);
  }
  return { locals, list };
}

/** Reads past what an instruction has that nobody here looks into. */
function skip(r, code) {
  const plain = (code >= 0x45 && code <= op.lastPlain) || [op.unreachable, 0x01, op.else, op.return, op.drop, op.select].includes(code);
  if (plain) return;
  if (code === op.f32Const) r.bytes(4);
  else if (code === op.f64Const) r.bytes(8);
  else if (code === op.memorySize || code === op.memoryGrow) r.bytes(1);
  else if (code === op.callIndirect) r.number(), r.number();
  else if (code === op.prefix) {
    const second = r.number();
    if (second === memoryCopy) r.bytes(2);
    else if (second === memoryFill) r.bytes(1);
    else if (second > saturate) throw new Error(`instruction 0xfc ${second} is not known`);
  } else throw new Error(`instruction 0x${code.toString(16)} is not known`);
}

/** The form that decode reads. */
export function encode({ locals, list }) {
  const bytes = leb(locals.length);
  for (const { n, type } of locals) bytes.push(...leb(n), type);
  const open = [];
  const depth = (block) => leb(block === undefined ? open.length : open.length - 1 - open.lastIndexOf(block));
  for (const i of list) {
    if (i.bytes) {
      bytes.push(...i.bytes);
      continue;
    }
    bytes.push(i.op);
    if (i.type !== undefined) {
      bytes.push(i.type);
      open.push(i);
    } else if (i.op === op.end) {
      open.pop();
    } else if (i.op === op.br || i.op === op.brIf) {
      bytes.push(...depth(i.to));
    } else if (i.all) {
      bytes.push(...leb(i.all.length - 1), ...i.all.flatMap(depth));
    } else if (i.align !== undefined) {
      bytes.push(...leb(i.align), ...leb(i.n));
    } else if (i.op === op.i32Const || i.op === op.i64Const) {
      bytes.push(...signed(i.n));
    } else if (i.n !== undefined) {
      bytes.push(...leb(i.n));
    }
  }
  return Buffer.from(bytes);
}

/** Whether an instruction is of a kind, and has a number if one is given. */
export const is = (i, code, n) => i !== undefined && i.op === code && (n === undefined || i.n === n || i.n === BigInt(n));

/** How many values an instruction takes and gives, or undefined where control does not simply go on to the next. */
export function effect(i) {
  const at = (first, last) => i.op >= first && i.op <= last;
  if (i.op === op.localGet || i.op === op.globalGet || at(op.i32Const, op.f64Const)) return [0, 1];
  if (i.op === op.localSet || i.op === op.drop) return [1, 0];
  if (i.op === op.localTee || at(op.i32Load, op.i64Load32U) || i.op === 0x45 || i.op === 0x50) return [1, 1]; // 0x45, 0x50: eqz
  if (at(op.i32Store, op.i64Store32)) return [2, 0];
  if (i.op === op.select) return [3, 1];
  if (at(0x67, 0x69) || at(0x79, 0x7b) || at(0x8b, 0x91) || at(0x99, 0x9f) || at(0xa7, op.lastPlain)) return [1, 1]; // of one number
  if (at(0x46, 0xa6)) return [2, 1]; // of two
  return undefined;
}

/** The LEB128 form of a number with a sign. */
function signed(n) {
  const bytes = [];
  for (; n < -64n || n > 63n; n >>= 7n) bytes.push(Number(n & 127n) | 128);
  return [...bytes, Number(n & 127n)];
}
