// Takes out of WebAssembly that Go linked what a page downloads for nothing. What the program does stays the same.
//
// - Go's linker splits data wherever a few bytes are zero. 70,000 segments with an offset each are smaller than one
//   that has the zeros in it, but not when compressed: one saves 80 kB of 840.
// - The tables of files and lines take 60 kB. Without them a trace still names each function and the offset in it, by
//   which the line can be found in the same build before this step.
//
// The tables are found by their layout in Go 1.26 (runtime.pcHeader and runtime._func). Where it is another one they
// stay, and what is built is larger.

/** Returns the module with its data in one segment and without line tables, and whether there were any it knew. */
export function strip(module) {
  const sections = readSections(module);
  const data = sections.find((section) => section.id === dataSection);
  const { start, image } = readData(data.body);
  const lines = dropLines(image);
  data.body = Buffer.concat([Buffer.from([1, 0, i32Const, ...leb(start, 64), end, ...leb(image.length, 128)]), image]);
  const parts = sections.flatMap(({ id, body }) => [Buffer.from([id, ...leb(body.length, 128)]), body]);
  return { module: Buffer.concat([module.subarray(0, 8), ...parts]), lines };
}

const dataSection = 11;
const [i32Const, end] = [0x41, 0x0b];

function readSections(module) {
  const sections = [];
  for (const r = reader(module, 8); r.at < module.length; ) sections.push({ id: r.byte(), body: r.bytes(r.number()) });
  return sections;
}

/** Returns what a data section puts into memory, and where that starts. */
function readData(body) {
  const r = reader(body, 0);
  const segments = Array.from({ length: r.number() }, () => {
    const active = r.byte() === 0 && r.byte() === i32Const;
    const start = r.number();
    if (!active || r.byte() !== end) throw new Error("a data segment does not lie at a constant address");
    return { start, bytes: r.bytes(r.number()) };
  });
  segments.sort((a, b) => a.start - b.start);
  const [first, last] = [segments[0], segments.at(-1)];
  const image = Buffer.alloc(last.start + last.bytes.length - first.start);
  for (const { start, bytes } of segments) image.set(bytes, start - first.start);
  return { start: first.start, image };
}

const tableStart = Buffer.from([0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8]); // magic, padding, quantum, size of a pointer

/**
 * Takes the tables of files and lines out, and what else only a trace or a signal, which wasm has not, makes use of. The
 * other tables move together: offsets into them compress better when they are small.
 */
function dropLines(image) {
  const header = image.indexOf(tableStart);
  if (header < 0 || image.indexOf(tableStart, header + 1) >= 0) return false;
  const offset = (n) => header + Number(image.readBigUInt64LE(header + n));
  const [units, tables, functions] = [offset(40), offset(56), offset(64)];
  const count = offset(8) - header;
  if (!(header < units && units < tables && tables < functions && functions + 8 * count < image.length)) return false;
  const all = Array.from({ length: count }, (_, i) => functions + image.readUInt32LE(functions + 8 * i + 4));
  if (all.some((f, i) => image.readUInt32LE(f) !== image.readUInt32LE(functions + 8 * i))) return false; // its entry

  const before = Buffer.from(image.subarray(tables, functions));
  const moved = new Map([[0, 0]]);
  let room = 1; // the runtime takes 0 for none
  const keep = (at) => {
    const table = image.readUInt32LE(at);
    if (!moved.has(table)) {
      moved.set(table, room);
      room += before.copy(image, tables + room, table, tableEnd(before, table));
    }
    image.writeUInt32LE(moved.get(table), at);
  };
  image.fill(0, units, functions); // cutab, filetab, pctab
  for (const f of all) {
    keep(f + 16); // pcsp
    image.fill(0, f + 20, f + 28); // pcfile, pcln: none
    image.fill(0, f + 32, f + 40); // cuOffset, startLine: what the two are relative to
    const pcdata = f + 44;
    const funcdata = pcdata + 4 * image.readUInt32LE(f + 28);
    if (funcdata > pcdata) image.writeUInt32LE(0, pcdata); // PCDATA_UnsafePoint: none
    for (let at = pcdata + 4; at < funcdata; at += 4) keep(at);
    if (image[f + 43] > 5) image.writeUInt32LE(0xffffffff, funcdata + 4 * 5); // FUNCDATA_ArgInfo: none
  }
  return true;
}

/** Where a table of pairs of numbers ends: with a zero that is not the first. */
function tableEnd(tables, at) {
  const r = reader(tables, at);
  for (let first = true; r.number() !== 0 || first; first = false) r.number();
  return r.at;
}

function reader(buffer, at) {
  return {
    at,
    byte() {
      return buffer[this.at++];
    },
    bytes(n) {
      return buffer.subarray(this.at, (this.at += n));
    },
    /** A LEB128 number, not negative. */
    number() {
      for (let n = 0, scale = 1; ; scale *= 128) {
        const byte = this.byte();
        n += (byte & 127) * scale;
        if (byte < 128) return n;
      }
    },
  };
}

/** The LEB128 form of a number that is not negative, whose last byte must stay below: 128, or 64 where it has a sign. */
function leb(n, below) {
  const bytes = [];
  for (; n >= below; n = Math.floor(n / 128)) bytes.push((n & 127) | 128);
  return [...bytes, n];
}
