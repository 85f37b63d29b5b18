// Messages as elements: which there are, in what order and under which heads, and how each looks.
import type { PendingTransaction } from "skerry";
import { type Conversation, idOf } from "./conversation.js";
import { describe } from "./describe.js";
import { arrange, button, make } from "./dom.js";
import { flagOf, glyph, type Mark } from "./flags.js";
import { day, left, startOfDay, time, ulidTime } from "./format.js";
import { signNames } from "./menu.js";

const together = 5 * 60_000; // messages of one author within this time stand together
const facesShown = 6; // of those who have read up to a message

/** One message as it is to be shown. Equal rows look equal. */
export interface Shown {
  readonly id: string;
  readonly author: string;
  readonly by: string; // what the author is called
  readonly text: string;
  readonly at: number;
  readonly mark: Mark;
  readonly label: string;
  readonly number: number | undefined;
  readonly kind: "message" | "deleted" | "other"; // other: what was refused or waits and is no message
  readonly edited: boolean;
  readonly reactions: readonly { readonly sign: string; readonly by: readonly string[]; readonly names: readonly string[] }[];
  readonly readers: readonly string[]; // what those are called who have read up to here, and no further
}

const plain = { number: undefined, kind: "message", edited: false, reactions: [], readers: [] } as const;

/** Returns what is to be shown: the room's messages, then what is not among them yet, then what was refused. */
export function rowsOf(talk: Conversation, me: string): Shown[] {
  const rows: Shown[] = [];
  const { shown, names } = talk;
  const reactions = reactionsOf(talk, me);
  const readers = readersOf(talk, me);
  const waiting = new Map(talk.pending.flatMap((transaction) => transaction.events.map(({ id }) => [id, transaction] as const)));
  for (const row of shown) {
    const id = idOf(row);
    const number = Number(row.number);
    const entry = talk.sent.get(id);
    const transaction = waiting.get(id);
    const mark = !row.$pending || transaction?.state === "accepted" ? "synced" : (entry?.stage ?? "durable");
    rows.push({
      id,
      author: row.author,
      by: names.of(row.author),
      text: row.deleted === undefined ? row.text : `deleted by ${row.deleted === me ? "you" : names.of(row.deleted)}`,
      at: row.$pending ? ulidTime(id) : Number(row.at),
      mark,
      label: mark === "synced" ? `synced, message ${number}` : mark === "durable" ? waits(transaction) : "being saved",
      number: row.$pending ? undefined : number,
      kind: row.deleted === undefined ? "message" : "deleted",
      edited: row.edited !== undefined,
      reactions: reactions.get(number) ?? [],
      readers: readers.get(number) ?? [],
    });
  }
  if (talk.below > 0) return rows; // what waits comes after what is not shown here
  if (!talk.ready) {
    for (const transaction of talk.pending) {
      for (const { id, type, payload } of transaction.events) {
        if (type !== "message" || talk.sent.has(id)) continue;
        rows.push({ ...plain, id, author: transaction.author, by: names.of(transaction.author), text: describe({ type, payload }), at: transaction.appendedAt, mark: "durable", label: waits(transaction) });
      }
    }
  }
  for (const [id, { text, at, stage, seen }] of talk.sent) {
    if (!seen) rows.push({ ...plain, id, author: me, by: names.of(me), text, at, mark: stage, label: stage === "durable" ? waits(waiting.get(id)) : "being saved" });
  }
  for (const { id, author, events, appendedAt, code, reason, by } of talk.rejected) {
    const why = /^(module_|refused)/.test(code) ? reason || code : `${code.replaceAll("_", " ")}${reason ? `, ${reason}` : ""}`;
    const kind = events.every(({ type }) => type === "message") ? "message" : "other";
    const label = `refused${by === "preview" ? " before it was sent" : ""}: ${why}`;
    rows.push({ ...plain, id, author, by: names.of(author), text: events.map((event) => describe(event, (who) => names.of(who))).join("\n"), kind, at: appendedAt, mark: "refused", label });
  }
  return rows;
}

function reactionsOf({ reactions, names }: Conversation, me: string): Map<number, { sign: string; by: string[]; names: string[] }[]> {
  const found = new Map<number, { sign: string; by: string[]; names: string[] }[]>();
  for (let i = reactions.length - 1; i >= 0; i--) {
    const { number, sign, identity } = reactions[i]!;
    const those = found.get(Number(number)) ?? [];
    const same = those.find((reaction) => reaction.sign === sign);
    const name = identity === me ? "you" : names.of(identity);
    if (same) {
      same.by.push(identity);
      same.names.push(name);
    } else those.push({ sign, by: [identity], names: [name] });
    found.set(Number(number), those);
  }
  return found;
}

/** Returns who else has read up to each message; who wrote it has. */
function readersOf({ members, reads, shown, names }: Conversation, me: string): Map<number, string[]> {
  const still = new Set(members.map(({ identity }) => identity));
  const found = new Map<number, string[]>();
  const newest = shown.findLast(({ $pending }) => !$pending);
  for (const { identity, number } of reads) {
    const at = Math.min(Number(number), Number(newest?.number ?? 0));
    const message = shown[at - Number(shown[0]?.number ?? 0)];
    if (identity === me || !still.has(identity) || !message || message.author === identity) continue;
    found.set(at, [...(found.get(at) ?? []), names.of(identity)]);
  }
  return found;
}

function waits(transaction: PendingTransaction | undefined): string {
  const next = left(transaction?.retryAt);
  const code = transaction?.code;
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

/** What somebody can do about a message. */
export interface Actions {
  retry(id: string): Promise<void>;
  discard(id: string): Promise<void>;
  /** Takes what was refused back, to be written in other words. */
  rewrite(row: Shown): Promise<void>;
  react(row: Shown, sign: string, on: boolean): void;
  open(row: Shown, by: HTMLElement): void;
}

/** Draws a room's messages into a list, changing only what changed. */
export class Messages {
  readonly #list: HTMLElement;
  readonly #me: string;
  readonly #act: Actions;
  #made = new Map<string, Made>();
  #rows = new Map<string, Shown>();

  constructor(list: HTMLElement, me: string, act: Actions) {
    this.#list = list;
    this.#me = me;
    this.#act = act;
    list.replaceChildren();
    list.onkeydown = (event) => this.#key(event);
  }

  /** Draws rows; before the first of others with a number over `read` comes a line that says that they are new. */
  draw(rows: readonly Shown[], read: number | bigint | undefined, writes: boolean): void {
    const kept = new Map<string, Made>();
    const elements: HTMLElement[] = [];
    const use = (key: string, looks: string, draw: () => HTMLElement): Made => {
      const made = this.#made.get(key);
      const entry = made?.looks === looks ? made : { element: draw(), looks, meta: "" };
      kept.set(key, entry);
      elements.push(entry.element);
      return entry;
    };
    let last: Shown | undefined;
    let fresh = false;
    for (const row of rows) {
      const newDay = !last || startOfDay(last.at) !== startOfDay(row.at);
      if (newDay) use(`day ${startOfDay(row.at)} ${last?.id ?? ""}`, day(row.at), () => make("li.day", {}, make("span", {}, day(row.at))));
      const begins = !fresh && read !== undefined && row.number !== undefined && row.number > read && row.author !== this.#me;
      if (begins) {
        fresh = true;
        use("new", "", () => make("li.new", {}, make("span", {}, "New")));
      }
      const first = newDay || begins || last?.author !== row.author || row.at - last.at > together || (row.kind === "other") !== (last.kind === "other");
      const refused = row.mark === "refused";
      const made = use(row.id, JSON.stringify([row.author, row.by, row.text, row.kind, row.edited, first, refused, writes]), () => this.#draw(row, first, writes));
      const meta = JSON.stringify([row.at, row.number, row.mark, row.label, row.reactions, row.readers]);
      if (made.meta !== meta) this.#drawMeta(made.element, row, writes);
      made.meta = meta;
      last = row;
    }
    this.#made = kept;
    this.#rows = new Map(rows.map((row) => [row.id, row]));
    const focused = this.#list.contains(document.activeElement) ? (document.activeElement as HTMLElement) : undefined;
    const at = focused?.closest<HTMLElement>(".message")?.dataset["id"];
    arrange(this.#list, elements);
    if (focused && !focused.isConnected && at) this.#more(at)?.focus(); // it was drawn anew
    this.#stop(focused?.classList.contains("more") ? focused : undefined);
  }

  #draw(row: Shown, first: boolean, writes: boolean): HTMLElement {
    const mine = row.author === this.#me;
    const item = make("li.message", { "data-id": row.id });
    item.classList.toggle("mine", mine);
    item.classList.toggle("first", first);
    item.classList.toggle("plain", row.kind === "other");
    item.classList.toggle("deleted", row.kind === "deleted");
    item.classList.toggle("refused", row.mark === "refused");
    const by = make(first && !mine ? "p.by" : "p.by.sr", {}, make("b", { dir: "auto", title: row.author }, mine ? "You" : row.by), make("span.sr", {}, ": "));
    if (first && !mine) item.append(flagOf(row.by));
    // Where a message is may change; who listens to the log is told of messages, not of that.
    const meta = make("p.meta", { "aria-live": "off" });
    const bubble = make("div.bubble", {}, by, make("p.text", { dir: "auto" }, row.text), meta);
    if (row.mark === "refused") {
      const choice = make("p.choice", {}, button("Retry", () => this.#act.retry(row.id)), button("Discard", () => this.#act.discard(row.id)));
      if (writes && row.kind === "message") choice.append(button("Change", () => this.#act.rewrite(row)));
      bubble.append(choice);
    }
    item.append(make("div.side", {}, bubble, make("div.under", { "aria-live": "off" })));
    if (writes && row.kind === "message" && row.mark !== "refused") {
      const more = make("button.more.icon", { type: "button", tabindex: "-1", "aria-haspopup": "true", "aria-label": `React to, or change: ${row.text.slice(0, 60)}` }, "⋯");
      more.addEventListener("click", () => this.#act.open(this.#rows.get(row.id) ?? row, more));
      item.append(more);
    }
    return item;
  }

  #drawMeta(item: HTMLElement, row: Shown, writes: boolean): void {
    const meta = item.querySelector(".meta")!;
    meta.replaceChildren();
    const iso = new Date(row.at).toISOString();
    if (row.number !== undefined) meta.append(make("i.no", { title: `message ${row.number}`, "aria-hidden": "true" }, row.number.toLocaleString()));
    if (row.edited && row.kind === "message") meta.append(make("span", {}, "edited"));
    meta.append(make("time", { datetime: iso, title: new Date(row.at).toLocaleString() }, time(row.at)));
    if (row.author === this.#me || row.mark !== "synced") {
      const label = make(row.mark === "synced" ? "span.label.sr" : "span.label", {}, row.label);
      meta.append(make(`span.mark.${row.mark}`, { title: row.label }, glyph(row.mark), label));
    }
    const under = item.querySelector(".under")!;
    under.replaceChildren(...row.reactions.map((reaction) => this.#reaction(row, reaction, writes)));
    if (row.readers.length > 0) under.append(readers(row.readers));
  }

  #reaction(row: Shown, { sign, by, names: called }: Shown["reactions"][number], writes: boolean): HTMLElement {
    const mine = by.includes(this.#me);
    const names = called.join(", ");
    const made = make<HTMLButtonElement>("button.reaction", { type: "button", title: names, "aria-pressed": String(mine) }, make("span", { "aria-hidden": "true" }, sign), String(by.length), make("span.sr", {}, `${signNames[sign] ?? sign}: ${names}`));
    made.disabled = !writes;
    made.addEventListener("click", () => this.#act.react(row, sign, !mine));
    return made;
  }

  #more(id: string): HTMLElement | null | undefined {
    return this.#made.get(id)?.element.querySelector<HTMLElement>(".more");
  }

  /** The messages' buttons are one stop of the tab key; arrows go from one to the other. */
  #stop(at: Element | undefined): void {
    const all = [...this.#list.querySelectorAll<HTMLElement>(".more")];
    const stop = at && all.includes(at as HTMLElement) ? at : all.at(-1);
    for (const more of all) more.tabIndex = more === stop ? 0 : -1;
  }

  #key(event: KeyboardEvent): void {
    const target = event.target as HTMLElement;
    if (!target.classList.contains("more") || event.altKey || event.ctrlKey || event.metaKey) return;
    const all = [...this.#list.querySelectorAll<HTMLElement>(".more")];
    const at = all.indexOf(target);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = all[to];
    this.#stop(next ?? target);
    next?.focus();
  }
}

function readers(names: readonly string[]): HTMLElement {
  const label = `Read by ${names.join(", ")}`;
  const more = names.length - facesShown;
  const faces = names.slice(0, facesShown).map((name) => flagOf(name));
  return make("span.readers", { role: "img", "aria-label": label, title: label }, ...faces, more > 0 ? `+${more}` : "");
}
