// Identifiers as the demo's tables have them, beside the library's own.
import assert from "node:assert/strict";
import { test } from "node:test";
import { formatID, parseID, ulidTime } from "../demo/format.js";
import { formatULID, parseULID } from "../src/ulid.js";

test("an event's ID in a table and in a receipt are the same one", () => {
  for (const ulid of ["00000000000000000000000000", "7ZZZZZZZZZZZZZZZZZZZZZZZZZ", "01ARZ3NDEKTSV4RRFFQ69G5FAV"]) {
    const bytes = parseULID(ulid);
    assert.equal(formatID(bytes), ulid);
    assert.equal(formatULID(parseID(ulid)), ulid);
  }
  assert.equal(ulidTime("01ARZ3NDEKTSV4RRFFQ69G5FAV"), 1469922850259);
});
