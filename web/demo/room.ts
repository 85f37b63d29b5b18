// One room: its head, its messages, and the field to write in.
import type { Client, Space } from "skerry";
import { announce, eachFrame, element, messageOf, setText, toast } from "./dom.js";
import { count, left, nameOf } from "./format.js";
import { History } from "./history.js";
import { Messages, rowsOf } from "./messages.js";
import { markRead, readUpTo } from "./unread.js";

const drafts = new Map<string, string>(); // by room, of this page

export class Room {
  readonly space: Space;
  readonly #client: Client;
  readonly #abort = new AbortController();
  readonly #history: History;
  readonly #messages: Messages;
  readonly #read: number | undefined; // when it was opened
  readonly #schedule = eachFrame(() => this.#draw());
  readonly #log = element("log");
  readonly #text = element<HTMLTextAreaElement>("text");
  #atEnd = true;
  #top = 0; // where the log was scrolled to
  #refused = 0;

  constructor(client: Client, space: Space) {
    this.#client = client;
    this.space = space;
    this.#read = readUpTo(client.identity, space.id);
    const { signal } = this.#abort;
    this.#messages = new Messages(element("messages"), client.identity, {
      retry: (id) => space.retry(id),
      discard: async (id) => {
        await space.discard(id);
        this.#text.focus();
        toast("Discarded");
      },
    });
    this.#history = new History(space, signal, () => this.#atEnd, this.#schedule);
    this.#listen(signal);
    this.#text.value = drafts.get(space.id) ?? "";
    this.#grow();
    this.#log.setAttribute("aria-busy", "true"); // what is there already is not news
    for (const id of ["empty", "newest", "earlier"]) element(id).hidden = true;
    this.drawHead();
  }

  close(): void {
    this.#abort.abort();
    drafts.set(this.space.id, this.#text.value);
  }

  #listen(signal: AbortSignal): void {
    const log = this.#log;
    element("write").addEventListener("submit", (event) => (event.preventDefault(), this.#write()), { signal });
    this.#text.addEventListener("input", () => this.#grow(), { signal });
    this.#text.addEventListener(
      "keydown",
      (event) => {
        if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
        event.preventDefault();
        this.#write();
      },
      { signal },
    );
    log.addEventListener("scroll", () => this.#scrolled(), { signal, passive: true });
    element("newest").addEventListener("click", () => void this.#toNewest(), { signal });
    document.addEventListener("visibilitychange", this.#schedule, { signal });
    const resized = new ResizeObserver(() => this.#keepEnd());
    resized.observe(log);
    resized.observe(element("messages"));
    signal.addEventListener("abort", () => resized.disconnect());
  }

  #write(): void {
    const text = this.#text.value.trim();
    if (!text) return;
    this.#text.value = "";
    this.#grow();
    this.#history.send(text, (error) => {
      if (this.#text.value === "" && !this.#abort.signal.aborted) this.#text.value = text; // what was written is not lost
      else drafts.set(this.space.id, text);
      toast(`Not saved: ${messageOf(error)}`);
    });
    void this.#toNewest(); // what one writes oneself is shown
  }

  /** Makes the field as high as its text, where the browser does not do so itself. */
  #grow(): void {
    if (CSS.supports("field-sizing", "content")) return;
    this.#text.style.height = "auto";
    this.#text.style.height = `${this.#text.scrollHeight + 2}px`;
  }

  #scrolled(): void {
    const log = this.#log;
    // Messages grow when they are first laid out: only who scrolls up leaves the end.
    if (log.scrollHeight - log.scrollTop - log.clientHeight < 48) this.#atEnd = true;
    else if (log.scrollTop < this.#top - 1) this.#atEnd = false;
    this.#top = log.scrollTop;
    if (this.#atEnd && this.#history.behind) void this.#history.look();
    if (this.#atEnd) this.#schedule();
    if (log.scrollTop < 600) void this.#older();
    element("newest").hidden = this.#atEnd && !this.#history.behind;
  }

  async #older(): Promise<void> {
    if (!this.#history.older) return;
    element("earlier").hidden = false;
    this.#log.setAttribute("aria-busy", "true");
    try {
      if (await this.#history.readOlder()) this.#draw();
    } catch (error) {
      if (!this.#abort.signal.aborted) console.info("reading earlier messages stopped:", error);
    }
    if (!this.#abort.signal.aborted) element("earlier").hidden = true;
  }

  async #toNewest(): Promise<void> {
    if (this.#history.behind) await this.#history.newest().catch(() => {});
    this.#atEnd = true;
    this.#draw();
  }

  #draw(): void {
    if (this.#abort.signal.aborted) return;
    const history = this.#history;
    const rows = rowsOf(history, this.#client.identity);
    const anchor = this.#atEnd ? undefined : this.#topMessage();
    this.#messages.draw(rows, this.#read);
    const moved = anchor && element("messages").querySelector(`[data-id="${anchor.id}"]`); // it may look otherwise now
    if (moved) this.#log.scrollTop += moved.getBoundingClientRect().top - anchor.top;
    this.#keepEnd();
    const { seq, creator, created, caughtUp } = this.space.info();
    const arriving = created && !caughtUp && this.#client.status.connection === "online";
    element("empty").hidden = !history.ready || rows.length > 0 || seq > 0 || creator === undefined || arriving;
    const newest = element("newest");
    newest.hidden = this.#atEnd && !history.behind;
    const below = seq - (history.records.at(-1)?.seq ?? 0);
    setText(newest, history.behind && below > 0 ? `↓ ${count(below, "newer message")}` : "↓ To the newest");
    if (history.ready) requestAnimationFrame(() => this.#log.setAttribute("aria-busy", "false"));
    if (this.#atEnd && document.visibilityState === "visible" && history.ready) {
      markRead(this.#client.identity, this.space.id, seq);
    }
    if (history.rejected.length > this.#refused) announce("A message was refused. You find it at the end, to retry or to discard.");
    this.#refused = history.rejected.length;
  }

  /** Returns the first message in view, and where it is. */
  #topMessage(): { id: string; top: number } | undefined {
    const { top } = this.#log.getBoundingClientRect();
    for (const item of element("messages").children) {
      const box = item.getBoundingClientRect();
      const id = (item as HTMLElement).dataset["id"];
      if (box.bottom > top && id) return { id, top: box.top };
    }
    return undefined;
  }

  /** Stays with the newest message, unless somebody scrolled away from it. */
  #keepEnd(): void {
    if (!this.#atEnd) return;
    this.#log.scrollTop = this.#log.scrollHeight;
    this.#top = this.#log.scrollTop; // else a log that became shorter would look like somebody who scrolls up
  }

  /** Draws the room's name, what is known of it, and how far a long sync is. */
  drawHead(): void {
    const info = this.space.info();
    const known = info.creator !== undefined;
    setText(element("title"), known ? nameOf(info) : "A room you were invited to");
    const next = left(info.retryAt);
    const { connection } = this.#client.status;
    const parts = [
      info.creator ? `made by ${info.creator === this.#client.identity ? "you" : info.creator}` : "",
      info.created ? count(info.seq, "event") : "",
      !info.created && known ? `only on this device${next ? `: the server takes it in ${next}` : " until the server has it"}` : "",
      !known ? (connection === "online" ? "asking the server for it…" : "it comes when the server can be reached") : "",
      info.code && info.code !== "rate_limited" ? `${info.code.replaceAll("_", " ")}${info.reason ? `: ${info.reason}` : ""}` : "",
    ];
    setText(element("about"), parts.filter(Boolean).join(" · "));
    drawProgress(info.seq, info.head, connection === "online" && !info.caughtUp && info.created);
    const hint =
      connection === "offline" ? "No network: what you write waits on this device." : "Enter sends, Shift + Enter breaks the line.";
    setText(element("hint"), hint);
    document.title = `${known ? nameOf(info) : "Room"} · Skerry`;
  }
}

/** Shows how far a log is that has long to come; a short one is there before anybody could read this. */
function drawProgress(seq: number, head: number, catchingUp: boolean): void {
  const shown = catchingUp && (head - seq > 200 || seq > 1000);
  element("progress").hidden = !shown;
  if (!shown) return;
  const bar = element("progress").querySelector("progress")!;
  if (head > seq) {
    bar.max = head;
    bar.value = seq;
  } else bar.removeAttribute("value"); // nobody knows how long it is
  const of = head > seq ? ` of ${head.toLocaleString()}` : "";
  setText(element("progress").querySelector("p")!, `Catching up: ${seq.toLocaleString()}${of}`);
}
