// What of a room is held in memory, by live queries on its tables: the newest messages and as many before them as somebody
// scrolled to, with reactions and how far everybody has read; and what was written here and is not in the log.
import type { LiveQuery, PendingTransaction, Receipt, RejectedTransaction, SkerryError } from "skerry";
import { formatID } from "./format.js";
import { isTry } from "./invitations.js";
import type { Member, Message, Reaction, ReadRow, Room } from "./module.js";
import { Names } from "./names.js";

const page = 80; // messages that are shown first, and more at a time
const most = 800; // messages shown
const waiting = 200; // transactions that wait, the newest ones
const readEach = 2_000; // how far somebody has read is written so often at most

const ids = new WeakMap<Message, string>(); // a row is the same object while it is the same

/** Returns the ID of a message, as receipts and transactions have it. */
export function idOf(message: Message): string {
  let id = ids.get(message);
  if (id === undefined) ids.set(message, (id = formatID(message.id)));
  return id;
}

/** A message that was written here, until it is known to be stored. */
export interface Sent {
  readonly receipt: Receipt;
  readonly text: string;
  readonly at: number;
  stage: "written" | "applied" | "durable";
  seen: boolean; // in the table
}

export class Conversation {
  /** The messages that are held, the oldest first; their numbers have no holes. */
  messages: readonly Message[] = [];
  reactions: readonly Reaction[] = [];
  members: readonly Member[] = [];
  reads: readonly ReadRow[] = [];
  pending: readonly PendingTransaction[] = []; // the newest
  rejected: readonly RejectedTransaction[] = [];
  readonly sent = new Map<string, Sent>();
  readonly names = new Names();
  /** Whether it is known what people are called. */
  named = false;
  /** Up to which message this person had read when the room was opened; `undefined` before that is known, and on a first visit. */
  readAtFirst: number | bigint | undefined;
  /** Why there are no tables, if there are none. */
  error: SkerryError | undefined;
  /** Whether the tables are here. */
  ready = false;
  readonly #room: Room;
  readonly #me: string;
  readonly #signal: AbortSignal;
  readonly #changed: () => void;
  #from = 0; // the first message shown, by its number; 0: as many as are shown first
  #to = Infinity; // the last one
  #limit = page;
  #stop: (() => void) | undefined;
  #opened = false;
  #looking = false;
  #again = false;
  #readTimer: ReturnType<typeof setTimeout> | undefined;
  #toRead = 0;

  constructor(room: Room, me: string, signal: AbortSignal, changed: () => void) {
    this.#room = room;
    this.#me = me;
    this.#signal = signal;
    this.#changed = changed;
    this.#follow(room.table("members").live({ limit: 10_000 }), (rows) => (this.members = rows));
    this.#follow(room.table("reads").live({ limit: 10_000 }), (rows) => {
      this.reads = rows;
      if (!this.#opened) this.readAtFirst = rows.find(({ identity }) => identity === me)?.number;
      this.#opened = true;
    });
    this.#follow(room.table("people").live({ limit: 10_000 }), (rows) => {
      this.names.set(rows);
      this.named = true;
    });
    this.#followMessages();
    signal.addEventListener("abort", room.subscribe(() => void this.#look()));
    signal.addEventListener("abort", () => this.#writeRead());
    void this.#look();
  }

  /** The messages that are to be shown. */
  get shown(): readonly Message[] {
    const [oldest] = this.messages;
    if (!oldest) return [];
    const before = this.#first() - Number(oldest.number);
    return this.messages.slice(before, this.#to === Infinity ? undefined : this.#to - Number(oldest.number) + 1);
  }

  /** How many messages come after those that are shown, since somebody looks at older ones. */
  get below(): number {
    return this.#to === Infinity ? 0 : Math.max(this.#newest() - this.#to, 0);
  }

  /** Whether there may be messages before those that are shown. */
  get older(): boolean {
    return this.#first() > 1 && this.messages.length > 0;
  }

  /** This person's role, if they are a member. */
  get role(): string | undefined {
    return this.members.find(({ identity }) => identity === this.#me)?.role;
  }

  #newest(): number {
    return Number(this.messages.at(-1)?.number ?? 0);
  }

  #first(): number {
    const oldest = Number(this.messages[0]?.number ?? 1);
    return Math.max(this.#from || this.#newest() - page + 1, oldest);
  }

  /** Shows a page more of the messages before those that are shown; false while there is none. */
  readOlder(): boolean {
    if (!this.older) return false;
    const first = this.#first();
    if (first === Number(this.messages[0]!.number)) {
      if (this.messages.length === this.#limit) this.#followMessages(2 * this.#limit);
      return false;
    }
    this.#from = Math.max(first - page, 1);
    if (this.#newest() - this.#from >= most) this.#to = Math.min(this.#to, this.#from + most - 1);
    return true;
  }

  /** Shows a page more of the messages after those that are shown. */
  readNewer(): void {
    if (this.#to === Infinity) return;
    this.#to += page;
    if (this.#to >= this.#newest()) this.#to = Infinity;
    this.#from = Math.max(this.#from, Math.min(this.#to, this.#newest()) - most + 1);
  }

  /** Keeps what is shown where somebody looks at it, whatever comes. */
  stay(): void {
    this.#from ||= this.#first();
  }

  /** Shows the newest messages. */
  toNewest(): void {
    this.#from = 0;
    this.#to = Infinity;
  }

  /** Keeps what is shown small, while messages come. */
  trim(atEnd: boolean): void {
    if (this.#to !== Infinity) return;
    if (this.#newest() - this.#first() < most) return;
    if (atEnd) this.#from = this.#newest() - most / 2;
    else this.#to = this.#first() + most - 1;
  }

  #follow<T>(query: Pick<LiveQuery, "subscribe" | "ready" | "error"> & { getSnapshot(): readonly T[] }, take: (rows: readonly T[]) => void): () => void {
    const stop = query.subscribe(() => {
      this.error = query.error;
      if (query.ready) take(query.getSnapshot());
      this.#changed();
    });
    this.#signal.addEventListener("abort", stop, { once: true });
    return stop;
  }

  /** Follows so many messages from the end on, and their reactions. Those before stay until the others are here. */
  #followMessages(limit = 2 * page): void {
    if (limit > 100_000 || this.#signal.aborted) return;
    this.#limit = limit;
    const before = this.#stop;
    const query = this.#room.table("messages").live({ index: "by_number", reverse: true, limit });
    const reactions = this.#room.table("reactions").live({ reverse: true, limit: Math.min(10 * limit, 100_000) });
    const stops = [
      this.#follow(query, (rows) => {
        before?.();
        this.messages = [...rows].reverse();
        this.ready = true;
        if (this.sent.size > 0) for (const row of rows) this.#seen(idOf(row), row.$pending);
      }),
      this.#follow(reactions, (rows) => (this.reactions = rows)),
    ];
    this.#stop = () => stops.forEach((stop) => stop());
  }

  #seen(id: string, pending: boolean): void {
    const sent = this.sent.get(id);
    if (!sent) return;
    sent.seen = true;
    if (!pending) this.sent.delete(id);
  }

  /** Looks at what waits and what was refused; one look at a time, and another one if something changed meanwhile. */
  async #look(): Promise<void> {
    this.#again = true;
    if (this.#looking) return;
    this.#looking = true;
    try {
      while (this.#again && !this.#signal.aborted) {
        this.#again = false;
        const [pending, rejected] = await Promise.all([this.#room.pending({ limit: waiting, reverse: true }), this.#room.rejected()]);
        this.pending = pending.reverse();
        this.rejected = rejected.filter((transaction) => !isAside(transaction) && !isTry(transaction));
        for (const { id } of rejected) this.sent.delete(id);
        for (const transaction of rejected.filter(isAside)) await this.#room.discard(transaction.id); // nobody wants to know
        this.#changed();
      }
    } catch (error) {
      if (!this.#signal.aborted) console.info("reading stopped:", error);
    } finally {
      this.#looking = false;
    }
  }

  /** Writes a message. It is shown from now on; `lost` gets its text back if this device cannot keep it. */
  send(text: string, lost: (error: unknown) => void): void {
    const receipt = this.#room.append("message", { text });
    const entry: Sent = { receipt, text, at: Date.now(), stage: "written", seen: false };
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
    this.#changed();
  }

  /** Notes that somebody sees the newest message: it is written a moment later, with what comes until then. */
  markRead(): void {
    const last = this.messages.findLast(({ $pending }) => !$pending);
    if (!last || this.role === undefined || Number(last.number) <= Math.max(this.#read(), this.#toRead)) return;
    this.#toRead = Number(last.number);
    this.#readTimer ??= setTimeout(() => this.#writeRead(), readEach);
  }

  #read(): number {
    return Number(this.reads.find(({ identity }) => identity === this.#me)?.number ?? 0);
  }

  #writeRead(): void {
    clearTimeout(this.#readTimer);
    this.#readTimer = undefined;
    if (this.#toRead > this.#read() && this.#room.info().code !== "deleted") this.#room.append("read", { number: this.#toRead });
  }
}

/** Whether a transaction says how far somebody has read or what they are called, and nothing else: nobody wants to know that it was refused. */
export function isAside({ events }: RejectedTransaction): boolean {
  return events.length > 0 && events.every(({ type }) => type === "read" || type === "name");
}
