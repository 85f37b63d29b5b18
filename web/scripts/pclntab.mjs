// Go's tables of functions, as Go 1.26 lays them out (runtime.moduledata, pcHeader, _func and findfuncbucket): which
// function a program counter is in, where its frame ends and has pointers, and, for traces, its name, file and line.
import { leb, reader } from "./binary.mjs";

const headerStart = Buffer.from([0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8]); // magic, padding, quantum, size of a pointer
const bucketSize = 20; // a findfuncbucket
const bucketsEach = 16; // a function has 65,536 program counters, and a bucket is for 4,096
const [pcdataInline, funcdataInline, funcdataArgInfo] = [2, 3, 5];

/** The names that the runtime compares, and so must stay: it finds some frames' arguments by them, or prints "panic". */
const comparedNames = ["reflect.makeFuncStub", "reflect.methodValueCall", "runtime.gopanic"];
const firstName = 64; // where the short ones begin, behind those
const following = 0xffffffff; // in place of where a table begins: behind those that were named before
const nameSize = 18; // "program.(*0000).f" and a zero

/**
 * Finds the tables in an image of a program's data, which lies at an address of its memory. There are none if they are
 * laid out in any other way than it knows.
 */
export function findTables(image, address) {
  const header = image.indexOf(headerStart);
  if (header < 0 || image.indexOf(headerStart, header + 1) >= 0) return undefined;
  const word = (at) => Number(image.readBigUInt64LE(at));
  const [names, units, files, values, functions] = [32, 40, 48, 56, 64].map((n) => header + word(header + n));
  const count = word(header + 8);
  const t = { image, address, header, names, units, files, values, functions, count };
  if (!(header < names && names < units && units < files && files < values && values < functions && functions + 8 * count < image.length)) return undefined;
  t.first = image.readUInt32LE(functions); // the number of the first function: wasm's count from there
  t.all = Array.from({ length: count }, (_, i) => functions + image.readUInt32LE(functions + 8 * i + 4));
  const module = findModule(t);
  if (module < 0) return undefined;
  [t.buckets, t.gofunc] = [152, 320].map((n) => word(module + n) - address);
  if (firstName + nameSize * count > units - names || count > 0xff00) return undefined; // [expand] would not have the room
  return isRegular(t) ? t : undefined;
}

/** Where moduledata is: it begins with the addresses of the header and of the names. */
function findModule(t) {
  const start = Buffer.alloc(16);
  start.writeBigUInt64LE(BigInt(t.address + t.header));
  start.writeBigUInt64LE(BigInt(t.address + t.names), 8);
  return t.image.indexOf(start);
}

/** Whether everything that [expand] makes anew is what it makes. */
function isRegular({ image, functions, count, first, all, buckets }) {
  let next = align(8 * count + 4);
  return all.every((f, i) => {
    const bucket = buckets + bucketSize * bucketsEach * i;
    const regular =
      f === functions + next &&
      image.readUInt32LE(functions + 8 * i) === first + i &&
      image.readUInt32LE(f) === first + i &&
      image.readUInt32LE(bucket) === i &&
      image[bucket + 4] === 0; // of its subbuckets, too, nothing but the first is ever looked at
    next = align(next + 44 + 4 * (pcdataCount(image, f) + image[f + 43]));
    return regular;
  });
}

const align = (n) => (n + 7) & -8;
const pcdataCount = (image, f) => image.readUInt32LE(f + 28);

/**
 * What [numberPlaces] has to know of each function; undefined, where its places have to stay: because of calls that were inlined, or
 * because the runtime begins with the second, as in goexit.
 */
export function describeFunctions(t, imported) {
  const names = t.all.map((f) => nameOf(t, f));
  const sigpanic = names.indexOf("runtime.sigpanic") + imported;
  return t.all.map((f, i) => {
    const frames = tableAt(t, f + 16);
    const framed = frames.at(-1)[0] !== 0;
    const regular = frames.length === (framed ? 2 : 1) && frames[0][0] === 0 && (!framed || frames[0][1] === 1);
    return regular && !hasInlined(t, f) && names[i] !== "runtime.goexit" ? { sigpanic, framed, deferReturn: t.image.readUInt32LE(f + 12) } : undefined;
  });
}

/**
 * Takes out what only a trace or a signal, which wasm has not, makes use of, and everything that [expand] makes anew. The
 * tables that stay move together: offsets into them compress better when they are small. They follow the places that
 * [numberPlaces] made of those before.
 */
export function shrink(t, places) {
  const { image, names, units, values, functions, all, count } = t;
  const before = Buffer.from(image.subarray(values, functions));
  const named = all.map((f) => nameOf(t, f));
  for (const inlined of inlinedCalls(t)) image.fill(0, inlined + 4, inlined + 8); // the name
  image.fill(0, names, functions); // with units, files and values
  image.fill(0, t.buckets, t.buckets + bucketSize * (bucketsEach * (count - 1) + 1));

  const kept = new Map();
  for (const name of comparedNames) {
    kept.set(name, [...kept.keys()].reduce((n, other) => n + other.length + 1, 2));
    image.write(name, names + kept.get(name));
  }
  const moved = new Map();
  let room = 1; // the runtime takes 0 for none
  const keep = (at, of, forFrames) => {
    const table = image.readUInt32LE(at);
    if (table === 0) return;
    const bytes = of ? renumbered([...steps(before, table)], of.before, forFrames) : before.subarray(table, tableEnd(before, table));
    const key = bytes.toString("latin1");
    image.writeUInt32LE(moved.get(key) ?? following, at);
    if (moved.has(key)) return;
    moved.set(key, room);
    room += bytes.copy(image, values + room);
  };
  all.forEach((f, i) => {
    image.fill(0, functions + 8 * i, functions + 8 * i + 8);
    image.writeUInt32LE(0, f); // its number
    image.writeUInt32LE(kept.get(named[i]) ?? (isHidden(named[i]) ? 1 : 0), f + 4);
    if (places[i]) image.writeUInt32LE(places[i].deferReturn, f + 12);
    keep(f + 16, places[i], true); // pcsp
    image.fill(0, f + 20, f + 28); // pcfile, pcln: none
    image.fill(0, f + 32, f + 40); // cuOffset, startLine: what the two are relative to
    const pcdata = f + 44;
    const funcdata = pcdata + 4 * pcdataCount(image, f);
    if (funcdata > pcdata) image.writeUInt32LE(0, pcdata); // PCDATA_UnsafePoint: none
    for (let at = pcdata + 4; at < funcdata; at += 4) keep(at, places[i]);
    if (image[f + 43] > funcdataArgInfo) image.writeUInt32LE(0xffffffff, funcdata + 4 * funcdataArgInfo);
  });
}

/**
 * A table whose program counters are those that numberPlaces made. The size of a frame is asked for at a return address, and everything
 * else before it, in the call. The last value holds for as long as may be, so that tables of functions of many lengths are the same.
 */
function renumbered(table, before, forFrames) {
  const last = table.at(-1)[0];
  const valueAt = (pc) => (table.find(([, stop]) => pc < stop) ?? [last])[0];
  const values = before.map((pc, n) => valueAt(forFrames || n === 0 ? pc : n + 1 < before.length ? before[n + 1] - 1 : Infinity));
  const bytes = [];
  let [value, from] = [-1, 0];
  values.forEach((next, n) => {
    if (n + 1 < values.length && values[n + 1] === next) return;
    const length = n + 1 < values.length ? n + 1 - from : [127, 16383, 65535].find((most) => most > values.length);
    bytes.push(...leb(next < value ? 2 * (value - next) - 1 : 2 * (next - value)), ...leb(length));
    [value, from] = [next, n + 1];
  });
  return Buffer.from([...bytes, 0]);
}

/** Whether a trace leaves a function out: those of the runtime, except where a program called them (traceback.go). */
function isHidden(name) {
  if (!name.includes(".")) return true;
  return name.startsWith("runtime.") && !/^runtime\.(\(?\*?[A-Z]\w*\)?\.)?[A-Z]\w*$/.test(name);
}

/**
 * The text of a function that makes anew what [shrink] took out and the runtime needs: the number of each function, where
 * it is described and most of its tables are, and a name that tells its number in the module, where so many imported ones come first. It runs before
 * the program.
 */
export function expand({ address, names, values, functions, count, first, buckets }, imported) {
  const name = address + names + firstName;
  const hex = [12, 8, 4, 0].map(
    (shift, at) => `
      (local.set $digit (i32.and (i32.shr_u (i32.add (local.get $i) (i32.const ${imported})) (i32.const ${shift})) (i32.const 15)))
      (i32.store8 offset=${10 + at} (local.get $name)
        (i32.add (local.get $digit) (select (i32.const 87) (i32.const 48) (i32.gt_u (local.get $digit) (i32.const 9)))))`,
  );
  return `(module (memory 1) (func (local $i i32) (local $offset i32) (local $f i32) (local $name i32) (local $digit i32)
      (local $field i32) (local $room i32) (local $table i32) (local $numbers i32)
    (local.set $room (i32.const 1))
    (local.set $offset (i32.const ${align(8 * count + 4)}))
    (local.set $name (i32.const ${name}))
    (loop $next
      (local.set $f (i32.add (i32.const ${address + functions}) (local.get $offset)))
      (i32.store offset=${address + functions} (i32.shl (local.get $i) (i32.const 3)) (i32.add (local.get $i) (i32.const ${first})))
      (i32.store offset=${address + functions + 4} (i32.shl (local.get $i) (i32.const 3)) (local.get $offset))
      (i32.store (local.get $f) (i32.add (local.get $i) (i32.const ${first})))
      (i32.store offset=${address + buckets} (i32.mul (local.get $i) (i32.const ${bucketSize * bucketsEach})) (local.get $i))
      (if (i32.lt_u (i32.load offset=4 (local.get $f)) (i32.const 2)) (then
        (i64.store (local.get $name)
          (select (i64.const ${letters("runtime.")}) (i64.const ${letters("program.")}) (i32.load offset=4 (local.get $f))))
        (i32.store offset=4 (local.get $f) (i32.sub (local.get $name) (i32.const ${address + names})))))
      (local.set $field (i32.add (local.get $f) (i32.const 16)))
      (loop $fields
        (if (i32.eq (i32.load (local.get $field)) (i32.const ${following})) (then
          (i32.store (local.get $field) (local.get $room))
          (local.set $table (i32.add (local.get $room) (i32.const ${address + values})))
          (loop $pair
            (local.set $numbers (i32.const 2))
            (loop $byte
              (local.set $numbers (i32.sub (local.get $numbers) (i32.lt_u (i32.load8_u (local.get $table)) (i32.const 128))))
              (local.set $table (i32.add (local.get $table) (i32.const 1)))
              (br_if $byte (local.get $numbers)))
            (br_if $pair (i32.load8_u (local.get $table))))
          (local.set $room (i32.sub (local.get $table) (i32.const ${address + values - 1})))))
        (local.set $field (select (i32.add (local.get $f) (i32.const 44)) (i32.add (local.get $field) (i32.const 4))
          (i32.eq (local.get $field) (i32.add (local.get $f) (i32.const 16)))))
        (br_if $fields (i32.lt_u (local.get $field)
          (i32.add (i32.add (local.get $f) (i32.const 44)) (i32.shl (i32.load offset=28 (local.get $f)) (i32.const 2))))))
      (i32.store16 offset=8 (local.get $name) (i32.const ${letters("(*")}))${hex.join("")}
      (i32.store offset=14 (local.get $name) (i32.const ${letters(").f\0")}))
      (local.set $name (i32.add (local.get $name) (i32.const ${nameSize})))
      (local.set $offset (i32.and (i32.const -8) (i32.add (i32.add (local.get $offset) (i32.const ${44 + 7}))
        (i32.shl (i32.add (i32.load offset=28 (local.get $f)) (i32.load8_u offset=43 (local.get $f))) (i32.const 2)))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (i32.const ${count}))))))`;
}

/** Returns the tables as [openTables] reads them: as they were, and behind them which place of each function was which. */
export function writeTables({ image, header, gofunc, all }, imported, places) {
  const start = Buffer.alloc(8);
  start.writeUInt32LE(imported);
  start.writeUInt32LE(gofunc - header, 4);
  const before = all.map((_, i) => places[i]?.before ?? []);
  return Buffer.concat([start, image.subarray(header, gofunc), Buffer.from(before.flatMap((pcs) => [...leb(pcs.length), ...pcs.flatMap((pc) => leb(pc))]))]);
}

/**
 * Reads what writeTables made, and returns a function that tells of another one, by its number in the module, its name, and
 * the file and line of the instruction at a program counter within it.
 */
export function openTables(bytes) {
  const imported = bytes.readUInt32LE(0);
  const image = bytes.subarray(8);
  if (!image.subarray(0, headerStart.length).equals(headerStart)) throw new Error("these are no tables of Go 1.26");
  const [count, names, units, files, values, functions] = [8, 32, 40, 48, 56, 64].map((n) => Number(image.readBigUInt64LE(n)));
  const size = bytes.readUInt32LE(4);
  const r = reader(image, size);
  const before = size === 0 ? [] : Array.from({ length: count }, () => Array.from({ length: r.number() }, () => r.number()));
  return (number, pc) => {
    const i = number - imported;
    if (i < 0 || i >= count) return undefined;
    const f = functions + image.readUInt32LE(functions + 8 * i + 4);
    const was = before[i]?.length > 0 && pc > 0 ? (before[i][pc + 1] ?? 0x10000) - 1 : pc; // that of a call comes right before where it returns to
    const valueAt = (table) => {
      let last = -1;
      for (const [value, stop] of table === 0 ? [] : steps(image, values + table)) {
        last = value;
        if (was < stop) break;
      }
      return last;
    };
    const [file, line] = [20, 24].map((at) => valueAt(image.readUInt32LE(f + at)));
    const path = file < 0 ? 0xffffffff : image.readUInt32LE(units + 4 * (image.readUInt32LE(f + 32) + file));
    return { name: textAt(image, names + image.readUInt32LE(f + 4)), file: path === 0xffffffff ? "?" : textAt(image, files + path), line: Math.max(line, 0) };
  };
}

/** Letters as the number that stores them. */
const letters = (text) => Buffer.from(text).reduceRight((n, byte) => n * 256n + BigInt(byte), 0n);

/** Where calls lie that the compiler inlined. */
function inlinedCalls(t) {
  const { image, all, gofunc } = t;
  return all
    .filter((f) => hasInlined(t, f))
    .flatMap((f) => {
      const tree = gofunc + image.readUInt32LE(f + 44 + 4 * (pcdataCount(image, f) + funcdataInline));
      const most = Math.max(...tableAt(t, f + 44 + 4 * pcdataInline).map(([value]) => value));
      return Array.from({ length: most + 1 }, (_, n) => tree + 16 * n);
    });
}

function hasInlined({ image }, f) {
  const pcdata = pcdataCount(image, f);
  return image[f + 43] > funcdataInline && pcdata > pcdataInline && image.readUInt32LE(f + 44 + 4 * (pcdata + funcdataInline)) !== 0xffffffff;
}

/** The table whose offset lies at a place. */
const tableAt = ({ image, values }, at) => [...steps(image, values + image.readUInt32LE(at))];
const nameOf = ({ image, names }, f) => textAt(image, names + image.readUInt32LE(f + 4));

/** The values of a table, each with the program counter at which it ends, counted from the function's entry. */
function* steps(image, at) {
  const r = reader(image, at);
  for (let value = -1, pc = 0; ; ) {
    const delta = r.number();
    if (delta === 0 && pc > 0) return;
    value += delta & 1 ? -(delta + 1) / 2 : delta / 2;
    yield [value, (pc += r.number())];
  }
}

/** Where a table ends: with a zero that is not the first. */
function tableEnd(tables, at) {
  const r = reader(tables, at);
  for (let first = true; r.number() !== 0 || first; first = false) r.number();
  return r.at;
}

const textAt = (image, at) => image.toString("utf8", at, image.indexOf(0, at));
