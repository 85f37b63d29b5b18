// Modules for tests.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { encode } from "@msgpack/msgpack";
import { root } from "../test/root.js";

/** What a module says of itself. */
export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly abi: number;
  readonly events?: readonly EventType[];
  readonly tables?: readonly Table[];
  readonly upgrade?: "carry" | "replay";
  readonly [more: string]: unknown;
}

export interface Field {
  readonly name: string;
  readonly type: string;
  readonly optional: boolean;
  readonly default?: unknown;
}

/** An event type, with earlier declarations and how they are read. */
export interface EventType {
  readonly name: string;
  readonly fields: readonly Field[];
  readonly older?: readonly { readonly fields: readonly Field[]; readonly [lens: string]: unknown }[];
  readonly removed?: boolean;
}

export interface Table {
  readonly name: string;
  readonly columns: readonly Field[];
  readonly key: readonly string[];
  readonly indexes?: readonly { readonly name: string; readonly columns: readonly string[]; readonly unique?: boolean }[];
}

/**
 * Returns the module of the conformance suite's chat, with a manifest as another language makes it; of another version, and
 * with another name for its messages, if that is said, and then changed.
 */
export function chat(version = "1.0.0-e2e", messages = "messages", change = (manifest: Manifest) => manifest): Uint8Array {
  const manifest: Manifest = {
    name: "chat",
    version,
    abi: 1,
    io: 1 << 16,
    events: [
      { name: "message", fields: [field("room", "text"), field("text", "text")] },
      { name: "edit", fields: [field("seq", "u64"), field("text", "text")] },
      { name: "remove", fields: [field("seq", "u64")] },
      { name: "join", fields: [field("name", "text"), field("age", "i64", true)] },
      { name: "stats", fields: [field("room", "text")] },
    ],
    tables: [
      {
        name: messages,
        columns: [field("seq", "u64"), field("author", "text"), field("room", "text"), field("text", "text")],
        key: ["seq"],
        indexes: [{ name: "by_room", columns: ["room"] }, { name: "by_author", columns: ["author", "room"] }],
      },
      {
        name: "users",
        columns: [field("author", "text"), field("name", "text"), field("age", "i64", true)],
        key: ["author"],
        indexes: [{ name: "by_name", columns: ["name"], unique: true }, { name: "by_age", columns: ["age"] }],
      },
      { name: "rooms", columns: [field("room", "text"), field("count", "u64"), field("last", "u64")], key: ["room"] },
    ],
    readable: ["users"],
    upgrade: "carry",
    something: "that a later version says",
  };
  return module(guest("chat"), encode(change(manifest)));
}

/** Returns the conformance suite's list of members, who alone may read: `add` and `remove` with `who`, and `note` with `text`. It migrates. */
export function members(version = "1.0.0-e2e", list = "members", change = (manifest: Manifest) => manifest): Uint8Array {
  const who = [field("who", "text")];
  const manifest: Manifest = {
    name: "members",
    version,
    abi: 1,
    raw: true, // so that it is asked who may upgrade
    events: [{ name: "add", fields: who }, { name: "remove", fields: who }, { name: "note", fields: [field("text", "text")] }],
    tables: [
      { name: list, columns: who, key: ["who"] },
      { name: "notes", columns: [field("seq", "u64"), field("text", "text")], key: ["seq"] },
    ],
    readable: [list],
    audience: list,
    upgrade: "carry",
  };
  return module(guest("members"), encode(change(manifest)));
}

export const field = (name: string, type: string, optional = false): Field => ({ name, type, optional });

/** Returns the conformance suite's module that keeps of every event the payload as the host gives it, so that a manifest alone decides what is seen. */
export function kept(version: string, events: readonly EventType[], change = (manifest: Manifest) => manifest): Uint8Array {
  const manifest: Manifest = {
    name: "kept",
    version,
    abi: 2, // by which payloads are read by their schemas
    io: 1 << 16,
    events,
    tables: [{ name: "kept", columns: [field("seq", "u64"), field("event", "u64"), field("payload", "bytes")], key: ["seq"] }],
    upgrade: "carry",
  };
  return module(guest("kept"), encode(change(manifest)));
}

/** Returns the same module with a manifest as something else made it. */
export function keptBy(manifest: Uint8Array): Uint8Array {
  return module(guest("kept"), manifest);
}

/** Returns the module whose event `put` means something else for apps of before 2.4.5. */
export function inventory(): Uint8Array {
  return guest("inventory");
}

/** Returns the module of the conformance suite that does what the script of an event says: of `act` in apply, of `ask` in authorize. */
export function probe(): Uint8Array {
  const fields = [field("script", "bytes"), field("data", "bytes")];
  const manifest = encode({
    name: "probe",
    version: "0.1.0-e2e",
    abi: 1,
    events: [{ name: "act", fields }, { name: "ask", fields }],
    tables: [{ name: "kv", columns: [field("k", "u64"), field("v", "bytes")], key: ["k"] }],
  });
  return module(guest("probe"), manifest);
}

/** Returns a script for the probe: instructions with up to five operands. */
export function script(...instructions: number[][]): number[] {
  const bytes = new DataView(new ArrayBuffer(24 * instructions.length));
  instructions.forEach((operands, i) => operands.forEach((n, j) => bytes.setUint32(24 * i + 4 * j, n, true)));
  return [...new Uint8Array(bytes.buffer)];
}

/** The probe's instructions, and places in its memory. */
export const probeDoes = {
  get: 0, put: 1, scanNext: 4, fail: 6, blake3: 7, log: 8, grow: 9, trap: 10, loop: 11, heavy: 12, recurse: 13, wide: 14, fill: 15,
  again: 21, add: 22, load: 25,
  dataAt: 0x10000, // where the data of an event is
  freeAt: 0x20000,
  endAt: 0x40000,
} as const;

const { get, put, scanNext, fail, blake3, log, grow, trap, loop, heavy, recurse, wide, fill, again, load, dataAt, freeAt, endAt } = probeDoes;

/** Scripts of which none ends by itself, and the code of each: as `act`, in apply, and as `ask`, in authorize. */
export const hostile: Record<string, [code: string, instructions: number[][]]> = {
  "endless loop": ["out_of_fuel", [[loop]]],
  "heavy loop body": ["out_of_fuel", [[heavy]]],
  "bulk fills": ["out_of_fuel", [[fill]]],
  "hashes of all memory": ["out_of_fuel", [[blake3, 0, endAt, 0], [again, 1, 1e6]]],
  "endless recursion": ["too_deep", [[recurse]]],
  "recursion of wide frames": ["too_deep", [[wide]]],
  "memory bomb": ["out_of_fuel", [[grow, 4], [grow, 1], [again, 1, 1e9]]],
  "memory that is not there": ["module_trap", [[grow, 5], [load, endAt]]],
  "100 MB to the log": ["bad_call", [[log, 0, 100 << 20]]],
  "100 MB in a row": ["bad_call", [[put, 0, 0, 100 << 20]]],
  "a pointer behind the end": ["bad_call", [[get, 0, endAt - 7, 8]]],
  "a pointer around the end": ["bad_call", [[get, 0, 2 ** 32 - 4, 8]]],
  "a handle that is not there": ["bad_call", [[scanNext, 7, freeAt, 100]]],
  "trap": ["module_trap", [[trap]]],
  "a refusal of its own": ["module_7", [[fail, 7, dataAt, 0]]],
};

/** Returns the least module that judges, with a start function of the given code, an import, or another manifest. */
export function least(change: { start?: number[]; io?: number[]; imports?: [string, string]; manifest?: object }): Uint8Array {
  const text = (s: string) => [s.length, ...Buffer.from(s)];
  const section = (id: number, ...items: number[][]) => {
    const content = [items.length, ...items.flat()];
    return items.length === 0 ? [] : [id, ...unsigned(content.length), ...content];
  };
  const body = (code: number[]) => [...unsigned(code.length + 2), 0, ...code, 0x0b];
  const own = change.imports ? 1 : 0; // the first function of its own
  const exported = ["skerry_io", "authorize", "apply"].map((name, i) => [...text(name), 0, own + i]);
  const wasm = [
    ...Buffer.from("\0asm\x01\0\0\0"),
    ...section(1, [0x60, 0, 1, 0x7f], [0x60, 1, 0x7f, 1, 0x7f], [0x60, 1, 0x7f, 0], [0x60, 0, 0]),
    ...section(2, ...(change.imports ? [[...text(change.imports[0]), ...text(change.imports[1]), 0, 3]] : [])),
    ...section(3, [0], [1], [2], [3]),
    ...section(5, [1, 1, 2]),
    ...section(7, [...text("memory"), 2, 0], ...exported),
    ...(change.start ? [8, 1, own + 3] : []),
    ...section(10, body(change.io ?? [0x41, 0]), body([0x41, 0]), body([]), body(change.start ?? [])),
  ];
  return module(Uint8Array.from(wasm), encode(change.manifest ?? { name: "least", version: "1.0.0", abi: 1, raw: true }));
}

const guest = (name: string) => readFileSync(join(root, "shared/module/moduletest/guests", `${name}.wasm`));

function unsigned(n: number): number[] {
  const bytes = [];
  for (; n > 0x7f; n >>>= 7) bytes.push((n & 0x7f) | 0x80);
  return [...bytes, n];
}

function module(wasm: Uint8Array, manifest: Uint8Array): Uint8Array {
  const name = new TextEncoder().encode("skerry.manifest");
  const content = Buffer.concat([Buffer.from([name.length]), name, manifest]);
  return Buffer.concat([wasm, Buffer.from([0, ...unsigned(content.length)]), content]);
}
