// Usage: node size.mjs DIR BUDGET.json
//
// Prints what a page downloads from DIR, raw and as brotli 11, and fails when the sum is over the budget's `hard`.
// `skip` in the budget are regular expressions of files that no page needs to run Skerry.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants } from "node:zlib";

const [dir, budgetFile] = process.argv.slice(2);
const budget = JSON.parse(readFileSync(budgetFile, "utf8"));
const skip = budget.skip.map((s) => new RegExp(s));
const brotli = (bytes) =>
  brotliCompressSync(bytes, {
    params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length },
  }).length;

const files = readdirSync(dir, { recursive: true, withFileTypes: true })
  .filter((e) => e.isFile())
  .map((e) => join(e.parentPath ?? e.path, e.name).slice(join(dir, "/").length))
  .filter((name) => !skip.some((s) => s.test(name)))
  .sort();

let raw = 0;
let packed = 0;
const row = (a, b, name) => console.log(`${String(a).padStart(9)} ${String(b).padStart(9)}  ${name}`);
row("raw", "brotli", "");
for (const name of files) {
  const bytes = readFileSync(join(dir, name));
  const small = brotli(bytes);
  raw += bytes.length;
  packed += small;
  row(bytes.length, small, name);
}
row(raw, packed, `in all; wanted ${budget.wanted}, at most ${budget.hard}`);
if (!files.some((name) => name.endsWith(".wasm"))) {
  console.log(`${dir} holds no .wasm: build first`);
  process.exit(1);
}
if (packed > budget.hard) {
  console.log(`over the budget by ${packed - budget.hard} bytes`);
  process.exit(1);
}
