import { SkerryError } from "./error.js";
import { decodeRecords, scanRecords } from "./records.js";
import { type EventRecord, fromPosition, type Position } from "./wire.js";

/** Which events {@link Space.events} gives, and in what order. */
export interface EventsOptions {
  /** Only events after this place. */
  readonly after?: Position;
  /** Only events before the one at this place. */
  readonly before?: Position;
  /** At most so many. */
  readonly limit?: number;
  /** The newest first. */
  readonly reverse?: boolean;
  /** Wait for more at the end, for ever. */
  readonly live?: boolean;
  /** Ends the iteration. */
  readonly signal?: AbortSignal;
}

/** What an iteration reads from. */
export interface Source {
  /** Reads records ascending, in wire encoding: those after a number, or the newest before one. */
  read(direction: "after" | "before", seq: number, limit: number): Promise<Uint8Array | undefined>;
  /** Calls f when the space may have changed, until the returned function is called. */
  watch(f: () => void): () => void;
}

// Records of a batch: whoever leaves soon has read little, and whoever stays pays for fewer messages.
const firstBatch = 256;
const largestBatch = 1024;
const end = 2 ** 32;

/**
 * Iterates over records, a batch at a time. Forward, the next batch is asked for while the last one is used; backward,
 * where mostly few are wanted, when the last one was used up.
 */
export class EventIterator implements AsyncIterableIterator<EventRecord> {
  readonly #source: Source;
  readonly #after: number;
  readonly #before: number;
  readonly #reverse: boolean;
  readonly #live: boolean;
  readonly #signal: AbortSignal | undefined;
  readonly #abort = () => this.#close();
  #left: number;
  #batch = firstBatch;
  #cursor: number;
  #buffer: EventRecord[] = [];
  #used = 0; // of the buffer
  #ahead: Promise<Uint8Array | undefined> | undefined; // the batch behind the buffer
  #turn: Promise<unknown> = Promise.resolve();
  #waiting = 0; // calls of next
  #closed = false;
  #changed = true;
  #wake: (() => void) | undefined;
  #unwatch: (() => void) | undefined;

  constructor(source: Source, options: EventsOptions) {
    if (options.live && (options.reverse || options.before !== undefined)) {
      throw new SkerryError("bad_argument", "live goes forward and has no end");
    }
    this.#source = source;
    this.#after = options.after === undefined ? 0 : fromPosition(options.after);
    this.#before = options.before === undefined ? end : fromPosition(options.before);
    this.#reverse = options.reverse ?? false;
    this.#live = options.live ?? false;
    this.#left = options.limit ?? Infinity;
    this.#cursor = this.#reverse ? this.#before : this.#after;
    this.#signal = options.signal;
    if (this.#signal?.aborted) this.#closed = true;
    this.#signal?.addEventListener("abort", this.#abort);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Returns the next record. Calls that come while one waits are answered in their order. */
  next(): Promise<IteratorResult<EventRecord>> {
    if (this.#waiting === 0) {
      const value = this.#take(); // in the middle of a batch nothing need be waited for
      if (value) return Promise.resolve({ done: false, value });
    }
    this.#waiting++;
    const result = this.#turn.then(() => this.#next());
    this.#turn = result.then(
      () => void this.#waiting--,
      () => {
        this.#waiting--;
        this.#close();
      },
    );
    return result;
  }

  /** Ends the iteration, also while a call of next waits. */
  return(): Promise<IteratorResult<EventRecord>> {
    this.#close();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** Takes the next record of the batch, if there is one and it is wanted. */
  #take(): EventRecord | undefined {
    if (this.#left <= 0 || this.#used === this.#buffer.length) return undefined;
    this.#left--;
    return this.#buffer[this.#used++];
  }

  async #next(): Promise<IteratorResult<EventRecord>> {
    while (!this.#closed && this.#left > 0) {
      const value = this.#take();
      if (value) return { done: false, value };
      if (await this.#fill()) continue;
      if (!this.#live) break;
      await this.#wait();
    }
    this.#close();
    return { done: true, value: undefined };
  }

  /** Gets the next batch; false if there is none now. */
  async #fill(): Promise<boolean> {
    if (this.#live && !this.#unwatch) {
      this.#unwatch = this.#source.watch(() => {
        this.#changed = true;
        this.#wake?.();
      });
    }
    if (this.#reverse ? this.#cursor <= this.#after + 1 : this.#cursor + 1 >= this.#before) return false; // all is read
    const reading = this.#ahead ?? this.#read(this.#left);
    this.#ahead = undefined;
    let bytes: Uint8Array | undefined;
    try {
      bytes = await reading;
    } catch (error) {
      if (this.#live && error instanceof SkerryError && error.code === "damaged") return false; // it is fetched again
      throw error;
    }
    if (this.#closed || !bytes || bytes.length === 0) return false;
    let records: EventRecord[];
    if (this.#reverse) {
      records = decodeRecords(bytes).reverse();
      this.#cursor = records[records.length - 1]!.seq;
      if (this.#cursor <= this.#after) records = records.filter((record) => record.seq > this.#after);
    } else {
      // The worker is asked for more before these are decoded, so that it is not idle meanwhile.
      const { count, last } = scanRecords(bytes);
      this.#cursor = last;
      if (this.#left > count && last + 1 < this.#before) {
        this.#ahead = this.#read(this.#left - count);
        this.#ahead.catch(() => {}); // it is told when its turn comes, if it does
      }
      records = decodeRecords(bytes);
      if (last >= this.#before) records = records.filter((record) => record.seq < this.#before);
    }
    this.#buffer = records;
    this.#used = 0;
    return records.length > 0;
  }

  /** Reads the batch behind the cursor, of at most so many. */
  #read(most: number): Promise<Uint8Array | undefined> {
    this.#changed = false; // before reading: what changes from now on is looked at again
    const count = Math.min(this.#batch, most);
    this.#batch = Math.min(2 * this.#batch, largestBatch);
    return this.#source.read(this.#reverse ? "before" : "after", this.#cursor, count);
  }

  #wait(): Promise<void> {
    if (this.#changed || this.#closed) return Promise.resolve();
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined;
        resolve();
      };
    });
  }

  #close(): void {
    this.#closed = true;
    this.#buffer = [];
    this.#used = 0;
    this.#ahead = undefined;
    this.#signal?.removeEventListener("abort", this.#abort);
    this.#unwatch?.();
    this.#unwatch = undefined;
    this.#wake?.();
  }
}
