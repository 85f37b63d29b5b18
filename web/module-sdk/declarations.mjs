// Reads what a module declares (classes with @module, @event, @raw, @table, @row and @params) and writes what its source
// leaves out: the manifest, how rows and events are read and written, and the functions that the host calls.
import { NodeKind, Parser } from "assemblyscript";

const numbers = new Set(["i64", "u64", "f64"]);
const options = {
  module: ["name", "version", "abi", "doc", "io", "readable", "audience", "upgrade"],
  event: ["doc", "defaults", "removed", "older"],
  older: ["fields", "rename", "drop", "defaults", "refused"],
  table: ["key", "indexes", "declaredBy"],
};

/**
 * Returns the manifest that a module declares, in its own file and in those that this imports, and their sources with what they
 * leave out: `source` of its own, `files` of the others by path. Lines stay where they were. `read` returns the text of a path, or
 * null; paths are relative to the folder of the module's own file, those of libraries begin with `~lib/`. Files that it does not
 * give declare nothing. `versionOf` is given what the module says that its version is, and returns what it is. It throws an Error that says where, for declarations that cannot be; other mistakes are for the compiler to find.
 */
export function declare(source, path, read = () => null, versionOf = (said) => said) {
  return new Declarations(source, path, read, versionOf).result();
}

/** A default as the manifest has it: bytes are written down as a list of numbers. */
function bytesOf(type, value) {
  return type === "bytes" && Array.isArray(value) ? Uint8Array.from(value) : value;
}

class Declarations {
  events = [];
  tables = [];
  classes = [];

  constructor(source, path, read, versionOf) {
    this.versionOf = versionOf;
    const parser = new Parser();
    parser.parseFile(source, path, true);
    for (let file = parser.nextFile(); file !== null; file = parser.nextFile()) {
      for (const name of [`${file}.ts`, `${file}/index.ts`]) {
        const text = read(name);
        if (text === null) continue;
        parser.parseFile(text, name, false);
        break;
      }
    }
    if (parser.diagnostics.length > 0) throw new Error(String(parser.diagnostics[0]));
    this.sources = parser.sources;
    for (const node of parser.sources.flatMap((file) => file.statements)) {
      if (node.kind === NodeKind.ClassDeclaration) this.class(node);
    }
  }

  fail(node, message) {
    const { source, start } = node.range;
    const line = source.text.slice(0, start).split("\n").length;
    throw new Error(`${source.normalizedPath}:${line}: ${message}`);
  }

  text(node) {
    return node.range.source.text.slice(node.range.start, node.range.end);
  }

  /** Whether a class stands in the module's own file. */
  own(node) {
    return node.range.source === this.sources[0];
  }

  class(node) {
    for (const decorator of node.decorators ?? []) {
      const kind = decorator.name.text;
      if (!["module", "event", "raw", "table", "row", "params"].includes(kind)) continue;
      if (node.declared) this.fail(decorator, `${node.name.text} is declared as two things`);
      node.declared = true;
      this[kind](node, decorator, (decorator.args ?? []).map((a) => this.literal(a)));
    }
  }

  module(node, decorator, [given]) {
    if (!this.own(node)) this.fail(decorator, "the @module stands in the module's own file");
    if (this.main) this.fail(decorator, "there is another @module");
    this.main = { node, ...this.options("module", decorator, given) };
    this.main.version = this.versionOf(this.main.version);
    if (!this.main.name || !this.main.version) this.fail(decorator, "a module has a name and a version, here or in package.json");
  }

  event(node, decorator, [name, given]) {
    const { doc, defaults = {}, removed, older = [] } = this.options("event", decorator, given);
    if (typeof name !== "string") this.fail(decorator, 'an event has a name: @event("note")');
    if (!removed) this.judges(node);
    const event = { ...this.fields(node), name, doc, removed, older: older.map((o) => this.older(decorator, o)) };
    for (const [field, value] of Object.entries(defaults)) {
      const found = event.fields.find((f) => f.name === field);
      if (!found) this.fail(decorator, `event ${name} has no field ${field}, which has a default`);
      found.default = bytesOf(found.type, value);
    }
    this.events.push(event);
  }

  /** An earlier declaration of an event type, as manifests have it. */
  older(decorator, given) {
    const { fields = {}, defaults, ...lens } = this.options("older", decorator, given);
    return {
      fields: Object.entries(fields).map(([name, declared]) => {
        const { type, given: value } = typeof declared === "string" ? { type: declared } : declared;
        const optional = type.endsWith("?");
        const kind = optional ? type.slice(0, -1) : type;
        return { name, type: kind, ...(optional && { optional }), ...(value !== undefined && { default: bytesOf(kind, value) }) };
      }),
      ...lens,
      // What they are values of is a field that is declared now, whose type is known when all of the class is.
      ...(defaults && { default: Object.fromEntries(Object.entries(defaults).map(([name, value]) => [name, Array.isArray(value) ? Uint8Array.from(value) : value])) }),
    };
  }

  raw(node, decorator) {
    if (this.other) this.fail(decorator, "there is another @raw");
    this.judges(node);
    this.other = this.fields(node);
    const types = { type: "string", schema: "Uint8Array", payload: "Uint8Array" };
    for (const f of this.other.fields) {
      if (types[f.name] !== f.text) this.fail(f.node, "what is known of an event that is not declared is type: string, schema: Uint8Array, payload: Uint8Array");
    }
  }

  table(node, decorator, [name, given]) {
    const { key, indexes = [], declaredBy } = this.options("table", decorator, given);
    if (typeof name !== "string") this.fail(decorator, 'a table has a name: @table("notes")');
    const table = { ...this.fields(node), name, indexes, declaredBy };
    table.key = key ?? table.fields.slice(0, 1).map((f) => f.name);
    for (const column of [table.key, ...indexes.map((x) => x.columns)].flat()) {
      if (!table.fields.some((f) => f.name === column)) this.fail(decorator, `table ${name} has no column ${column}`);
    }
    this.tables.push(table);
  }

  row(node) {
    this.fields(node);
  }

  params(node, decorator) {
    if (this.genesis) this.fail(decorator, "there are other @params");
    this.genesis = this.fields(node);
  }

  options(kind, decorator, given = {}) {
    for (const name of Object.keys(given)) {
      if (!options[kind].includes(name)) this.fail(decorator, `@${kind} has no ${name}: it has ${options[kind].join(", ")}`);
    }
    return given;
  }

  /** The value of an expression that is written down as JSON would be. */
  literal(node) {
    const values = (list) => list.map((v) => this.literal(v));
    if (node.kind === NodeKind.True) return true;
    if (node.kind === NodeKind.False) return false;
    if (node.kind === NodeKind.Literal && node.value !== undefined && typeof node.value === "string") return node.value;
    if (node.kind === NodeKind.Literal && node.elementExpressions) return values(node.elementExpressions);
    if (node.kind === NodeKind.Literal && node.names) {
      return Object.fromEntries(values(node.values).map((v, i) => [node.names[i].text, v]));
    }
    const text = this.text(node).replaceAll("_", "");
    if (/^-?\d+(\.\d+)?$/.test(text)) {
      const number = Number(text);
      if (!text.includes(".") && !Number.isSafeInteger(number)) this.fail(node, `${text}: whole numbers in declarations are from -(2^53 - 1) to 2^53 - 1`);
      return number;
    }
    return this.fail(node, `${this.text(node)}: a declaration is made of texts, numbers, true, false, [lists] and {names: values}`);
  }

  /** Finds the fields of a class, and has it read and written. */
  fields(node) {
    const found = { node, fields: [] };
    for (const member of node.members) {
      if (member.kind === NodeKind.FieldDeclaration && !this.isStatic(member)) found.fields.push(this.field(member, member.type));
    }
    this.classes.push(found);
    return found;
  }

  isStatic(member) {
    return /^(?:(?:private|protected|public|readonly)\s+)*static\s/.test(this.text(member));
  }

  field(node, type) {
    const text = this.text(type).replaceAll(/\s/g, "");
    const optional = text.endsWith("|null");
    let kind = optional ? text.slice(0, -"|null".length) : text;
    const boxed = /^Optional<(\w+)>$/.exec(kind);
    if (boxed) kind = boxed[1];
    const types = { string: "text", Uint8Array: "bytes", bool: "bool", i64: "i64", u64: "u64", f64: "f64" };
    const reference = kind === "string" || kind === "Uint8Array";
    if (!types[kind] || (optional ? reference === !!boxed : boxed)) {
      this.fail(node, `${node.name.text}: ${this.text(type)} is none of bool, i64, u64, f64, string, Uint8Array, string | null, Uint8Array | null, Optional<bool> | null and so on`);
    }
    return { node, name: node.name.text, text, kind, type: types[kind], optional };
  }

  methods(node) {
    return new Set(node.members.filter((m) => m.kind === NodeKind.MethodDeclaration).map((m) => m.name.text));
  }

  judges(node) {
    if (!this.methods(node).has("authorize")) {
      this.fail(node.name, `${node.name.text} says who may write it: authorize(offer: Offer): void`);
    }
  }

  manifest() {
    const { name, version, abi = 2, doc, io, readable, audience, upgrade } = this.main;
    const declared = ({ name, type, optional, default: value }) => ({ name, type, ...(optional && { optional }), ...(value !== undefined && { default: value }) });
    return {
      name,
      version,
      abi,
      ...(io && { io }),
      ...(doc && { doc }),
      events: this.events.map((e) => ({
        name: e.name,
        ...(e.doc && { doc: e.doc }),
        fields: e.fields.map(declared),
        ...(e.removed && { removed: true }),
        ...(e.older.length > 0 && { older: e.older }),
      })),
      ...(this.other && { raw: true }),
      ...(this.genesis && { params: this.genesis.fields.map(declared) }),
      tables: this.tables.map((t) => ({
        name: t.name,
        columns: t.fields.map(declared),
        key: t.key,
        ...(t.indexes.length > 0 && { indexes: t.indexes }),
        ...(t.declaredBy && { declared_by: t.declaredBy }),
      })),
      ...(readable && { readable }),
      ...(audience && { audience }),
      ...(upgrade && { upgrade }),
    };
  }

  result() {
    const [own, ...imported] = this.sources;
    if (!this.main) throw new Error(`${own.normalizedPath}:1: nothing is the @module`);
    return {
      manifest: this.manifest(),
      source: `${this.completed(own)}\n${this.exports()}`,
      files: new Map(imported.map((file) => [file.normalizedPath, this.completed(file)])),
    };
  }

  /** The source of a file, with what its classes get. */
  completed(file) {
    const found = this.classes.filter((c) => c.node.range.source === file);
    let source = file.text;
    for (const c of found.toReversed()) {
      const at = c.node.range.end - 1;
      source = `${source.slice(0, at)} ${this.members(c)} ${source.slice(at)}`;
    }
    if (found.length === 0) return source;
    source = `${source}\nimport * as __skerry from "skerry/module";\n`;
    if (file === this.sources[0]) return source;
    const names = found.map((c) => c.node.name.text);
    return `${source}export { ${names.map((name) => `${name} as __${name}`).join(", ")} };\n`;
  }

  /** What the functions that the host calls say for a class. */
  nameOf(node) {
    return this.own(node) ? node.name.text : `__skerry_${this.classes.findIndex((c) => c.node === node)}`;
  }

  /** The imports of the classes that are declared in other files. */
  imports() {
    return this.classes
      .filter((c) => !this.own(c.node))
      .map(({ node }) => {
        const file = node.range.source.internalPath;
        const from = file.startsWith("~lib/") ? file.slice("~lib/".length) : `./${file}`;
        return `import { __${node.name.text} as ${this.nameOf(node)} } from ${JSON.stringify(from)};`;
      });
  }

  /** What a class with fields gets. */
  members(c) {
    const table = this.tables.findIndex((t) => t.node === c.node);
    const read = this.other?.node === c.node ? this.readRaw(c) : c.fields.map((f) => this.readField(f)).join(" ");
    let text = `__read(r: __skerry.__Reader): void { ${read} }`;
    text += ` __write(w: __skerry.__Writer): void { ${c.fields.map((f) => this.writeField(f)).join(" ")} }`;
    if (table >= 0) {
      const places = this.tables[table].indexes.map((x, i) => `if (name == ${JSON.stringify(x.name)}) return ${i + 1};`);
      text += ` __table(): i32 { return ${table}; } __index(name: string): i32 { ${places.join(" ")} return unreachable(); }`;
    }
    return text;
  }

  readRaw(c) {
    const reads = { type: "r.text()", schema: "r.fixed(8)", payload: "r.bytes()" };
    const skips = { type: "r.skip();", schema: "r.at += 8;", payload: "" };
    return Object.keys(reads)
      .map((name) => (c.fields.some((f) => f.name === name) ? `this.${name} = ${reads[name]};` : skips[name]))
      .join(" ");
  }

  readField({ name, kind, optional }) {
    const reads = { string: "r.text()", Uint8Array: "r.bytes()", bool: "r.bool()" };
    const value = reads[kind] ?? `r.number<${kind}>()`;
    if (!optional) return `this.${name} = ${value};`;
    const boxed = numbers.has(kind) || kind === "bool" ? `new __skerry.Optional<${kind}>(${value})` : value;
    return `this.${name} = r.bool() ? ${boxed} : null;`;
  }

  writeField({ name, kind, optional }) {
    const writes = { string: "w.text", Uint8Array: "w.bytes", bool: "w.bool" };
    const write = writes[kind] ?? `w.number<${kind}>`;
    if (!optional) return `${write}(this.${name});`;
    const value = numbers.has(kind) || kind === "bool" ? "value.value" : "value";
    return `{ const value = this.${name}; w.bool(value != null); if (value != null) ${write}(${value}); }`;
  }

  exports() {
    const methods = this.methods(this.main.node);
    const main = `changetype<${this.main.node.name.text}>(0)`;
    const events = [...this.events, ...(this.other ? [this.other] : [])];
    const cases = (call) =>
      events
        .filter((e) => this.methods(e.node).has(call) && !(e.removed && call === "authorize"))
        .map((e) => `case ${e === this.other ? -1 : this.events.indexOf(e)}: __skerry.__read<${this.nameOf(e.node)}>(call.__fields).${call}(call); break;`)
        .join(" ");
    const params = this.genesis ? `, __skerry.__read<${this.nameOf(this.genesis.node)}>(from.__params)` : "";
    const lines = [
      ...this.imports(),
      ...(this.classes.some((c) => this.own(c.node)) ? [] : [`import * as __skerry from "skerry/module";`]),
      `export function skerry_io(): i32 { return 0; }`,
      `export function authorize(length: i32): i32 { const call = new __skerry.Offer(0); switch (call.event) { ${cases("authorize")} } return 0; }`,
      `export function apply(length: i32): void { const call = new __skerry.Entry(0); switch (call.event) { ${cases("apply")} } }`,
    ];
    if (methods.has("init")) lines.push(`export function init(length: i32): void { const from = new __skerry.Genesis(0); ${main}.init(from${params}); }`);
    if (methods.has("readable")) {
      lines.push(`export function readable(length: i32): i32 { return i32(${main}.readable(new __skerry.__Reader(0).text())); }`);
    }
    if (methods.has("migrate")) {
      const take = this.genesis ? `const params = __skerry.__read<${this.nameOf(this.genesis.node)}>(from.__params);` : "from.__params.skip();";
      lines.push(
        `export function migrate(length: i32): i32 { const from = new __skerry.Migration(0); ${take} from.__begin(); ${main}.migrate(from${this.genesis ? ", params" : ""}); return 0; }`,
      );
    }
    return `${lines.join("\n")}\n`;
  }
}
