// Prints what a page downloads, compressed by brotli, part by part beside what size.txt noted, and how far the sum is
// from the budget there. It fails when the sum has grown by more than a hundredth over the noted one, so that nothing
// grows unseen. `npm run size -- --write` notes what is now.
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const web = join(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "..");
const dist = join(web, "dist");
const text = readFileSync(join(web, "size.txt"), "utf8");
const noted = new Map();
for (const [, bytes, name] of text.matchAll(/^\s*(\d+)\s+(\S+)$/gm)) noted.set(name, Number(bytes));
const budget = noted.get("budget");

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
if (!rows.some(([, name]) => name === "client.wasm")) {
  console.log("no client.wasm: build first");
  process.exit(1);
}
rows.push([sum, "sum"]);
const bytes = (n) => n.toLocaleString("en").padStart(9);
console.log(`${"now".padStart(9)} ${"noted".padStart(9)} ${"growth".padStart(8)}`);
for (const [size, name] of rows) {
  const before = noted.get(name);
  console.log(bytes(size), before === undefined ? "new".padStart(9) : bytes(before), bytes(size - (before ?? 0)).slice(1), "", name);
}
const over = sum - budget;
console.log(`${bytes(budget)} is the budget: ${Math.abs(over).toLocaleString("en")} bytes ${over > 0 ? "over" : "within"} it`);

if (process.argv.includes("--write")) {
  const table = [...rows, [budget, "budget"]].map(([size, name]) => `${String(size).padStart(8)} ${name}`).join("\n");
  writeFileSync(join(web, "size.txt"), `${text.slice(0, text.search(/^\s*\d+\s+\S+$/m)).trimEnd()}\n\n${table}\n`);
} else if (sum > noted.get("sum") * 1.01) {
  console.log("the sum grew by more than a hundredth: make it smaller, or note why: npm run size -- --write");
  process.exit(1);
}
