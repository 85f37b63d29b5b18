// One space: what is known of it, its log both ways, its outbox and what was refused, and a form that writes.
import type { Client, EventRecord, PendingTransaction, Position, RejectedTransaction, Space } from "skerry";
import { arrange, button, element, make, messageOf, setText, toast } from "../dom.js";
import { bytes, json, left, nameOf, time } from "../format.js";
import { drawEvent } from "./event.js";
import { shorten } from "../names.js";
import { drawFacts } from "./facts.js";
import { factsOf } from "./spaces.js";
import { TablesView } from "./tables.js";

const page = 100;
const most = 2000; // events on the page

export class SpaceView {
  readonly space: Space;
  readonly #client: Client;
  readonly #abort = new AbortController();
  #records: EventRecord[] = []; // in the order in which they are shown
  #made = new Map<string, HTMLElement>();
  #running = false;
  #again = false;
  #waiting = "";

  constructor(client: Client, space: Space, chat: string | undefined) {
    this.#client = client;
    this.space = space;
    const { signal } = this.#abort;
    const order = element<HTMLSelectElement>("order");
    order.addEventListener("change", () => void this.#restart(), { signal });
    element("events-more").addEventListener("click", () => void this.#more(), { signal });
    element("write").addEventListener("submit", (event) => (event.preventDefault(), this.#write()), { signal });
    signal.addEventListener("abort", space.subscribe(() => void this.#look()));
    element<HTMLAnchorElement>("space-chat").hidden = !chat;
    element<HTMLAnchorElement>("space-chat").href = `${chat}#/room/${space.id}`;
    setText(element("written"), "");
    for (const id of ["events", "outbox", "rejected"]) element(id).replaceChildren();
    new TablesView(space, signal);
    void this.#restart();
  }

  close(): void {
    this.#abort.abort();
  }

  drawFacts(): void {
    const info = this.space.info();
    setText(element("space-title"), nameOf(info));
    const params = info.params === undefined ? "none" : json(info.params);
    drawFacts(element("space-facts"), [...factsOf(info, this.#client), ["params", params, "mono"]]);
  }

  get #newestFirst(): boolean {
    return element<HTMLSelectElement>("order").value === "newest";
  }

  async #restart(): Promise<void> {
    this.#records = [];
    await this.#more();
    await this.#look();
  }

  /** Reads on in the chosen direction. */
  async #more(): Promise<void> {
    const last = this.#records.at(-1)?.position;
    const reverse = this.#newestFirst;
    const read = await this.#read(reverse ? { ...(last ? { before: last } : {}), reverse, limit: page } : { ...(last ? { after: last } : {}), limit: page });
    if (this.#newestFirst !== reverse || this.#records.at(-1)?.position !== last) return;
    this.#records.push(...read);
    element("events-more").hidden = read.length < page || this.#records.length >= most;
    this.#draw();
  }

  /** Looks at what waits and at what is new; one look at a time. */
  async #look(): Promise<void> {
    this.#again = true;
    if (this.#running) return;
    this.#running = true;
    try {
      while (this.#again && !this.#abort.signal.aborted) {
        this.#again = false;
        const [pending, rejected] = await Promise.all([this.space.pending({ limit: page }), this.space.rejected()]);
        if (this.#newestFirst) await this.#newer(this.#records[0]?.position);
        if (this.#abort.signal.aborted) return;
        this.#draw();
        this.#drawWaiting(pending, rejected);
        if (pending.length === page) await new Promise((resolve) => setTimeout(resolve, 300)); // it moves all the time
      }
    } catch (error) {
      if (!this.#abort.signal.aborted) toast(messageOf(error));
    } finally {
      this.#running = false;
    }
  }

  async #newer(after: Position | undefined): Promise<void> {
    const behind = this.space.info().seq - (this.#records[0]?.seq ?? 0);
    const read = await this.#read(behind > page || !after ? { reverse: true, limit: page } : { after, limit: page });
    if (read.length === 0) return;
    const follows = behind <= page && after !== undefined;
    this.#records = follows ? [...read.reverse(), ...this.#records].slice(0, most) : read;
    if (!follows) element("events-more").hidden = read.length < page;
  }

  async #read(options: Parameters<Space["events"]>[0]): Promise<EventRecord[]> {
    const read: EventRecord[] = [];
    for await (const record of this.space.events({ ...options, signal: this.#abort.signal })) read.push(record);
    return read;
  }

  #draw(): void {
    const made = new Map<string, HTMLElement>();
    const items = this.#records.map((record) => {
      const item = this.#made.get(record.id) ?? drawEvent(record);
      made.set(record.id, item);
      return item;
    });
    this.#made = made;
    arrange(element("events"), items);
    element("events-none").hidden = items.length > 0;
  }

  #drawWaiting(pending: readonly PendingTransaction[], rejected: readonly RejectedTransaction[]): void {
    const more = pending.length < page ? 0 : Math.max(this.space.info().pending - page, 0);
    const looks = json([more, pending, rejected.length, rejected.slice(0, page)]);
    if (looks === this.#waiting) return;
    this.#waiting = looks;
    element("waiting").hidden = pending.length === 0;
    element("refusals").hidden = rejected.length === 0;
    element("outbox").replaceChildren(
      ...pending.map((t) => {
        const next = left(t.retryAt);
        const why = [t.state, t.code ?? "", t.reason, next ? `again in ${next}` : ""].filter(Boolean).join(", ");
        return transaction(t, why, "wait", t.state === "waiting" ? [button("Take back", () => this.space.discard(t.id))] : []);
      }),
    );
    if (more > 0) element("outbox").append(make("li.quiet", {}, `and ${more.toLocaleString()} more`));
    element("rejected").replaceChildren(
      ...rejected.slice(0, page).map((t) =>
        transaction(t, `${t.code}${t.reason ? `: ${t.reason}` : ""}${t.by ? ` (by ${t.by})` : ""}`, "bad", [
          button("Retry", () => this.space.retry(t.id)),
          button("Discard", () => this.space.discard(t.id)),
        ]),
      ),
    );
  }

  /** Writes what the form says, and tells how long each moment took. */
  #write(): void {
    const value = (id: string) => element<HTMLInputElement>(id).value;
    const out = element("written");
    try {
      const payload: unknown = value("payload").trim() ? JSON.parse(value("payload")) : undefined;
      const times = Math.min(Math.max(Number(value("times")) || 1, 1), 10_000);
      const begun = performance.now();
      const receipts = Array.from({ length: times }, () => this.space.append(value("type").trim(), payload));
      const receipt = receipts.at(-1)!;
      out.textContent = "";
      const tell = (moment: string) => () => {
        const text = `${moment} after ${Math.round(performance.now() - begun)} ms`;
        out.textContent += `${out.textContent ? ", " : ""}${text}`;
      };
      const failed = (error: unknown) => (out.textContent = messageOf(error));
      receipt.applied.then(tell("applied"), () => {});
      receipt.durable.then(tell("durable"), () => {});
      receipt.synced.then(({ seq }) => tell(`synced as ${seq.toLocaleString()}`)(), failed);
    } catch (error) {
      out.textContent = `Not written: ${messageOf(error)}`;
    }
  }
}

function transaction(
  t: PendingTransaction | RejectedTransaction,
  why: string,
  kind: string,
  buttons: readonly HTMLElement[],
): HTMLElement {
  const events = t.events.map((event) => make("code", {}, `${event.type} ${clipped(json(event.payload))}`));
  const head = make("p", {}, make("span.mono", {}, t.id), " ", make("span.quiet", { title: t.author }, `${shorten(t.author)}, ${time(t.appendedAt)}`));
  return make("li.transaction", {}, head, make(`p.${kind}`, {}, why), ...events, make("p.buttons", {}, ...buttons));
}

function clipped(text: string): string {
  return text.length > 300 ? `${text.slice(0, 300)}… (${bytes(text.length)})` : text;
}
