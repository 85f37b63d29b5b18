// The licenses of what is built into the client and the demo: they ask to come with every copy.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Returns their texts, given how to run the go command and with which tags, and fails where one is missing. */
export function licenses(web, go, tags) {
  const js = { GOOS: "js", GOARCH: "wasm" };
  const format = "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}\t{{.Dir}}{{end}}{{end}}";
  const modules = new Set(go(["list", tags, "-deps", "-f", format, "./wasmclient/cmd/client"], js).split("\n").filter(Boolean));
  const packages = ["@msgpack/msgpack", "@noble/hashes"].map((name) => {
    const dir = join(web, "node_modules", name);
    return [`${name} ${JSON.parse(readFileSync(join(dir, "package.json"), "utf8")).version}`, dir];
  });
  const parts = [
    ["Go, its standard library and wasm_exec.js", go(["env", "GOROOT"]).trim()],
    ...[...modules].sort().map((line) => line.split("\t")),
    ...packages,
  ];
  return parts
    .map(([name, dir]) => {
      const file = readdirSync(dir).find((file) => /^(licen[cs]e|copying)/i.test(file));
      if (!file) throw new Error(`${name} has no license in ${dir}`);
      return `${name}\n${"=".repeat(name.length)}\n\n${readFileSync(join(dir, file), "utf8").trim()}\n`;
    })
    .join("\n\n");
}
