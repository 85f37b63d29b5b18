// The case by which schemas came about: an event that was encoded under 1.1.2, with the schema of its declaration there, is read by code of 1.0.1 right or not at
// all. The two versions are those of moduletest.Notes; the same by generated Go, a server and devices is in wasmclient/literal_test.go.
import { decode } from "@msgpack/msgpack";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { encodeTransaction } from "../src/encode.js";
import { toHex } from "../src/bytes.js";
import { readPayload } from "../src/declared.js";
import type { SkerryError } from "../src/error.js";
import { decodePayload, decodeTables } from "../src/wire.js";
import { codeOf, tablesOf, type Version } from "./generated.js";
import { root } from "./root.js";

const [v101, v112] = JSON.parse(readFileSync(join(root, "web/test/testdata/notes.json"), "utf8")) as [Version, Version];
const [old, now] = await Promise.all([codeOf(v101), codeOf(v112)]);

/** What generated code of one version makes of what that of another wrote, in a space that has the module of a third, or none that can be asked. */
function read(by: typeof old, of: typeof old, type: string, payload: object, has?: Version): unknown {
  const source = { write: (ids: Uint8Array, at: number) => void ids.fill(7, at, at + 16) };
  const { bytes } = encodeTransaction([{ type, payload }], source, of);
  const [, , , [[, , schema, written]]] = decode(bytes) as [string, string, string, [[Uint8Array, string, Uint8Array, Uint8Array]]];
  assert.equal(toHex(schema), of.events[type]!.schema);
  try {
    return readPayload(type, by.events[type]!, toHex(schema), decodePayload(written), has && decodeTables(tablesOf(has)).events.find((e) => e.name === type));
  } catch (error) {
    return (error as SkerryError).code;
  }
}

const written: [type: string, payload: object][] = [
  ["same", { text: "same" }], ["more", { text: "more", stars: 5 }], ["letter", { to: "bob", from: "ada" }], ["price", { amount: 499, currency: "cents" }], ["when", { at: "noon" }],
];

test("encoded under 1.1.2 with its schema, read by code of 1.0.1: an error or the right value, never a wrong one", () => {
  assert.deepEqual([old.version, now.version], ["1.0.1", "1.1.2"]);
  const by = (has?: Version): unknown[] => written.map(([type, payload]) => read(old, now, type, payload, has));
  assert.deepEqual(by(), [{ text: "same" }, "schema_unknown", "schema_unknown", "schema_unknown", "schema_unknown"]);
  assert.deepEqual(by(v101), [{ text: "same" }, "schema_unknown", "schema_unknown", "schema_unknown", "schema_unknown"]);
  // from is who it is from, by whichever name; the amount means something else, though it is called so, and at is of another type
  assert.deepEqual(by(v112), [{ text: "same" }, { text: "more" }, { from: "bob", to: "ada" }, "schema_incompatible", "schema_incompatible"]);
});

test("encoded under 1.0.1, read by code of 1.1.2: through its lenses, whatever the space has", () => {
  for (const has of [undefined, v101, v112]) {
    const by = ([["same", { text: "same" }], ["more", { text: "more" }], ["letter", { from: "cy", to: "di" }], ["price", { amount: 5 }], ["when", { at: 12 }]] as typeof written).map(([type, payload]) => read(now, old, type, payload, has));
    assert.deepEqual(by, [{ text: "same" }, { text: "more" }, { to: "cy", from: "di" }, { amount: 0, currency: "" }, { at: "" }]);
  }
});
