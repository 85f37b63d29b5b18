// Messages as elements: which there are, in what order and under which heads, and how each looks.
import type { PendingTransaction } from "skerry";
import { arrange, button, make } from "./dom.js";
import { flagOf, glyph, type Mark } from "./flags.js";
import { count, day, left, startOfDay, textOf, time } from "./format.js";
import type { History } from "./history.js";

const together = 5 * 60_000; // messages of one author within this time stand together

/** One message as it is to be shown. Equal rows look equal. */
interface Row {
  readonly id: string;
  readonly author: string;
  readonly text: string;
  readonly at: number;
  readonly mark: Mark;
  readonly label: string;
  readonly seq: number | undefined;
  readonly plain: boolean; // no message: some other event
}

/** Returns what is to be shown: the log, then what waits, then what was just sent, then what was refused. */
export function rowsOf(history: History, me: string): Row[] {
  const rows: Row[] = [];
  const shown = new Set<string>();
  const add = (row: Row) => {
    if (shown.has(row.id)) return;
    shown.add(row.id);
    rows.push(row);
  };
  for (const { id, author, type, payload, time: at, seq } of history.records) {
    if (type.startsWith("$")) continue; // Skerry's own, of an upgrade
    add({ id, author, ...content(type, payload), at, seq, mark: "synced", label: `synced, number ${seq}` });
  }
  if (history.behind) return rows; // what waits comes after what is not held here
  const refused = new Set(history.rejected.map((transaction) => transaction.id));
  const [oldest] = history.pending;
  if (oldest && history.hidden > 0) {
    const { author, appendedAt: at } = oldest;
    add({ id: "hidden", author, text: `${count(history.hidden, "earlier message")} on this device`, plain: true, at, seq: undefined, mark: "durable", label: "to sync" });
  }
  for (const transaction of history.pending) {
    if (refused.has(transaction.id)) continue;
    const mark = transaction.state === "accepted" ? "synced" : "durable";
    for (const { id, type, payload } of transaction.events) {
      add({ id, author: transaction.author, ...content(type, payload), at: transaction.appendedAt, seq: undefined, mark, label: waits(transaction) });
    }
  }
  for (const [id, { text, at, stage }] of history.sent) {
    if (refused.has(id)) continue;
    const label = stage === "durable" ? "on this device" : "being saved";
    add({ id, author: me, text, plain: false, at, seq: undefined, mark: stage, label });
  }
  for (const { id, author, events, appendedAt, code, reason } of history.rejected) {
    const text = events.map((event) => textOf(event.type, event.payload)).join("\n");
    const label = `refused: ${code.replaceAll("_", " ")}${reason ? `, ${reason}` : ""}`;
    add({ id, author, text, plain: false, at: appendedAt, seq: undefined, mark: "refused", label });
  }
  return rows;
}

function content(type: string, payload: unknown): { text: string; plain: boolean } {
  return { text: textOf(type, payload), plain: !(typeof payload === "object" && payload !== null && "text" in payload) };
}

function waits({ state, code, retryAt }: PendingTransaction): string {
  if (state === "accepted") return "synced";
  const next = left(retryAt);
  return ["on this device", code ? `the server said: ${code.replaceAll("_", " ")}` : "", next ? `next try in ${next}` : ""]
    .filter(Boolean)
    .join(", ");
}

/** What is in the list: an element, and what it was made of. */
interface Made {
  readonly element: HTMLElement;
  readonly looks: string;
  meta: string;
}

/** Draws a room's messages into a list, changing only what changed. */
export class Messages {
  readonly #list: HTMLElement;
  readonly #me: string;
  readonly #act: { retry(id: string): Promise<void>; discard(id: string): Promise<void> };
  #made = new Map<string, Made>();

  constructor(list: HTMLElement, me: string, act: { retry(id: string): Promise<void>; discard(id: string): Promise<void> }) {
    this.#list = list;
    this.#me = me;
    this.#act = act;
    list.replaceChildren();
  }

  /** Draws rows; before the first of others with a number over `read` comes a line that says that they are new. */
  draw(rows: readonly Row[], read: number | undefined): void {
    const kept = new Map<string, Made>();
    const elements: HTMLElement[] = [];
    const use = (key: string, looks: string, draw: () => HTMLElement): Made => {
      const made = this.#made.get(key);
      const entry = made?.looks === looks ? made : { element: draw(), looks, meta: "" };
      kept.set(key, entry);
      elements.push(entry.element);
      return entry;
    };
    let last: Row | undefined;
    let fresh = false;
    for (const row of rows) {
      const newDay = !last || startOfDay(last.at) !== startOfDay(row.at);
      if (newDay) use(`day ${startOfDay(row.at)} ${last?.id ?? ""}`, day(row.at), () => make("li.day", {}, make("span", {}, day(row.at))));
      const begins = !fresh && read !== undefined && row.seq !== undefined && row.seq > read && row.author !== this.#me;
      if (begins) {
        fresh = true;
        use("new", "", () => make("li.new", {}, make("span", {}, "New")));
      }
      const first = newDay || begins || last?.author !== row.author || row.at - last.at > together || row.plain !== last.plain;
      const refused = row.mark === "refused";
      const made = use(row.id, JSON.stringify([row.author, row.text, row.plain, first, refused]), () => this.#draw(row, first));
      const meta = JSON.stringify([row.at, row.seq, row.mark, row.label]);
      if (made.meta !== meta) this.#drawMeta(made.element.querySelector(".meta")!, row);
      made.meta = meta;
      last = row;
    }
    this.#made = kept;
    arrange(this.#list, elements);
  }

  #draw(row: Row, first: boolean): HTMLElement {
    const mine = row.author === this.#me;
    const item = make("li.message", { "data-id": row.id });
    item.classList.toggle("mine", mine);
    item.classList.toggle("first", first);
    item.classList.toggle("plain", row.plain);
    item.classList.toggle("refused", row.mark === "refused");
    const by = make(first && !mine ? "p.by" : "p.by.sr", {}, make("b", {}, mine ? "You" : row.author), make("span.sr", {}, ": "));
    if (first && !mine) item.append(flagOf(row.author));
    // Where a message is may change; who listens to the log is told of messages, not of that.
    const meta = make("p.meta", { "aria-live": "off" });
    const bubble = make("div.bubble", {}, by, make("p.text", { dir: "auto" }, row.text), meta);
    if (row.mark === "refused") {
      const buttons = make("p.choice", {}, button("Retry", () => this.#act.retry(row.id)), button("Discard", () => this.#act.discard(row.id)));
      bubble.append(buttons);
    }
    item.append(bubble);
    return item;
  }

  #drawMeta(meta: Element, row: Row): void {
    meta.replaceChildren();
    const iso = new Date(row.at).toISOString();
    const stamp = make("time", { datetime: iso, title: new Date(row.at).toLocaleString() }, time(row.at));
    if (row.seq !== undefined) meta.append(make("i.no", { title: `number ${row.seq} in the log`, "aria-hidden": "true" }, row.seq.toLocaleString()));
    meta.append(stamp);
    if (row.author === this.#me || row.mark !== "synced") {
      const label = make(row.mark === "synced" ? "span.label.sr" : "span.label", {}, row.label);
      meta.append(make(`span.mark.${row.mark}`, { title: row.label }, glyph(row.mark), label));
    }
  }
}
