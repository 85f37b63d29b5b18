// Runs a Go program, compiled to WebAssembly, in Node as a page gets it: stripped. It is for go test:
//
//	GOOS=js GOARCH=wasm go test -exec "node web/scripts/exec.mjs" ./shared/wire
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { strip } from "./strip.mjs";

const [program, ...args] = process.argv.slice(2);
const stripped = `${program}.stripped`;
const { module, tables } = strip(readFileSync(program));
if (!tables) throw new Error("Go's tables are not laid out as pclntab.mjs expects");
writeFileSync(stripped, module);
const exec = join(execFileSync("go", ["env", "GOROOT"], { encoding: "utf8" }).trim(), "lib", "wasm", "wasm_exec_node.js");
const { status } = spawnSync(process.execPath, ["--stack-size=8192", exec, stripped, ...args], { stdio: "inherit" });
rmSync(stripped);
process.exit(status ?? 1);
