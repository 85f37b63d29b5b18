import assert from "node:assert/strict";
import { test } from "node:test";
import { formatULID, parseULID, ULIDSource, ulidTime } from "../src/ulid.js";

const fillWith = (byte: number) => (bytes: Uint8Array) => void bytes.fill(byte);

test("ids rise whatever the clock does", () => {
  const clocks: Record<string, (i: number) => number> = {
    running: (i) => 1_700_000_000_000 + i,
    standing: () => 1_700_000_000_000,
    "stepping back": (i) => 1_700_000_000_000 - i * 60_000,
    jumping: (i) => 1_700_000_000_000 + ((i * 7919) % 1000) * 1000,
    "before 1970": () => -5,
    "in fractions": (i) => 1_700_000_000_000 + i / 7,
  };
  for (const [name, clock] of Object.entries(clocks)) {
    let i = 0;
    const source = new ULIDSource(undefined, () => clock(i++));
    let last = "";
    for (let n = 0; n < 2000; n++) {
      const text = formatULID(source.next());
      assert.ok(text > last, `${name}: ${text} after ${last}`);
      assert.match(text, /^[0-7][0-9A-Z]{25}$/);
      last = text;
    }
  }
});

test("the time is held when the clock steps back", () => {
  let now = 5000;
  const source = new ULIDSource(undefined, () => now);
  assert.equal(ulidTime(source.next()), 5000);
  now = 4000;
  assert.equal(ulidTime(source.next()), 5000);
  now = 5001;
  assert.equal(ulidTime(source.next()), 5001);
});

test("a millisecond that is used up gives way to the next", () => {
  const source = new ULIDSource(fillWith(0xff), () => 1000);
  assert.equal(ulidTime(source.next()), 1000);
  assert.equal(ulidTime(source.next()), 1001);
  assert.equal(ulidTime(source.next()), 1002);
});

test("at the end of time it fails rather than repeats", () => {
  const source = new ULIDSource(fillWith(0xff), () => 2 ** 50);
  assert.equal(formatULID(source.next()), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
  assert.throws(() => source.next(), { code: "bad_argument" });
});

test("what is no ULID is refused", () => {
  for (const bad of ["", "1", "80000000000000000000000000", "01ARZ3NDEKTSV4RRFFQ69G5FAU", "01ARZ3NDEKTSV4RRFFQ69G5FA-"]) {
    assert.throws(() => parseULID(bad), { code: "bad_argument" }, bad);
  }
});

test("ids survive being written, and their random parts never repeat", () => {
  const seen = new Set<string>();
  for (let i = 0; i < 1000; i++) {
    const id = new ULIDSource(undefined, () => 2 ** 48 - 1 - i).next(); // a source of its own: all ten bytes are fresh
    assert.deepEqual(parseULID(formatULID(id)), id);
    assert.ok(id.subarray(6).some((byte) => byte !== 0));
    seen.add(formatULID(id).slice(10));
  }
  assert.equal(seen.size, 1000);
});
