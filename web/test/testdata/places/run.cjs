// Usage: node run.cjs WASM_EXEC FILE: runs places, and is what it imports.
"use strict";
const [wasmExec, file] = process.argv.slice(2);
globalThis.fs = require("node:fs");
require(wasmExec);
const go = new Go();
go.env = process.env;
go.exit = (code) => process.exit(code);
let program;
go.importObject.test = {
  back: (n) => program.nested(n - 1) + program.twice(n + 65536) + program.exchanging(BigInt(n), 0.5, n),
  later: (n) =>
    setTimeout(() => {
      console.log(program.twice(n), program.twice(n - 1), program.twice(5), program.exchanging(1n << 40n, 2, n), program.nested(70003), program.nested(9));
      program.say(n); // while Go waits for that
      resume();
    }, 1),
};
WebAssembly.instantiate(fs.readFileSync(file), go.importObject).then(({ instance }) => {
  program = instance.exports;
  return go.run(instance);
});
