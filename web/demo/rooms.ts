// The list of rooms: what was said last in each, and how much of it is unread. A list has one place in the order of
// the tab key, and arrow keys within.
import type { Client, SpaceInfo } from "skerry";
import { arrange, element, make, setText } from "./dom.js";
import { glyph } from "./flags.js";
import { left, nameOf, ulidTime, when } from "./format.js";
import { isOther, leaving, roomOf } from "./module.js";
import { shorten } from "./names.js";

const followed = 40; // of the rooms shown first, so many are kept up to date and looked into
const more = 100; // rooms shown, and shown more at a time
const counted = 100; // unread messages

/** What was found by looking into a room. */
interface Glimpse {
  readonly seq: number;
  readonly pending: number;
  readonly rejected: number;
  readonly last: { by: string; text: string; at: number } | undefined;
  readonly unread: number;
}

export class Rooms {
  readonly #client: Client;
  readonly #changed: () => void;
  readonly #glimpses = new Map<string, Glimpse>();
  readonly #links = new Map<string, { item: HTMLElement; looks: string }>();
  readonly #looking = new Set<string>();
  #shown = more;
  #current = "";
  #order: string[] = [];

  constructor(client: Client, changed: () => void) {
    this.#client = client;
    this.#changed = changed;
    const list = element("rooms");
    list.addEventListener("keydown", (event) => this.#key(event));
    list.addEventListener("focusin", (event) => this.#focused(event.target));
    element("more").addEventListener("click", () => {
      this.#shown += more;
      changed();
    });
  }

  /** Draws the list; `current` is the room that is open. */
  draw(current: string): void {
    const moved = current !== this.#current;
    this.#current = current;
    const dated = this.#client.spaces().map((info) => ({ info, at: this.#activity(info) }));
    const spaces = dated.sort((a, b) => b.at - a.at).map(({ info }) => info);
    const shown = spaces.slice(0, this.#shown);
    const items = shown.map((info, i) => {
      if (i < followed || info.id === current) void this.#follow(info);
      return this.#item(info);
    });
    const list = element("rooms");
    const focused = list.contains(document.activeElement) ? (document.activeElement as HTMLElement) : undefined;
    arrange(list, items);
    if (focused?.isConnected && document.activeElement !== focused) focused.focus(); // moving an element loses it
    this.#order = shown.map((info) => info.id);
    const stop = (focused && this.#idOf(focused)) ?? (this.#order.includes(current) ? current : this.#order[0]);
    for (const id of this.#order) this.#link(id)!.tabIndex = id === stop ? 0 : -1;
    if (moved) this.#link(current)?.scrollIntoView({ block: "nearest" });
    element("none").hidden = spaces.length > 0;
    element("more").hidden = spaces.length <= shown.length;
    setText(element("more"), `Show more of ${spaces.length - shown.length} older rooms`);
    let unread = 0;
    for (const info of shown) unread += info.id === current ? 0 : (this.#glimpses.get(info.id)?.unread ?? 0);
    list.dataset["unread"] = String(unread);
  }

  /** Returns the room so many places after the one that is open. */
  beside(step: number): string | undefined {
    const at = this.#order.indexOf(this.#current);
    return this.#order[at < 0 ? 0 : Math.min(Math.max(at + step, 0), this.#order.length - 1)];
  }

  /** Puts the focus on the room that is open, or the first. */
  focus(): void {
    const list = element("rooms");
    (list.querySelector<HTMLElement>("a[tabindex='0']") ?? element("name")).focus();
  }

  #activity(info: SpaceInfo): number {
    return this.#glimpses.get(info.id)?.last?.at ?? (info.stamp ? ulidTime(info.stamp) : 0);
  }

  /** Keeps a room up to date, and looks into it when there is something new. */
  async #follow({ id, seq, pending, rejected }: SpaceInfo): Promise<void> {
    const glimpse = this.#glimpses.get(id);
    if (leaving.has(id)) return;
    if (!glimpse) this.#client.space(id);
    if ((glimpse && glimpse.seq === seq && glimpse.pending === pending && glimpse.rejected === rejected) || this.#looking.has(id)) return;
    this.#looking.add(id);
    const found = await this.#glimpse(id).catch(() => undefined); // there are no tables yet, or it is no room
    this.#looking.delete(id);
    this.#glimpses.set(id, { last: undefined, unread: 0, ...found, seq, pending, rejected });
    this.#changed();
  }

  async #glimpse(id: string): Promise<Pick<Glimpse, "last" | "unread">> {
    const { identity } = this.#client;
    const room = roomOf(this.#client, id);
    const [[message], [read]] = await Promise.all([
      room.table("messages").query({ index: "by_number", reverse: true, limit: 1 }),
      room.table("reads").query({ prefix: [identity] }),
    ]);
    if (!message) return { last: undefined, unread: 0 };
    const { author, text, deleted, at } = message;
    const [person] = leaving.has(id) ? [] : await room.table("people").query({ prefix: [author] });
    const unread = read ? Math.max(Number(message.number) - Number(read.number), 0) : author === identity ? 0 : Number(message.number);
    return { last: { by: author === identity ? "You" : (person?.name ?? shorten(author)), text: deleted === undefined ? text : "deleted", at: Number(at) }, unread };
  }

  #item(info: SpaceInfo): HTMLElement {
    const glimpse = this.#glimpses.get(info.id);
    const current = info.id === this.#current;
    const last = glimpse?.last;
    const unread = current ? 0 : (glimpse?.unread ?? 0);
    const about = aboutOf(info, last);
    const at = when(last?.at ?? (info.stamp ? ulidTime(info.stamp) : Date.now()));
    const number = unread >= counted ? `${counted - 1}+` : String(unread);
    const looks = JSON.stringify([nameOf(info), about, at, number, info.pending, info.rejected, info.created, current]);
    const made = this.#links.get(info.id);
    if (made?.looks === looks) return made.item;
    const item = made?.item ?? make("li", {}, make("a", { href: `#/room/${info.id}`, "data-id": info.id }));
    const link = item.firstElementChild!;
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    const badges = make("span.badges");
    if (info.pending > 0 || !info.created) {
      const text = info.pending > 0 ? `${info.pending} to sync` : "to sync";
      badges.append(make("span.mark.durable", { title: text }, glyph("durable"), make("span", {}, info.pending > 0 ? String(info.pending) : ""), make("span.sr", {}, " to sync")));
    }
    if (info.rejected > 0) {
      badges.append(make("span.mark.refused", { title: `${info.rejected} refused` }, glyph("refused"), String(info.rejected), make("span.sr", {}, " refused")));
    }
    if (unread > 0) badges.append(make("span.unread", {}, number, make("span.sr", {}, " unread")));
    const preview = make(info.created ? "span.last" : "span.last.waits", {}, about);
    link.replaceChildren(make("b", { dir: "auto" }, nameOf(info)), make("span.when", {}, at), preview, badges);
    link.classList.toggle("has-unread", unread > 0);
    this.#links.set(info.id, { item, looks });
    return item;
  }

  #link(id: string): HTMLElement | null {
    return (this.#links.get(id)?.item.firstElementChild as HTMLElement | undefined) ?? null;
  }

  #idOf(link: HTMLElement): string | undefined {
    return link.dataset["id"];
  }

  #focused(target: EventTarget | null): void {
    if (!(target instanceof HTMLElement) || !target.dataset["id"]) return;
    for (const id of this.#order) this.#link(id)!.tabIndex = id === target.dataset["id"] ? 0 : -1;
  }

  #key(event: KeyboardEvent): void {
    const at = this.#order.indexOf((event.target as HTMLElement).dataset["id"] ?? "");
    if (at < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    const last = this.#order.length - 1;
    const to = { ArrowDown: Math.min(at + 1, last), ArrowUp: Math.max(at - 1, 0), Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.#link(this.#order[to]!)?.focus();
  }

  /** Says how much is unread in other rooms, for the page's title. */
  get unread(): number {
    return Number(element("rooms").dataset["unread"] ?? 0);
  }
}

/** Returns what the list says of a room: what was said last, or why there is nothing. */
function aboutOf(info: SpaceInfo, last: Glimpse["last"]): string {
  if (!info.created && !info.creator) return "not here yet";
  if (isOther(info)) return "no room: the inspector shows it";
  if (!info.created) {
    const next = left(info.retryAt);
    return next ? `waits for its turn at the server: ${next}` : "only on this device";
  }
  if (info.code === "deleted") return "deleted: what is here stays";
  if (info.code === "left") return "you are no member any more";
  return last ? `${last.by}: ${last.text}` : "no messages";
}
