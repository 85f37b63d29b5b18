/**
 * Skerry in a page: spaces that are made and written offline and sync through one server, in one order, exactly once.
 *
 * ```ts
 * import { open } from "skerry";
 * const client = await open();
 * const space = await client.createSpace({ module: "open", params: { name: "notes" } });
 * const receipt = space.append("note", { text: "written with no network" });
 * await receipt.durable; // survives the browser
 * for await (const event of space.events({ live: true })) console.log(event.seq, event.payload);
 * ```
 *
 * Start with {@link open}. Everything that fails does so with a {@link SkerryError}, whose `code` is stable. Importing
 * this module touches nothing.
 *
 * @packageDocumentation
 */
export { open, type Client, type ClientEvents, type SpaceOptions } from "./client.js";
export { codes, type Code } from "./codes.js";
export type { Declared, EventCode, ModuleCode, OlderCode, TableCode, Warning } from "./declared.js";
export { SkerryError } from "./error.js";
export type { EventIterator, EventsOptions } from "./events.js";
export type { Kept } from "./identity.js";
export type { Device, LinkOptions } from "./linked.js";
export type { WorkerLike } from "./link.js";
export type { AnyModule, AnyTable, ColumnType, ColumnValue, KeyValue, KeyValueTables, ModuleTypes, TableOf, TableTypes } from "./module.js";
export type { OpenOptions } from "./options.js";
export type { Receipt, Synced } from "./receipt.js";
export type { PendingOptions, Space, SpaceEvents } from "./space.js";
export type { LiveQuery, Order, QueryOptions, Row, Table, Value } from "./tables.js";
export type {
  Connection,
  Declaration,
  Ephemeral,
  EventInfo,
  EventRecord,
  FieldCode,
  ImportedSpace,
  LostTransaction,
  ModuleHistory,
  ModuleUse,
  NewEvent,
  PendingTransaction,
  Position,
  RejectedTransaction,
  SpaceInfo,
  SpaceLifecycle,
  SpaceTables,
  Status,
  Storage,
  TableInfo,
  Verdict,
} from "./wire.js";
