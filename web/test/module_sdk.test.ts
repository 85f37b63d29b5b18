// What a module's declarations may be, and what is said of those that may not.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { root } from "./root.js";

interface Declared {
  manifest: Record<string, unknown>;
  source: string;
  files: Map<string, string>;
}
const { declare } = (await import(pathToFileURL(join(root, "web/module-sdk/declarations.mjs")).href)) as {
  declare(source: string, path: string, read?: (path: string) => string | null): Declared;
};

const main = `@module({ name: "m", version: "1.0.0" })\nclass M {}\n`;
const manifest = (source: string) => declare(main + source, "m.ts").manifest;

test("a manifest has what is declared, and nothing else", () => {
  assert.deepEqual(manifest(""), { name: "m", version: "1.0.0", abi: 2, events: [], tables: [] });
  const all = declare(
    `@module({ name: "m", version: "1.0.0", doc: "d", io: 8_192, readable: ["t"], audience: "t", upgrade: "replay" })
     class M { init(): void {} helper: i32 = 0; }
     @params class P { title: string = ""; limit: Optional<u64> | null = null; }
     @table("t", { key: ["b", "a"], indexes: [{ name: "by_c", columns: ["c"], unique: true }] })
     class T { static shared: i32 = 5; a: i64 = 0; b: bool = false; constructor(public c: string|null, other: i32) {} get d(): i32 { return 1; } }
     @event("e", { doc: "of people" })
     class E { f: f64 = 0; y: Uint8Array | null = null; authorize(offer: Offer): void {} }
     @raw class R { payload: Uint8Array = new Uint8Array(0); authorize(offer: Offer): void {} }
     class Plain { x: i32 = 0; }`,
    "m.ts",
  );
  assert.deepEqual(all.manifest, {
    name: "m", version: "1.0.0", abi: 2, io: 8192, doc: "d", raw: true, readable: ["t"], audience: "t", upgrade: "replay",
    params: [{ name: "title", type: "text" }, { name: "limit", type: "u64", optional: true }],
    events: [{ name: "e", doc: "of people", fields: [{ name: "f", type: "f64" }, { name: "y", type: "bytes", optional: true }] }],
    tables: [{
      name: "t", key: ["b", "a"], indexes: [{ name: "by_c", columns: ["c"], unique: true }],
      columns: [{ name: "a", type: "i64" }, { name: "b", type: "bool" }, { name: "c", type: "text", optional: true }],
    }],
  });
  assert.match(all.source, /class Plain \{ x: i32 = 0; \}/, "a class that is not declared stays as it is");
});

test("whole numbers in declarations are exact", () => {
  for (const n of [Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER]) {
    const { events } = manifest(`@event("e", { defaults: { a: ${n} } }) class E { a: i64 = 0; authorize(offer: Offer): void {} }`) as { events: unknown };
    assert.deepEqual(events, [{ name: "e", fields: [{ name: "a", type: "i64", default: n }] }]);
  }
});

test("an event type has defaults, what it was declared as before, and may be removed", () => {
  const { events, abi } = declare(
    `@module({ name: "m", version: "1.0.0", abi: 1 }) class M {}
     @event("e", {
       defaults: { a: "x", n: -7, f: 0.5, y: [1, 255] },
       older: [
         { fields: { was: "text", some: "u64?", more: { type: "i64", given: -1 }, y: { type: "bytes", given: [2] } }, rename: { was: "a" }, drop: ["some", "more"], defaults: { n: 3, z: [9] } },
         { fields: {}, refused: true },
       ],
     })
     class E { a: string = ""; n: i64 = 0; f: f64 = 0; y: Uint8Array = new Uint8Array(0); z: Uint8Array = new Uint8Array(0); authorize(offer: Offer): void {} }
     @event("gone", { removed: true }) class G { a: string = ""; apply(entry: Entry): void {} }`,
    "m.ts",
  ).manifest as { events: unknown; abi: number };
  assert.equal(abi, 1);
  assert.deepEqual(events, [
    {
      name: "e",
      fields: [
        { name: "a", type: "text", default: "x" }, { name: "n", type: "i64", default: -7 }, { name: "f", type: "f64", default: 0.5 },
        { name: "y", type: "bytes", default: Uint8Array.of(1, 255) }, { name: "z", type: "bytes" },
      ],
      older: [
        {
          fields: [
            { name: "was", type: "text" }, { name: "some", type: "u64", optional: true }, { name: "more", type: "i64", default: -1 }, { name: "y", type: "bytes", default: Uint8Array.of(2) },
          ],
          rename: { was: "a" }, drop: ["some", "more"], default: { n: 3, z: Uint8Array.of(9) },
        },
        { fields: [], refused: true },
      ],
    },
    { name: "gone", fields: [{ name: "a", type: "text" }], removed: true },
  ]);
});

test("lines stay where they were", () => {
  const source = `${main}@table("t")\nclass T {\n  a: string = "";\n}\n\nconst last = 1;`;
  assert.equal(declare(source, "m.ts").source.split("\n").findIndex((line) => line === "const last = 1;"), source.split("\n").length - 1);
});

test("files that are imported declare, and each gets what it leaves out; libraries do, and what is not found does not", () => {
  const files: Record<string, string> = {
    "rules/a.ts": `import "../b";\n@table("a") class T { a: string = ""; }\nexport const last = 1;`,
    "b.ts": `@event("b") export class E { authorize(offer: Offer): void {} }`,
    "~lib/shared/c.ts": `@raw class E { authorize(offer: Offer): void {} }`,
    "plain/index.ts": `export class Plain {}`,
  };
  const own = `import { last } from "./rules/a";\nimport "shared/c";\nimport { Plain } from "./plain";\nimport "shared/missing";\nimport "./b";\n${main}@table("t") class T { t: string = ""; }`;
  const all = declare(own, "m.ts", (path) => files[path] ?? null);
  assert.deepEqual(all.manifest, {
    name: "m", version: "1.0.0", abi: 2, raw: true,
    events: [{ name: "b", fields: [] }],
    tables: [{ name: "t", columns: [{ name: "t", type: "text" }], key: ["t"] }, { name: "a", columns: [{ name: "a", type: "text" }], key: ["a"] }],
  });
  assert.deepEqual([...all.files.keys()].sort(), ["b.ts", "plain/index.ts", "rules/a.ts", "~lib/shared/c.ts"]);
  assert.equal(all.files.get("plain/index.ts"), files["plain/index.ts"], "a file that declares nothing stays as it is");
  const lines = all.files.get("rules/a.ts")!.split("\n");
  assert.equal(lines.indexOf("export const last = 1;"), 2, "lines stay where they were");
  assert.match(lines[1]!, /__table\(\): i32 \{ return 1; \}/, "tables are counted over all files");
  assert.deepEqual(lines.slice(3), [`import * as __skerry from "skerry/module";`, "export { T as __T };", ""]);
});

test("what is wrong in a file that is imported is told with its name", () => {
  const imported = (text: string) => () => void declare(`import "./a";\n${main}`, "m.ts", (path) => (path === "a.ts" ? text : null));
  assert.throws(imported(`\n@row class T { a: i32 = 0; }`), /^Error: a\.ts:2: a: i32 is none of/);
  assert.throws(imported(main), /^Error: a\.ts:1: the @module stands in the module's own file$/);
  assert.throws(imported(`class {`), /a\.ts\(1,/);
});

const wrong: [what: string, source: string, said: RegExp][] = [
  ["a module twice", main, /^m\.ts:3: there is another @module$/],
  ["an option that is not there", `@table("t", { keys: ["a"] }) class T { a: string = ""; }`, /^m\.ts:3: @table has no keys: it has key, indexes, declaredBy$/],
  ["a table without a name", `@table({ key: ["a"] }) class T { a: string = ""; }`, /^m\.ts:3: a table has a name/],
  ["a column that is not there", `\n@table("t", { key: ["b"] }) class T { a: string = ""; }`, /^m\.ts:4: table t has no column b$/],
  ["an index over one", `@table("t", { indexes: [{ name: "x", columns: ["b"] }] }) class T { a: string = ""; }`, /table t has no column b$/],
  ["a number of 32 bits", `@row class T {\n  a: i32 = 0;\n}`, /^m\.ts:4: a: i32 is none of bool, i64, u64/],
  ["a number that may be null", `@row class T { a: u64 | null = null; }`, /a: u64 \| null is none of/],
  ["a text in a box", `@row class T { a: Optional<string> | null = null; }`, /is none of/],
  ["a box that is always there", `@row class T { a: Optional<u64> = new Optional<u64>(1); }`, /is none of/],
  ["no type", `@row class T { a = 5; }`, /Type expected.*m\.ts\(3,/],
  ["an event without a name", `@event class E { authorize(offer: Offer): void {} }`, /an event has a name/],
  ["an event that anybody may write", `@event("e") class E {}`, /^m\.ts:3: E says who may write it: authorize\(offer: Offer\): void$/],
  ["a default of no field", `@event("e", { defaults: { b: 1 } }) class E { a: u64 = 0; authorize(offer: Offer): void {} }`, /^m\.ts:3: event e has no field b, which has a default$/],
  ["a number that would be another one", `@event("e", { defaults: { a: 9_007_199_254_740_993 } }) class E { a: u64 = 0; authorize(offer: Offer): void {} }`, /^m\.ts:3: 9007199254740993: whole numbers in declarations are from -\(2\^53 - 1\) to 2\^53 - 1$/],
  ["a lens of other words", `@event("e", { older: [{ fields: {}, rename_: {} }] }) class E { authorize(offer: Offer): void {} }`, /^m\.ts:3: @older has no rename_: it has fields, rename, drop, defaults, refused$/],
  ["raw fields of other types", `@raw class R { payload: string = ""; authorize(offer: Offer): void {} }`, /what is known of an event that is not declared/],
  ["raw twice", `@raw class R { authorize(o: Offer): void {} }\n@raw class S { authorize(o: Offer): void {} }`, /^m\.ts:4: there is another @raw$/],
  ["params twice", `@params class P {}\n@params class Q {}`, /^m\.ts:4: there are other @params$/],
  ["two things at once", `@row @table("t") class T { a: string = ""; }`, /T is declared as two things$/],
  ["a computed option", `const n = "t";\n@table(n) class T { a: string = ""; }`, /^m\.ts:4: n: a declaration is made of texts/],
  ["no TypeScript", `class {`, /./],
];
for (const [what, source, said] of wrong) {
  test(`refused: ${what}`, () => void assert.throws(() => declare(main + source, "m.ts"), (error: Error) => said.test(error.message) || assert.fail(error.message)));
}

test("refused: nothing that is a module", () => {
  assert.throws(() => declare("class M {}", "m.ts"), /^Error: m\.ts:1: nothing is the @module$/);
  assert.throws(() => declare(`@module({ name: "m" }) class M {}`, "m.ts"), /a module has a name and a version, here or in package\.json$/);
});
