// What generated code knows of its module, at run time: payloads are held to it before they are written, and read by it.
import { SkerryError } from "./error.js";
import type { ModuleTypes, NameOf } from "./module.js";
import type { EventInfo, EventRecord, FieldCode, SpaceTables } from "./wire.js";

/** A module as generated code knows it. `skerry module types` writes one; `client.space(id, chat)` takes it. */
export interface ModuleCode<M extends ModuleTypes = ModuleTypes> {
  /** The hash of the module that it was made of, and what that says of itself. */
  readonly hash: string;
  readonly name: string;
  readonly version: string;
  /** The version of the wire contract that the generator knew. */
  readonly api: string;
  readonly events: { readonly [type: string]: EventCode };
  readonly tables: { readonly [name: string]: TableCode };
  /** Is never there: it holds the types. */
  readonly types?: M | undefined;
}

/** An event type's declaration: what payloads are written by. */
export interface EventCode {
  readonly schema: string;
  readonly fields: readonly FieldCode[];
  /** Whether nobody may write it any more. */
  readonly removed?: boolean;
  /** Earlier declarations, whose payloads are read too. */
  readonly older?: readonly OlderCode[];
}

/** An earlier declaration, and where the values of the current fields come from: its field at a place, or what is given. Without `from` it is not read. */
export interface OlderCode {
  readonly schema: string;
  readonly fields: readonly FieldCode[];
  readonly from?: readonly (readonly [place: number, given?: unknown])[];
}

/** A table's columns, and those of its indexes. */
export interface TableCode {
  readonly columns: readonly FieldCode[];
  readonly indexes: { readonly [name: string]: readonly string[] };
}

/** An event's payload as its module declares it. */
export type Declared<M extends ModuleTypes> = { [Type in NameOf<M["events"]>]: { readonly type: Type; readonly payload: M["events"][Type] } }[NameOf<M["events"]>];

type Payload = Record<string, unknown>;

const kinds = ["nothing", "bool", "i64", "u64", "f64", "text", "bytes"];
const top = 2n ** 63n;

function mismatch(type: string, field: string, want: string, got: string): SkerryError {
  return new SkerryError("schema_mismatch", `{type: ${type}, field: ${field}, want: ${want}, got: ${got}}`);
}

/** Reports whether a value is of a kind, as far as msgpack lets one tell. */
function fits(kind: number, value: unknown): boolean {
  switch (kind) {
    case 1:
      return typeof value === "boolean";
    case 2:
    case 3: {
      if (typeof value !== "bigint" && !Number.isSafeInteger(value)) return false;
      const whole = BigInt(value as number);
      return kind === 2 ? whole >= -top && whole < top : whole >= 0 && whole < 2n * top;
    }
    case 4:
      return typeof value === "number";
    case 5:
      return typeof value === "string";
  }
  return ArrayBuffer.isView(value);
}

/** Holds a payload to declared fields, and throws `schema_mismatch` for what is not as they say. Returns their values. */
export function valuesOf(type: string, fields: readonly FieldCode[], payload: unknown): unknown[] {
  if (typeof payload !== "object" || payload === null || Array.isArray(payload) || ArrayBuffer.isView(payload)) throw mismatch(type, "", "a map by name", kindOf(payload));
  return fields.map(([name, kind, need, given]) => {
    const value = (Object.hasOwn(payload, name) ? (payload as Payload)[name] : undefined) ?? (need === 2 ? given : undefined);
    if (value === undefined ? need !== 1 : !fits(kind, value)) throw mismatch(type, name, kinds[kind]!, kindOf(value));
    return value;
  });
}

function kindOf(value: unknown): string {
  for (let kind = 1; kind < kinds.length; kind++) if (fits(kind, value)) return kinds[kind]!;
  return value === undefined ? kinds[0]! : value === null ? "nil" : "something else";
}

/**
 * Returns what a payload is by the declaration of an event type: written by it, by an older one, or by one that the space's module knows (`theirs`), with the names that its lenses say.
 * It throws `schema_mismatch`, `schema_incompatible` for a field that is read here and not written any more, and `schema_unknown`, never
 * a guess.
 */
export function readPayload(type: string, own: EventCode, schema: string, payload: unknown, theirs?: EventInfo): Payload {
  const make = (written: readonly FieldCode[], from: readonly (readonly [place: number, given?: unknown])[]): Payload => {
    const values = valuesOf(type, written, payload);
    const made: Payload = {};
    from.forEach(([place, given], i) => {
      const value = values[place] ?? given;
      if (value !== undefined) made[own.fields[i]![0]] = value;
    });
    return made;
  };
  if (/^0*$/.test(schema) || schema === own.schema) return make(own.fields, own.fields.map((_, i) => [i]));
  const older = own.older?.find((o) => o.schema === schema);
  if (older?.from) return make(older.fields, older.from);
  const newer = theirs?.declarations.find((d) => d.schema === schema);
  const names = newer && namesOf(own, theirs!);
  if (!names || newer.refused || older) throw new SkerryError("schema_unknown", `${type}: the page's code is of schema ${own.schema}, and knows nothing of ${schema}`);
  return make(newer.fields, own.fields.map(([name, kind, need, given], i) => {
    const place = newer.fields.findIndex((f, k) => names[i] !== undefined && newer.names[k] === names[i] && f[1] === kind);
    // A field that the module reads no more here and one that it reads no more there may be the same, and nobody knows.
    const lost = names[i] === undefined && newer.fields.some((f, k) => newer.names[k] === undefined && f[1] === kind);
    if (lost || (need === 0 && newer.fields[place]?.[2] !== 0 && newer.fields[place]?.[2] !== 2)) {
      throw new SkerryError("schema_incompatible", `${type}: field ${name} is not in what was written by schema ${schema}`);
    }
    return [place, given];
  }));
}

/** Returns what a module calls the fields of a declaration now. Of one that it does not list, or refuses, nobody knows, unless it goes by names itself. */
function namesOf(own: EventCode, theirs: EventInfo): readonly (string | undefined)[] | undefined {
  const known = theirs.declarations.find((d) => d.schema === own.schema);
  if (known) return known.refused ? undefined : known.names;
  return theirs.byNames ? own.fields.map((f) => f[0]) : undefined;
}

/** Something that this page's generated code and the space's module disagree about. Each is told once for each module. */
export interface Warning {
  /** The space's ID. */
  readonly space: string;
  /** The event type or the table, and which of the two it is. */
  readonly name: string;
  readonly of: "event" | "table";
  /**
   * `unknown_type`, `schema_unknown`: what is written waits until the space has a module that knows it; `type_removed`, `schema_mismatch`: it is refused;
   * `schema_incompatible`, `not_found`: something that is read here is not there any more; `undefined`: there is more than this code knows of, and nothing is lost.
   */
  readonly code: SkerryError["code"] | undefined;
  /** The same for people. */
  readonly reason: string;
}

type Difference = Omit<Warning, "space">;

/** Returns in what generated code differs from the module that a space has, once for each type and each table. */
export function differences(code: ModuleCode, module: SpaceTables): Difference[] {
  const found: Difference[] = [];
  const tell = (of: "event" | "table", name: string, code: Warning["code"], reason: string): void => void found.push({ of, name, code, reason });
  for (const [name, own] of Object.entries(code.events)) {
    const theirs = module.events.find((e) => e.name === name);
    const known = theirs?.declarations.find((d) => d.schema === own.schema);
    const lacks = theirs && lacking(own.fields, theirs.declarations[0]!.fields, namesOf(own, theirs));
    if (own.removed) continue;
    if (!theirs) tell("event", name, "unknown_type", `${module.name} ${module.version} does not know it`);
    else if (theirs.removed) tell("event", name, "type_removed", `${module.name} ${module.version} has removed it`);
    else if (!known && !theirs.byNames) tell("event", name, "schema_unknown", `${module.name} ${module.version} does not know schema ${own.schema}; its own is ${theirs.declarations[0]!.schema}`);
    else if (known?.refused) tell("event", name, "schema_mismatch", `${module.name} ${module.version} refuses schema ${own.schema}`);
    else if (lacks) tell("event", name, "schema_incompatible", `${module.name} ${module.version} has no field ${lacks}`);
    else if (theirs.declarations[0] !== known) tell("event", name, undefined, `${module.name} ${module.version} declares it otherwise`);
  }
  for (const [name, own] of Object.entries(code.tables)) {
    const columns = module.tables.find((t) => t.name === name)?.columns.map((c): FieldCode => [c.name, kinds.indexOf(c.type), c.optional ? 1 : 0]);
    const lacks = lacking(own.columns, columns ?? []);
    if (!columns) tell("table", name, "not_found", `${module.name} ${module.version} has no such table`);
    else if (lacks) tell("table", name, "schema_incompatible", `${module.name} ${module.version} has no column ${lacks}`);
    else if (columns.length > own.columns.length) tell("table", name, undefined, `${module.name} ${module.version} has more columns`);
  }
  return found;
}

/** Returns the name of a field that is read and is not there, or not always, or of another kind. */
function lacking(read: readonly FieldCode[], there: readonly FieldCode[], names?: readonly (string | undefined)[]): string | undefined {
  return read.find(([name, kind, need], i) => !there.some((f) => f[0] === (names ? names[i] : name) && f[1] === kind && (need !== 0 || f[2] !== 1)))?.[0];
}

/** What typed reading needs of an event. A payload of no bytes says nothing, which is read as one without fields. */
export type Raw = Pick<EventRecord, "type" | "schema" | "payload"> & Partial<Pick<EventRecord, "bytes">>;
