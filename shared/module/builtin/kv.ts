// Tables that the app declares, in which whoever comes last by the server's order wins, over members' roles.
import { Entry, fail, Genesis, key, Migration, Offer, Table } from "skerry/module";
import { Packed } from "skerry/msgpack";
import { admin, begin, members, need, needForType, takeOver, writer } from "skerry/roles";

@module({
  name: "kv",
  version: "1.0.0",
  abi: 1,
  doc: "Tables that the app declares; whoever writes a value last wins. People have roles (owner, admin, writer, reader), and are invited by links.",
  io: 270336, // the largest event that servers take, and what is said of it
  readable: ["members"],
  audience: "members",
  upgrade: "carry",
})
class KeyValue {
  init(made: Genesis): void {
    begin(made);
    declare(new Packed(made.params), true);
  }

  readable(identity: string): bool {
    return members.has(identity);
  }

  /** Tables that are there already stay as they are without params, and with them get what is new. */
  migrate(from: Migration): void {
    if (!takeOver(from)) fail(badTables, "a space of kv has no table " + from.table);
    if (from.table != "") return;
    const params = from.params;
    if (params.length > 0 || !columns.all().next()) declare(new Packed(params), true);
  }
}

const noTable = 10; // codes of refusals, beside those of roles
const badValue = 11;
const noRow = 12;
const badTables = 13;
const tooLarge = 14;

const mostTables = 64;
const mostColumns = 64; // of a table, the id among them
const longestName = 64; // bytes
const longestId = 256; // bytes
const largestRow = 60 * 1024; // bytes of what is in it, which leaves room for its key

/** What the tables are made of: their columns, of which the first is the id. */
@table("columns", { key: ["table", "place"] })
class Column {
  constructor(
    public table: string,
    public place: u64,
    public name: string,
    public type: string,
    public optional: bool,
  ) {}
}
const columns = new Table<Column>();

/** All rows of all tables: the values of the columns behind the id, as rows have them. Those at the end that are absent may be missing. */
@table("rows", { key: ["table", "id"], declaredBy: "columns" })
class Row {
  constructor(
    public table: string,
    public id: string,
    public values: Uint8Array,
  ) {}
}
const rows = new Table<Row>();

/** Writes some values of a row, which need not have been there. A nil makes one absent. */
function set(payload: Uint8Array): void {
  const packed = new Packed(payload);
  let table = "";
  let id = "";
  let given: Packed | null = null;
  for (let n = packed.map(); n > 0; n--) {
    const name = packed.text();
    if (name == "table") table = packed.text();
    else if (name == "id") id = packed.text();
    else if (name == "values") given = packed.one();
    else packed.skip();
  }
  if (packed.failed || !packed.ended) fail(badValue, "set has a table, an id and values: {table, id, values: {column: value}}");
  const declared = columnsOf(table);
  checkId(id);
  const row = rows.get(key(table).and(id));
  const values = merged(declared, given, row ? row.values : null, table, id);
  if (values.length > largestRow) fail(tooLarge, `the row ${id} of table ${table} would have more than 60 KiB`);
  rows.put(new Row(table, id, values));
}

/** Returns the values of a row in which some are given and the others are as they were. */
function merged(declared: Column[], given: Packed | null, before: Uint8Array | null, table: string, id: string): Uint8Array {
  const values = new Array<Uint8Array | null>(declared.length).fill(null);
  if (before) split(declared, before, values);
  if (given) {
    const seen = new Array<bool>(declared.length).fill(false);
    for (let n = given.map(); n > 0; n--) {
      const name = given.text();
      if (given.failed) break;
      const place = placeOf(declared, name);
      if (place < 1) fail(badValue, place == 0 ? "an id is not among the values: it names the row" : `table ${table} has no column ${name}, but ${namesOf(declared)}`);
      if (seen[place]) fail(badValue, `${name} comes twice`);
      seen[place] = true;
      values[place] = valueOf(declared[place], given);
    }
    if (given.failed) fail(badValue, "values are a map by name");
  }
  let length = 0;
  for (let i = 1; i < declared.length; i++) {
    const value = values[i];
    length += i32(declared[i].optional) + (value ? value.length : 0);
    if (value || declared[i].optional) continue;
    if (before) fail(badValue, `column ${declared[i].name} of table ${table} cannot be absent`);
    fail(noRow, `there is no row ${id} in table ${table}, or no more, and a new one has a ${declared[i].name}`);
  }
  const all = new Uint8Array(length);
  let at = all.dataStart;
  for (let i = 1; i < declared.length; i++) {
    const value = values[i];
    if (declared[i].optional) store<u8>(at++, value ? 1 : 0);
    if (!value) continue;
    memory.copy(at, value.dataStart, value.length);
    at += value.length;
  }
  return all;
}

/** Reads the next value for a column; null is one that is absent. */
function valueOf(column: Column, given: Packed): Uint8Array | null {
  if (given.nil()) return null;
  const read = given.one();
  if (given.failed) return null; // which is told by the caller
  const value = read.value(column.type);
  if (read.failed || !read.ended) fail(badValue, `${column.name} is no ${column.type}`);
  return value;
}

/** Takes a row apart. */
function split(declared: Column[], row: Uint8Array, values: (Uint8Array | null)[]): void {
  let at = 0;
  for (let i = 1; i < declared.length && at < row.length; i++) {
    if (declared[i].optional && row[at++] == 0) continue;
    const type = declared[i].type;
    let length = 8;
    if (type == "bool") length = 1;
    else if (type == "text" || type == "bytes") length = 4 + load<u32>(row.dataStart + at);
    values[i] = row.slice(at, at + length);
    at += length;
  }
}

function columnsOf(table: string): Column[] {
  const found = new Array<Column>();
  const scan = columns.from(table);
  for (let c = scan.next(); c; c = scan.next()) found.push(c);
  if (found.length == 0) fail(noTable, `there is no table ${table}`);
  return found;
}

function placeOf(declared: Column[], name: string): i32 {
  for (let i = 0; i < declared.length; i++) {
    if (declared[i].name == name) return i;
  }
  return -1;
}

function namesOf(declared: Column[]): string {
  let text = "";
  for (let i = 0; i < declared.length; i++) text += (i > 0 ? ", " : "") + declared[i].name;
  return text;
}

function checkId(id: string): void {
  const length = String.UTF8.byteLength(id);
  if (length == 0 || length > longestId) fail(badValue, "an id is 1 to 256 bytes");
}

/** Makes tables, and adds columns to those that are there: {tables: {name: {column: type}}}. */
function declare(packed: Packed, first: bool): void {
  let any = false;
  for (let n = packed.map(); n > 0; n--) {
    if (packed.text() != "tables") {
      packed.skip();
      continue;
    }
    if (any) fail(badTables, "tables come twice");
    any = true;
    for (let k = packed.map(); k > 0 && !packed.failed; k--) declareTable(packed.text(), packed);
  }
  if (packed.failed || !packed.ended || !any) {
    const what = first ? "the params" : "declare";
    fail(badTables, `${what} have no tables: {tables: {todos: {title: "text", done: "bool", due: "f64?"}}}`);
  }
}

function declareTable(name: string, packed: Packed): void {
  if (packed.failed) return;
  checkName("table", name);
  if (name == "columns" || name == "rows" || name == "members" || name == "invitations" || name == "voided") {
    fail(badTables, `a table cannot be called ${name}: the module has one`);
  }
  const added = !columns.has(key(name).and(<u64>0));
  if (added) {
    if (countTables() >= mostTables) fail(badTables, "there are at most 64 tables");
    columns.put(new Column(name, 0, "id", "text", false));
  }
  const declared = columnsOf(name);
  const count = declared.length;
  for (let n = packed.map(); n > 0; n--) {
    const column = packed.text();
    let type = packed.text();
    if (packed.failed) return;
    const optional = type.endsWith("?");
    if (optional) type = type.substring(0, type.length - 1);
    const place = placeOf(declared, column);
    if (place < 0) {
      if (!added && !optional) fail(badTables, `${name}.${column} is new, so rows have none: let it be ${type}?`);
      declared.push(newColumn(name, declared.length, column, type, optional));
    } else if (place == 0) {
      fail(badTables, `${name}.id is every row's name, a text, and not declared`);
    } else if (place >= count) {
      fail(badTables, `${name}.${column} comes twice`);
    } else if (declared[place].type != type || declared[place].optional != optional) {
      fail(badTables, `${name}.${column} is ${declared[place].type}${declared[place].optional ? "?" : ""}, and stays what it is`);
    }
  }
  for (let i = count; i < declared.length; i++) columns.put(declared[i]);
}

function newColumn(table: string, place: i32, name: string, type: string, optional: bool): Column {
  checkName(`table ${table}: a column`, name);
  if (name.startsWith("$")) fail(badTables, `${table}.${name}: names that begin with $ are Skerry's`);
  if (place >= mostColumns) fail(badTables, `table ${table} has more than 64 columns, its id among them`);
  const known = type == "bool" || type == "i64" || type == "u64" || type == "f64" || type == "text" || type == "bytes";
  if (!known) fail(badTables, `${table}.${name} is ${type}, and can be bool, i64, u64, f64, text or bytes, each with a ? behind it where it may be absent`);
  return new Column(table, place, name, type, optional);
}

function checkName(what: string, name: string): void {
  const length = String.UTF8.byteLength(name);
  if (length == 0 || length > longestName) fail(badTables, `${what}: a name is 1 to 64 bytes, not "${name}"`);
}

function countTables(): i32 {
  let n = 0;
  const scan = columns.all();
  for (let c = scan.next(); c; c = scan.next()) n += i32(c.place == 0);
  return n;
}

/** Deletes a row. One that is not there is deleted already: somebody else was faster. */
@event("delete")
class Delete {
  table: string = "";
  id: string = "";

  authorize(offer: Offer): void {
    need(offer, writer);
  }

  apply(entry: Entry): void {
    checkId(this.id);
    if (!columns.has(key(this.table).and(<u64>0))) fail(noTable, `there is no table ${this.table}`);
    rows.delete(key(this.table).and(this.id));
  }
}

/** `set` and `declare`, whose payloads are maps of maps. Everything else is the app's own: writers, admins and the owner write it. */
@raw
class Anything {
  type: string = "";
  payload: Uint8Array = new Uint8Array(0);

  authorize(offer: Offer): void {
    if (this.type == "declare") need(offer, admin);
    else needForType(offer, this.type);
  }

  apply(entry: Entry): void {
    if (this.type == "set") set(this.payload);
    else if (this.type == "declare") declare(new Packed(this.payload), false);
  }
}
