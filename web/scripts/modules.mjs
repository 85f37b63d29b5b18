// Usage: node modules.mjs [--check]
//
// Makes the modules that this repository holds the sources of, and writes each beside its source: those in the text format
// (.wat), and those in AssemblyScript (.ts). With --check it only says which ones are not what their source gives. The bytes are
// committed, since Go embeds them.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { blake3 } from "@noble/hashes/blake3";
import wabt from "wabt";
import { compile } from "../module-sdk/compile.mjs";

const root = join(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "..", "..");
const builtins = join(root, "shared/module/builtin");
const system = join(root, "shared/module/system");
const guests = join(root, "shared/module/moduletest/guests");
const demo = join(root, "web/demo/module");
const check = process.argv.includes("--check");
const { parseWat } = await wabt();
let stale = 0;

for (const dir of [join(root, "shared/module/guest/link"), guests, join(root, "wasmclient/internal/jsengine/testdata")]) {
  for (const path of sources(dir, ".wat")) {
    const module = parseWat(path, readFileSync(path, "utf8"), { bulk_memory: true, multi_value: true });
    module.validate();
    write(path.replace(/\.wat$/, ".wasm"), Buffer.from(module.toBinary({}).buffer));
    module.destroy();
  }
}
for (const dir of [builtins, system, guests, demo]) {
  for (const path of sources(dir, ".ts")) {
    const { bytes, manifest } = await compile(path);
    const target = path.replace(/\.ts$/, ".wasm");
    if (dir === builtins || dir === system) keepReleased(target, bytes, manifest);
    write(target, bytes);
  }
}
process.exit(stale > 0 ? 1 : 0);

function sources(dir, ext) {
  const names = readdirSync(dir).filter((name) => name.endsWith(ext));
  if (names.length === 0) throw new Error(`no ${ext} modules in ${dir}`);
  return names.map((name) => join(dir, name));
}

function write(target, bytes) {
  if (existsSync(target) && bytes.equals(readFileSync(target))) return;
  if (check) {
    console.error(`${relative(root, target)} is not what its source gives: run make modules`);
    stale++;
    return;
  }
  writeFileSync(target, bytes);
}

/** Before a module that was released is written anew, keeps it under its version; the new one has another. */
function keepReleased(target, bytes, { name, version }) {
  if (!existsSync(target)) return;
  const before = readFileSync(target);
  const digest = Buffer.from(blake3(before)).toString("hex");
  const line = readFileSync(join(builtins, "released/list.txt"), "utf8").split("\n").find((line) => line.endsWith(` ${digest}`));
  if (!line || before.equals(bytes)) return;
  if (line.startsWith(`${name} ${version} `)) throw new Error(`${name} ${version} was released: another one needs another version`);
  if (!check) writeFileSync(join(builtins, "released", `${name}-${line.split(" ")[1]}.wasm`), before);
}
