// What crosses between page and worker, as bytes. Records and transactions are as on the wire; the rest is arrays
// that pack_js.go writes.
import { decode, Decoder } from "@msgpack/msgpack";
import { type Code, codeName } from "./codes.js";
import { SkerryError } from "./error.js";
import { toHex } from "./bytes.js";
import type { Kept } from "./identity.js";
import type { AnyModule, ModuleTypes, NameOf } from "./module.js";
import { formatULID } from "./ulid.js";

/** A place in a space's log, opaque: keep it, pass it back as `after` or `before`. */
export type Position = string;

/** A committed event. */
export interface EventRecord {
  /** The event's ULID, made by its author. It identifies; it does not order. */
  readonly id: string;
  /** The event's number in its space, for show. Resume by `position`. */
  readonly seq: number;
  /** The identity that wrote it; empty for a record that the server wrote. */
  readonly author: string;
  /**
   * What kind of event it is. Types that begin with `$` are Skerry's own: `$module`, by which somebody took the space over to
   * another module, and `$checkpoint`, the server's word of what its tables were then. They are in the log, and so in
   * every iteration over it; an app passes over types that it does not know.
   */
  readonly type: string;
  /** What the author passed; `undefined` if it is not msgpack. Whole numbers that a `number` does not hold exactly are `bigint`. */
  readonly payload: unknown;
  /** The payload's bytes as they are in the log. */
  readonly bytes: Uint8Array;
  /** The place after this event. */
  readonly position: Position;
  /** When it was written, in milliseconds since 1970, and never later than the server received it. */
  readonly time: number;
  /** When the server took it into the log. */
  readonly receivedAt: number;
  /** Its place among the events of its transaction, from 0. */
  readonly index: number;
  /** How many events its transaction has. */
  readonly count: number;
  /** The version of the wire contract that it was written under. */
  readonly api: string;
  /** The version of the app that wrote it. */
  readonly clientVersion: string;
  /** The start of the digest of the type's declaration, in hexadecimal; zeros if the type is undeclared. */
  readonly schema: string;
}

/** What is known of a space. */
export interface SpaceInfo {
  /** The space's ID: the BLAKE3 of stamp, creator, module and params. */
  readonly id: string;
  /** The ULID that its maker gave it; `undefined` while only the ID is known. */
  readonly stamp: string | undefined;
  /** Who made it. */
  readonly creator: string | undefined;
  /** The module that judges it now, as far as is known here, by its hash: that of an upgrade once it is in the log. */
  readonly module: string | undefined;
  /** What that module calls itself; `undefined` until it was loaded here, as it is for tables and before the first append. */
  readonly moduleName: string | undefined;
  /** Its semver; the same. {@link Space.modules} tells since when the space has it, and what it had before. */
  readonly moduleVersion: string | undefined;
  /** The module that it was made with, which its ID is made of. It never changes. */
  readonly genesisModule: string | undefined;
  /** What its maker passed. */
  readonly params: unknown;
  /** Whether the server has it. */
  readonly created: boolean;
  /** Whether it is kept up to date also while nobody looks at it, see {@link Space.pin}. */
  readonly pinned: boolean;
  /** The newest event that this replica has. */
  readonly seq: number;
  /**
   * From which event on all up to `seq` are on this device: 1 unless the space was begun at the server's checkpoint. Older ones are fetched
   * when {@link Space.events} comes to them, and stay then.
   */
  readonly oldest: number;
  /** Events up to this one have expired: the server does not have what they said any more. 0: none, as far as it has told. */
  readonly expired: number;
  /** Where the server's log ended when it last told, never below `seq`: a hint for showing progress. */
  readonly head: number;
  /** The hash over all history up to `seq`: equal values mean equal logs. */
  readonly chain: string;
  /** Where this replica stands. */
  readonly position: Position;
  /** Whether nothing was missing here when the server last said so. */
  readonly caughtUp: boolean;
  /** How many transactions made here wait for the server or its echo. */
  readonly pending: number;
  /** How many were refused and wait for `retry` or `discard`. */
  readonly rejected: number;
  /** How many transactions of others are only here any more, see {@link Space.lost}. */
  readonly lost: number;
  /** When it is tried again, if the server put it off; milliseconds since 1970. */
  readonly retryAt: number | undefined;
  /**
   * While its tables are to begin with the server's checkpoint, since most of the log is not here: the last event that is in
   * it, and how many of its pages are here, both 0 until that is known.
   */
  readonly booting: { readonly seq: number; readonly here: number; readonly pages: number } | undefined;
  /** Why it does not sync, if it does not; `left` if this identity read it and may not any more; `module_diverged` if its module made other tables here than on the server. */
  readonly code: Code | undefined;
  /** The same for people. */
  readonly reason: string;
}

/**
 * How the replica stands to its server: `off` if it was opened without one; `logged_out` until {@link Client.login}, whether or
 * not there is a network; `auth_required` while nothing proves who writes, or the server refuses them. Where another tab syncs it is
 * what that one said last, and `following` while nothing was heard of it.
 */
export type Connection =
  | "off"
  | "offline"
  | "connecting"
  | "online"
  | "following"
  | "logged_out"
  | "setup_required"
  | "auth_required"
  | "server_changed"
  | "server_outdated"
  | "upgrade_required";

/** What is known of the replica as a whole. It is replaced, never changed. */
export interface Status {
  readonly connection: Connection;
  /** Whether this tab syncs for all tabs of the replica. */
  readonly leader: boolean;
  /** Transactions that wait for the server. */
  readonly pending: number;
  /** Spaces made here that the server does not have yet. */
  readonly pendingSpaces: number;
  /** Transactions of this page that are not durable on this device yet. While there are any, the browser asks before leaving. */
  readonly undurable: number;
  /** Transactions that were refused and wait for `retry` or `discard`. */
  readonly rejected: number;
  /** Transactions of others that are only on this device any more, see {@link Space.lost}. */
  readonly lost: number;
  /** The last refusal that this page heard of. */
  readonly refusal: Verdict | undefined;
  /** Spaces whose newest events are still to come. */
  readonly catchingUp: number;
  /** When the next space may be made at the server, while that is limited; milliseconds since 1970. */
  readonly retryAt: number | undefined;
  /** When it connects again, while it is `offline`; milliseconds since 1970. */
  readonly reconnectAt: number | undefined;
  /**
   * Spaces that only this device has, in storage that the browser may evict: no server has them yet, and it did not
   * promise to keep them. Syncing helps, and {@link Client.persist}.
   */
  readonly atRisk: number;
  /** What proves who writes, see {@link Kept}; known before the first write. */
  readonly identity: Kept;
  /** Why it does not get on: why the connection or the worker ended last, or what storage failed with. */
  readonly code: Code | undefined;
  /** The same for people. */
  readonly reason: string;
  /**
   * The worker behind this page. `restarting`: it failed, and another one takes over; what is written waits in the page.
   * `failing`: that happened five times in a row; it is tried again every half minute. `ended`: it cannot go on, `code`
   * says why.
   */
  readonly worker: "running" | "restarting" | "failing" | "ended";
  /** When the server last told of a space; milliseconds since 1970. */
  readonly lastSync: number | undefined;
  /** The device's storage. */
  readonly storage: Storage;
}

/** What is known of the device's storage. */
export interface Storage {
  /**
   * `blocked`: another tab keeps everybody waiting for the database, and what is written is not durable meanwhile.
   * `degraded`: it is full, fails, or something in it cannot be read. `memory`: the browser gives none, and all is gone with the page.
   * `replica_lost`: the replica was deleted under the page, or before it was opened, with the key that it belonged to: what was not synced is gone.
   */
  readonly state: "ok" | "blocked" | "degraded" | "memory" | "replica_lost";
  /** Whether the browser promised not to evict it, see {@link Client.persist}; `undefined` where it does not say. */
  readonly persisted: boolean | undefined;
  /** How many bytes this origin uses, about. */
  readonly usage: number | undefined;
  /** How many it may use, about. */
  readonly quota: number | undefined;
}

/** What became of a transaction. */
export interface Verdict {
  /** The space's ID. */
  readonly space: string;
  /** The transaction's name: the id of its first event. */
  readonly id: string;
  /** Why it was refused or could not be stored; `undefined`: it is in the log. */
  readonly code: Code | undefined;
  /** The same for people. */
  readonly reason: string;
  /** The place after its last event, or a later one; `undefined` if it was refused. */
  readonly position: Position | undefined;
}

/** What happened to a space as a whole. */
export interface SpaceLifecycle {
  /**
   * `created`: the server has it now, and this identity made it, here or on another device. `joined`: this identity reads a space
   * that somebody else made, or one again that it had left. `upgraded`: another module judges it from here on. `expired`: its first
   * events are not kept any more, see {@link SpaceInfo.expired}. `left`: this
   * identity read it, and the server does not let it any more; what is on this device stays, and can be read and exported.
   * `deleted`: somebody who may has deleted it for everybody ({@link Space.delete}); what is on this device stays until
   * {@link Client.forget}.
   */
  readonly what: "created" | "joined" | "upgraded" | "expired" | "left" | "deleted";
  /** The space as it is then. */
  readonly info: SpaceInfo;
}

/** What somebody said in a space that nobody keeps. */
export interface Ephemeral {
  /** Who said it. The server vouches for that, and does not take it from what was sent. */
  readonly author: string;
  /** What they passed; `undefined` if it is not msgpack. */
  readonly payload: unknown;
  /** The payload's bytes. */
  readonly bytes: Uint8Array;
}

/** An event as it is written. */
export type NewEvent<M extends ModuleTypes = AnyModule> = {
  [Type in NameOf<M["events"]>]: {
    /** What kind of event it is; types that begin with `$` are the server's. */
    readonly type: Type;
  } & Payload<M["events"][Type]>;
}[NameOf<M["events"]>];

/** The payload of an event that is written: anything that msgpack can carry, unless the module's types say what. */
export type Payload<P> = unknown extends P ? { readonly payload?: P } : { readonly payload: P };

/** A transaction that the server has not put into the log, or whose records have not come back yet. */
export interface PendingTransaction {
  /** The transaction's name: the id of its first event. */
  readonly id: string;
  readonly author: string;
  readonly events: readonly { readonly id: string; readonly type: string; readonly payload: unknown }[];
  /** `waiting` for a verdict, `accepted` but not here as records yet, or `withdrawn` while it may be under way. */
  readonly state: "waiting" | "accepted" | "withdrawn";
  readonly appendedAt: number;
  /** The last deferral. */
  readonly code: Code | undefined;
  readonly reason: string;
  /** When it is tried again, in milliseconds since 1970; `undefined`: as soon as possible. */
  readonly retryAt: number | undefined;
}

/** A transaction that was refused. It stays until it is retried or discarded. */
export interface RejectedTransaction {
  readonly id: string;
  readonly author: string;
  readonly events: PendingTransaction["events"];
  readonly appendedAt: number;
  readonly code: Code;
  readonly reason: string;
  /**
   * Who refused it: the server; the space's module as it ran here, before it was sent; or this device, which could not read
   * any more what it kept of it (`damaged`): then its only event has what is left, as bytes.
   */
  readonly by: "server" | "preview" | "device";
}

/**
 * A transaction of somebody else that this device held, that the server lost, and that it refused to take back when it was brought
 * again. It is in no log any more, and stays here until it is discarded.
 */
export interface LostTransaction extends Omit<RejectedTransaction, "appendedAt"> {
  /** When the server had first received it; milliseconds since 1970. */
  readonly receivedAt: number;
}

const decoder = new Decoder(); // making one costs more than it takes to decode an event
const exact = new Decoder({ useBigInt64: true });

/** Returns what a payload's bytes hold; `undefined` if they are not msgpack. */
export function decodePayload(bytes: Uint8Array): unknown {
  try {
    const wide = bytes.includes(0xcf) || bytes.includes(0xd3); // what may be a number of 64 bits
    return wide ? numbers(exact.decode(bytes)) : decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

/** Makes numbers of the whole numbers that they hold exactly. */
function numbers(value: unknown): unknown {
  if (typeof value === "bigint") {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(numbers);
  if (Object.getPrototypeOf(value) !== Object.prototype) return value; // bytes, a time
  for (const [name, member] of Object.entries(value)) (value as Record<string, unknown>)[name] = numbers(member);
  return value;
}

type PackedInfo = [
  id: Uint8Array,
  genesis: [Uint8Array, string, Uint8Array, Uint8Array] | null,
  created: boolean,
  module: Uint8Array,
  seq: number,
  chain: Uint8Array,
  caughtUp: boolean,
  pending: number,
  rejected: number,
  retryAt: number,
  code: number,
  reason: string,
  head: number,
  pinned: boolean,
  booting: [seq: number, here: number, pages: number] | null,
  lost: number,
  oldest: number,
  expired: number,
  name: string,
  version: string,
];

type PackedStatus = [
  connection: Connection,
  leader: boolean,
  pending: number,
  pendingSpaces: number,
  undurable: number,
  rejected: number,
  catchingUp: number,
  retryAt: number,
  code: number,
  reason: string,
  lastSync: number,
  storage: Storage["state"],
  reconnectAt: number,
  lost: number,
];

type PackedTransaction = [author: string, api: string, version: string, events: [Uint8Array, string, Uint8Array, Uint8Array][]];

function unpackInfo(packed: PackedInfo): SpaceInfo {
  const [id, genesis, created, module, seq, chain, caughtUp, pending, rejected, retryAt, code, reason, head, pinned, booting, lost, oldest, expired, name, version] = packed;
  const current = toHex(module);
  const made = genesis ? toHex(genesis[2]) : undefined;
  return Object.freeze({
    id: toHex(id),
    stamp: genesis ? formatULID(genesis[0]) : undefined,
    creator: genesis?.[1],
    module: /^0*$/.test(current) ? made : current,
    moduleName: name || undefined,
    moduleVersion: version || undefined,
    genesisModule: made,
    params: genesis && genesis[3].length > 0 ? decodePayload(genesis[3]) : undefined,
    created,
    pinned,
    seq,
    oldest,
    expired,
    head,
    chain: toHex(chain),
    position: toPosition(seq),
    caughtUp,
    pending,
    rejected,
    lost,
    retryAt: retryAt || undefined,
    booting: booting ? Object.freeze({ seq: booting[0], here: booting[1], pages: booting[2] }) : undefined,
    code: code ? codeName(code) : undefined,
    reason,
  });
}

/** What is known of a space of which nothing is known. */
export function emptyInfo(id: string): SpaceInfo {
  return Object.freeze({
    id,
    stamp: undefined,
    creator: undefined,
    module: undefined,
    moduleName: undefined,
    moduleVersion: undefined,
    genesisModule: undefined,
    params: undefined,
    created: false,
    pinned: false,
    seq: 0,
    oldest: 1,
    expired: 0,
    head: 0,
    chain: id,
    position: toPosition(0),
    caughtUp: false,
    pending: 0,
    rejected: 0,
    lost: 0,
    retryAt: undefined,
    booting: undefined,
    code: undefined,
    reason: "",
  });
}

function unpackStatus(packed: PackedStatus): Status {
  const [connection, leader, pending, pendingSpaces, undurable, rejected, catchingUp] = packed;
  const [retryAt, code, reason, lastSync, state, reconnectAt, lost] = packed.slice(7) as [
    number, number, string, number, Storage["state"], number, number,
  ];
  return Object.freeze({
    connection,
    leader,
    pending,
    pendingSpaces,
    undurable,
    rejected,
    lost,
    refusal: undefined, // from here on the page knows more
    catchingUp,
    atRisk: 0,
    identity: "key",
    worker: "running",
    retryAt: retryAt || undefined,
    reconnectAt: reconnectAt || undefined,
    code: code ? codeName(code) : undefined,
    reason,
    lastSync: lastSync || undefined,
    storage: Object.freeze({ state, persisted: undefined, usage: undefined, quota: undefined }),
  });
}

function unpackEvents(transaction: PackedTransaction): PendingTransaction["events"] {
  return transaction[3].map(([id, type, , payload]) => ({ id: formatULID(id), type, payload: decodePayload(payload) }));
}

export function decodeInfo(bytes: Uint8Array): SpaceInfo {
  return unpackInfo(decode(bytes) as PackedInfo);
}

export function decodeOpened(bytes: Uint8Array): { identity: string; status: Status; infos: SpaceInfo[] } {
  const [identity, status, infos] = decode(bytes) as [string, PackedStatus, PackedInfo[]];
  return { identity, status: unpackStatus(status), infos: infos.map(unpackInfo) };
}

export function decodeChange(bytes: Uint8Array): { status: Status; infos: SpaceInfo[] } {
  const [status, infos] = decode(bytes) as [PackedStatus, PackedInfo[]];
  return { status: unpackStatus(status), infos: infos.map(unpackInfo) };
}

export function decodePending(bytes: Uint8Array): PendingTransaction[] {
  type Row = [Uint8Array, PackedTransaction, number, number, number, number, string, number];
  return (decode(bytes) as Row[]).map(([id, transaction, state, appendedAt, , code, reason, retryAt]) => ({
    id: formatULID(id),
    author: transaction[0],
    events: unpackEvents(transaction),
    state: (["waiting", "accepted", "withdrawn"] as const)[state] ?? "waiting",
    appendedAt,
    code: code ? codeName(code) : undefined,
    reason,
    retryAt: retryAt || undefined,
  }));
}

export function decodeRejected(bytes: Uint8Array): RejectedTransaction[] {
  type Row = [Uint8Array, PackedTransaction, number, number, string, RejectedTransaction["by"]];
  return (decode(bytes) as Row[]).map(([id, transaction, appendedAt, code, reason, by]) => ({
    id: formatULID(id),
    author: transaction[0],
    events: unpackEvents(transaction),
    appendedAt,
    code: codeName(code),
    reason,
    by,
  }));
}

export function decodeLost(bytes: Uint8Array): LostTransaction[] {
  return decodeRejected(bytes).map(({ appendedAt, ...row }) => ({ ...row, receivedAt: appendedAt }));
}

/** What {@link Client.import} did with one space. */
export interface ImportedSpace {
  readonly id: string;
  /** How many events were added to its log here. */
  readonly records: number;
  /** How many transactions of the file wait for the server now, or did before. */
  readonly waiting: number;
  /** How many refused transactions were added. */
  readonly rejected: number;
  /** How many transactions the file has that the server lost, see {@link Space.lost}. */
  readonly lost: number;
  /** How many transactions of other identities wait in the file; they stay there: import it as those. */
  readonly foreign: number;
  /** Why its log was left out, if it was: `diverged` if it contradicts the one that is here. */
  readonly code: Code | undefined;
  /** The same for people. */
  readonly reason: string;
}

export function decodeImported(bytes: Uint8Array): ImportedSpace[] {
  type Row = [Uint8Array, number, number, number, number, number, string, number];
  return (decode(bytes) as Row[]).map(([id, records, waiting, rejected, foreign, code, reason, lost]) => ({
    id: toHex(id),
    records,
    waiting,
    rejected,
    lost,
    foreign,
    code: code ? codeName(code) : undefined,
    reason,
  }));
}

export function decodeLifecycle(bytes: Uint8Array): SpaceLifecycle {
  const [what, info] = decode(bytes) as [SpaceLifecycle["what"], PackedInfo];
  return Object.freeze({ what, info: unpackInfo(info) });
}

export function decodeEphemeral(packed: Uint8Array): [space: string, ephemeral: Ephemeral] {
  const [space, author, bytes] = decode(packed) as [Uint8Array, string, Uint8Array];
  return [toHex(space), Object.freeze({ author, payload: decodePayload(bytes), bytes })];
}

export function decodeRefused(bytes: Uint8Array): Verdict {
  const [space, id, code, reason] = decode(bytes) as [Uint8Array, Uint8Array, number, string];
  return { space: toHex(space), id: formatULID(id), code: codeName(code), reason, position: undefined };
}

/** A column of a table: its name, its kind by number, and whether it may be absent. */
export type Column = [name: string, kind: number, optional: boolean];

/** Which modules a space had. */
export interface ModuleHistory {
  /** In their order; the last one judges it, if none is missing. */
  readonly history: readonly ModuleUse[];
  /** Whether none is missing. */
  readonly complete: boolean;
}

/** A module that judges a space, or did. */
export interface ModuleUse {
  /** Its hash. */
  readonly module: string;
  /** What it calls itself, if the server has its bytes. */
  readonly name?: string | undefined;
  /** Its semver. */
  readonly version?: string | undefined;
  /** The event by which the space went over to it; 0: it was made with it. */
  readonly seq: number;
  /** When that was; milliseconds since 1970. */
  readonly since: number;
}

/** What a space's module says of itself. */
export interface SpaceTables {
  /** Its hash. */
  readonly module: string;
  readonly name: string;
  /** Its semver. */
  readonly version: string;
  readonly tables: readonly TableInfo[];
  readonly events: readonly EventInfo[];
}

/** What a module says of one of its event types. */
export interface EventInfo {
  readonly name: string;
  /** Whether nobody may write it any more. */
  readonly removed: boolean;
  /** Whether it reads payloads by the names of their fields, whatever they were written by, as modules of ABI 1 do. */
  readonly byNames: boolean;
  /** The current declaration, and then earlier ones whose payloads it still takes, unless they are `refused`. */
  readonly declarations: readonly Declaration[];
}

/** One declaration of an event type. */
export interface Declaration {
  readonly schema: string;
  readonly refused: boolean;
  readonly fields: readonly FieldCode[];
  /** What each of its fields is called now; `undefined` for one that is read no more. */
  readonly names: readonly (string | undefined)[];
}

/**
 * A field: its name, its kind (1 bool, 2 i64, 3 u64, 4 f64, 5 text, 6 bytes), its need (0: it has to be there, 1: it is optional, 2: it has a default), and
 * the default.
 */
export type FieldCode = readonly [name: string, kind: number, need: number, given?: unknown];

/** What a module says of one of its tables. */
export interface TableInfo {
  readonly name: string;
  readonly columns: readonly {
    readonly name: string;
    readonly type: "bool" | "i64" | "u64" | "f64" | "text" | "bytes";
    /** Whether it may be absent. */
    readonly optional: boolean;
  }[];
  /** The columns that name a row, in whose order a query without an index has them. */
  readonly key: readonly string[];
  readonly indexes: readonly { readonly name: string; readonly columns: readonly string[]; readonly unique: boolean }[];
}

export function decodeTables(bytes: Uint8Array): SpaceTables {
  type Table = [string, Column[], number[], [string, number[], boolean][]];
  type Field = { name: string; type: (typeof kinds)[number]; optional?: boolean; default?: unknown };
  type Written = { fields?: Field[] | undefined; refused?: boolean; rename?: Record<string, string>; drop?: string[] };
  type Event = { name: string; fields?: Field[]; removed?: boolean; older?: Written[] };
  const [module, name, version, tables, manifest, schemas] = decode(bytes) as [Uint8Array, string, string, Table[], Uint8Array, Uint8Array[]];
  const { abi, events = [] } = decodePayload(manifest) as { abi: number; events?: Event[] };
  const kinds = ["bool", "i64", "u64", "f64", "text", "bytes"] as const;
  return {
    module: toHex(module),
    name,
    version,
    tables: tables.map(([name, columns, key, indexes]) => {
      const named = (places: number[]) => places.map((place) => columns[place]![0]);
      return {
        name,
        columns: columns.map(([name, kind, optional]) => ({ name, type: kinds[kind - 1]!, optional })),
        key: named(key),
        indexes: indexes.map(([name, places, unique]) => ({ name, columns: named(places), unique })),
      };
    }),
    events: events.map(({ name, fields, removed, older = [] }, i) => ({
      name,
      removed: abi > 1 && removed === true,
      byNames: abi < 2,
      declarations: (abi > 1 ? [{ fields }, ...older] : [{ fields }]).map(({ fields = [], refused, rename = {}, drop = [] }: Written, k) => ({
        schema: toHex(schemas[i]!.subarray(8 * k, 8 * k + 8)),
        refused: refused === true,
        fields: fields.map(({ name, type, optional, default: given }): FieldCode => [name, kinds.indexOf(type) + 1, optional ? 1 : given === undefined || abi < 2 ? 0 : 2, given]),
        names: fields.map(({ name }) => (refused || drop.includes(name) ? undefined : Object.hasOwn(rename, name) ? rename[name]! : name)),
      })),
    })),
  };
}

/** What changed in the rows of a query. */
export interface Delta {
  /** How many deltas the worker told of it, this one included: the first is one from nothing. */
  readonly told: number;
  readonly error: SkerryError | undefined;
  /** None while there are no tables. */
  readonly columns: readonly Column[];
  /** So many rows from a place among those before; or a row, its key, and whether it is pending. */
  readonly pieces: readonly ([from: number, count: number] | [row: Uint8Array, key: Uint8Array, pending: boolean])[];
}

export function decodeDelta(bytes: Uint8Array): Delta {
  type Packed = [number, Code | "", string, Column[], Delta["pieces"]];
  const [told, code, reason, columns, pieces] = decode(bytes) as Packed;
  return { told, error: code ? new SkerryError(code, reason) : undefined, columns, pieces };
}

export function decodeSeq(bytes: Uint8Array): number {
  return (decode(bytes) as [number])[0];
}

export function decodeCheck(bytes: Uint8Array): { seq: number; damage: string } {
  const [seq, damage] = decode(bytes) as [number, string];
  return { seq, damage };
}

export function toPosition(seq: number): Position {
  return `p${seq}`;
}

/** Returns the number of the event that a position names. */
export function fromPosition(position: Position): number {
  const match = /^p(\d{1,10})$/.exec(String(position));
  if (!match) throw new SkerryError("bad_argument", "a position comes from a record, a receipt or a space's info");
  return Number(match[1]);
}
