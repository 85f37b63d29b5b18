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
import { firstFunction, isGoCode, namedPlaces, shrinkCode } from "./code.mjs";
import { describeFunctions, expand, findTables, shrink, writeTables } from "./pclntab.mjs";

const { parseWat } = await wabt();
const [customSection, typeSection, importSection, functionSection, exportSection, startSection, elementSection, codeSection, dataSection] = [0, 1, 2, 3, 7, 8, 9, 10, 11];
const [i32Const, end] = [0x41, 0x0b];
const functionKind = 0; // of what is imported or exported
const goType = 0; // Go's linker makes this type the first
const goSignature = Buffer.of(0x60, 1, 0x7f, 1, 0x7f); // and this is it: a function takes an i32 and returns one
const goVersion = /^go1\.26(\.\d+)?$/; // whose compiler, linker and runtime everything here is about
const mostFunctions = 0xf000; // whose program counters are below 2^32
const buildID = Buffer.of(0, i32Const, 0, end); // the code of the linker's symbol for that, which nobody calls

/**
 * Returns the module in its smaller form, and the tables that a trace needs. There are none, and all tables stay, if they
 * are laid out as no release of Go that pclntab.mjs knows does. It throws where code is not what Go 1.26 makes: that of another
 * release might look the same, and be rewritten wrongly.
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
 * Makes the code of Go's functions smaller. It returns what their places were before, and where they go on after a panic, of those that
 * have tables and were numbered anew.
 */
function shrinkFunctions(sections, tables) {
  const code = sections.find(({ id }) => id === codeSection);
  if (!code) return [];
  const functions = readFunctions(sections);
  const imported = importedFunctions(sections);
  checkGo(sections, functions.length, imported, tables);
  const known = tables ? describeFunctions(tables, imported) : [];
  for (const index of namedPlaces(functions.map(({ body }) => body))) known[index] = undefined;
  const isGoFunction = (number) => functions[number - imported]?.go ?? false;
  const made = functions.map(({ go, body }, index) => (go ? shrinkCode(body, index, isGoFunction, known[index]) : body));
  code.body = Buffer.concat([Buffer.from(leb(functions.length)), ...made.flatMap((body) => [Buffer.from(leb(body.length)), body])]);
  return known.map((of) => of?.places);
}

/** The functions of the code section, and which of them are laid out as Go's are: what JavaScript calls is not. */
function readFunctions(sections) {
  const section = (id) => sections.find((candidate) => candidate.id === id);
  const types = reader(section(functionSection).body, 0);
  const bodies = reader(section(codeSection).body, 0);
  types.number();
  const imported = importedFunctions(sections);
  const exported = exportedFunctions(section(exportSection));
  return Array.from({ length: bodies.number() }, (_, index) => {
    const ofType = types.number() === goType;
    const body = bodies.bytes(bodies.number());
    const go = ofType && isGoCode(body);
    if (ofType && !go && !exported.has(imported + index) && !body.equals(buildID)) throw new Error(`function ${imported + index} does not begin as those of Go 1.26 do`);
    return { go, body };
  });
}

/** Throws if a module is not of the one release of Go, or its functions do not have the type and the numbers that this one gives them. */
function checkGo(sections, count, imported, tables) {
  const section = (id) => sections.find((candidate) => candidate.id === id);
  const version = producer(sections);
  if (!goVersion.test(version)) {
    throw new Error(
      `strip.mjs knows the code of Go 1.26, and not of ${version || "another compiler"}: build with that, or compare what code.mjs, places.mjs and pclntab.mjs ` +
        "tell of the compiler, the linker and the runtime with those of the new release, and run Go's own tests by exec.mjs",
    );
  }
  if (!section(typeSection).body.subarray(1, 1 + goSignature.length).equals(goSignature)) throw new Error("the first type is not that of Go's functions");
  if (count > mostFunctions) throw new Error(`there are ${count} functions, and only ${mostFunctions} have program counters of 32 bits`);
  const numbers = Array.from({ length: count }, (_, index) => leb(imported + index)).flat();
  const table = Buffer.from([1, 0, i32Const, ...leb(firstFunction, 64), end, ...leb(count), ...numbers]);
  if (!section(elementSection)?.body.equals(table)) throw new Error(`the table does not have all functions in their order, from ${firstFunction} on`);
  if (tables && (tables.count !== count || tables.first !== firstFunction)) {
    throw new Error(`Go's tables are about ${tables.count} functions from ${tables.first} on, and there are ${count} from ${firstFunction} on`);
  }
}

/** The version of Go that a module says it is made by, if it does. */
function producer(sections) {
  const start = Buffer.from("\x09producers\x02\x08language\x01\x02Go");
  const about = sections.find(({ id, body }) => id === customSection && body.subarray(0, start.length).equals(start));
  const r = about && reader(about.body, start.length);
  return r && r.bytes(r.number()).toString();
}

function exportedFunctions(section) {
  const r = section && reader(section.body, 0);
  const all = Array.from({ length: r?.number() ?? 0 }, () => ({ name: r.bytes(r.number()), kind: r.byte(), number: r.number() }));
  return new Set(all.filter(({ kind }) => kind === functionKind).map(({ number }) => number));
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

/** How many functions are imported, which is all that Go imports. */
function importedFunctions(sections) {
  const r = reader(sections.find(({ id }) => id === importSection).body, 0);
  const count = r.number();
  for (let n = 0; n < count; n++) {
    const [module, name] = [r.bytes(r.number()), r.bytes(r.number())];
    if (r.byte() !== functionKind) throw new Error(`${module} ${name} is imported, and is no function`);
    r.number(); // its type
  }
  return count;
}

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
