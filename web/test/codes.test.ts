import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { codeName, codes } from "../src/codes.js";
import { root } from "./root.js";

test("the codes are Go's", () => {
  const made = execFileSync("go", ["run", "./web/scripts/codes.go"], { cwd: root, encoding: "utf8" });
  assert.equal(readFileSync(join(root, "web/src/codes.ts"), "utf8"), made, "run `npm run codes`");
});

test("the codes are those of the protocol's contract", () => {
  const text = readFileSync(join(root, "shared/wire/PROTOCOL.md"), "utf8");
  let found = 0;
  for (const [, number, name] of text.matchAll(/^\| (\d+) \| `?([a-z_]+)`? \|/gm)) {
    found++;
    assert.equal((codes as Record<string, string>)[number!], name);
  }
  assert.ok(found > 40, `only ${found} codes in PROTOCOL.md`);
});

test("a code of a newer build has a name too", () => {
  assert.equal(codeName(41), "rate_limited");
  assert.equal(codeName(9999), "code_9999");
});
