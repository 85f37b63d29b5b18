// Usage: node run.mjs FILE [ARGUMENT...]
//
// Bundles a TypeScript program for Node, as it runs no TypeScript by itself, and runs it.
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { join, parse } from "node:path";
import * as esbuild from "esbuild";

const web = join(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "..");
const [file, ...args] = process.argv.slice(2);
const outfile = join(web, "node_modules", ".cache", `skerry-${parse(file).name}-${process.pid}.mjs`);
process.once("exit", () => rmSync(outfile, { force: true }));
await esbuild.build({
  entryPoints: [join(web, file)],
  outfile,
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node20",
  packages: "external",
  sourcemap: "inline",
  define: { __BUILD__: '"test"', __WORKER__: '"worker.js"', __WASM__: '"client.wasm"' },
  logLevel: "warning",
});
const run = spawnSync(process.execPath, ["--enable-source-maps", outfile, ...args], {
  cwd: web,
  stdio: "inherit",
  env: { ...process.env, SKERRY_ROOT: join(web, "..") },
});
process.exit(run.status ?? 1);
