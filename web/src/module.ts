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

/** The type of a column of a table of `kv`; with a `?` behind it values may be absent. */
export type ColumnType = "bool" | "i64" | "u64" | "f64" | "text" | "bytes";

/** Tables of `kv` by name, and of each its columns by name. A row's `id` is not among them. */
export interface KeyValueTables {
  readonly [table: string]: { readonly [column: string]: ColumnType | `${ColumnType}?` };
}

/** What a value of a column is to TypeScript. */
export type ColumnValue<Type extends string> = Type extends `${infer Present}?`
  ? ColumnValue<Present> | undefined
  : { bool: boolean; i64: number | bigint; u64: number | bigint; f64: number; text: string; bytes: Uint8Array }[Type & ColumnType];

/** What `set` is given for a column: `null` makes a value absent, `undefined` leaves it as it is. */
type Given<Type extends string> = ColumnValue<Type> | (Type extends `${string}?` ? null : never) | undefined;

/** What the built-in `members` declares, and `kv` with it. */
interface MembersEvents {
  readonly invite: { readonly role: string; readonly hashes: Uint8Array };
  readonly revoke: { readonly hashes: Uint8Array };
  readonly redeem: { readonly secret: Uint8Array };
  readonly grant: { readonly identity: string; readonly role: string };
  readonly remove: { readonly identity: string };
  readonly leave: { readonly [none: string]: never };
  readonly transfer: { readonly to: string };
}

/**
 * What the built-in module `kv` is to TypeScript, of the tables that its params declare, and of the `Events` of other types that the app writes:
 *
 *     const tables = { todos: { title: "text", done: "bool", due: "f64?" } } as const;
 *     type Todos = KeyValue<typeof tables>;
 *     const space = await client.createSpace<Todos>({ module: "kv", params: { tables } });
 *     space.append("set", { table: "todos", id: "1", values: { title: "Milk", done: false } });
 *     const todos = space.table("todos").live();
 */
export interface KeyValue<Tables extends KeyValueTables, Events extends object = {}> extends ModuleTypes {
  readonly params: { readonly tables: Tables; readonly [name: string]: unknown };
  readonly events: Events & MembersEvents & {
    readonly set: {
      [Name in NameOf<Tables>]: { readonly table: Name; readonly id: string; readonly values?: { readonly [Column in NameOf<Tables[Name]>]?: Given<Tables[Name][Column]> } };
    }[NameOf<Tables>];
    readonly delete: { readonly table: NameOf<Tables>; readonly id: string };
    readonly declare: { readonly tables: KeyValueTables };
  };
  readonly tables: {
    readonly [Name in NameOf<Tables>]: {
      readonly row: { readonly id: string } & { readonly [Column in NameOf<Tables[Name]>]: ColumnValue<Tables[Name][Column]> };
      readonly key: [id: string];
      readonly indexes: {};
    };
  } & {
    readonly members: {
      readonly row: { readonly identity: string; readonly role: string; readonly by: string; readonly seq: number | bigint; readonly open: number | bigint };
      readonly key: [identity: string];
      readonly indexes: { readonly by_role: [role: string] };
    };
  };
}
