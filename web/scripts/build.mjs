// Builds dist: the library, its worker and WebAssembly, the demo page and its service worker, all of one build.
// Names of what is loaded by the library carry a hash, so that pages of two builds never mix. Beside each file lie
// its compressed forms, which are cached by content because brotli at its best takes seconds. What was in dist before
// stays until all is built, and then makes way at once.
//
// The client's WebAssembly is built by the go command, whose own cache makes that quick.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import * as esbuild from "esbuild";
import { strip } from "./strip.mjs";

const web = join(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "..");
const cache = join(web, "node_modules", ".cache", "skerry");
const dist = join(cache, `dist-${process.pid}`); // renamed to web/dist at the end
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
// hashing keeps it, which costs nothing. What was tried besides: wasm-opt makes the file smaller and its compressed form
// larger; inlining in package runtime (+25 kB) makes the store's cold load faster, which a page hardly notices.
const built = join(cache, "client.wasm");
const flags = ["-trimpath", "-gcflags=all=-l", "-gcflags=github.com/zeebo/blake3/...=", "-ldflags=-s -w -buildid="];
go(["build", ...flags, "-o", built, "./wasmclient/cmd/client"], { GOOS: "js", GOARCH: "wasm" });
const { module: wasm, lines } = strip(readFileSync(built));
if (!lines) console.warn("Go's line tables are laid out as strip.mjs does not know: the WebAssembly keeps them and is larger");
const wasmName = `client-${hash(wasm)}.wasm`;
writeFileSync(join(dist, wasmName), wasm);
const wasmExec = join(go(["env", "GOROOT"]).trim(), "lib", "wasm", "wasm_exec.js");

const sources = [...list(join(web, "src")), ...list(join(web, "demo")), wasmExec, join(web, "package.json")];
const build = hash(wasm, ...sources.map((name) => readFileSync(name)));
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
  plugins: [
    {
      name: "wasm_exec",
      setup: (b) => b.onResolve({ filter: /^wasm_exec$/ }, () => ({ path: wasmExec, sideEffects: true })),
    },
  ],
});
const workerName = `worker-${hash(readFileSync(join(dist, "worker.js")))}.js`;
renameSync(join(dist, "worker.js"), join(dist, workerName));

await esbuild.build({
  ...common,
  entryPoints: [join(web, "src", "index.ts")],
  outfile: join(dist, "skerry.js"),
  format: "esm",
  define: { ...common.define, __WORKER__: JSON.stringify(workerName), __WASM__: JSON.stringify(wasmName) },
});

await esbuild.build({
  ...common,
  entryPoints: [...["main.ts", "theme.ts", "style.css"].map((name) => join(web, "demo", name))],
  outdir: join(dist, "demo"),
  format: "esm",
  plugins: [
    {
      name: "skerry", // the page imports the library as everybody does: the same file
      setup: (b) => b.onResolve({ filter: /^skerry$/ }, () => ({ path: "../skerry.js", external: true })),
    },
  ],
});
for (const name of ["index.html", "icon.svg"]) cpSync(join(web, "demo", name), join(dist, name));

const files = list(dist)
  .map((name) => name.slice(dist.length + 1).replaceAll("\\", "/"))
  .map((name) => (name === "index.html" ? "./" : name));
await esbuild.build({
  ...common,
  entryPoints: [join(web, "demo", "sw.ts")],
  outfile: join(dist, "sw.js"),
  format: "iife",
  define: { ...common.define, __FILES__: JSON.stringify(files) },
});

const tsc = join(web, "node_modules", "typescript", "bin", "tsc");
execFileSync(process.execPath, [tsc, "-p", join(web, "tsconfig.types.json"), "--outDir", join(dist, "types")], { stdio: "inherit" });

for (const name of list(dist)) {
  if (!/\.(js|wasm|css|html|svg)$/.test(name)) continue;
  const bytes = readFileSync(name);
  writeFileSync(`${name}.br`, cached(bytes, "br", brotli));
  writeFileSync(`${name}.gz`, cached(bytes, "gz", (b) => gzipSync(b, { level: 9 })));
}
writeFileSync(join(dist, "build.json"), JSON.stringify({ build, wasm: wasmName, worker: workerName }) + "\n");

const old = join(cache, `old-${process.pid}`);
if (existsSync(join(web, "dist"))) renameSync(join(web, "dist"), old);
renameSync(dist, join(web, "dist"));
rmSync(old, { recursive: true, force: true });

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
