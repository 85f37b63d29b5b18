// The people of a room: who they are and what they may do, and links that let others in.
import type { LiveQuery, Receipt, Row } from "skerry";
import { arrange, button, element, make, messageOf, setText, toast } from "./dom.js";
import { flagOf } from "./flags.js";
import { count, nameOf } from "./format.js";
import { invite } from "./invitations.js";
import { Names } from "./names.js";
import { type Invitation, type Member, rank, type Role, type Room, type Voided } from "./module.js";

const below: Readonly<Record<string, readonly Role[]>> = { owner: ["admin", "writer", "reader"], admin: ["writer", "reader"] };
const an = (role: string) => `${/^[ao]/.test(role) ? "an" : "a"} ${role}`;

/** The dialog of a room's people. It is there for one room at a time. */
export class Members {
  readonly #room: Room;
  readonly #me: string;
  readonly #dialog = element<HTMLDialogElement>("people");
  readonly #invitations: LiveQuery<Invitation>;
  readonly #voided: LiveQuery<Voided>; // who was removed since they invited: their links let nobody in
  readonly #signal: AbortSignal;
  #members: readonly Member[] = [];
  #here: readonly string[] = [];
  #names = new Names();
  #drawn = "";
  #stop: (() => void) | undefined;

  constructor(room: Room, me: string, signal: AbortSignal) {
    this.#room = room;
    this.#me = me;
    this.#signal = signal;
    this.#voided = room.table("voided").live({ limit: 10_000 });
    this.#invitations = room.table("invitations").live({ limit: 2_000 });
    element("invite").addEventListener("submit", (event) => (event.preventDefault(), this.#invite()), { signal });
    element("copy").addEventListener("click", () => void this.#copy(), { signal });
    this.#dialog.addEventListener("close", () => this.#closed(), { signal });
    signal.addEventListener("abort", () => this.#dialog.close());
    signal.addEventListener("abort", () => this.#closed());
  }

  open(): void {
    if (this.#dialog.open || this.#signal.aborted) return;
    element("made").hidden = true;
    const stops = [this.#invitations, this.#voided].map((query) => query.subscribe(() => this.#draw()));
    this.#stop = () => stops.forEach((stop) => stop());
    this.#drawn = "";
    this.#draw();
    this.#dialog.showModal();
  }

  #closed(): void {
    this.#stop?.();
    this.#stop = undefined;
  }

  /** Draws who is a member, who of them is here, and what they are called. */
  draw(members: readonly Member[], here: readonly string[], names: Names): void {
    this.#members = members;
    this.#names = names;
    this.#here = here;
    if (this.#dialog.open) this.#draw();
  }

  get #role(): string | undefined {
    return this.#members.find(({ identity }) => identity === this.#me)?.role;
  }

  #draw(): void {
    const role = this.#role;
    const links = linksOf(this.#invitations.getSnapshot(), this.#voided.getSnapshot());
    const looks = JSON.stringify([role, this.#here, this.#members.map((m) => [m.identity, this.#names.of(m.identity), this.#names.of(m.by), m.role, m.$pending]), links.map((link) => [this.#names.of(link.by), link.role, link.hashes.length, link.pending, link.seq])]);
    if (looks === this.#drawn) return;
    this.#drawn = looks;
    setText(element("people-title"), `${nameOf(this.#room.info())}: ${count(this.#members.length, "member")}`);
    setText(element("people-about"), role ? `You are ${role === "owner" ? "the owner" : an(role)}.` : "You are no member.");
    const roles = below[role ?? ""] ?? [];
    element("invite").hidden = roles.length === 0;
    const select = element<HTMLSelectElement>("invite-role");
    if (roles.length > 0 && select.options.length !== roles.length) {
      select.replaceChildren(...roles.map((name) => make("option", name === "writer" ? { selected: "" } : {}, name)));
    }
    const order = [...this.#members].sort((a, b) => rank(b.role) - rank(a.role) || this.#names.of(a.identity).localeCompare(this.#names.of(b.identity)));
    arrange(element("members"), order.map((member) => this.#member(member, role)));
    element("links-title").hidden = links.length === 0 || roles.length === 0;
    arrange(element("links"), roles.length === 0 ? [] : links.map((link) => this.#link(link, roles)));
    const leave = button("Leave this room", () => this.#write(this.#room.append("leave", {}), "You left"), "plain");
    const remove = button("Delete this room", () => this.#delete(), "plain");
    arrange(element("leave"), role === undefined ? [] : [role === "owner" ? remove : leave]);
  }

  #member({ identity, role, by, $pending }: Member, mine: string | undefined): HTMLElement {
    const me = identity === this.#me;
    const here = me || this.#here.includes(identity);
    const called = this.#names.of(identity);
    const about = role === "owner" ? "" : identity === by ? "" : `by ${by === this.#me ? "you" : this.#names.of(by)}`;
    const name = make("span.name", {}, make("b", { dir: "auto", title: identity }, me ? `${called} (you)` : called), make("span.quiet", {}, [here && !me ? "here now" : "", about, $pending ? "to sync" : ""].filter(Boolean).join(" · ")));
    const item = make(here ? "li.member.here" : "li.member", { "data-identity": identity }, flagOf(called), name);
    const roles = below[mine ?? ""] ?? [];
    if (me || !roles.includes(role as Role)) {
      item.append(make("span.role", {}, role));
      return item;
    }
    const select = make<HTMLSelectElement>("select", { "aria-label": `What ${called} may do` }, ...roles.map((name) => make("option", name === role ? { selected: "" } : {}, name)));
    if (mine === "owner") select.append(make("option", { value: "owner" }, "owner: hand over"));
    select.addEventListener("change", () => this.#give(identity, select.value));
    const remove = button("Remove", () => this.#write(this.#room.append("remove", { identity }), `${called} is removed`), "plain");
    remove.setAttribute("aria-label", `Remove ${called}`);
    item.append(select, remove);
    return item;
  }

  #give(identity: string, role: string): void {
    this.#drawn = "";
    const called = this.#names.of(identity);
    if (role !== "owner") void this.#write(this.#room.append("grant", { identity, role }), `${called} is ${an(role)}`);
    else if (confirm(`Hand the room over to ${called}? You stay, as an admin.`)) {
      void this.#write(this.#room.append("transfer", { to: identity }), `${called} owns the room`);
    }
    this.#draw();
  }

  async #delete(): Promise<void> {
    if (!confirm("Delete the room for everybody? The server forgets it; each device keeps what it has until somebody takes it off there.")) return;
    this.#dialog.close();
    await this.#write(this.#room.delete(), "The room is deleted when the server has heard of it");
  }

  /** Says what was done when this device has it; what is refused is told among the messages. */
  async #write(receipt: Receipt, done: string): Promise<void> {
    try {
      await receipt.durable;
      toast(done);
    } catch (error) {
      toast(`Not saved: ${messageOf(error)}`);
    }
  }

  #link(link: OpenLink, roles: readonly Role[]): HTMLElement {
    const by = link.by === this.#me ? "you" : this.#names.of(link.by);
    const item = make("li", {}, make("span", {}, `${count(link.hashes.length, link.role)}, by ${by}${link.pending ? " · to sync" : ""}`));
    if (!roles.includes(link.role as Role)) return item;
    const hashes = new Uint8Array(32 * link.hashes.length);
    link.hashes.forEach((hash, i) => hashes.set(hash, 32 * i));
    item.append(button("Take back", () => this.#write(this.#room.append("revoke", { hashes }), "The link lets nobody in any more"), "plain"));
    return item;
  }

  #invite(): void {
    const role = element<HTMLSelectElement>("invite-role").value as Role;
    const { url, receipt } = invite(this.#room, role, Number(element<HTMLSelectElement>("invite-count").value));
    element<HTMLInputElement>("link").value = url;
    element("made").hidden = false;
    element<HTMLInputElement>("link").select();
    receipt.durable.catch((error: unknown) => toast(`Not saved: ${messageOf(error)}`));
    void this.#copy();
  }

  async #copy(): Promise<void> {
    const url = element<HTMLInputElement>("link").value;
    setText(element("copy"), "Copy");
    try {
      if (matchMedia("(pointer: coarse)").matches && "share" in navigator) return await navigator.share({ title: nameOf(this.#room.info()), url });
      await navigator.clipboard.writeText(url);
      setText(element("copy"), "Copied");
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") return; // they thought better of it
      element<HTMLInputElement>("link").select(); // the clipboard is not allowed here: it is there to be copied by hand
    }
  }
}

/** A link that lets somebody in still. */
interface OpenLink {
  readonly seq: number;
  readonly role: string;
  readonly by: string;
  readonly pending: boolean;
  readonly hashes: Uint8Array[];
}

function linksOf(rows: readonly Row<Invitation["row"]>[], voided: readonly Row<Voided["row"]>[]): OpenLink[] {
  const since = new Map(voided.map(({ identity, seq }) => [identity, Number(seq)]));
  const links = new Map<number, OpenLink>();
  for (const { hash, role, by, seq, $pending } of rows) {
    if (Number(seq) < (since.get(by) ?? 0)) continue;
    const link = links.get(Number(seq));
    if (link) link.hashes.push(hash);
    else links.set(Number(seq), { seq: Number(seq), role, by, pending: $pending, hashes: [hash] });
  }
  return [...links.values()].sort((a, b) => a.seq - b.seq);
}
