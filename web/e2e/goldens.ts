// What earlier versions left, see testdata/golden/README.md.
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliDecompressSync } from "node:zlib";
import { root } from "../test/root.js";

/** Where the golden directories are; SKERRY_GOLDEN names another place. */
export const golden = process.env["SKERRY_GOLDEN"] ?? join(root, "testdata", "golden");

/** Their names. */
export const goldenVersions: readonly string[] = existsSync(golden) ? readdirSync(golden).filter((name) => /^\d+$/.test(name)) : [];

/** Reads a file of one. */
export const readGolden = <T>(version: string, name: string) => JSON.parse(readFileSync(join(golden, version, name), "utf8")) as T;

/** Lays out the files that a server of an earlier version served. */
export function unpackGolden(version: string, into: string): void {
  cpSync(join(golden, version, "client"), into, { recursive: true });
  for (const name of readdirSync(into)) {
    if (name.endsWith(".wasm.br")) writeFileSync(join(into, name.slice(0, -3)), brotliDecompressSync(readFileSync(join(into, name))));
  }
}
