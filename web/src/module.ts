import type { Value } from "./tables.js";

/**
 * What a table is to TypeScript: its rows, the columns of its key, and those of its indexes. `skerry module types` writes
 * one for each table of a module.
 */
export interface TableTypes {
  /** The columns of a row. */
  readonly row: object;
  /** The types of the key's columns, in order. */
  readonly key: readonly unknown[];
  /** Of each index, by its name, the types of its columns, in order. */
  readonly indexes: object;
}

/**
 * What a module is to TypeScript: what its events and its spaces' parameters are made of, and its tables. It is there for the compiler alone;
 * `skerry module types` writes it of a module's manifest. A space of one is opened as `client.space<Chat>(id)`.
 */
export interface ModuleTypes {
  readonly params: unknown;
  /** The payloads, by the event's type. */
  readonly events: object;
  /** What the tables are, by name. */
  readonly tables: object;
}

/** A table of which the compiler knows nothing. */
export interface AnyTable extends TableTypes {
  readonly row: { readonly [column: string]: Value };
  readonly key: readonly Value[];
  readonly indexes: { readonly [name: string]: readonly Value[] };
}

/** A module of which the compiler knows nothing. */
export interface AnyModule extends ModuleTypes {
  readonly events: { readonly [type: string]: unknown };
  readonly tables: { readonly [name: string]: AnyTable };
}

/** The name of a member. */
export type NameOf<T> = keyof T & string;

/** The table of a module that has a name. */
export type TableOf<M extends ModuleTypes, Name extends NameOf<M["tables"]>> = M["tables"][Name] extends TableTypes ? M["tables"][Name] : AnyTable;

/** An argument that can be left out where it may be anything. A module's own event has a payload, if only `{}`: nothing is none, and refused. */
export type PayloadArguments<Payload> = unknown extends Payload ? [payload?: Payload] : [payload: Payload];

/** The first of some values: all, fewer, or none. */
export type First<Values extends readonly unknown[]> = number extends Values["length"]
  ? Values
  : Values extends readonly [infer Value, ...infer Rest]
    ? readonly [] | readonly [Value, ...First<Rest>]
    : readonly [];
