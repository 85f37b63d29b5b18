// The chat: rooms are spaces, messages are events. It uses nothing but what package skerry exports, which is also at
// `skerry` in the browser's console.
import { type Client, open } from "skerry";
import { eachFrame, element, messageOf, toast } from "./dom.js";
import { glyph, type Mark } from "./flags.js";
import { changeWho, drawMe, whoWrites } from "./people.js";
import { nameOf } from "./format.js";
import { loadOffline } from "./offline.js";
import { Room } from "./room.js";
import { Rooms } from "./rooms.js";
import { drawStatus } from "./status.js";

/** Returns the ID of the room that the address names: `#/room/ID`, or `#/join/ID` in a link for others. */
function roomInAddress(text = location.hash): string {
  return /(?:^|[#/])([0-9a-f]{64})$/i.exec(text.trim())?.[1]?.toLowerCase() ?? "";
}

async function start(): Promise<void> {
  for (const at of document.querySelectorAll<HTMLElement>(".glyph")) {
    const mark = at.dataset["mark"] as Mark;
    at.classList.add("mark", mark);
    at.append(glyph(mark));
  }
  void loadOffline();
  const early = untilReady();
  const identity = await whoWrites(roomInAddress() !== "");
  const client = await open({ clientVersion: "demo/1", ...(identity ? { identity } : {}) });
  Object.assign(globalThis, { skerry: { open, client } });
  drawMe(client.identity);
  new Page(client);
  early();
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
  readonly #rooms: Rooms;
  readonly #schedule = eachFrame(() => this.#draw());
  #room: Room | undefined;

  constructor(client: Client) {
    this.#client = client;
    this.#rooms = new Rooms(client, this.#schedule);
    client.subscribe(this.#schedule);
    client.on("verdict", ({ space, code, reason }) => {
      if (code && space !== this.#room?.space.id) toast(`Refused in ${nameOf(client.space(space).info())}: ${reason || code}`);
    });
    addEventListener("hashchange", () => this.#select());
    addEventListener("storage", this.#schedule); // another tab has read something
    element("create").addEventListener("submit", (event) => (event.preventDefault(), void this.#create()));
    element("name").addEventListener("input", () => this.#drawCreate());
    element("back").addEventListener("click", () => this.#leave());
    element("share").addEventListener("click", () => void this.#share());
    element("me").addEventListener("click", () => void changeWho(client.identity));
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
    const id = roomInAddress(text);
    if (!text) return input.focus();
    try {
      const space = id ? this.#client.space(id) : await this.#client.createSpace({ module: "open", params: { name: text.slice(0, 80) } });
      input.value = "";
      this.#drawCreate();
      location.hash = `#/room/${space.id}`;
    } catch (error) {
      toast(messageOf(error));
    }
  }

  #drawCreate(): void {
    const joins = roomInAddress(element<HTMLInputElement>("name").value) !== "";
    element("create").querySelector("button")!.textContent = joins ? "Join" : "Create";
  }

  async #share(): Promise<void> {
    const space = this.#room?.space;
    if (!space) return;
    const url = new URL(`#/join/${space.id}`, location.origin + location.pathname).href;
    try {
      if (matchMedia("(pointer: coarse)").matches && "share" in navigator) {
        await navigator.share({ title: nameOf(space.info()), url });
        return;
      }
      await navigator.clipboard.writeText(url);
      toast("Link copied. Whoever opens it reads and writes here too.");
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") return; // they thought better of it
      prompt("The link to this room:", url); // the clipboard is not allowed here
    }
  }

  #leave(): void {
    const left = this.#room?.space.id;
    location.hash = "#/";
    this.#select(); // not when the browser tells of it: what is hidden still takes no focus
    if (left) document.querySelector<HTMLElement>(`#rooms a[data-id="${left}"]`)?.focus();
  }

  #select(): void {
    const id = roomInAddress();
    if (/^#\/?join\//.test(location.hash) && id) history.replaceState(null, "", `#/room/${id}`);
    if (this.#room?.space.id === id) return;
    this.#room?.close();
    this.#room = undefined;
    document.body.classList.toggle("reading", id !== "");
    element("room").hidden = id === "";
    element("welcome").hidden = id !== "";
    if (id) {
      this.#room = new Room(this.#client, this.#client.space(id));
      if (matchMedia("(pointer: coarse)").matches) element("title").focus(); // no keyboard over the messages
      else element("text").focus();
    } else document.title = "Skerry";
    this.#draw();
  }

  #draw(): void {
    drawStatus(this.#client);
    this.#rooms.draw(this.#room?.space.id ?? "");
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
