import { checkDigest, fromHex, toHex } from "./bytes.js";
import type { Client } from "./client.js";
import { type Declared, differences, type ModuleCode, type Raw, readPayload } from "./declared.js";
import { encodeTransaction, encodeValue } from "./encode.js";
import { SkerryError } from "./error.js";
import { EventIterator, type EventsOptions } from "./events.js";
import type { AnyModule, ModuleTypes, NameOf, PayloadArguments, TableOf } from "./module.js";
import { Receipt } from "./receipt.js";
import { Table } from "./tables.js";
import { formatULID, parseULID, ulidTime } from "./ulid.js";
import {
  type Connection,
  decodeCheck,
  decodeLost,
  decodePending,
  decodeRejected,
  decodeTables,
  type Ephemeral,
  type LostTransaction,
  type ModuleHistory,
  type ModuleUse,
  type NewEvent,
  type PendingTransaction,
  type RejectedTransaction,
  type SpaceInfo,
  type SpaceTables,
  toPosition,
} from "./wire.js";

const batchBytes = 256 << 10;
const mostPending = 2 ** 31 - 1;

/** Which transactions {@link Space.pending} gives, and in what order. */
export interface PendingOptions {
  /** At most so many; 1,000 without it. `Infinity` gives all, however much memory that takes. */
  readonly limit?: number;
  /** The newest first. */
  readonly reverse?: boolean;
}

/** What a space tells of, by name. */
export interface SpaceEvents {
  /** Somebody else, or this identity in another tab or on another device, sent it at this moment; see {@link Space.sendEphemeral}. */
  ephemeral: Ephemeral;
}

/** One append-only log with one module. `M` is what the module is to TypeScript: see {@link ModuleTypes}. */
export class Space<M extends ModuleTypes = AnyModule> {
  /** The space's ID, 64 hexadecimal digits, known before any server is. */
  readonly id: string;
  readonly #client: Client;
  readonly #code: ModuleCode | undefined;
  #module: string | undefined; // that the code was compared with
  #theirs: Promise<SpaceTables | undefined> | undefined; // what it says of itself
  #askedWhen: Connection | undefined; // so that what fails is tried again when that changes, and not before

  /** @internal */
  constructor(client: Client, id: string, code?: ModuleCode) {
    this.#client = client;
    this.id = id;
    this.#code = code;
    if (!code) return;
    client.subscribe(() => void this.#compare());
    void this.#compare();
  }

  /** Compares the page's code with the module that the space has now, if that is another one, and tells what differs. Returns what the module says of itself. */
  #compare(again = false): Promise<SpaceTables | undefined> | undefined {
    const code = this.#code!;
    const { module, seq } = this.info();
    if (!module || module === code.hash) return undefined;
    const { connection } = this.#client.status;
    if (module !== this.#module || (!this.#theirs && (again || connection !== this.#askedWhen))) {
      this.#module = module;
      this.#askedWhen = connection;
      const asked: Promise<SpaceTables | undefined> = this.tables().then(
        (theirs) => {
          if (theirs.module !== module) {
            // The server tells what module there is before its record comes: the next change may be that.
            this.#module = undefined;
            return this.info().seq === seq ? undefined : this.#compare(true);
          }
          for (const difference of differences(code, theirs)) this.#client.warn(code, module, { space: this.id, ...difference });
          return theirs;
        },
        () => {
          if (this.#theirs === asked) this.#theirs = undefined; // whoever needs it asks again
          return undefined;
        },
      );
      this.#theirs = asked;
    }
    return this.#theirs;
  }

  /** The ULID that its maker gave it; `undefined` while only the ID is known. */
  get stamp(): string | undefined {
    return this.info().stamp;
  }

  /** Who made it; `undefined` while only the ID is known. */
  get creator(): string | undefined {
    return this.info().creator;
  }

  /** What is known of the space now. The object is replaced when something changes, so it can be compared. */
  info(): SpaceInfo {
    return this.#client.infoOf(this.id);
  }

  /**
   * Says that this client does not look at the space any more. A space that nobody looks at, in any tab, is kept up to
   * date for a minute still and then no more, unless it is pinned or something waits in it; what is here stays, and can
   * be read. Who subscribes to it, iterates over it live, or calls {@link Client.space} looks at it again. A page that
   * opens few spaces need not close any.
   */
  close(): void {
    this.#client.closeSpace(this.id);
  }

  /** Keeps the space up to date from now on, also while nobody looks at it: for what is to be there offline. */
  async pin(): Promise<void> {
    await this.#client.call("pin", this.id, true);
  }

  /** Ends what {@link Space.pin} began. */
  async unpin(): Promise<void> {
    await this.#client.call("pin", this.id, false);
  }

  /** Calls `onChange` when the space may have changed, until the returned function is called. */
  subscribe(onChange: () => void): () => void {
    return this.#client.watch(this.id, onChange);
  }

  /** Calls `f` with what happens, until the returned function is called. Meanwhile this client looks at the space. */
  on<Name extends keyof SpaceEvents>(name: Name, f: (event: SpaceEvents[Name]) => void): () => void {
    if (name !== "ephemeral") throw new SkerryError("bad_argument", `there is no event ${String(name)}`);
    return this.#client.onEphemeral(this.id, f);
  }

  /**
   * Tells whoever listens to the space at this moment, by `on("ephemeral", ...)`, in other tabs and on other devices, something
   * that nobody keeps: who is there, who is typing, where a cursor is. It is in no log and in no storage, waits for nothing, and
   * anybody may miss it; offline it reaches the other tabs of this browser. Who may read the space may send.
   *
   * The promise need not be awaited. It rejects with `too_large` if msgpack makes more than 16 KiB of the value, with
   * `rate_limited` over about 64 KiB a second, and with `closed`.
   */
  sendEphemeral(value: unknown): Promise<void> {
    const sent = this.#client.sendEphemeral(this.id, encodeValue(value));
    sent.catch(() => {}); // who does not wait for it does not care
    return sent;
  }

  /** Writes one event, a transaction of its own. Works offline. */
  append<Type extends NameOf<M["events"]>>(type: Type, ...[payload]: PayloadArguments<M["events"][Type]>): Receipt {
    return this.#append([{ type, payload }]);
  }

  /** Writes events that are accepted or refused together, in this order. Works offline. */
  transact(events: readonly NewEvent<M>[]): Receipt {
    return this.#append(events);
  }

  #append(events: readonly NewEvent[]): Receipt {
    if (events.length === 0) throw new SkerryError("bad_argument", "a transaction has at least one event");
    const { ids, bytes } = encodeTransaction(events, this.#client.ids, this.#code);
    const receipt = new Receipt(ids);
    this.#client.append(this.id, bytes, receipt);
    return receipt;
  }

  /**
   * Takes the space over to another module, by its hash. Who may is for the module that judges it now to say; where it does
   * not, its creator may. Works offline, as any transaction; a module that the server lacks is sent to it if it is on this
   * device, see {@link Client.putModule}. `params` is for the module if it migrates. Once it is in the log, `info().module`
   * is the new one in every tab and on every device, and live queries go on with its tables.
   */
  upgrade(module: string, params?: unknown): Receipt {
    const hash = fromHex(checkDigest(module, "a module's hash"));
    const payload = params === undefined ? { hash } : { hash, params: encodeValue(params) };
    return this.#append([{ type: "$module", payload }]);
  }

  /**
   * Has the events up to a number expire, for everybody: the server frees what they say. The number is of a transaction's last event.
   * Who may delete the space may. One that waits while the server's log goes on without what this device has is rejected as `diverged`. Tables stay as they are; those who read are told, by `client.on("lifecycle", ...)`.
   */
  expire(upto: number): Receipt {
    return this.#append([{ type: "$expire", payload: { upto } }]);
  }

  /**
   * Deletes the space for everybody, as its last event. Who may is for its module to say, as for an {@link Space.upgrade}. Works
   * offline, as any transaction. Once the server has it the space is gone there; whoever has it is told, by
   * `client.on("lifecycle", ...)` and `info().code`, and keeps what is on their device until {@link Client.forget}. What was not
   * sent by then is kept among the rejected, with the code `deleted`.
   */
  delete(): Receipt {
    return this.#append([{ type: "$delete", payload: {} }]);
  }

  /**
   * Finds the receipt of a transaction again, by its id, which is the id of its first event: in any tab, later, after a
   * restart. It is `durable` and `synced` if the log has it, also if somebody else wrote it; `synced` rejects if it was
   * refused, and both reject with `discarded` if this device has no trace of it.
   */
  receipt(id: string): Receipt {
    const receipt = new Receipt(parseULID(id));
    this.#client.find(this.id, receipt);
    return receipt;
  }

  /**
   * Iterates over committed events, from this device's own copy. It reads batches of 256 events, of up to 1,024 as it
   * goes on, and of about 256 KiB at most, forward one such batch ahead; leaving the loop or the signal frees them. With
   * `live` it goes on as events arrive. Where the next event is damaged on this device it throws `damaged`, or waits
   * with `live`, until the server has sent it again. Of a long log a device may have the newest part alone, see `info().oldest`:
   * what comes next is fetched then, a page at a time backwards, and all that is missing before it forward, and it throws `not_here`
   * while there is no connection. It gives what is in the log, that is also records of Skerry's own,
   * whose `type` begins with `$`, and events of types that this app does not know.
   */
  events(options: EventsOptions = {}): EventIterator {
    const client = this.#client;
    return new EventIterator(
      {
        read: (direction, seq, limit) => client.call(direction === "after" ? "read" : "readBefore", this.id, seq, limit, batchBytes),
        watch: (f) => client.watch(this.id, f),
      },
      options,
    );
  }

  /**
   * Returns what an event says, read by the declaration that its author wrote it by: as this space's code declares it now, through the lens of an earlier
   * one, or as far as both have it of one that the space's module knows; `undefined` for an event of a type that the code does not know, which is told
   * once as a warning. It is for spaces that were opened with generated code. It rejects with `schema_unknown`, which names both schemas,
   * `schema_incompatible` where a field is not there any more, and `schema_mismatch`; never is anything guessed.
   */
  async read(event: Raw): Promise<Declared<M> | undefined> {
    const { type, schema } = event;
    const code = this.#code;
    if (!code) throw new SkerryError("bad_argument", "the space was opened without generated code");
    if (!Object.hasOwn(code.events, type)) {
      const warning = { space: this.id, of: "event", name: type, code: undefined, reason: `${code.name} ${code.version} does not know it` } as const;
      if (type[0] !== "$") this.#client.warn(code, this.info().module ?? "", warning);
      return undefined;
    }
    const own = code.events[type]!;
    const knows = /^0*$/.test(schema) || schema === own.schema || own.older?.some((o) => o.schema === schema);
    const theirs = knows ? undefined : (await this.#compare(true))?.events.find((e) => e.name === type);
    return { type, payload: readPayload(type, own, schema, event.bytes?.length === 0 ? {} : event.payload, theirs) } as Declared<M>;
  }

  /**
   * Returns a table of the space, which its module makes of the log and of what waits to be sent: the same rows on every
   * device and on the server. A space of the module `open` has none.
   */
  table<Name extends NameOf<M["tables"]>>(name: Name): Table<TableOf<M, Name>> {
    const client = this.#client;
    return new Table(
      {
        call: (method, ...args) => client.call(method, this.id, ...args),
        look: (ended) => client.look(this.id, ended),
      },
      name,
      this.#code?.tables[name]?.indexes,
    );
  }

  /**
   * Returns which tables the space has, with their columns and indexes, as the module says that judges it now. It waits
   * and fails as {@link Table.query} does, with `not_found` where the module has no tables.
   */
  async tables(): Promise<SpaceTables> {
    return decodeTables((await this.#client.call("tables", this.id))!);
  }

  /**
   * Returns which modules the space had: the newest 100, in their order, as the server says, which is asked as whoever this browser has a key of. Where it cannot be reached, or does not have the
   * space yet, they are those of which the events here tell: without names, but for the present one, and not `complete` where an event is not here or has expired, which may be one of
   * these. The present one `info()` and {@link Space.tables} tell of offline too.
   */
  async modules(): Promise<ModuleHistory> {
    const { stamp, genesisModule, module: present, moduleName: name, moduleVersion: version, seq: last, oldest } = this.info();
    try {
      const { history, earlier } = (await this.#client.ask(`spaces/${this.id}/module`)) as { history: ModuleUse[]; earlier: number };
      return { history, complete: earlier === 0 };
    } catch (error) {
      if (!stamp || !["overloaded", "unknown_space"].includes((error as SkerryError).code)) throw error;
    }
    const history: ModuleUse[] = [];
    const found = (module: string, seq: number, since: number): void => void history.push({ module, ...(module === present && { name, version }), seq, since });
    found(genesisModule!, 0, ulidTime(parseULID(stamp)));
    let count = 0;
    for await (const { type, payload, seq, receivedAt } of this.events({ after: toPosition(oldest - 1), before: toPosition(last + 1) })) {
      if (type === "$module") {
        const { hash } = (payload ?? {}) as { hash?: Uint8Array };
        if (!hash) continue; // it has expired
        found(toHex(hash), seq, receivedAt);
      }
      count++;
    }
    return { history, complete: count === last };
  }

  /**
   * Returns what was written here and is not in the log's copy here yet: the oldest 1,000 transactions in the order in
   * which they were written, or as the options say. `info().pending` says how many there are.
   */
  async pending(options: PendingOptions = {}): Promise<PendingTransaction[]> {
    const { limit = 1000, reverse = false } = options;
    if (!(limit >= 1)) return [];
    const bytes = await this.#client.call("pending", this.id, Math.min(limit, mostPending), reverse);
    const oldestFirst = bytes ? decodePending(bytes) : [];
    return reverse ? oldestFirst.reverse() : oldestFirst;
  }

  /** Returns what was refused and is kept until it is retried or discarded. */
  async rejected(): Promise<RejectedTransaction[]> {
    const bytes = await this.#client.call("rejected", this.id);
    return bytes ? decodeRejected(bytes) : [];
  }

  /**
   * Returns the transactions of others that this device had, that the server lost, as one that was restored from an older backup, and
   * that it refused to take back: they are only here any more, and in what {@link Client.export} makes, until they are discarded.
   */
  async lost(): Promise<LostTransaction[]> {
    const bytes = await this.#client.call("lost", this.id);
    return bytes ? decodeLost(bytes) : [];
  }

  /** Drops a transaction that {@link Space.lost} gave. */
  async discardLost(id: string): Promise<void> {
    await this.#client.call("discardLost", this.id, formatULID(parseULID(id)));
  }

  /**
   * Reads all of this device's copy and folds the chain over it, which covers every byte of every event. `seq` is up to
   * where it is whole and readable; `damage` says what is wrong, and is empty where nothing is. What is damaged is fetched
   * again as soon as the server can be reached.
   */
  async check(): Promise<{ seq: number; damage: string }> {
    return decodeCheck((await this.#client.call("check", this.id))!);
  }

  /** Sends a refused transaction again, unchanged, after everything that waits. */
  async retry(id: string): Promise<void> {
    await this.#client.retry(this.id, formatULID(parseULID(id)));
  }

  /** Drops a refused transaction, or takes a waiting one back unless the server has it already. */
  async discard(id: string): Promise<void> {
    await this.#client.call("discard", this.id, formatULID(parseULID(id)));
  }
}
