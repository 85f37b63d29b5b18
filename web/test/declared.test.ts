// Schemas and payloads by the vectors that Go's tests read: what generated code holds payloads to, and what it reads them as.
import assert from "node:assert/strict";
import { join } from "node:path";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { blake3 } from "@noble/hashes/blake3";
import { differences, type EventCode, type ModuleCode, readPayload, valuesOf } from "../src/declared.js";
import { encodeTransaction, encodeValue } from "../src/encode.js";
import { SkerryError } from "../src/error.js";
import { toHex } from "../src/bytes.js";
import type { Client } from "../src/client.js";
import { Space } from "../src/space.js";
import { decodePayload, decodeTables, type EventInfo, type FieldCode, type SpaceTables } from "../src/wire.js";
import { fromHex, root } from "./root.js";
import { defaultModule } from "./odd.js";

interface Field {
  name: string;
  type: string;
  optional?: boolean;
  default?: string;
}
interface Declaration {
  about: string;
  name: string;
  fields: Field[];
  encoded: string;
  schema: string;
}
interface Older {
  fields: Field[];
  rename?: Record<string, string>;
  drop?: string[];
  given?: Record<string, string>;
  refused?: boolean;
}
interface Payloads {
  name: string;
  fields: Field[];
  older: Older[];
  payloads: { about: string; schema: string; payload: string; read?: string; code?: string; reason?: string }[];
}

const vectors = (name: string): unknown => JSON.parse(readFileSync(join(root, "shared/module/program/testdata/schemas", name), "utf8"));
const kinds = ["", "bool", "i64", "u64", "f64", "text", "bytes"];

/** Returns a value in the form of rows. */
function rowValue(kind: number, value: unknown): Buffer {
  const eight = Buffer.alloc(8);
  const sized = (bytes: Uint8Array): Buffer => {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(bytes.length);
    return Buffer.concat([length, bytes]);
  };
  switch (kind) {
    case 1:
      return Buffer.from([value ? 1 : 0]);
    case 2:
      eight.writeBigInt64LE(BigInt(value as number));
      return eight;
    case 3:
      eight.writeBigUInt64LE(BigInt(value as number));
      return eight;
    case 4:
      eight.writeDoubleLE(value as number);
      return eight;
    case 5:
      return sized(Buffer.from(value as string));
  }
  return sized(value as Uint8Array);
}

function encodeDeclaration(name: string, fields: readonly FieldCode[]): Buffer {
  const count = Buffer.alloc(4);
  count.writeUInt32LE(fields.length);
  const parts = [Buffer.from("skerry.schema.1"), rowValue(5, name), count];
  for (const [field, kind, need, given] of fields) {
    parts.push(rowValue(5, field), Buffer.from([kind, need]));
    if (need === 2) parts.push(rowValue(kind, given));
  }
  return Buffer.concat(parts);
}

const codes = (fields: Field[]): FieldCode[] =>
  fields.map((f) => [f.name, kinds.indexOf(f.type), f.optional ? 1 : f.default ? 2 : 0, ...(f.default ? [decodePayload(fromHex(f.default))] : [])] as unknown as FieldCode);
const schemaOf = (name: string, fields: readonly FieldCode[]): string => toHex(blake3(encodeDeclaration(name, fields)).subarray(0, 8));

test("schemas are those of the vectors", () => {
  for (const v of vectors("declarations.json") as Declaration[]) {
    const fields = codes(v.fields);
    assert.equal(encodeDeclaration(v.name, fields).toString("hex"), v.encoded, v.about);
    assert.equal(schemaOf(v.name, fields), v.schema, v.about);
  }
});

test("what the generator wrote has the schemas of its fields", () => {
  for (const [name, event] of Object.entries(defaultModule.events)) {
    assert.equal(event.schema, schemaOf(name, event.fields), name);
    for (const older of event.older ?? []) assert.equal(older.schema, schemaOf(name, older.fields), name);
  }
});

/** Makes of a vector what the generator makes of a manifest. */
function code({ name, fields, older }: Payloads): EventCode {
  const own = codes(fields);
  return {
    schema: schemaOf(name, own),
    fields: own,
    older: older.map((o) => {
      const written = codes(o.fields);
      const declaration = { schema: schemaOf(name, written), fields: written };
      if (o.refused) return declaration;
      const renamed = new Map(Object.entries(o.rename ?? {}).map(([from, to]) => [to, from]));
      const from = own.map(([field, , need, given]): [number, unknown?] => {
        const source = renamed.get(field) ?? (o.rename?.[field] || o.drop?.includes(field) ? undefined : field);
        const value = o.given?.[field] !== undefined ? decodePayload(fromHex(o.given[field])) : need === 2 ? given : undefined;
        return [written.findIndex((f) => f[0] === source), value];
      });
      return { ...declaration, from };
    }),
  };
}

for (const group of vectors("payloads.json") as Payloads[]) {
  const own = code(group);
  for (const v of group.payloads) {
    test(`${group.name}: ${v.about}`, () => {
      const schema = v.schema === "" ? "0000000000000000" : v.schema === "current" ? own.schema : v.schema[0] === "#" ? own.older![Number(v.schema[1])]!.schema : v.schema;
      const read = (): unknown => readPayload(group.name, own, schema, v.payload === "" ? {} : decodePayload(fromHex(v.payload)));
      if (v.code === undefined) return assert.deepEqual(read(), decodePayload(fromHex(v.read!)));
      if (v.about === "current, a name twice") return; // which JavaScript's reader does not notice, and no log has
      if (v.about === "a fraction for a whole number") return; // 3.0 and 3 are one number to JavaScript
      assert.throws(read, (error: SkerryError) => {
        // Of what a declaration refuses the page's code knows no more than that it is not to be read.
        const want = /refused/.test(v.about) ? "schema_unknown" : v.code === "bad_payload" ? "schema_mismatch" : v.code;
        assert.equal(error.code, want);
        if (want === "schema_unknown") assert.ok(error.message.includes(schema) && error.message.includes(own.schema), error.message);
        else if (v.code === "schema_mismatch") assert.match(error.message, new RegExp(/field: (\w*)/.exec(v.reason!)![0]));
        return true;
      });
    });
  }
}

const note: EventCode = { schema: "1111111111111111", fields: [["text", 5, 0], ["mood", 5, 2, "calm"], ["place", 5, 1]] };
const module: ModuleCode = { hash: "ab".repeat(32), name: "m", version: "1.0.0", api: "1.0.0", events: { note }, tables: {} };

test("what is written by generated code says by which declaration, and is held to it", () => {
  const source = { write: (ids: Uint8Array, at: number) => void ids.fill(7, at, at + 16) };
  const encoded = (events: Parameters<typeof encodeTransaction>[0], code?: ModuleCode): Buffer => Buffer.from(encodeTransaction(events, source, code).bytes);
  const stamped = encoded([{ type: "note", payload: { text: "a" } }, { type: "other", payload: 1 }, { type: "note", payload: { text: "b", mood: "c", place: undefined } }], module);
  const plain = encoded([{ type: "note", payload: { text: "a" } }, { type: "other", payload: 1 }, { type: "note", payload: { text: "b", mood: "c", place: undefined } }]);
  assert.equal(stamped.toString("hex").replaceAll(note.schema, "0".repeat(16)), plain.toString("hex"));
  assert.equal(stamped.toString("hex").split(note.schema).length, 3);
  for (const [payload, said] of [
    [{}, /field: text, want: text, got: nothing/],
    [{ text: 7 }, /field: text, want: text, got: i64/],
    [{ text: "a", mood: null }, /./],
    [{ text: "a", place: 1n }, /field: place, want: text, got: i64/],
    [undefined, /want: a map by name, got: nothing/],
    [["a"], /want: a map by name/],
    [new Uint8Array(3), /want: a map by name, got: bytes/],
  ] as const) {
    if (payload && "mood" in payload) {
      encoded([{ type: "note", payload }], module); // nil is what is not there
      continue;
    }
    assert.throws(() => encoded([{ type: "note", payload }], module), (error: SkerryError) => error.code === "schema_mismatch" && said.test(error.message));
  }
});

test("values are held to their kinds", () => {
  const fits = (kind: number, value: unknown): boolean => {
    try {
      valuesOf("e", [["f", kind, 0]], { f: value });
      return true;
    } catch {
      return false;
    }
  };
  const [top, whole] = [2n ** 63n, 2n ** 64n];
  for (const [kind, yes, no] of [
    [1, [true, false], [0, "true", undefined, null]],
    [2, [0, -5, top - 1n, -top, Number.MAX_SAFE_INTEGER], [0.5, 2 ** 53, top, -top - 1n, "1", NaN, true]],
    [3, [0, top, whole - 1n], [-1, -1n, whole, 1.5, Infinity]],
    [4, [0, 0.5, NaN, -Infinity, 1e300], [1n, "1", true]],
    [5, ["", "a"], [1, new Uint8Array(1), {}]],
    [6, [new Uint8Array(0), Buffer.from("a")], ["a", [1], new ArrayBuffer(1)]],
  ] as const) {
    for (const value of yes) assert.ok(fits(kind, value), `${kinds[kind]!} ${String(value)}`);
    for (const value of no) assert.ok(!fits(kind, value), `${kinds[kind]!} ${String(value)}`);
  }
});

const declared = (schema: string, fields: FieldCode[], refused = false, names: (string | undefined)[] = fields.map((f) => f[0])) => ({ schema, refused, fields, names });
const theirs = (declarations: EventInfo["declarations"], removed = false, byNames = true): EventInfo => ({ name: "note", removed, byNames, declarations });

test("what newer code wrote is read as far as both have it, by the declaration that the space's module knows", () => {
  const newer = theirs([declared("22", [["text", 5, 0], ["stars", 3, 2, 4], ["mood", 5, 0], ["place", 5, 0]])]);
  assert.deepEqual(readPayload("note", note, "22", { text: "a", mood: "b", place: "c", more: 1 }, newer), { text: "a", mood: "b", place: "c" });
  assert.throws(() => readPayload("note", note, "22", { text: "a", mood: "b" }, newer), { code: "schema_mismatch" }, "it is not what its author's declaration says");
  assert.deepEqual(readPayload("note", note, "23", { text: "a" }, theirs([declared("24", []), declared("23", [["text", 5, 0]])])), { text: "a", mood: "calm" });
  for (const fields of [[], [["text", 5, 1]], [["text", 6, 0]]] as FieldCode[][]) {
    assert.throws(() => readPayload("note", note, "22", { text: "a" }, theirs([declared("22", fields)])), { code: "schema_incompatible" });
  }
  assert.deepEqual(readPayload("note", note, "22", {}, theirs([declared("22", [["text", 5, 2, "given"]])])), { text: "given", mood: "calm" });
  // By names alone it would be read in each of these, as what nobody says that it is.
  const [text, own] = [[["text", 5, 0]] as FieldCode[], declared(note.schema, [...note.fields])];
  assert.deepEqual(readPayload("note", note, "22", { text: "a" }, theirs([declared("22", text), own], false, false)), { text: "a", mood: "calm" });
  const unlisted = theirs([declared("22", text)], false, false);
  const refusesOurs = theirs([declared("22", text), declared(note.schema, [...note.fields], true, [undefined, undefined, undefined])], false, false);
  const refusesTheirs = theirs([own, declared("22", text, true, [undefined])], false, false);
  for (const unknown of [undefined, theirs([declared("24", [])]), unlisted, refusesOurs, refusesTheirs]) {
    assert.throws(() => readPayload("note", note, "22", { text: "a" }, unknown), (error: SkerryError) => error.code === "schema_unknown" && /1111111111111111.*22/.test(error.message));
  }
});

test("what newer code wrote is read through the lens of the declaration here, and not by names that mean something else now", () => {
  const own: EventCode = { schema: "11", fields: [["a", 5, 0], ["b", 5, 1]] };
  const manifest = (fields: object[], ...older: object[]): Uint8Array => encodeValue({ abi: 2, events: [{ name: "note", fields, older }] });
  const text = (...names: string[]): object[] => names.map((name) => ({ name: name.replace("?", ""), type: "text", ...(name.endsWith("?") && { optional: true }) }));
  const known = (...of: Parameters<typeof manifest>): EventInfo => {
    const schemas = Uint8Array.from([0x22, 0x11, 0x33].flatMap((byte) => new Array<number>(8).fill(byte)));
    const { events } = decodeTables(encodeValue([new Uint8Array(32), "m", "2.0.0", [], manifest(...of), [schemas]]));
    return { ...events[0]!, declarations: events[0]!.declarations.map((d) => ({ ...d, schema: d.schema.slice(0, 2) })) };
  };
  const swapped = known(text("b", "a"), { fields: text("a", "b"), rename: { a: "b", b: "a" } });
  assert.deepEqual(readPayload("note", { ...own, fields: [["a", 5, 0], ["b", 5, 0]] }, "22", { b: "was a", a: "was b" }, swapped), { a: "was a", b: "was b" });
  const renamed = known(text("title", "b?"), { fields: text("a", "b?"), rename: { a: "title" } }, { fields: text("heading", "a"), rename: { heading: "title" }, drop: ["a"] });
  assert.deepEqual(readPayload("note", own, "22", { title: "t", b: "b" }, renamed), { a: "t", b: "b" });
  assert.deepEqual(readPayload("note", own, "33", { heading: "t", a: "another" }, renamed), { a: "t" });
  const anew = known(text("a", "b?"), { fields: text("a", "b?"), drop: ["a", "b"], default: { a: "" } }, { fields: text("a"), drop: ["a"], default: { a: "" } });
  assert.throws(() => readPayload("note", own, "22", { a: "means something else" }, anew), { code: "schema_incompatible" });
  // Another declaration that called something a, and is not read any more either: whether it meant the same nobody knows any more.
  assert.throws(() => readPayload("note", own, "33", { a: "means what?" }, anew), { code: "schema_incompatible" });
  const optional = { ...own, fields: [["b", 5, 1]] as FieldCode[] };
  const dropped = known(text("c?"), { fields: text("b?"), drop: ["b"] }, { fields: text("a"), drop: ["a"] });
  assert.throws(() => readPayload("note", optional, "33", { a: "means what?" }, dropped), { code: "schema_incompatible" });
  assert.deepEqual(readPayload("note", optional, "22", { c: "something else" }, dropped), {});
  const of: ModuleCode = { ...module, events: { note: own } };
  const told = (event: EventInfo): unknown[] => differences(of, { module: "", name: "m", version: "2.0.0", tables: [], events: [event] }).map((d) => d.code);
  assert.deepEqual([told(swapped), told(renamed), told(anew)], [[undefined], [undefined], ["schema_incompatible"]]);
  const absent = known(text("a?", "b?"), { fields: text("a", "b?") }); // what is read with a default may be absent
  assert.deepEqual(differences({ ...of, events: { note: { ...own, fields: [["a", 5, 2, "given"], ["b", 5, 1]] } } }, { module: "", name: "m", version: "2.0.0", tables: [], events: [absent] }).map((d) => d.code), [undefined]);
});

test("a field has the value that is its own, and none that every object has", () => {
  const fields: FieldCode[] = [["constructor", 5, 1], ["toString", 5, 2, "given"]];
  assert.deepEqual(valuesOf("e", fields, {}), [undefined, "given"]);
  assert.deepEqual(valuesOf("e", fields, { constructor: "c", toString: "t" }), ["c", "t"]);
  class Note {
    get text(): string {
      return "which is not written";
    }
  }
  assert.throws(() => valuesOf("e", [["text", 5, 0]], new Note()), { code: "schema_mismatch" });
});

test("what differs is told once for each type and table", () => {
  const own: ModuleCode = {
    ...module,
    events: { note, gone: note, removed: note, fresh: note, refused: note, less: note, more: note, old: { ...note, removed: true } },
    tables: { same: { columns: [["a", 5, 0]], indexes: {} }, gone: { columns: [], indexes: {} }, less: { columns: [["a", 5, 0], ["b", 5, 1]], indexes: {} }, more: { columns: [["a", 5, 0]], indexes: {} }, other: { columns: [["a", 5, 0]], indexes: {} } },
  };
  const same = declared(note.schema, [...note.fields]);
  const event = (name: string, declarations: EventInfo["declarations"], removed = false): EventInfo => ({ name, removed, byNames: false, declarations });
  const table = (name: string, ...columns: [string, "text" | "u64", boolean][]) => ({ name, columns: columns.map(([name, type, optional]) => ({ name, type, optional })), key: [], indexes: [] });
  const running: SpaceTables = {
    module: "", name: "m", version: "2.0.0",
    events: [
      event("note", [same]), event("removed", [same], true), event("fresh", [declared("22", [...note.fields])]), event("refused", [declared("22", []), declared(note.schema, [], true)]),
      event("less", [declared("22", [["text", 5, 0]]), same]), event("more", [declared("22", [...note.fields, ["x", 1, 1]]), same]), event("new", [same]),
    ],
    tables: [table("same", ["a", "text", false]), table("less", ["a", "text", false]), table("more", ["a", "text", false], ["b", "text", false]), table("other", ["a", "u64", false]), table("new")],
  };
  assert.deepEqual(differences(own, running).map((d) => [d.of, d.name, d.code]), [
    ["event", "gone", "unknown_type"], ["event", "removed", "type_removed"], ["event", "fresh", "schema_unknown"], ["event", "refused", "schema_mismatch"],
    ["event", "less", "schema_incompatible"], ["event", "more", undefined],
    ["table", "gone", "not_found"], ["table", "less", "schema_incompatible"], ["table", "more", undefined], ["table", "other", "schema_incompatible"],
  ]);
  // a module that goes by names takes what is written here, whatever its schema
  const byNames = (...fields: FieldCode[]): unknown[] => {
    const events = [{ ...event("note", [declared("22", fields)]), byNames: true }];
    return differences({ ...module, events: { note } }, { ...running, tables: [], events }).map((d) => d.code);
  };
  assert.deepEqual([byNames(...note.fields, ["x", 1, 1]), byNames(["text", 5, 0])], [[undefined], ["schema_incompatible"]]);
});

test("a payload of no bytes says nothing, and what is not msgpack is no payload", async () => {
  const client = { status: {}, subscribe: () => undefined, infoOf: () => ({ module: module.hash }) } as unknown as Client;
  const space = new Space(client, "", { ...module, events: { seen: { schema: "11".repeat(8), fields: [["by", 5, 1], ["times", 3, 2, 1]] } } });
  const read = (bytes?: Uint8Array): Promise<unknown> => space.read({ type: "seen", schema: "11".repeat(8), payload: bytes && decodePayload(bytes), ...(bytes && { bytes }) });
  assert.deepEqual(await read(new Uint8Array()), { type: "seen", payload: { times: 1 } });
  await assert.rejects(read(new Uint8Array([0xc1])), { code: "schema_mismatch" });
  await assert.rejects(read(), { code: "schema_mismatch" });
});

test("what could not be compared for want of a network is compared when there is one", async () => {
  let changed = (): void => undefined;
  const told: unknown[] = [];
  let asked = 0;
  const client = {
    status: { connection: "offline" },
    subscribe: (f: () => void) => (changed = f),
    infoOf: () => ({ module: "cd".repeat(32) }),
    warn: (_code: ModuleCode, _module: string, warning: { code: unknown }) => told.push(warning.code),
    call: () => {
      asked++;
      if (client.status.connection !== "online") return Promise.reject(new SkerryError("module_missing", "no network"));
      return Promise.resolve(encodeValue([new Uint8Array(32).fill(0xcd), "m", "2.0.0", [], encodeValue({ abi: 2 }), []]));
    },
  };
  new Space(client as unknown as Client, "", module);
  const settled = (): Promise<unknown> => new Promise((done) => void setImmediate(done));
  await settled();
  changed(); // something else
  await settled();
  assert.deepEqual([asked, told], [1, []]);
  client.status = { connection: "online" };
  for (let i = 0; i < 2; i++) {
    changed();
    await settled();
  }
  assert.deepEqual([asked, told], [2, ["unknown_type"]]);
});

test("a module that the server tells of before its record is here is compared when that came, and read by", async () => {
  let changed = (): void => undefined;
  const told: unknown[] = [];
  const answers: ((tables: Uint8Array) => void)[] = [];
  const tablesOf = (byte: number, schemas: number[], fields: object[], ...older: object[]): Uint8Array =>
    encodeValue([new Uint8Array(32).fill(byte), "m", "2.0.0", [], encodeValue({ abi: 2, events: [{ name: "note", fields, older }] }), [Uint8Array.from(schemas.flatMap((b) => new Array<number>(8).fill(b)))]]);
  const text = [{ name: "text", type: "text" }];
  const [before, after] = [tablesOf(0xab, [0x11], text), tablesOf(0xcd, [0x22, 0x11], [...text, { name: "more", type: "text" }], { fields: text, default: { more: "" } })];
  const client = {
    status: { connection: "online" },
    info: { module: "cd".repeat(32), seq: 4 },
    subscribe: (f: () => void) => (changed = f),
    infoOf: () => client.info,
    warn: (_code: ModuleCode, _module: string, warning: { code: unknown }) => told.push(warning.code),
    call: () => new Promise<Uint8Array>((answer) => void answers.push(answer)),
  };
  const space = new Space(client as unknown as Client, "", { ...module, events: { note: { schema: "11".repeat(8), fields: [["text", 5, 0]] } } });
  const settled = (): Promise<unknown> => new Promise((done) => void setImmediate(done));
  const answer = async (tables: Uint8Array): Promise<void> => {
    answers.shift()!(tables);
    await settled();
  };
  await answer(before); // the log is of the module before still
  assert.deepEqual([answers.length, told], [0, []]);
  changed();
  const read = space.read({ type: "note", schema: "22".repeat(8), payload: { text: "a", more: "b" } });
  client.info = { ...client.info, seq: 5 }; // and while it is asked again, it goes on
  await answer(before);
  assert.equal(answers.length, 1);
  await answer(after);
  assert.deepEqual(await read, { type: "note", payload: { text: "a" } });
  changed();
  assert.deepEqual([answers.length, told], [0, [undefined]]);
});

test("defaults of the generator are values of their fields", () => {
  const { fields } = defaultModule.events["given"]!;
  const values = valuesOf("given", fields, {});
  assert.deepEqual(values.map((value, i) => encodeValue(value).length > 0 && fields[i]![0]), ["bool", "i64", "u64", "f64", "text", "bytes"]);
});
