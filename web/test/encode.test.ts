import { decode, encode } from "@msgpack/msgpack";
import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeTransaction, encodeValue } from "../src/encode.js";
import { ULIDSource } from "../src/ulid.js";
import { decodePayload } from "../src/wire.js";

const reference = (value: unknown): Uint8Array => encode(value, { ignoreUndefined: true });

/** Payloads of a transaction's events, as the library reads them. */
function payloads(bytes: Uint8Array): unknown[] {
  const [, , , events] = decode(bytes) as [string, string, string, [Uint8Array, string, Uint8Array, Uint8Array][]];
  return events.map((event) => decode(event[3]));
}

const around = (n: number): number[] => [n - 1, n, n + 1];
const values: unknown[] = [
  null, undefined, true, false, "", "a", "ä", "日本", "😀", "\u0000\u007f\u0080\ufeff",
  0, -0, 0.5, -1.25, NaN, Infinity, -Infinity, Number.MAX_VALUE, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, 2 ** 60, -(2 ** 60),
  ...[-(2 ** 31), -(2 ** 15), -128, -32, 127, 255, 2 ** 15, 2 ** 16, 2 ** 31, 2 ** 32].flatMap(around),
  ...[31, 32, 48, 49, 255, 256, 65_535, 65_536].flatMap((n) => ["x".repeat(n), "x".repeat(n - 1) + "ß", "€".repeat(n), new Uint8Array(n)]),
  ...[15, 16, 65_535, 65_536].flatMap((n) => [Array(n).fill(1), Object.fromEntries(Array.from({ length: n }, (_, i) => [`k${i}`, i]))]),
  [], {}, [undefined, [null]], { a: undefined, b: { c: undefined, d: [1, { e: "f" }] } },
  new Date(0), new Date(-1), new Date(1.6e12), new Date(1.6e12 + 7), new Date(2 ** 34 * 1000),
  new Float64Array([1, 2]), new Uint8Array(9).subarray(3, 5), new DataView(new ArrayBuffer(3)),
  new (class { x = 1; })(), new Map([[1, 2]]),
];

test("values are written as the library writes them", () => {
  for (const value of values) {
    assert.deepEqual(Buffer.from(encodeValue(value)), Buffer.from(reference(value)), `${typeof value} ${String(value).slice(0, 40)}`);
  }
});

test("payloads of every size read back, whatever was written before", () => {
  const events = values.concat([...values].reverse()).map((payload) => ({ type: "note", payload }));
  const source = new ULIDSource();
  for (const part of [events, events.slice(0, 1), events]) {
    const { ids, bytes } = encodeTransaction(part, source);
    const want = reference(["", "", "", part.map(({ type, payload }, i) => [ids.slice(16 * i, 16 * i + 16), type, new Uint8Array(8), reference(payload)])]);
    assert.deepEqual(Buffer.from(bytes), Buffer.from(want));
  }
});

test("whole numbers of 64 bits are themselves again", () => {
  const payload = { list: [2n ** 64n - 1n, -(2n ** 63n), 2n ** 53n, -(2n ** 53n)], times: [Date.now(), 2 ** 52, -(2 ** 40)], at: new Date(7), bytes: new Uint8Array([0xcf]), none: null };
  assert.deepEqual(decodePayload(encodeValue(payload)), payload);
  assert.deepEqual(encodeValue([1n, -200n, 2n ** 40n]), encodeValue([1, -200, 2 ** 40]), "a small one is a number");
  assert.deepEqual(decodePayload(encodeValue(new Date(2 ** 33 * 1000 + 1))), new Date(2 ** 33 * 1000 + 1));
});

test("a text that is not well-formed becomes one that is", () => {
  for (const bad of ["\ud800", "x\udfff", "\ud800".repeat(60)]) {
    assert.equal(decode(encodeValue(bad)), bad.replace(/[\ud800-\udfff]/g, "\ufffd"));
  }
});

test("what msgpack cannot carry is refused, and leaves nothing behind", () => {
  const round: unknown[] = [];
  round.push({ round });
  const nested = (levels: number): unknown => (levels === 0 ? 1 : [nested(levels - 1)]);
  const source = new ULIDSource();
  for (const bad of [2n ** 64n, -(2n ** 63n) - 1n, Symbol("s"), () => 1, round, nested(101), { a: { b: 2n ** 70n } }]) {
    assert.throws(() => encodeTransaction([{ type: "a", payload: "kept?" }, { type: "b", payload: bad }], source), { code: "bad_argument" });
    assert.throws(() => encodeValue(bad), { code: "bad_argument" });
    assert.deepEqual(payloads(encodeTransaction([{ type: "c", payload: "next" }], source).bytes), ["next"]);
  }
  assert.deepEqual(decode(encodeValue(nested(100))), nested(100));
  for (const type of ["", 1, undefined, "a\ud800"]) {
    assert.throws(() => encodeTransaction([{ type: type as string }], source), { code: "bad_argument", message: /an event has a type/ });
  }
});

test("a payload whose getter appends too does not mix with it", () => {
  const source = new ULIDSource();
  let inner: Uint8Array = new Uint8Array();
  const payload = {
    before: "b".repeat(300),
    get made() {
      inner = encodeTransaction([{ type: "inner", payload: "i".repeat(5000) }], source).bytes;
      return 1;
    },
    after: "a",
  };
  const outer = encodeTransaction([{ type: "outer", payload }], source).bytes;
  assert.deepEqual(payloads(outer), [{ before: payload.before, made: 1, after: "a" }]);
  assert.deepEqual(payloads(inner), ["i".repeat(5000)]);
});
