// Usage: node trace.mjs [TABLES] < TRACE
//
// Copies a trace that a page printed, of Go (a panic in the console) or of the browser (wasm-function[N]), with names, files
// and lines in place of the numbers that strip.mjs leaves of them. TABLES is what the build wrote beside that very
// WebAssembly, client-*.pclntab.gz; without it, that of the build in dist.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { openTables } from "./pclntab.mjs";

const web = join(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "..");
const dist = join(web, "dist");
const built = () => join(dist, JSON.parse(readFileSync(join(dist, "build.json"), "utf8")).wasm.replace(/wasm$/, "pclntab.gz"));
const describe = openTables(gunzipSync(readFileSync(process.argv[2] ?? built())));

let number; // of the function that the line before named
for (const line of readFileSync(0, "utf8").split("\n")) {
  const place = number !== undefined && /^(\s*)\?:0(?: \+0x([0-9a-f]+))?/.exec(line);
  if (place) {
    const pc = parseInt(place[2] ?? "0", 16);
    const found = describe(number, Math.max(0, pc - 1)); // that of the call, and not where it returns to
    console.log(found ? line.replace("?:0", `${found.file}:${found.line}`) : line);
    number = undefined;
    continue;
  }
  number = undefined;
  const named = line.replace(/\b(?:program|runtime)\.\(\*([0-9a-f]{4})\)\.f\b/g, (text, digits) => {
    number = parseInt(digits, 16);
    return describe(number, 0)?.name ?? text;
  });
  console.log(named.replace(/wasm-function\[(\d+)\]/g, (text, digits) => describe(Number(digits), 0)?.name ?? text));
}
