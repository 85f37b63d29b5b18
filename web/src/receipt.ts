import type { SkerryError } from "./error.js";
import { formatULID } from "./ulid.js";
import type { Position } from "./wire.js";

/** Something that happens once or fails. The promise is made when it is first asked for, and never unhandled. */
export class Moment<T> {
  #promise: Promise<T> | undefined;
  #settle: { resolve(value: T): void; reject(error: SkerryError): void } | undefined;
  #outcome: { value: T } | { error: SkerryError } | undefined;
  /** Called once, when it has happened or failed. */
  onSettled: (() => void) | undefined;

  get promise(): Promise<T> {
    if (!this.#promise) {
      this.#promise = new Promise<T>((resolve, reject) => (this.#settle = { resolve, reject }));
      this.#promise.catch(() => {}); // a failure reaches whoever awaits, and the client's status, but is never unhandled
      if (this.#outcome) this.#tell(this.#outcome);
    }
    return this.#promise;
  }

  get settled(): boolean {
    return this.#outcome !== undefined;
  }

  resolve(value: T): void {
    this.#set({ value });
  }

  reject(error: SkerryError): void {
    this.#set({ error });
  }

  #set(outcome: { value: T } | { error: SkerryError }): void {
    if (this.#outcome) return;
    this.#outcome = outcome;
    this.#tell(outcome);
    this.onSettled?.();
  }

  #tell(outcome: { value: T } | { error: SkerryError }): void {
    if ("error" in outcome) this.#settle?.reject(outcome.error);
    else this.#settle?.resolve(outcome.value);
    this.#settle = undefined;
  }
}

/** Where the server put a transaction. */
export interface Synced {
  /** The number of its last event, or a later one, for show. */
  readonly seq: number;
  /** The place after its last event, or a later one. */
  readonly position: Position;
}

/**
 * What becomes of one transaction, in three moments. Each is a promise that may be awaited or left alone: one that
 * fails while nobody looks is no unhandled rejection.
 */
export class Receipt {
  /** The transaction's name: the id of its first event. */
  readonly id: string;
  readonly #packed: Uint8Array;
  #ids: readonly string[] | undefined;
  /** @internal */
  readonly moments = { applied: new Moment<void>(), durable: new Moment<void>(), synced: new Moment<Synced>() };

  /** @internal */
  constructor(ids: Uint8Array) {
    this.id = formatULID(ids.subarray(0, 16));
    this.#packed = ids;
  }

  /** The ids of all its events; of a receipt that was found again, the first alone. */
  get ids(): readonly string[] {
    const all = this.#packed;
    return (this.#ids ??= Array.from({ length: all.length / 16 }, (_, i) => formatULID(all.subarray(16 * i, 16 * i + 16)))); // of a thousand events nobody may ask
  }

  /** This tab has taken it up. Provisional: it may be lost with the tab. */
  get applied(): Promise<void> {
    return this.moments.applied.promise;
  }

  /**
   * It is stored on this device and survives the browser. Rejects with `quota` where there is no room, and then nothing
   * was stored; `not_durable` where the browser gives no storage, and it goes on to the server all the same; what is
   * wrong with the transaction itself; and `discarded` for a receipt of a transaction of which there is no trace.
   */
  get durable(): Promise<void> {
    return this.moments.durable.promise;
  }

  /**
   * The server has it in its log. Its records come here a moment later where the verdict is quicker than they; until then
   * {@link Space.pending} has it, and never neither of the two. Rejects with the server's code if it was refused, `discarded` if it was taken back, or
   * `closed` if the client was closed first; the transaction stays then, and {@link Space.receipt} finds it again.
   */
  get synced(): Promise<Synced> {
    return this.moments.synced.promise;
  }

  /** @internal */
  fail(error: SkerryError): void {
    this.moments.applied.reject(error);
    this.moments.durable.reject(error);
    this.moments.synced.reject(error);
  }
}
