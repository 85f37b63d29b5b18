// Builds dist, which a server serves: the library, its worker and WebAssembly, the demo's pages and their service worker, all of one build.
// Names of what a page loads carry a hash, so that pages of two builds never mix; only what others link to does not:
// pages, skerry.js and sw.js. Files with a hash of the build before stay, for pages that are open while this one is
// deployed. Beside each file lie its compressed forms, which are cached by content because brotli at its best takes
// seconds. Builds lib too, which npm publishes: the library alone, under names without hashes, as bundlers add their own.
// What was there stays until all is built, and then makes way at once.
//
// Usage: node build.mjs [--last DIR] [--out DIR [--salt TEXT]]
//
// The build before is the one in dist; where that starts empty, as in CI, --last names a directory that has the last
// release's dist. --out builds dist alone, in another place, and --salt makes that another build of the same sources, without
// compressed forms, for tests of what happens when one follows the other.
//
// The client's WebAssembly is built by the go command, whose own cache makes that quick. It says nothing of the checkout that it comes from: equal
// sources give equal bytes.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import * as esbuild from "esbuild";
import { licenses } from "./licenses.mjs";
import { strip } from "./strip.mjs";

const web = join(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "..");
const text = { type: "string" };
const { values: given } = parseArgs({ options: { last: text, out: text, salt: text } });
const out = given.out ?? join(web, "dist");
const last = given.last ?? out;
const salt = given.salt ?? "";
const cache = join(web, "node_modules", ".cache", "skerry");
const dist = join(cache, `dist-${process.pid}`); // renamed to its place at the end
const go = (args, env = {}) =>
  execFileSync("go", args, { cwd: join(web, ".."), env: { ...process.env, ...env }, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
const hash = (...parts) => {
  const sum = createHash("sha256");
  for (const part of parts) sum.update(part);
  return sum.digest("hex").slice(0, 12);
};
const list = (dir) =>
  readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();

mkdirSync(cache, { recursive: true });
process.once("exit", () => rmSync(dist, { recursive: true, force: true }));
mkdirSync(join(dist, "demo"), { recursive: true });

// The client's WebAssembly, and Go's own script that starts it. Without inlining it is a tenth smaller when compressed;
// hashing keeps it, which costs nothing, and the wire's codec and msgpack, 3 kB that are a third of its speed. What was tried
// besides: wasm-opt makes the file smaller and its compressed form larger; inlining in package runtime (+25 kB) makes
// the store's cold load faster, which a page hardly notices.
const built = join(cache, `client-${process.pid}.wasm`);
process.once("exit", () => rmSync(built, { force: true }));
const inlined = ["github.com/zeebo/blake3/...", "skerry/shared/msgpack", "skerry/shared/wire"];
// The tag has the hashing ask for no features of a processor, of which WebAssembly has none: what asks brings package flag
// and the tables of Unicode, 12 kB.
const tags = "-tags=purego";
// Of Go's own packages these are replaced by what a page needs of them: 16 kB. If a version of Go has other ones, it does not compile.
const goroot = go(["env", "GOROOT"]).trim();
const std = join(web, "scripts", "_std");
const overlay = join(cache, `overlay-${process.pid}.json`);
const replaced = list(std).map((file) => [join(goroot, "src", file.slice(std.length)), file]);
writeFileSync(overlay, JSON.stringify({ Replace: Object.fromEntries(replaced) }));
process.once("exit", () => rmSync(overlay, { force: true }));
const flags = [tags, "-overlay", overlay, "-trimpath", "-buildvcs=false", "-gcflags=all=-l", ...inlined.map((packages) => `-gcflags=${packages}=`), "-ldflags=-s -w -buildid="];
go(["build", ...flags, "-o", built, "./wasmclient/cmd/client"], { GOOS: "js", GOARCH: "wasm" });
const { module: wasm, tables } = strip(readFileSync(built));
if (!tables) throw new Error("Go's tables are laid out as pclntab.mjs does not know");
const wasmID = hash(wasm, salt);
const wasmName = `client-${wasmID}.wasm`;
writeFileSync(join(dist, wasmName), Buffer.concat([wasm, section("skerry", wasmID)])); // the worker compares it
const wasmExec = join(goroot, "lib", "wasm", "wasm_exec.js");

const glue = join(web, "..", "wasmclient", "internal", "jsengine", "glue.js");

const sources = [...list(join(web, "src")), ...list(join(web, "demo")), wasmExec, glue, join(web, "package.json")];
const build = hash(wasm, salt, ...sources.map((name) => readFileSync(name)));
const common = {
  bundle: true,
  minify: true,
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  logLevel: "warning",
  define: { __BUILD__: JSON.stringify(build) },
};

await esbuild.build({
  ...common,
  entryPoints: [join(web, "src", "worker.ts")],
  outfile: join(dist, "worker.js"),
  format: "iife",
  define: { ...common.define, __WASM_ID__: JSON.stringify(wasmID) },
  plugins: [
    {
      name: "scripts beside Go",
      setup: (b) => {
        b.onResolve({ filter: /^wasm_exec$/ }, () => ({ path: wasmExec, sideEffects: true }));
        b.onResolve({ filter: /^jsengine_glue$/ }, () => ({ path: glue, sideEffects: true }));
      },
    },
  ],
});
const workerName = hashed("worker.js");

/** Builds the library; it finds its worker and WebAssembly beside itself. */
async function buildLibrary(outfile, worker, wasm) {
  const define = { ...common.define, __WORKER__: JSON.stringify(`./${worker}`), __WASM__: JSON.stringify(`./${wasm}`) };
  await esbuild.build({ ...common, entryPoints: [join(web, "src", "index.ts")], outfile, format: "esm", define });
  // Bundlers take the two addresses for files to copy. Inside `new Worker` they would bundle the worker once more.
  const text = readFileSync(outfile, "utf8");
  for (const name of [worker, wasm]) {
    if (!text.includes(`new URL("./${name}",import.meta.url)`)) throw new Error(`bundlers would not find ${name} in ${outfile}`);
  }
  if (/new Worker\(new URL/.test(text)) throw new Error(`bundlers would bundle the worker in ${outfile}`);
}
await buildLibrary(join(dist, "skerry.js"), workerName, wasmName);
const libraryName = hashed("skerry.js", true);

// The demo: its pages say which scripts and styles they need.
const pages = readdirSync(join(web, "demo")).filter((name) => name.endsWith(".html"));
const loaded = /\.\/demo\/([a-z]+)\.(js|css)/g;
const texts = new Map(pages.map((page) => [page, readFileSync(join(web, "demo", page), "utf8")]));
const entries = new Set([...texts.values()].flatMap((text) => [...text.matchAll(loaded)].map(([, name, type]) => `${name}.${type.replace("js", "ts")}`)));
await esbuild.build({
  ...common,
  entryPoints: [...entries].map((name) => join(web, "demo", name)),
  outdir: join(dist, "demo"),
  format: "esm",
  loader: { ".wasm": "binary" }, // the rooms' module
  plugins: [
    {
      name: "skerry", // the page imports the library as everybody does: the same file
      setup: (b) => b.onResolve({ filter: /^skerry$/ }, () => ({ path: `../${libraryName}`, external: true })),
    },
  ],
});
const names = new Map(list(join(dist, "demo")).map((name) => name.slice(dist.length + 1).replaceAll("\\", "/")).map((name) => [`./${name}`, `./${hashed(name)}`]));
for (const [page, text] of texts) writeFileSync(join(dist, page), text.replace(loaded, (reference) => names.get(reference)));
cpSync(join(web, "demo", "icon.svg"), join(dist, "icon.svg"));

// The service worker takes each file only if it is this build's.
const files = list(dist)
  .map((name) => name.slice(dist.length + 1).replaceAll("\\", "/"))
  .filter((name) => name !== "skerry.js"); // the demo has it by its other name
const integrity = (name) => `sha256-${createHash("sha256").update(readFileSync(join(dist, name))).digest("base64")}`;
await esbuild.build({
  ...common,
  entryPoints: [join(web, "demo", "sw.ts")],
  outfile: join(dist, "sw.js"),
  format: "iife",
  define: { ...common.define, __FILES__: JSON.stringify(files.map((name) => [name === "index.html" ? "./" : name, integrity(name)])) },
});

for (const name of list(dist)) {
  if (salt || !/\.(js|wasm|css|html|svg)$/.test(name)) continue;
  const bytes = readFileSync(name);
  writeFileSync(`${name}.br`, cached(bytes, "br", brotli));
  writeFileSync(`${name}.gz`, cached(bytes, "gz", (b) => gzipSync(b, { level: 9 })));
}

writeFileSync(join(dist, "licenses.txt"), licenses(web, go, tags));
const tablesName = wasmName.replace(/wasm$/, "pclntab.gz"); // for trace.mjs
writeFileSync(join(dist, tablesName), cached(tables, "gz", (b) => gzipSync(b, { level: 9 })));

const before = existsSync(join(last, "build.json")) ? JSON.parse(readFileSync(join(last, "build.json"), "utf8")) : {};
const kept = before.build === build ? before.last : before.files && { build: before.build, files: before.files };
for (const name of kept?.files ?? []) {
  for (const form of [name, `${name}.br`, `${name}.gz`]) {
    if (!existsSync(join(dist, form))) cpSync(join(last, form), join(dist, form));
  }
}
const own = files.filter((name) => /-[0-9a-f]{12}\./.test(name));
writeFileSync(join(dist, "build.json"), JSON.stringify({ build, wasm: wasmName, worker: workerName, files: own, last: kept }) + "\n");

replace(out, dist);

if (!given.out) {
  const lib = join(cache, `lib-${process.pid}`);
  process.once("exit", () => rmSync(lib, { recursive: true, force: true }));
  mkdirSync(lib);
  cpSync(join(out, workerName), join(lib, "worker.js"));
  cpSync(join(out, wasmName), join(lib, "client.wasm"));
  cpSync(join(out, "licenses.txt"), join(lib, "licenses.txt"));
  cpSync(join(out, tablesName), join(lib, "client.pclntab.gz"));
  await buildLibrary(join(lib, "skerry.js"), "worker.js", "client.wasm");
  const tsc = join(web, "node_modules", "typescript", "bin", "tsc");
  execFileSync(process.execPath, [tsc, "-p", join(web, "tsconfig.types.json"), "--outDir", join(lib, "types")], { stdio: "inherit" });
  cpSync(join(web, "src", "asset.d.ts"), join(lib, "types", "asset.d.ts"));
  replace(join(web, "lib"), lib);
}

/** Puts a directory in the place of another one. */
function replace(place, made) {
  const old = join(cache, `old-${process.pid}`);
  if (existsSync(place)) renameSync(place, old);
  renameSync(made, place);
  rmSync(old, { recursive: true, force: true });
}

function brotli(bytes) {
  const { BROTLI_PARAM_QUALITY, BROTLI_PARAM_LGWIN, BROTLI_PARAM_SIZE_HINT } = constants;
  const params = { [BROTLI_PARAM_QUALITY]: 11, [BROTLI_PARAM_LGWIN]: 24, [BROTLI_PARAM_SIZE_HINT]: bytes.length };
  return brotliCompressSync(bytes, { params });
}

function cached(bytes, suffix, compress) {
  const name = join(cache, `${createHash("sha256").update(compress.toString()).update(bytes).digest("hex")}.${suffix}`);
  if (!existsSync(name)) writeFileSync(name, compress(bytes));
  return readFileSync(name);
}

/** Gives a file in dist the name that carries its hash, or a copy of it, and returns that name. */
function hashed(name, copy = false) {
  const bytes = readFileSync(join(dist, name));
  const renamed = name.replace(/\.([a-z]+)$/, `-${hash(bytes)}.$1`);
  (copy ? cpSync : renameSync)(join(dist, name), join(dist, renamed));
  return renamed;
}

/** A section for whoever reads WebAssembly; it does nothing. */
function section(name, text) {
  const content = Buffer.concat([Buffer.from([name.length]), Buffer.from(name + text)]);
  return Buffer.concat([Buffer.from([0, content.length]), content]);
}
