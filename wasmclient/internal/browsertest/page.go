//go:build !js

package main

import (
	"encoding/json"
	"strings"
)

// page starts the worker and reports what it could not catch itself.
const page = `<!doctype html><meta charset="utf-8"><title>Go test</title><script>
const failed = text => fetch("/output", { method: "POST", body: text + "\n" }).then(() => fetch("/exit", { method: "POST", body: "1" }));
const worker = new Worker("/worker.js");
worker.onerror = event => failed("browsertest: the worker failed: " + event.message);
</script>`

// script runs the test. What it prints is posted in order, one request after the other.
const script = `importScripts("/wasm_exec.js", "/glue.js");
let pending = [], posting = null, exited = false;
onerror = () => exited; // events that come after the program's end find nobody, which is no failure
const post = () => posting ??= (async () => {
  while (pending.length) {
    const parts = pending;
    pending = [];
    await fetch("/output", { method: "POST", body: new Blob(parts) });
  }
  posting = null;
})();
globalThis.fs.writeSync = (fd, buffer) => { pending.push(buffer.slice()); post(); return buffer.length; };
globalThis.fs.write = (fd, buffer, offset, length, position, callback) => {
  callback(null, globalThis.fs.writeSync(fd, buffer.subarray(offset, offset + length)));
};
(async () => {
  const go = new Go();
  let code = 1;
  go.argv = ARGV;
  go.env = Object.assign({ TMPDIR: "/tmp" }, ENV);
  go.exit = given => { code = given; exited = true; };
  try {
    go.importObject.skerry = skerryModules.imports;
    const { instance } = await WebAssembly.instantiateStreaming(fetch("/test.wasm"), go.importObject);
    skerryModules.begin(instance.exports);
    await go.run(instance);
  } catch (error) {
    pending.push(new TextEncoder().encode("browsertest: " + (error?.stack ?? error) + "\n"));
    code = 1;
  }
  while (posting || pending.length) await post();
  await fetch("/exit", { method: "POST", body: String(code) });
})();
`

// worker returns the script for one test.
func worker(args, env []string) string {
	variables := map[string]string{}
	for _, variable := range env {
		name, value, _ := strings.Cut(variable, "=")
		variables[name] = value
	}
	return strings.NewReplacer("ARGV", asJSON(args), "ENV", asJSON(variables)).Replace(script)
}

func asJSON(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic("browsertest: strings that are no JSON: " + err.Error())
	}
	return string(text)
}
