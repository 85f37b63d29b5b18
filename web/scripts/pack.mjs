// Usage: node pack.mjs [--tarball FILE] [NAME...]
//
// Packs the library as npm publishes it, or takes a tarball of it that is there (a release's), installs the tarball beside a copy of the examples in build/pack, checks the
// package and the examples' types, and runs the tests in pack. The examples' own packages are installed by lock file,
// when that has changed.
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";

const web = join(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "..");
const { values: given, positionals: names } = parseArgs({ options: { tarball: { type: "string" } }, allowPositionals: true });
const examples = join(web, "examples");
const stage = join(web, "..", "build", "pack");
const run = (command, args, options = {}) => execFileSync(command, args, { cwd: stage, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], ...options });
const npm = (args, options) => run("npm", ["--loglevel=error", ...args], options);

mkdirSync(stage, { recursive: true });
for (const name of readdirSync(stage)) if (name !== "node_modules") rmSync(join(stage, name), { recursive: true });
for (const name of readdirSync(examples)) if (name !== "node_modules") cpSync(join(examples, name), join(stage, name), { recursive: true });

const lock = join(stage, "package-lock.json");
const installed = join(stage, "node_modules", ".installed-lock.json");
if (!existsSync(installed) || !readFileSync(installed).equals(readFileSync(lock))) {
  npm(["ci"]);
  cpSync(lock, installed);
}

let filename;
if (given.tarball) {
  filename = basename(given.tarball);
  cpSync(given.tarball, join(stage, filename));
} else {
  // No scripts: that would build again.
  const [packed] = JSON.parse(npm(["pack", "--json", "--ignore-scripts", "--pack-destination", stage], { cwd: web }));
  filename = packed.filename;
  console.log(`${filename}: ${packed.files.length} files, ${packed.size.toLocaleString("en")} bytes, unpacked ${packed.unpackedSize.toLocaleString("en")}`);
}
// By npm, but in a place of its own: beside other packages it would ask the registry what has become of those.
const alone = join(stage, "alone");
mkdirSync(alone);
npm(["install", "--prefix", alone, "--no-save", "--no-package-lock", "--offline", "--ignore-scripts", join(stage, filename)]);
rmSync(join(stage, "node_modules", "skerry"), { recursive: true, force: true });
cpSync(join(alone, "node_modules", "skerry"), join(stage, "node_modules", "skerry"), { recursive: true });
const tool = (path, ...args) => run(process.execPath, [join(stage, "node_modules", ...path), ...args], { stdio: "inherit" });
tool(["publint", "src", "cli.js"], join(stage, filename), "--strict");
tool(["typescript", "bin", "tsc"]);
tool(["typescript", "bin", "tsc"], "--module", "node16", "--target", "es2022", "--noEmit", "--strict", "--lib", "es2023,dom,dom.iterable", "--types", "vite/client", "types.ts");

execFileSync(process.execPath, [join(web, "scripts", "test.mjs"), "pack", ...names], { stdio: "inherit" });
