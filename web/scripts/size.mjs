// Prints what a page downloads, compressed by brotli, beside what size.txt says it was, and fails over the budget
// there. `npm run size -- --write` brings size.txt up to date.
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const web = join(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "..");
const dist = join(web, "dist");
const noted = new Map();
let hard = 800_000;
for (const line of readFileSync(join(web, "size.txt"), "utf8").split("\n")) {
  const match = /^\s*(\d+)\s+(\S+)$/.exec(line);
  if (match && match[2] === "budget") hard = Number(match[1]);
  else if (match) noted.set(match[2], Number(match[1]));
}

// The library, its worker and its WebAssembly. The demo page is shown, and not counted.
const rows = [];
let sum = 0;
for (const name of readdirSync(dist, { recursive: true }).map(String).sort()) {
  if (!name.endsWith(".br")) continue;
  const plain = name.slice(0, -3).replace(/-[0-9a-f]{12}\./, ".");
  const size = statSync(join(dist, name)).size;
  const counted = /^(skerry\.js|worker\.js|client\.wasm)$/.test(plain);
  if (counted) sum += size;
  rows.push([size, counted ? plain : `(${plain})`]);
}
rows.push([sum, "sum"]);
for (const [size, name] of rows) {
  const before = noted.get(name);
  console.log(String(size).padStart(8), before === undefined ? "     new" : String(size - before).padStart(8), "", name);
}
console.log(String(hard).padStart(8), "         budget");
if (process.argv.includes("--write")) {
  const lines = [...rows, [hard, "budget"]].map(([size, name]) => `${String(size).padStart(8)} ${name}`);
  writeFileSync(join(web, "size.txt"), `Bytes by brotli; what is in brackets is the demo's.\n${lines.join("\n")}\n`);
}
if (!rows.some(([, name]) => name === "client.wasm") || sum > hard) {
  console.log(sum > hard ? `over the budget by ${sum - hard} bytes` : "no client.wasm: build first");
  process.exit(1);
}
