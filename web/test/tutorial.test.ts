// What follows the tutorial finds what is wrong with one.
import assert from "node:assert/strict";
import { test } from "node:test";
import { behind, change, type Change, read } from "../tutorial/markdown.js";

test("a document's blocks and tables, in order", () => {
  const document = [
    "Type this in another terminal:", "```sh", "run it", "```", "```text", "it … runs", "```", "Put into `a.ts`", "```ts a.ts", "a", "```",
    "| who | does | sees |", "| --- | --- | --- |", "| ada | presses **A** | `b` |", "Then `a.ts` is", "```diff a.ts", "-a", "+b", " c", "```",
  ].join("\n");
  assert.deepEqual(read(document), [
    { kind: "commands", line: 2, text: "run it\n", another: true },
    { kind: "output", line: 5, lines: ["it … runs"] },
    { kind: "file", line: 9, name: "a.ts", text: "a\n" },
    { kind: "table", line: 12, rows: [["ada", "presses **A**", "`b`"]] },
    { kind: "change", line: 16, name: "a.ts", pieces: [{ from: "a\nc\n", to: "b\nc\n" }] },
  ]);
});

for (const [what, document, said] of [
  ["a block that nobody understands", "```json\n{}\n```", /^Error: line 1: nobody knows what to do with a block of "json"$/],
  ["a block without an end", "text\n```sh\nls", /^Error: line 2: the block does not end$/],
  ["a file that the text does not name", "Put into `b.ts`\n```ts a.ts\n```", /line 2: the text before does not name `a.ts`/],
  ["a change that is none", "`a.ts`\n```diff a.ts\nx\n```", /line 2: x: a line of a change begins with/],
  ["a row of two cells", "| who | does | sees |\n| --- | --- | --- |\n| a | b |", /line 3: a row has three cells/],
] as const) {
  test(`refused: ${what}`, () => assert.throws(() => read(document), said));
}

test("what is printed is there in order, and each time anew", () => {
  const printed = "  ok    all (at most 5 fuel)\nother\n2 tests passed\n";
  assert.equal(behind(printed, ["ok    all (at most … fuel)", "2 tests passed"])?.trim(), "");
  assert.equal(behind(printed, ["2 tests passed", "ok    all (at most … fuel)"]), undefined);
  assert.equal(behind(printed, ["2 tests"]), undefined);
  assert.equal(behind(printed, ["other", "other"]), undefined);
  assert.equal(behind("a.b", ["a+b"]), undefined);
});

test("a change is for what is there once", () => {
  const part: Change = { kind: "change", line: 1, name: "a", pieces: [{ from: "b\n", to: "c\n" }] };
  assert.equal(change("a\nb\n", part), "a\nc\n");
  assert.throws(() => change("b\nb\n", part), /line 1: a has this 2 times/);
  assert.throws(() => change("a\n", part), /line 1: a has this 0 times/);
});
