// Versions of modules as syncserver/cmd/skerry/chains_test.go writes them: what the generator makes of each, and what the module says of itself.
import { encode } from "@msgpack/msgpack";
import * as esbuild from "esbuild";
import type { EventCode, ModuleCode } from "../src/declared.js";
import { fromHex } from "./root.js";

export interface Version {
  typescript: string;
  module: string;
  name: string;
  version: string;
  manifest: string;
  schemas: string[];
  meanings: Record<string, number[]>;
  bumps: Record<string, string>[];
}

/** Runs what the generator wrote. */
export async function codeOf({ typescript }: Version): Promise<ModuleCode> {
  const { code } = esbuild.transformSync(typescript, { loader: "ts", format: "esm" });
  return Object.values((await import(`data:text/javascript,${encodeURIComponent(code)}`)) as Record<string, ModuleCode>)[0]!;
}

/** What the worker tells of a module's tables. */
export function tablesOf({ module, name, version, manifest, schemas }: Version): Uint8Array {
  return encode([fromHex(module), name, version, [], fromHex(manifest), schemas.map(fromHex)]);
}

/** What a field may get where nobody said anything: its default, or what its lenses give. */
export function given(own: EventCode, at: number): unknown[] {
  return [undefined, own.fields[at]![3], ...(own.older ?? []).map((o) => o.from?.[at]?.[1])];
}
