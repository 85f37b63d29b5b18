import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** The root of the tree. */
export const root = process.env["SKERRY_ROOT"] ?? join(process.cwd(), "..");

/** Reads every JSON file of a directory of the tree; there must be some. */
export function readVectors<T>(dir: string): [name: string, content: T][] {
  const names = readdirSync(join(root, dir)).filter((name) => name.endsWith(".json"));
  if (names.length === 0) throw new Error(`no vectors in ${dir}`);
  return names.map((name) => [name, JSON.parse(readFileSync(join(root, dir, name), "utf8")) as T]);
}

export function fromHex(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, "hex"));
}
