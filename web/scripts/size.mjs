// Prints what a page downloads, compressed by brotli, part by part beside what size.txt noted. It fails when the sum is
// above the limit there, and when it has grown by more than a hundredth over the noted one, so that nothing grows
// unseen. `npm run size -- --write` notes what is now.
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const web = join(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "..");
const dist = join(web, "dist");
const text = readFileSync(join(web, "size.txt"), "utf8");
const noted = new Map();
for (const [, bytes, name] of text.matchAll(/^\s*(\d+)\s+(\S+)$/gm)) noted.set(name, Number(bytes));
const limit = noted.get("limit");

if (!existsSync(join(dist, "build.json"))) {
  console.log("no build.json: build first");
  process.exit(1);
}
const build = JSON.parse(readFileSync(join(dist, "build.json"), "utf8"));
const again = new Set((build.last?.files ?? []).filter((name) => !build.files.includes(name)));
again.add("skerry.js"); // it is there with a hash too

// The library, its worker and its WebAssembly. The demo page is shown, and not counted.
const rows = [];
let sum = 0;
for (const name of readdirSync(dist, { recursive: true }).map(String).sort()) {
  if (!name.endsWith(".br") || again.has(name.slice(0, -3))) continue;
  const plain = name.slice(0, -3).replace(/-[0-9a-f]{12}\./, ".");
  const size = statSync(join(dist, name)).size;
  const counted = /^(skerry\.js|worker\.js|client\.wasm)$/.test(plain);
  if (counted) sum += size;
  rows.push([size, counted ? plain : `(${plain})`]);
}
rows.push([sum, "sum"]);
const bytes = (n) => n.toLocaleString("en").padStart(9);
console.log(`${"now".padStart(9)} ${"noted".padStart(9)} ${"growth".padStart(8)}`);
for (const [size, name] of rows) {
  const before = noted.get(name);
  console.log(bytes(size), before === undefined ? "new".padStart(9) : bytes(before), bytes(size - (before ?? 0)).slice(1), "", name);
}
console.log(`${bytes(limit)} is the limit: ${Math.abs(limit - sum).toLocaleString("en")} bytes ${sum > limit ? "above" : "below"} it`);

if (process.argv.includes("--write")) {
  const table = [...rows, [limit, "limit"]].map(([size, name]) => `${String(size).padStart(8)} ${name}`).join("\n");
  writeFileSync(join(web, "size.txt"), `${text.slice(0, text.search(/^\s*\d+\s+\S+$/m)).trimEnd()}\n\n${table}\n`);
}
if (sum > limit) {
  console.log("a page downloads more than it may: make it smaller");
  process.exit(1);
} else if (sum > noted.get("sum") * 1.01 && !process.argv.includes("--write")) {
  console.log("the sum grew by more than a hundredth: make it smaller, or note why: npm run size -- --write");
  process.exit(1);
}
