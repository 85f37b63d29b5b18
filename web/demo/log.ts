// One space's messages: what is in the log, then what was written here and is not in it yet, then what was refused.
import type { EventRecord, PendingTransaction, Position, Receipt, RejectedTransaction, Space } from "skerry";
import { element, time } from "./dom.js";

const page = 100;

export class Log {
  readonly space: Space;
  readonly #me: string;
  readonly #abort = new AbortController();
  readonly #records: EventRecord[] = [];
  readonly #receipts = new Map<string, { receipt: Receipt; text: string; at: number; stage: "written" | "applied" | "durable" }>();
  #pending: PendingTransaction[] = [];
  #rejected: RejectedTransaction[] = [];
  #more = false;
  #atEnd = true;
  #looking = false;
  #again = false;

  constructor(space: Space, me: string) {
    this.space = space;
    this.#me = me;
    const { signal } = this.#abort;
    const text = element<HTMLTextAreaElement>("text");
    element("write").addEventListener("submit", (event) => (event.preventDefault(), this.#write(text)), { signal });
    text.addEventListener(
      "keydown",
      (event) => {
        if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
        event.preventDefault();
        this.#write(text);
      },
      { signal },
    );
    element("older").addEventListener("click", () => void this.#older(), { signal });
    signal.addEventListener("abort", space.subscribe(() => void this.#look()));
    element("messages").replaceChildren();
    const log = element("log");
    log.addEventListener("scroll", () => (this.#atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40), { signal });
    const resized = new ResizeObserver(() => this.#keepEnd());
    resized.observe(log);
    signal.addEventListener("abort", () => resized.disconnect());
    void this.#follow();
    void this.#look();
  }

  close(): void {
    this.#abort.abort();
  }

  /** Shows the newest records, and then each as it comes. */
  async #follow(): Promise<void> {
    const { signal } = this.#abort;
    try {
      await this.#older();
      const after: Position | undefined = this.#records.at(-1)?.position;
      for await (const record of this.space.events({ ...(after ? { after } : {}), live: true, signal })) {
        this.#records.push(record);
        this.#receipts.delete(record.id);
        this.#draw();
      }
    } catch (error) {
      if (!signal.aborted) console.info("reading stopped:", error);
    }
  }

  async #older(): Promise<void> {
    const before = this.#records[0]?.position;
    const older: EventRecord[] = [];
    for await (const record of this.space.events({ ...(before ? { before } : {}), reverse: true, limit: page })) {
      older.unshift(record);
    }
    if (this.#abort.signal.aborted) return;
    this.#more = older.length === page;
    this.#records.unshift(...older);
    this.#draw();
  }

  /** Looks again at what waits and what was refused; one look at a time. */
  async #look(): Promise<void> {
    this.#again = true;
    if (this.#looking) return;
    this.#looking = true;
    try {
      while (this.#again && !this.#abort.signal.aborted) {
        this.#again = false;
        [this.#pending, this.#rejected] = await Promise.all([this.space.pending(), this.space.rejected()]);
        this.#draw();
      }
    } catch (error) {
      console.info("looking at what waits stopped:", error);
    } finally {
      this.#looking = false;
    }
  }

  #write(input: HTMLTextAreaElement): void {
    const text = input.value.trim();
    if (!text) return;
    input.value = "";
    const receipt = this.space.append("message", { text });
    const entry = { receipt, text, at: Date.now(), stage: "written" as "written" | "applied" | "durable" };
    this.#receipts.set(receipt.id, entry);
    const reached = (stage: "applied" | "durable") => () => {
      entry.stage = stage;
      this.#draw();
    };
    receipt.applied.then(reached("applied"), () => {});
    receipt.durable.then(reached("durable"), (error: unknown) => {
      this.#receipts.delete(receipt.id);
      if (input.value === "") input.value = text; // nothing that was written is lost
      console.info("not saved:", error);
      this.#draw();
    });
    this.#atEnd = true; // what one writes oneself is shown
    this.#draw();
  }

  #draw(): void {
    if (this.#abort.signal.aborted) return;
    const known = new Set(this.#records.map((record) => record.id));
    const refused = new Set(this.#rejected.map((transaction) => transaction.id));
    const items: HTMLLIElement[] = this.#records.map((r) =>
      this.#item(r.id, r.author, textOf(r.type, r.payload), r.time, ["synced", `synced, no. ${r.seq}`]),
    );
    const waiting = new Set<string>();
    for (const transaction of this.#pending) {
      waiting.add(transaction.id);
      if (transaction.state === "withdrawn") continue;
      const mark: [string, string] =
        transaction.state === "accepted" ? ["synced", "synced"] : ["durable", "on this device"];
      if (transaction.code) mark[1] += `, waits: ${transaction.code.replace("_", " ")}`;
      for (const event of transaction.events) {
        if (known.has(event.id)) continue;
        items.push(this.#item(event.id, transaction.author, textOf(event.type, event.payload), transaction.appendedAt, mark));
      }
    }
    for (const [id, { text, at, stage }] of this.#receipts) {
      if (known.has(id) || waiting.has(id) || refused.has(id)) continue;
      const mark = stage === "durable" ? "on this device" : stage === "applied" ? "being saved" : "being written";
      items.push(this.#item(id, this.#me, text, at, [stage, mark]));
    }
    for (const { id, author, events, appendedAt, code, reason } of this.#rejected) {
      const text = events.map((event) => textOf(event.type, event.payload)).join("\n");
      const item = this.#item(id, author, text, appendedAt, ["refused", `refused: ${reason || code}`]);
      item.classList.add("refused");
      item.lastElementChild!.append(
        button("Retry", () => this.space.retry(id)),
        button("Discard", () => this.space.discard(id)),
      );
      items.push(item);
    }
    element("messages").replaceChildren(...items);
    element("empty").hidden = items.length > 0;
    element("older").hidden = !this.#more;
    this.#keepEnd();
  }

  /** Stays with the newest message, unless somebody scrolled away from it. */
  #keepEnd(): void {
    const log = element("log");
    if (this.#atEnd) log.scrollTop = log.scrollHeight;
  }

  #item(id: string, author: string, text: string, at: number, [kind, label]: [string, string]): HTMLLIElement {
    const item = document.createElement("li");
    item.dataset["id"] = id;
    if (author === this.#me) item.className = "mine";
    const body = document.createElement("div");
    body.className = "text";
    body.textContent = text;
    const meta = document.createElement("div");
    meta.className = "meta";
    const mark = document.createElement("span");
    mark.className = `mark ${kind}`;
    mark.textContent = label;
    meta.append(author, ` ${time(at)} `, mark);
    item.append(body, meta);
    return item;
  }
}

function textOf(type: string, payload: unknown): string {
  if (typeof payload === "object" && payload !== null && "text" in payload && typeof payload.text === "string") {
    return payload.text;
  }
  const text = JSON.stringify(payload, (_, value: unknown) => (value instanceof Uint8Array ? `${value.length} bytes` : value));
  return `${type} ${text ?? ""}`;
}

function button(label: string, act: () => Promise<void>): HTMLButtonElement {
  const made = document.createElement("button");
  made.textContent = label;
  made.addEventListener("click", () => {
    made.disabled = true;
    act().catch((error: unknown) => {
      made.disabled = false;
      made.title = String(error);
    });
  });
  return made;
}
