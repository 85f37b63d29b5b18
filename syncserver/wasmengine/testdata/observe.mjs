// V8 as an engine of the fuzz tests. A line of its input is a metered module and what it exports; the answer is a line:
// what calling all of it gave, told as observe of fuzz_test.go does.
import { createHash } from "node:crypto";
import { createInterface } from "node:readline";

const view = new DataView(new ArrayBuffer(8));
const words = [0n, 7n, 1n << 20n, 0x3ff8000000000000n];

/** A value of a kind by its bits. */
function value(kind, bits) {
  view.setBigUint64(0, BigInt.asUintN(kind === "i32" || kind === "f32" ? 32 : 64, bits), true);
  return { i32: () => view.getInt32(0, true), i64: () => view.getBigInt64(0, true), f32: () => view.getFloat32(0, true), f64: () => view.getFloat64(0, true) }[kind]();
}

function hex(kind, value) {
  if (kind === "i32") return (value >>> 0).toString(16);
  if (kind === "i64") return BigInt.asUintN(64, value).toString(16);
  if (Number.isNaN(value)) return kind === "f32" ? "7fc00000" : "7ff8000000000000";
  if (kind === "f32") view.setFloat32(0, value, true);
  else view.setFloat64(0, value, true);
  return (kind === "f32" ? view.getUint32(0, true) : view.getBigUint64(0, true)).toString(16);
}

const split = (signature) => signature.split("->").map((list) => list.split(" ").filter(Boolean));

function observe({ bytes, imports, exports, memory, fuel }) {
  const module = new WebAssembly.Module(Buffer.from(bytes, "base64"));
  const zeros = {};
  for (const { module, name, signature } of imports) {
    const results = split(signature)[1].map((kind) => value(kind, 0n));
    (zeros[module] ??= {})[name] = () => (results.length > 1 ? results : results[0]);
  }
  let all;
  try {
    all = new WebAssembly.Instance(module, zeros).exports;
  } catch {
    return ["no instance"];
  }
  const lines = [];
  for (const { name, signature } of exports) {
    const [params, results] = split(signature);
    for (const counter of ["frames", "slots", "oom"]) all[`__skerry_${counter}`].value = 0;
    all.__skerry_fuel.value = fuel;
    let line = name;
    let trapped = false;
    try {
      const given = all[name](...params.map((kind, i) => value(kind, words[(i + lines.length) % 4])));
      [given].flat().forEach((value, i) => (line += results[i] ? ` ${hex(results[i], value)}` : ""));
    } catch (thrown) {
      if (!(thrown instanceof WebAssembly.RuntimeError)) throw thrown;
      trapped = true;
    }
    if (memory) {
      const content = new Uint8Array(all[memory].buffer);
      line += ` memory ${content.length} ${createHash("sha256").update(content).digest("hex").slice(0, 12)}`;
    }
    const [left, frames, slots, oom] = ["fuel", "frames", "slots", "oom"].map((counter) => all[`__skerry_${counter}`].value);
    lines.push(`${line} | fuel ${left}, frames ${frames}, slots ${slots}, oom ${oom}, trapped ${trapped}`);
    if (trapped) break;
  }
  return lines;
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    answer = { lines: observe(JSON.parse(line)) };
  } catch (thrown) {
    answer = { fault: String(thrown?.stack ?? thrown) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
