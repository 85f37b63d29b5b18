// The chat: rooms are spaces of a module of its own, and what is shown are its tables. It uses nothing but what package skerry
// exports, which is also at `skerry` in the browser's console.
import { offerAccount } from "./account.js";
import { type Client, open } from "skerry";
import { eachFrame, element, messageOf, toast } from "./dom.js";
import { glyph, type Mark } from "./flags.js";
import { isAside } from "./conversation.js";
import { changeWho, drawMe, whoWrites } from "./people.js";
import { nameOf } from "./format.js";
import { follow, isTry, linkIn } from "./invitations.js";
import { leaving, makeRoom, roomOf } from "./module.js";
import { loadOffline } from "./offline.js";
import { RoomView } from "./room.js";
import { Rooms } from "./rooms.js";
import { drawStatus } from "./status.js";

/** Returns the ID of the room that the address names. */
function roomInAddress(text = location.hash): string {
  return linkIn(text)?.id ?? "";
}

async function start(): Promise<void> {
  for (const at of document.querySelectorAll<HTMLElement>(".glyph")) {
    const mark = at.dataset["mark"] as Mark;
    at.classList.add("mark", mark);
    at.append(glyph(mark));
  }
  void loadOffline();
  const early = untilReady();
  const name = await whoWrites(roomInAddress() !== "");
  const client = await open({ clientVersion: "demo/1", ...(name ? { name } : {}) });
  Object.assign(globalThis, { skerry: { open, client } });
  drawMe(name, client.identity);
  element<HTMLAnchorElement>("inspect").href = `./inspector.html?name=${encodeURIComponent(name || "default")}`;
  new Page(client, name);
  early();
  offerAccount(client, (recover) => open({ clientVersion: "demo/1", ...(name ? { name } : {}), recover }));
}

/** Keeps what is asked for while the replica is being opened; the function returned does it. */
function untilReady(): () => void {
  const form = element<HTMLFormElement>("create");
  let asked = false;
  const keep = (event: Event): void => {
    event.preventDefault(); // else the browser would send the form, and the page's policy forbid it
    asked = true;
  };
  form.addEventListener("submit", keep);
  return () => {
    form.removeEventListener("submit", keep);
    if (asked) form.requestSubmit();
  };
}

class Page {
  readonly #client: Client;
  readonly #name: string; // of who writes, if they have one
  readonly #rooms: Rooms;
  readonly #schedule = eachFrame(() => this.#draw());
  #room: RoomView | undefined;

  constructor(client: Client, name: string) {
    this.#client = client;
    this.#name = name;
    this.#rooms = new Rooms(client, this.#schedule);
    client.subscribe(this.#schedule);
    client.on("verdict", ({ space, id, code, reason }) => {
      if (code && space !== this.#room?.room.id) this.#refused(space, id, reason || code).catch(() => {}); // status tells
    });
    addEventListener("hashchange", () => this.#select());
    element("create").addEventListener("submit", (event) => (event.preventDefault(), void this.#create()));
    element("name").addEventListener("input", () => this.#drawCreate());
    element("back").addEventListener("click", () => this.#leave());
    element("me").addEventListener("click", () => void changeWho(name, client.identity));
    element("help").addEventListener("click", () => element<HTMLDialogElement>("keys").showModal());
    element("keys").addEventListener("submit", () => element<HTMLDialogElement>("keys").close());
    document.addEventListener("keydown", (event) => this.#key(event));
    this.#select();
    setInterval(this.#schedule, 1000); // waits run down
  }

  /** Makes a room, or goes to the one that was pasted. */
  async #create(): Promise<void> {
    const input = element<HTMLInputElement>("name");
    const text = input.value.trim();
    const link = linkIn(text);
    if (!text) return input.focus();
    try {
      if (link) follow(this.#client.identity, link);
      const room = link ? roomOf(this.#client, link.id) : await makeRoom(this.#client, text.slice(0, 80), this.#name);
      input.value = "";
      this.#drawCreate();
      if (room.id === this.#room?.room.id) void this.#room.join();
      location.hash = `#/room/${room.id}`;
    } catch (error) {
      toast(messageOf(error));
    }
  }

  #drawCreate(): void {
    const joins = roomInAddress(element<HTMLInputElement>("name").value) !== "";
    element("create").querySelector("button")!.textContent = joins ? "Join" : "Create";
  }

  /** Tells what was refused in another room, unless nobody wants to know. */
  async #refused(id: string, transaction: string, why: string): Promise<void> {
    if (leaving.has(id)) return;
    const room = roomOf(this.#client, id);
    const refused = (await room.rejected()).find((rejected) => rejected.id === transaction);
    if (refused && isAside(refused) && !leaving.has(id)) await room.discard(transaction);
    else if (refused && !isTry(refused)) toast(`Refused in ${nameOf(room.info())}: ${why}`);
  }

  #leave(): void {
    const left = this.#room?.room.id;
    location.hash = "#/";
    this.#select(); // not when the browser tells of it: what is hidden still takes no focus
    if (left) document.querySelector<HTMLElement>(`#rooms a[data-id="${left}"]`)?.focus();
  }

  #select(): void {
    const link = linkIn(location.hash);
    const id = link?.id ?? "";
    if (link) follow(this.#client.identity, link);
    if (/^#\/?join\//.test(location.hash) && id) history.replaceState(null, "", `#/room/${id}`); // the secret is in no history
    if (this.#room?.room.id === id) return void this.#room.join(); // the link of another one, maybe
    this.#room?.close();
    this.#room = undefined;
    document.body.classList.toggle("reading", id !== "");
    element("room").hidden = id === "";
    element("welcome").hidden = id !== "";
    if (id) {
      this.#room = new RoomView(this.#client, roomOf(this.#client, id), this.#name);
      if (matchMedia("(pointer: coarse)").matches) element("title").focus(); // no keyboard over the messages
      else element("text").focus();
    } else document.title = "Skerry";
    this.#draw();
  }

  #draw(): void {
    drawStatus(this.#client);
    this.#rooms.draw(this.#room?.room.id ?? "");
    this.#room?.drawHead();
    const { unread } = this.#rooms;
    if (unread > 0) document.title = `(${unread}) ${document.title.replace(/^\(\d+\) /, "")}`;
    else document.title = document.title.replace(/^\(\d+\) /, "");
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.isComposing || document.querySelector("dialog[open]")) return;
    if (event.altKey) {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      const id = step && this.#rooms.beside(step);
      if (!id) return;
      event.preventDefault();
      location.hash = `#/room/${id}`;
      return;
    }
    const at = event.target instanceof HTMLElement ? event.target : document.body;
    if (event.key === "Escape") return this.#escape(event, at);
    if (at.matches("input, textarea, select")) return;
    const keys: Record<string, () => void> = {
      n: () => element("name").focus(),
      "/": () => this.#room && element("text").focus(),
      p: () => this.#room?.openPeople(),
      "?": () => element<HTMLDialogElement>("keys").showModal(),
    };
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  /** From writing to the messages, from there to the rooms; on a phone that leaves the room. */
  #escape(event: KeyboardEvent, at: HTMLElement): void {
    event.preventDefault();
    if (at.id === "text") element("log").focus();
    else if (this.#room && !element("rooms").checkVisibility()) this.#leave();
    else this.#rooms.focus();
  }
}

start().catch((error: unknown) => {
  const status = element("status");
  status.dataset["tone"] = "bad";
  status.textContent = `Could not start: ${messageOf(error)}`;
  Object.assign(globalThis, { skerry: { open, error } });
});
