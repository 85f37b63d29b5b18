// Runs a Go test that was built for js in Node, with the glue of package jsengine around it as a page's worker has it:
// node judge.mjs wasm_exec.js glue.js test.wasm flags.
import { readFileSync } from "node:fs";
import * as fs from "node:fs";
import { runInThisContext } from "node:vm";

const [exec, glue, test, ...flags] = process.argv.slice(2);
globalThis.fs = fs;
for (const script of [exec, glue]) runInThisContext(readFileSync(script, "utf8"), script);
const go = new Go();
go.argv = [test, ...flags];
go.env = { TMPDIR: "/tmp", SKERRY_TRIALS: process.env.SKERRY_TRIALS };
go.exit = (code) => process.exit(code);
go.importObject.skerry = skerryModules.imports;
const { instance } = await WebAssembly.instantiate(readFileSync(test), go.importObject);
skerryModules.begin(instance.exports);
await go.run(instance);
