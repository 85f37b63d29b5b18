// Usage: node test.mjs DIR [NAME...] [-- FLAG...]
//
// Bundles the tests in DIR for Node, as it runs no TypeScript by itself, and runs them one file after the other,
// those that drive browsers two at a time.
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import * as esbuild from "esbuild";

const web = join(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "..");
const [dir, ...rest] = process.argv.slice(2);
const split = rest.indexOf("--");
const names = split < 0 ? rest : rest.slice(0, split);
const flags = split < 0 ? [] : rest.slice(split + 1);
const out = join(web, "node_modules", ".cache", `skerry-tests-${process.pid}`, dir); // another run has its own
process.once("exit", () => rmSync(join(out, ".."), { recursive: true, force: true }));
mkdirSync(out, { recursive: true });
const entryPoints = readdirSync(join(web, dir))
  .filter((name) => name.endsWith(".test.ts") && (names.length === 0 || names.some((n) => name.startsWith(n))))
  .map((name) => join(web, dir, name));
if (entryPoints.length === 0) {
  console.error(`no tests in ${dir}`);
  process.exit(1);
}
await esbuild.build({
  entryPoints,
  outdir: out,
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node20",
  packages: "external",
  sourcemap: "inline",
  outExtension: { ".js": ".mjs" },
  define: { __BUILD__: '"test"', __WORKER__: '"worker.js"', __WASM__: '"client.wasm"' },
  logLevel: "warning",
});
const concurrency = dir === "e2e" ? 2 : 1; // browsers wait more than they work
const files = readdirSync(out).map((name) => join(out, name));
const run = spawnSync(
  process.execPath,
  ["--enable-source-maps", "--test", `--test-concurrency=${concurrency}`, "--test-reporter=spec", ...flags, ...files],
  { cwd: web, stdio: "inherit", env: { ...process.env, SKERRY_ROOT: join(web, "..") } },
);
process.exit(run.status ?? 1);
