// One room: its head, its messages, and the field to write in.
import type { Client } from "skerry";
import { Conversation } from "./conversation.js";
import { announce, eachFrame, element, make, messageOf, save, setText, toast } from "./dom.js";
import { flagOf } from "./flags.js";
import { count, left, nameOf, parseID } from "./format.js";
import { isJoining, join } from "./invitations.js";
import { Members } from "./members.js";
import { openMenu } from "./menu.js";
import { Messages, rowsOf, type Shown } from "./messages.js";
import { isOther, keepModule, leaving, rank, type Room } from "./module.js";
import { Presence } from "./presence.js";

const drafts = new Map<string, string>(); // by room, of this page

/** A room that is open on the page. */
export class RoomView {
  readonly room: Room;
  readonly #client: Client;
  readonly #me: string;
  readonly #name: string; // what this person is called, if they want to be called anything
  readonly #abort = new AbortController();
  readonly #talk: Conversation;
  readonly #messages: Messages;
  readonly #presence: Presence;
  readonly #members: Members;
  readonly #schedule = eachFrame(() => this.#draw());
  readonly #log = element("log");
  readonly #text = element<HTMLTextAreaElement>("text");
  #atEnd = true;
  #top = 0; // where the log was scrolled to
  #refused = 0;
  #introduced = false;
  #changing: { id: string; draft: string } | undefined; // a message that is being changed, and what was being written

  constructor(client: Client, room: Room, name: string) {
    this.#client = client;
    this.#me = client.identity;
    this.#name = name;
    this.room = room;
    const { signal } = this.#abort;
    this.#messages = new Messages(element("messages"), this.#me, {
      retry: (id) => room.retry(id),
      discard: async (id) => {
        await room.discard(id);
        this.#text.focus();
        toast("Discarded");
      },
      rewrite: async ({ id, text }) => {
        const draft = this.#text.value;
        this.#text.value = draft ? `${text}\n${draft}` : text;
        this.#grow();
        await room.discard(id);
        this.#text.focus();
      },
      react: (row, sign, on) => this.#react(row, sign, on),
      open: (row, by) => this.#openMenu(row, by),
    });
    this.#talk = new Conversation(room, this.#me, signal, this.#schedule);
    this.#presence = new Presence(room, this.#me, signal, this.#schedule);
    this.#members = new Members(room, this.#me, signal);
    this.#listen(signal);
    this.#text.value = drafts.get(room.id) ?? "";
    this.#grow();
    this.#log.setAttribute("aria-busy", "true"); // what is there already is not news
    for (const id of ["empty", "newest", "earlier", "changing", "none-here", "gone"]) element(id).hidden = true;
    this.drawHead();
    void this.join();
    keepModule(client).catch((error: unknown) => console.info("the rooms' module is not kept:", error));
  }

  close(): void {
    drafts.set(this.room.id, this.#changing?.draft ?? this.#text.value);
    this.#abort.abort();
    element("menu").hidePopover();
  }

  /** Becomes a member by the link that was followed, if one was. */
  async join(): Promise<void> {
    try {
      if (await join(this.#me, this.room)) toast("The link was used up or taken back. Ask for another one.");
    } catch (error) {
      toast(messageOf(error));
    }
    if (!this.#abort.signal.aborted) this.drawHead();
  }

  openPeople(): void {
    this.#members.open();
  }

  #listen(signal: AbortSignal): void {
    const log = this.#log;
    element("write").addEventListener("submit", (event) => (event.preventDefault(), this.#write()), { signal });
    this.#text.addEventListener("input", () => (this.#grow(), this.#text.value && this.#presence.type()), { signal });
    this.#text.addEventListener("keydown", (event) => this.#key(event), { signal });
    element("unchange").addEventListener("click", () => this.#unchange(), { signal });
    element("share").addEventListener("click", () => this.openPeople(), { signal });
    element("save").addEventListener("click", () => save(this.#client, this.room.id).catch((error: unknown) => toast(messageOf(error))), { signal });
    element("forget").addEventListener("click", () => void this.#forget(), { signal });
    log.addEventListener("scroll", () => this.#scrolled(), { signal, passive: true });
    element("newest").addEventListener("click", () => void this.#toNewest(), { signal });
    document.addEventListener("visibilitychange", this.#schedule, { signal });
    const resized = new ResizeObserver(() => this.#keepEnd());
    resized.observe(log);
    resized.observe(element("messages"));
    signal.addEventListener("abort", () => resized.disconnect());
  }

  #key(event: KeyboardEvent): void {
    if (event.isComposing || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "Enter" && !event.shiftKey) this.#write();
    else if (event.key === "ArrowUp" && this.#text.value === "" && !this.#changing) this.#changeLast();
    else if (event.key === "Escape" && this.#changing) this.#unchange();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #write(): void {
    const text = this.#text.value.trim();
    if (!text) return;
    this.#presence.typed();
    const changed = this.#changing?.id;
    if (changed !== undefined) {
      this.#unchange();
      this.room.append("edit", { message: parseID(changed), text }).durable.catch((error: unknown) => toast(`Not saved: ${messageOf(error)}`));
      return;
    }
    this.#text.value = "";
    this.#grow();
    this.#talk.send(text, (error) => {
      if (this.#text.value === "" && !this.#abort.signal.aborted) this.#text.value = text; // what was written is not lost
      else drafts.set(this.room.id, text);
      toast(`Not saved: ${messageOf(error)}`);
    });
    this.#toNewest(); // what one writes oneself is shown
  }

  #changeLast(): void {
    const last = rowsOf(this.#talk, this.#me).findLast(({ author, kind, mark }) => author === this.#me && kind === "message" && mark !== "refused");
    if (last) this.#change(last);
  }

  /** Takes a message into the field, to be changed. */
  #change({ id, text }: Shown): void {
    this.#changing = { id, draft: this.#changing?.draft ?? this.#text.value };
    this.#text.value = text;
    element("changing").hidden = false;
    this.#grow();
    this.#text.focus();
  }

  #unchange(): void {
    this.#text.value = this.#changing?.draft ?? "";
    this.#changing = undefined;
    element("changing").hidden = true;
    this.#grow();
    this.#text.focus();
  }

  #react({ id }: Shown, sign: string, on: boolean): void {
    this.room.append("react", { message: parseID(id), sign, on });
  }

  #openMenu(row: Shown, by: HTMLElement): void {
    const mine = row.author === this.#me;
    openMenu(by, {
      signs: row.reactions.filter((reaction) => reaction.by.includes(this.#me)).map(({ sign }) => sign),
      react: (sign, on) => this.#react(row, sign, on),
      edit: mine ? () => this.#change(row) : undefined,
      delete: mine || rank(this.#talk.role) >= 3 ? () => void this.room.append("delete", { message: parseID(row.id) }) : undefined,
    });
  }

  /** Takes a room that was deleted off this device. */
  async #forget(): Promise<void> {
    if (!confirm("Take the room off this device, with what was never sent? Without a file of it, it is gone.")) return;
    this.close(); // now: what it still writes down comes before
    leaving.add(this.room.id);
    location.hash = "#/";
    try {
      await this.#client.forget(this.room.id, { force: true });
    } catch (error) {
      leaving.delete(this.room.id);
      toast(messageOf(error));
    }
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
    else if (log.scrollTop < this.#top - 1) {
      this.#atEnd = false;
      this.#talk.stay();
    }
    this.#top = log.scrollTop;
    if (this.#atEnd && this.#talk.below > 0) {
      this.#atEnd = false; // the end of what is shown is not the end
      this.#talk.readNewer();
      this.#schedule();
    }
    if (this.#atEnd) this.#schedule();
    if (log.scrollTop < 600) this.#older();
    element("newest").hidden = this.#atEnd;
  }

  #older(): void {
    element("earlier").hidden = !this.#talk.older;
    if (this.#talk.readOlder()) this.#draw();
  }

  #toNewest(): void {
    this.#talk.toNewest();
    this.#atEnd = true;
    this.#draw();
  }

  #draw(): void {
    if (this.#abort.signal.aborted) return;
    const talk = this.#talk;
    talk.trim(this.#atEnd);
    const rows = rowsOf(talk, this.#me);
    const anchor = this.#atEnd ? undefined : this.#topMessage();
    this.#messages.draw(rows, talk.readAtFirst, rank(talk.role) >= 2);
    const moved = anchor && element("messages").querySelector(`[data-id="${anchor.id}"]`); // it may look otherwise now
    if (moved) this.#log.scrollTop += moved.getBoundingClientRect().top - anchor.top;
    this.#keepEnd();
    const { seq, creator, created, caughtUp, code } = this.room.info();
    const { connection } = this.#client.status;
    const arriving = created && !caughtUp && connection === "online";
    this.#presence.among(talk.role !== undefined && caughtUp && connection !== "offline");
    element("empty").hidden = !talk.ready || rows.length > 0 || creator === undefined || arriving;
    element("earlier").hidden = this.#atEnd || !talk.older;
    const newest = element("newest");
    newest.hidden = this.#atEnd;
    setText(newest, talk.below > 0 ? `↓ ${count(talk.below, "newer message")}` : "↓ To the newest");
    if (talk.ready) requestAnimationFrame(() => this.#log.setAttribute("aria-busy", "false"));
    if (this.#atEnd && document.visibilityState === "visible" && talk.ready && seq > 0 && code !== "deleted") talk.markRead();
    if (talk.rejected.length > this.#refused) announce(`Refused: ${talk.rejected.at(-1)?.reason ?? ""}. You find it at the end of the messages, to retry or to discard.`);
    this.#refused = talk.rejected.length;
    this.#introduce();
    this.#drawPeople();
    this.drawHead();
    if (!this.#atEnd && this.#log.scrollTop < 600) this.#older();
  }

  /** Says what this person is called, once they are in and have not said so. */
  #introduce(): void {
    const { named, names, members } = this.#talk;
    const member = members.find(({ identity }) => identity === this.#me);
    if (this.#introduced || !this.#name || !named || !member || member.$pending) return;
    this.#introduced = true;
    if (names.said(this.#me) !== this.#name) this.room.append("name", { name: this.#name });
  }

  #drawPeople(): void {
    const { names } = this.#talk;
    const { here, typing } = this.#presence;
    const members = new Set(this.#talk.members.map(({ identity }) => identity));
    const present = here.filter((identity) => members.has(identity));
    const called = present.map((identity) => names.of(identity)).sort();
    const faces = element("faces");
    if (faces.dataset["shows"] !== called.join()) {
      faces.dataset["shows"] = called.join();
      faces.replaceChildren(...called.slice(0, 4).map((name) => make("span.face", { title: `${name} is here` }, flagOf(name))), make("span.sr", {}, called.length > 0 ? `here now: ${called.join(", ")}. ` : ""));
    }
    const type = typing.filter((identity) => members.has(identity)).map((identity) => names.of(identity));
    setText(element("typing"), type.length === 0 ? "" : type.length === 1 ? `${type[0]} is typing…` : type.length < 4 ? `${type.join(", ")} are typing…` : "Several people are typing…");
    this.#members.draw(this.#talk.members, present, names);
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
    const info = this.room.info();
    const { connection } = this.#client.status;
    const known = info.creator !== undefined;
    setText(element("title"), known ? nameOf(info) : "A room you were invited to");
    const next = left(info.retryAt);
    const { members, role, ready } = this.#talk;
    const joining = isJoining(this.#me, this.room.id);
    const parts = [
      role ? `you: ${role}` : "",
      ready && role ? count(members.length, "member") : "",
      info.creator ? `made by ${info.creator === this.#me ? "you" : this.#talk.names.of(info.creator)}` : "",
      info.created ? count(info.seq, "event") : "",
      !info.created && known ? `only on this device${next ? `: the server takes it in ${next}` : " until the server has it"}` : "",
      joining ? (connection === "online" ? "joining…" : "you join when the server can be reached") : "",
      !known && !joining && !info.code ? (connection === "online" ? "asking the server for it…" : "it comes when the server can be reached") : "",
      info.code && !["rate_limited", "left", "forbidden", "deleted"].includes(info.code) ? `${info.code.replaceAll("_", " ")}${info.reason ? `: ${info.reason}` : ""}` : "",
    ];
    setText(element("about"), parts.filter(Boolean).join(" · "));
    drawProgress(info.seq, info.head, connection === "online" && !info.caughtUp && info.created);
    this.#drawAllowed(joining, ready && role === undefined);
    const hint =
      connection === "offline" ? "No network: what you write waits on this device." : "Enter sends, Shift + Enter breaks the line.";
    setText(element("hint"), hint);
    document.title = `${known ? nameOf(info) : "Room"} · Skerry`;
  }

  /** Says who may not write or read, and why; they can write where nobody knows that they may not. */
  #drawAllowed(joining: boolean, stranger: boolean): void {
    const info = this.room.info();
    const other = isOther(info);
    const left = info.code === "left" || stranger;
    const out = left || info.code === "forbidden";
    const reads = this.#talk.role === "reader";
    const gone = info.code === "deleted";
    element("gone").hidden = !gone;
    const why = gone
      ? ""
      : other
      ? "This space is no room of this page: it has another module. The inspector shows what is in it."
      : left && !joining
        ? "You are no member of this room any more. What is on this device stays."
        : out && !joining
          ? "This room is for its members. Ask one of them for a link."
          : this.#talk.error && !joining && !["unknown_space", "forbidden"].includes(this.#talk.error.code)
            ? `What is in it cannot be shown: ${this.#talk.error.reason}`
            : "";
    setText(element("none-here"), why);
    element("none-here").hidden = why === "";
    const disabled = gone || other || (out && !joining) || reads;
    if (this.#text.disabled !== disabled) {
      this.#text.disabled = disabled;
      element("write").querySelector<HTMLButtonElement>("button:not(.plain)")!.disabled = disabled;
      this.#text.placeholder = disabled ? (reads && !gone ? "You read here: only writers write" : "You cannot write here") : "Write a message";
    }
    element("share").hidden = gone || other || !this.#talk.ready;
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
