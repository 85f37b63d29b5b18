// What of a room is held in memory: a stretch of its log without holes, mostly the newest, and what was written here and
// is not in the log. However long a log is, only stretches of it are read: backwards from the end, and on from there.
import type { EventRecord, PendingTransaction, Receipt, RejectedTransaction, Space } from "skerry";

const page = 80;
const most = 800; // records held
const waiting = 200; // transactions that wait, the newest ones

/** A message that was sent here, before it is among what waits. */
export interface Sent {
  readonly receipt: Receipt;
  readonly text: string;
  readonly at: number;
  stage: "written" | "applied" | "durable";
}

export class History {
  records: readonly EventRecord[] = [];
  pending: readonly PendingTransaction[] = []; // the newest
  /** How many more wait before those. */
  hidden = 0;
  rejected: readonly RejectedTransaction[] = [];
  readonly sent = new Map<string, Sent>();
  /** Whether the log may begin before what is held. */
  older = false;
  /** Whether the log goes on after what is held, which is not read on while somebody looks at older ones. */
  behind = false;
  /** Whether the log was looked at once. */
  ready = false;
  readonly #space: Space;
  readonly #signal: AbortSignal;
  readonly #changed: () => void;
  readonly #atEnd: () => boolean;
  #running = false;
  #again = false;
  #paging = false;

  constructor(space: Space, signal: AbortSignal, atEnd: () => boolean, changed: () => void) {
    this.#space = space;
    this.#signal = signal;
    this.#atEnd = atEnd;
    this.#changed = changed;
    signal.addEventListener("abort", space.subscribe(() => void this.look()));
    void this.look();
  }

  /** Looks at what is new; one look at a time, and another one if something changed meanwhile. */
  async look(): Promise<void> {
    this.#again = true;
    if (this.#running) return;
    this.#running = true;
    try {
      while (this.#again && !this.#signal.aborted) {
        this.#again = false;
        await this.#lookOnce();
        // While a long log arrives, or a long outbox leaves, its end moves all the time: what one sees of it need not.
        const arriving = this.#space.info().head - (this.records.at(-1)?.seq ?? 0) > page;
        if (arriving || this.hidden > 0) await pause(300);
      }
    } catch (error) {
      if (!this.#signal.aborted) console.info("reading stopped:", error);
    } finally {
      this.#running = false;
    }
  }

  /** What waits is read before the log, so that what goes from the one to the other is seen in one of them. */
  async #lookOnce(): Promise<void> {
    const [pending, rejected] = await Promise.all([this.#space.pending({ limit: waiting, reverse: true }), this.#space.rejected()]);
    const hidden = pending.length < waiting ? 0 : Math.max(this.#space.info().pending - waiting, 0);
    const newest = this.records.at(-1);
    const gap = this.#space.info().seq - (newest?.seq ?? 0);
    if (!newest || (gap > 2 * page && this.#atEnd())) await this.newest();
    else if (this.#atEnd() || gap <= page) await this.#newer(newest);
    else this.behind = true;
    if (this.#signal.aborted) return;
    this.pending = pending.reverse();
    this.hidden = hidden;
    this.rejected = rejected;
    for (const { id } of [...this.records.slice(-page), ...rejected]) this.sent.delete(id);
    this.ready = true;
    this.#changed();
  }

  /** Goes to the end of the log, and forgets what was read before. */
  async newest(): Promise<void> {
    const read = await this.#read({ reverse: true, limit: page });
    this.records = read.reverse();
    this.older = read.length === page;
    this.behind = false;
  }

  async #newer(after: EventRecord): Promise<void> {
    const read = await this.#read({ after: after.position, limit: page });
    this.behind = read.length === page;
    if (read.length === 0) return;
    if (this.behind) this.#again = true;
    const all = [...this.records, ...read];
    if (all.length > most && this.#atEnd()) this.older = true;
    this.records = all.length > most && this.#atEnd() ? all.slice(-most / 2) : all;
  }

  /** Reads the records before those that are held; false if there are none or they are being read. */
  async readOlder(): Promise<boolean> {
    const [oldest] = this.records;
    if (!oldest || !this.older || this.#paging) return false;
    this.#paging = true;
    try {
      const read = await this.#read({ before: oldest.position, reverse: true, limit: page });
      if (this.#signal.aborted || this.records[0] !== oldest) return false;
      this.older = read.length === page;
      const all = [...read.reverse(), ...this.records];
      if (all.length > most) this.behind = true;
      this.records = all.slice(0, most);
      return true;
    } finally {
      this.#paging = false;
    }
  }

  async #read(options: Parameters<Space["events"]>[0]): Promise<EventRecord[]> {
    const read: EventRecord[] = [];
    for await (const record of this.#space.events({ ...options, signal: this.#signal })) read.push(record);
    return read;
  }

  /** Writes a message. It is shown from now on; `lost` gets its text back if this device cannot keep it. */
  send(text: string, lost: (error: unknown) => void): void {
    const receipt = this.#space.append("message.post", { text });
    const entry: Sent = { receipt, text, at: Date.now(), stage: "written" };
    this.sent.set(receipt.id, entry);
    const reached = (stage: Sent["stage"]) => () => {
      entry.stage = stage;
      this.#changed();
    };
    receipt.applied.then(reached("applied"), () => {});
    receipt.durable.then(reached("durable"), (error: unknown) => {
      this.sent.delete(receipt.id);
      this.#changed();
      lost(error);
    });
    receipt.synced.then(
      () => void this.look(),
      () => void this.look(),
    );
    this.#changed();
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
