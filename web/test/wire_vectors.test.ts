// Every message of the protocol's vectors, read by @msgpack/msgpack by nothing but the tables of PROTOCOL.md, and
// written again to the same bytes.
import { decode, encode } from "@msgpack/msgpack";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { toHex } from "../src/bytes.js";
import { encodeTransaction } from "../src/encode.js";
import { decodeRecords } from "../src/records.js";
import { fromHex, readVectors, root } from "./root.js";

interface Vector {
  name: string;
  shape?: string;
  hex: string;
  canonical?: string;
  value?: Value;
  error?: string;
}

/** The vectors' neutral form: bytes in hexadecimal, integers as decimal text. */
type Value = string | boolean | null | Value[] | { [name: string]: Value };

interface Shape {
  number: number | undefined;
  elements: [name: string, type: string][];
}

const shapes = readShapes();
const vectors = readVectors<Vector>("shared/wire/testdata/vectors");

function readShapes(): Map<string, Shape> {
  const found = new Map<string, Shape>();
  let current: Shape | undefined;
  for (const line of readFileSync(join(root, "shared/wire/PROTOCOL.md"), "utf8").split("\n")) {
    const heading = /^### (?:(\d+) )?`([a-z_]+)`/.exec(line);
    if (heading) {
      current = { number: heading[1] === undefined ? undefined : Number(heading[1]), elements: [] };
      found.set(heading[2]!, current);
    } else if (line.startsWith("#")) {
      current = undefined;
    }
    const row = /^\| ([a-z_]+) \| ([^|]+?) \|/.exec(line);
    if (row && current && row[1] !== "element") current.elements.push([row[1]!, row[2]!]);
  }
  return found;
}

/** An element that is left out at the end where it is zero. */
const mayEnd = (type: string): boolean => type.endsWith(" or none");

/** Reads a decoded msgpack value as the type that a table names. */
function read(type: string, value: unknown): Value {
  if (mayEnd(type)) return read(type.slice(0, -8), value);
  if (type.endsWith(" or nil")) return value === undefined || value === null ? null : read(type.slice(0, -7), value);
  if (type.startsWith("[")) {
    return value === undefined ? [] : (value as unknown[]).map((element) => read(type.slice(1, -1), element));
  }
  if (type === "uint") {
    assert.ok(value === undefined || typeof value === "number" || typeof value === "bigint", `an integer: ${String(value)}`);
    return String(value ?? 0);
  }
  if (type === "text") {
    assert.ok(value === undefined || typeof value === "string");
    return value ?? "";
  }
  if (type === "bool") return (value as boolean | undefined) ?? false;
  if (type.startsWith("bytes")) {
    assert.ok(value === undefined || value === null || value instanceof Uint8Array);
    const size = Number(/\d+/.exec(type)?.[0] ?? 0);
    return value && value.length > 0 ? toHex(value) : "00".repeat(size);
  }
  return readElements(type, (value ?? []) as unknown[]);
}

function readElements(name: string, elements: unknown[]): Value {
  const shape = shapes.get(name);
  assert.ok(shape, `PROTOCOL.md has no ${name}`);
  return Object.fromEntries(shape.elements.map(([element, type], i) => [element, read(type, elements[i])]));
}

/** Turns a neutral value into what is to be written as the type that a table names. */
function write(type: string, value: Value): unknown {
  if (mayEnd(type)) return write(type.slice(0, -8), value);
  if (type.endsWith(" or nil")) return value === null ? null : write(type.slice(0, -7), value);
  if (type.startsWith("[")) return (value as Value[]).map((element) => write(type.slice(1, -1), element));
  if (type === "uint") return BigInt(value as string) < 2n ** 32n ? Number(value) : BigInt(value as string);
  if (type === "text" || type === "bool") return value;
  if (type.startsWith("bytes")) return fromHex(value as string);
  return writeElements(type, value);
}

function writeElements(name: string, value: Value): unknown[] {
  const elements = [...shapes.get(name)!.elements];
  const of = (element: string): Value => (value as Record<string, Value>)[element] ?? null;
  for (let last = elements.at(-1); last && mayEnd(last[1]) && ["0", false].includes(of(last[0]) as string | boolean); last = elements.at(-1)) elements.pop();
  return elements.map(([element, type]) => write(type, of(element)));
}

test("the tables of PROTOCOL.md are found", () => {
  assert.ok([...shapes.values()].filter((shape) => shape.number !== undefined).length >= 29);
  assert.ok(vectors.length > 100);
});

test("every valid message reads as it should and is written to the same bytes", () => {
  let checked = 0;
  for (const [file, v] of vectors) {
    if (v.shape === undefined || v.value === undefined) continue;
    const shape = shapes.get(v.shape)!;
    assert.ok(shape, `${file}: no shape ${v.shape}`);
    const array = decode(fromHex(v.hex), { useBigInt64: true }) as unknown[];
    if (shape.number !== undefined) assert.equal(Number(array.shift()), shape.number, file);
    assert.deepEqual(readElements(v.shape, array), v.value, file);
    const head = shape.number === undefined ? [] : [shape.number];
    const written = encode([...head, ...writeElements(v.shape, v.value)], { useBigInt64: true });
    assert.equal(toHex(written), v.canonical ?? v.hex, file);
    checked++;
  }
  assert.ok(checked > 80, `only ${checked}`);
});

test("records are read as the library reads them", () => {
  let checked = 0;
  for (const [file, v] of vectors) {
    if (v.shape !== "record" || v.value === undefined) continue;
    if (v.canonical && v.canonical !== v.hex) continue; // shortened or grown: a worker writes whole ones
    if ((v.value as Record<string, Value>)["expired"]) continue; // a page is given what there is
    const [record] = decodeRecords(fromHex(v.hex));
    const want = v.value as Record<string, string>;
    assert.deepEqual(
      [String(record!.seq), String(record!.receivedAt), String(record!.index), String(record!.count)],
      [want["seq"], want["received_at"], want["index"], want["count"]],
      file,
    );
    assert.deepEqual(
      [record!.author, record!.type, record!.schema, toHex(record!.bytes), record!.api, record!.clientVersion],
      [want["author"], want["type"], want["schema"], want["payload"], want["api"], want["client_version"]],
      file,
    );
    checked++;
  }
  assert.ok(checked > 0);
});

test("transactions are written as the library writes them", () => {
  const { bytes } = encodeTransaction([{ type: "note", payload: null }], { write: (into, at) => void into.fill(1, at, at + 16) });
  const read = readElements("transaction", decode(bytes) as unknown[]) as Record<string, Value>;
  assert.deepEqual(read["events"], [{ id: "01".repeat(16), type: "note", schema: "00".repeat(8), payload: "c0" }]);
});
