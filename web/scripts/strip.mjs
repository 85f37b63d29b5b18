// Takes out of WebAssembly that Go linked what a page downloads for nothing. What the program does stays the same.
//
// - Go's linker splits data wherever a few bytes are zero. 70,000 segments with an offset each are smaller than a few
//   that have the zeros in them, but not when compressed: those save 80 kB of 840.
// - The tables of files and lines take 60 kB, and 35 kB the names of functions. A trace gets both from the tables as
//   they were (trace.mjs): without them it numbers the functions.
// - A function that runs before the program makes what follows from the rest of the tables anew: 40 kB.
// - Code that the compiler writes everywhere is written so that it is the same everywhere (code.mjs): 115 kB.
// - The places where a function can go on have numbers that are as small as can be, in its code and its tables (places.mjs): 35 kB.
import wabt from "wabt";
import { leb, reader } from "./binary.mjs";
import { namedPlaces, shrinkCode } from "./code.mjs";
import { describeFunctions, expand, findTables, shrink, writeTables } from "./pclntab.mjs";

const { parseWat } = await wabt();
const [typeSection, importSection, functionSection, startSection, elementSection, codeSection, dataSection] = [1, 2, 3, 8, 9, 10, 11];
const [i32Const, end] = [0x41, 0x0b];
const goType = 0; // Go's linker makes this type the first

/**
 * Returns the module in its smaller form, and the tables that a trace needs. There are none, and all tables stay, if they
 * are laid out as no release of Go that pclntab.mjs knows does.
 */
export function strip(module) {
  const sections = readSections(module);
  const data = sections.find((section) => section.id === dataSection);
  const { start, image } = readData(data.body);
  const tables = sections.some(({ id }) => id === startSection) ? undefined : findTables(image, start);
  const taken = shrinkTables(sections, tables, shrinkFunctions(sections, tables));
  data.body = writeData(image, start);
  const parts = sections.flatMap(({ id, body }) => [Buffer.from([id, ...leb(body.length)]), body]);
  return { module: Buffer.concat([module.subarray(0, 8), ...parts]), tables: taken };
}

/**
 * Makes the code smaller of functions that take and return an i32, as Go's do. It returns what their places were before, and where they go
 * on after a panic, of those that have tables and were numbered anew.
 */
function shrinkFunctions(sections, tables) {
  const section = (id) => sections.find((candidate) => candidate.id === id);
  const code = section(codeSection);
  if (!code) return [];
  const types = reader(section(functionSection).body, 0);
  const bodies = reader(code.body, 0);
  types.number();
  const functions = Array.from({ length: bodies.number() }, () => ({ go: types.number() === goType, body: bodies.bytes(bodies.number()) }));
  const imported = importedFunctions(sections);
  const known = tables ? describeFunctions(tables, imported) : [];
  for (const index of namedPlaces(functions.map(({ body }) => body))) known[index] = undefined;
  const made = functions.map(({ go, body }, index) => (go ? shrinkCode(body, index, imported, known[index]) : body));
  code.body = Buffer.concat([Buffer.from(leb(functions.length)), ...made.flatMap((body) => [Buffer.from(leb(body.length)), body])]);
  return known.map((of) => of?.places);
}

/** Makes the tables in the data small and adds what expands them, and returns them as a trace needs them. */
function shrinkTables(sections, tables, places) {
  if (!tables) return undefined;
  const imported = importedFunctions(sections);
  const before = writeTables(tables, imported, places);
  shrink(tables, places);
  addStart(sections, assemble(expand(tables, imported)), imported);
  return before;
}

const importedFunctions = (sections) => elements(sections.find(({ id }) => id === importSection)).count;

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

const longestZeros = Buffer.alloc(4096); // that a segment has: more would be read and copied for nothing

function writeData(image, start) {
  const segments = [];
  for (let at = 0; at < image.length; ) {
    const zeros = image.indexOf(longestZeros, at);
    const stop = zeros < 0 ? image.length : zeros;
    const bytes = image.subarray(at, stop);
    if (bytes.length > 0) segments.push(Buffer.concat([Buffer.from([0, i32Const, ...leb(start + at, 64), end, ...leb(bytes.length)]), bytes]));
    for (at = stop; image[at] === 0; ) at++;
  }
  return Buffer.concat([Buffer.from(leb(segments.length)), ...segments]);
}

/** Returns the code of the one function that a text has, with its length. */
function assemble(text) {
  const module = parseWat("expand.wat", text);
  module.validate();
  const bytes = Buffer.from(module.toBinary({}).buffer);
  module.destroy();
  return elements(readSections(bytes).find((section) => section.id === codeSection)).rest;
}

/** Adds a function as the last, so that the numbers of the others stay, and has it run at the start. */
function addStart(sections, code, imported) {
  const section = (id) => sections.find((candidate) => candidate.id === id);
  const type = append(section(typeSection), Buffer.from([0x60, 0, 0]));
  append(section(functionSection), Buffer.from(leb(type)));
  append(section(codeSection), code);
  const start = { id: startSection, body: Buffer.from(leb(imported + elements(section(functionSection)).count - 1)) };
  sections.splice(sections.findIndex(({ id }) => id >= elementSection && id <= dataSection), 0, start);
}

/** Appends an element to a section, and returns its number. */
function append(section, element) {
  const { count, rest } = elements(section);
  section.body = Buffer.concat([Buffer.from(leb(count + 1)), rest, element]);
  return count;
}

function elements({ body }) {
  const r = reader(body, 0);
  return { count: r.number(), rest: body.subarray(r.at) };
}
