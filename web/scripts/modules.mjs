// Usage: node modules.mjs [--check]
//
// Assembles the modules that are written in the text format and writes each beside its source; with --check it only says
// which ones are not what their source gives. The bytes are committed, since Go's tests embed them.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import wabt from "wabt";

const root = join(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "..", "..");
const check = process.argv.includes("--check");
const { parseWat } = await wabt();
let stale = 0;
for (const dir of ["shared/module/moduletest/guests", "wasmclient/internal/jsengine/testdata"]) {
  const sources = readdirSync(join(root, dir)).filter((name) => name.endsWith(".wat"));
  if (sources.length === 0) throw new Error(`no modules in ${dir}`);
  for (const name of sources) {
    const path = join(root, dir, name);
    const module = parseWat(path, readFileSync(path, "utf8"), { bulk_memory: true, multi_value: true });
    module.validate();
    const bytes = Buffer.from(module.toBinary({}).buffer);
    module.destroy();
    const target = path.replace(/\.wat$/, ".wasm");
    if (!check) {
      writeFileSync(target, bytes);
    } else if (!bytes.equals(readFileSync(target))) {
      console.error(`${relative(root, target)} is not what its source gives: run make modules`);
      stale++;
    }
  }
}
process.exit(stale > 0 ? 1 : 0);
