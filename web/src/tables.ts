import { encodeValue } from "./encode.js";
import { SkerryError } from "./error.js";
import type { TableCode } from "./declared.js";
import type { AnyTable, First, NameOf, TableTypes } from "./module.js";
import { callback } from "./replica.js";
import { type Column, type Delta, decodeDelta } from "./wire.js";

/** A value in a row. Whole numbers that a `number` does not hold exactly are `bigint`; `undefined` is one that is absent. */
export type Value = boolean | number | bigint | string | Uint8Array | undefined;

/** A row of a table: its columns by name, and two more names that no column has. It is frozen, and the same object while it is the same row. */
export type Row<Columns = AnyTable["row"]> = Columns & {
  /** Names the row in its table, for as long as it is there. Only to be compared. */
  readonly $key: string;
  /** Whether a transaction wrote it whose place in the order is not here yet: it waits for the server, or its record is on its way. */
  readonly $pending: boolean;
};

/** Which rows of a table are wanted, and in which order. */
export type QueryOptions<T extends TableTypes = AnyTable> = Order<T> & {
  /** At most so many; 1,000 if it is left out, 100,000 at most. */
  readonly limit?: number;
  /** From the end. */
  readonly reverse?: boolean;
};

/**
 * The order that rows have: that of the `index`, or without one that of the table's key; and the values that the first
 * columns of that order have, the `prefix`.
 */
export type Order<T extends TableTypes = AnyTable> =
  | { readonly index?: undefined; readonly prefix?: First<T["key"]> }
  | { [Name in NameOf<T["indexes"]>]: { readonly index: Name; readonly prefix?: T["indexes"][Name] extends readonly unknown[] ? First<T["indexes"][Name]> : never } }[NameOf<T["indexes"]>];

/** What tables need of their space. */
export interface Source {
  call(method: string, ...args: unknown[]): Promise<Uint8Array | undefined>;
  /** Looks at the space until the returned function is called; `ended` is called if the client closes before. */
  look(ended: () => void): () => void;
}

/** One table of a space, which its module makes of the log and of what waits to be sent. */
export class Table<T extends TableTypes = AnyTable> {
  /** The table's name in the module. */
  readonly name: string;
  readonly #source: Source;
  readonly #indexes: TableCode["indexes"];

  /** @internal */
  constructor(source: Source, name: string, indexes: TableCode["indexes"] = {}) {
    this.#source = source;
    this.name = name;
    this.#indexes = indexes;
  }

  /**
   * Returns the rows as they are now. It works offline, where the module is on this device; else it waits for the network
   * while there is one. It rejects with `not_found` for a table or an index that is not there, whose reason says which are,
   * `bad_argument` for a prefix of other types, and with `unknown_space`, `module_missing`, `bad_module`, `module_diverged` and `damaged` where
   * there can be no tables now.
   */
  async query(options: QueryOptions<T> = {}): Promise<readonly Row<T["row"]>[]> {
    const bytes = await this.#source.call("query", ...pack(this.name, options, this.#indexes));
    return assemble([], decodeDelta(bytes!)) as readonly Row<T["row"]>[];
  }

  /** Returns a query that goes on: see {@link LiveQuery}. It does nothing until somebody subscribes to it. */
  live(options: QueryOptions<T> = {}): LiveQuery<T> {
    return new LiveQuery(this.#source, pack(this.name, options, this.#indexes));
  }
}

const none: readonly Row[] = Object.freeze([]);

let numbers = 0;

/**
 * The rows of a table, kept up to date while somebody subscribes. With `getSnapshot` it fits React's
 * `useSyncExternalStore`: the array is another one when something changed, and a row in it the same object while the row
 * is the same. Nothing is told while the page is hidden; what changed meanwhile comes when it is seen again.
 */
export class LiveQuery<T extends TableTypes = AnyTable> {
  readonly #source: Source;
  readonly #query: readonly unknown[];
  readonly #listeners = new Set<() => void>();
  #rows: readonly Row[] = none;
  #error: SkerryError | undefined;
  #ready = false;
  #run: Run | undefined;

  /** @internal */
  constructor(source: Source, query: readonly unknown[]) {
    this.#source = source;
    this.#query = query;
  }

  /** Whether the rows are here. They stay when the last subscriber leaves, and are not kept up to date then. */
  get ready(): boolean {
    return this.#ready;
  }

  /**
   * Why the rows are not here or not the newest ones, if they are not; the codes are those of {@link Table.query}. What the
   * network can mend goes away by itself. `not_found` comes also when the space went over to a module that has no such
   * table or index, and the rows go then; where only the index is gone that the query names, and not its columns, it is `schema_incompatible`, and the rows go on:
   all are read instead.
   */
  get error(): SkerryError | undefined {
    return this.#error;
  }

  /** The rows. The array is replaced when they, `ready` or `error` change. */
  readonly getSnapshot = (): readonly Row<T["row"]>[] => this.#rows as readonly Row<T["row"]>[];

  /** Calls `onChange` when something changed, until the returned function is called. */
  readonly subscribe = (onChange: () => void): (() => void) => {
    const listener = () => onChange();
    this.#listeners.add(listener);
    this.#run ??= this.#begin();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) return;
      this.#run?.stop();
      this.#run = undefined;
    };
  };

  #begin(): Run {
    const number = ++numbers;
    const run: Run = {
      stopped: false,
      stop: () => {
        if (run.stopped) return;
        run.stopped = true;
        unlook();
        void this.#source.call("endLive", number).catch(() => {});
      },
    };
    const unlook = this.#source.look(() => {
      run.stopped = true;
      this.#fail(new SkerryError("closed", "the client was closed"));
    });
    void this.#follow(number, run);
    return run;
  }

  async #follow(number: number, run: Run): Promise<void> {
    while (!run.stopped) {
      try {
        const bytes = await this.#source.call("live", number, ...this.#query);
        if (!bytes || run.stopped) return;
        this.#take(decodeDelta(bytes));
      } catch (error) {
        if (run.stopped) return;
        this.#fail(error as SkerryError);
        return;
      }
      await frame();
    }
  }

  #take(delta: Delta): void {
    this.#error = delta.error;
    if (delta.columns.length > 0) {
      this.#ready = true;
      this.#rows = assemble(delta.told === 1 ? none : this.#rows, delta);
    } else if (delta.told === 1) {
      this.#rows = Object.freeze([...this.#rows]); // from when somebody subscribed before
    } else {
      this.#ready = false; // a newer module has no such table
      this.#rows = Object.freeze([]);
    }
    this.#tell();
  }

  #fail(error: SkerryError): void {
    this.#error = error;
    this.#rows = Object.freeze([...this.#rows]);
    this.#tell();
  }

  #tell(): void {
    for (const f of [...this.#listeners]) callback(f);
  }
}

interface Run {
  stopped: boolean;
  stop(): void;
}

/** Waits until the page is about to be painted, which a hidden one is not. */
function frame(): Promise<unknown> {
  if (typeof requestAnimationFrame === "undefined") return new Promise((resolve) => setTimeout(resolve, 16));
  return new Promise(requestAnimationFrame);
}

/** A query's options, whatever its table is. */
interface Packed {
  readonly index?: string | undefined;
  readonly prefix?: readonly unknown[];
  readonly limit?: number;
  readonly reverse?: boolean;
}

function pack(table: string, { index = "", prefix, limit = 0, reverse = false }: Packed, indexes: TableCode["indexes"]): unknown[] {
  if (!Number.isSafeInteger(limit) || limit < 0) throw new SkerryError("bad_argument", "a limit is a whole number");
  const packed = prefix && prefix.length > 0 ? encodeValue(prefix.map((value) => value ?? null)) : new Uint8Array();
  return [table, index, packed, limit, reverse, indexes[index] ?? []];
}

/** Puts rows together of those before and new ones. */
function assemble(before: readonly Row[], delta: Delta): readonly Row[] {
  const rows: Row[] = [];
  for (const piece of delta.pieces) {
    if (piece.length === 2) {
      for (let i = 0; i < piece[1]; i++) rows.push(before[piece[0] + i]!);
    } else {
      rows.push(decodeRow(delta.columns, piece[0], piece[1], piece[2]));
    }
  }
  return Object.freeze(rows);
}

const text = new TextDecoder("utf-8", { ignoreBOM: true }); // a text may begin with U+FEFF

function decodeRow(columns: readonly Column[], bytes: Uint8Array, key: Uint8Array, pending: boolean): Row {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const row: Record<string, Value> = {};
  let at = 0;
  for (const [name, kind, optional] of columns) {
    row[name] = undefined;
    if (optional && bytes[at++] === 0) continue;
    switch (kind) {
      case 1:
        row[name] = bytes[at++] === 1;
        break;
      case 2:
      case 3: {
        const whole = kind === 2 ? view.getBigInt64(at, true) : view.getBigUint64(at, true);
        const number = Number(whole);
        row[name] = Number.isSafeInteger(number) ? number : whole;
        at += 8;
        break;
      }
      case 4:
        row[name] = view.getFloat64(at, true);
        at += 8;
        break;
      default: {
        const length = view.getUint32(at, true);
        const content = bytes.subarray(at + 4, at + 4 + length);
        row[name] = kind === 5 ? text.decode(content) : content.slice();
        at += 4 + length;
      }
    }
  }
  row["$key"] = String.fromCharCode(...key);
  row["$pending"] = pending;
  return Object.freeze(row) as Row;
}
