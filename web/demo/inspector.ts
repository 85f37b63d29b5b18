// The inspector: one more tab of any replica of this origin, which shows what the library tells of it and what happens.
// It reads through what package skerry exports, which is also at `skerry` in the browser's console; only which
// databases there are and how many rows they have is asked of the browser itself.
import { type Client, open, type Space } from "skerry";
import { button, eachFrame, element, make, messageOf, save, setText, toast } from "./dom.js";
import { nameOf } from "./format.js";
import { shorten } from "./names.js";
import { SpaceView } from "./inspector/space.js";
import { loadOffline } from "./offline.js";
import { Spaces } from "./inspector/spaces.js";
import { drawStanding, listenStorage } from "./inspector/standing.js";
import { Timeline } from "./inspector/timeline.js";
import { type ReplicaName, replicasHere } from "./replicas.js";

interface Choice {
  readonly identity: string; // empty: of the name's own key
  readonly name: string;
  readonly server: string; // as in the database's name, or an address
}

async function start(): Promise<void> {
  void loadOffline();
  const here = await replicasHere();
  const choice = chosen(here);
  offer(here, choice);
  listenDialogs();
  if (!choice) {
    element<HTMLDialogElement>("open-other").showModal();
    return;
  }
  const timeline = new Timeline();
  const client = await open({
    clientVersion: "inspector/1",
    ...(choice.identity ? { identity: choice.identity } : {}),
    name: choice.name,
    ...addressOf(choice.server),
    log: (line) => timeline.add("log", line),
  });
  Object.assign(globalThis, { skerry: { open, client } });
  document.title = `${client.identity} · Skerry inspector`;
  const chat = chatOf(client, choice);
  if (chat) element<HTMLAnchorElement>("chat").href = chat;
  new Page(client, timeline, { ...choice, identity: client.identity }, chat);
}

/** Returns the chat's address for a replica. There is none for one of another server, or that nothing proves to be whose it is. */
function chatOf(client: Client, { name, server }: Choice): string | undefined {
  const other = (server !== location.host && server !== "") || client.status.identity === "unproven";
  return other ? undefined : `./?name=${name === "default" ? "" : encodeURIComponent(name)}`;
}

/** Returns the replica that the address names, or else the first of this server. */
function chosen(here: readonly ReplicaName[]): Choice | undefined {
  const parameters = new URLSearchParams(location.search);
  const identity = parameters.get("identity") ?? "";
  const name = parameters.get("name");
  const server = parameters.get("server") ?? location.host;
  if (identity) return { identity, name: name ?? "default", server };
  if (name) return here.find((r) => r.name === name && r.server === server && r.identity.startsWith("did:")) ?? { identity, name, server };
  return here.find((replica) => replica.server === location.host) ?? here[0];
}

/** Returns the option of `open` for a server: this page's own is known best by the library. */
function addressOf(server: string): { url?: string | null } {
  if (server === location.host || server === "") return {};
  if (server === "local") return { url: null };
  return { url: /^\w+:/.test(server) ? server : `${location.protocol}//${server}/sync` };
}

function go({ identity, name, server }: Choice): void {
  const parameters = new URLSearchParams({ identity });
  if (name !== "default") parameters.set("name", name);
  if (server !== location.host && server !== "") parameters.set("server", server);
  location.assign(`?${parameters}`);
}

/** Offers the replicas of this origin. */
function offer(here: readonly ReplicaName[], choice: Choice | undefined): void {
  const list = element<HTMLSelectElement>("replica");
  const known: Choice[] = [...here];
  const same = (a: Choice, b: Choice) => a.identity === b.identity && a.name === b.name && a.server === b.server;
  if (choice && !known.some((other) => same(other, choice))) known.unshift(choice);
  for (const [i, other] of known.entries()) {
    const name = other.name === "default" ? "" : `${other.name}, `;
    const option = make<HTMLOptionElement>("option", { value: String(i), title: other.identity }, `${name}${shorten(other.identity)} at ${other.server}`);
    option.selected = choice !== undefined && same(other, choice);
    list.append(option);
  }
  list.addEventListener("change", () => go(known[Number(list.value)]!));
}

function listenDialogs(): void {
  const dialog = element<HTMLDialogElement>("open-other");
  element("other").addEventListener("click", () => dialog.showModal());
  for (const close of document.querySelectorAll<HTMLElement>("[data-close]")) {
    close.addEventListener("click", () => close.closest("dialog")!.close());
  }
  dialog.addEventListener("submit", (event) => {
    event.preventDefault();
    const value = (id: string) => element<HTMLInputElement>(id).value.trim();
    if (!value("open-identity")) return element("open-identity").focus();
    go({ identity: value("open-identity"), name: value("open-name") || "default", server: value("open-server") });
  });
}

class Page {
  readonly #client: Client;
  readonly #spaces: Spaces;
  readonly #timeline: Timeline;
  readonly #chat: string | undefined; // its address
  #view: SpaceView | undefined;

  constructor(client: Client, timeline: Timeline, choice: Choice, chat: string | undefined) {
    this.#client = client;
    this.#chat = chat;
    this.#timeline = timeline;
    this.#spaces = new Spaces(client, (id) => (location.hash = id));
    const draw = eachFrame(() => this.#draw());
    client.subscribe(() => {
      timeline.watch(client); // at once: in a frame much can change
      draw();
    });
    timeline.watch(client);
    client.on("verdict", (verdict) => timeline.verdict(client, verdict));
    listenStorage(client, databaseOf(choice), draw);
    this.#listenExport();
    element("filter").addEventListener("input", () => this.#filter());
    addEventListener("hashchange", () => this.#select());
    setInterval(draw, 1000); // waits run down
    this.#select();
  }

  #draw(): void {
    drawStanding(this.#client);
    this.#spaces.draw(this.#view?.space.id ?? "");
    this.#view?.drawFacts();
  }

  /** Goes to a space whose ID is pasted; anything else filters. */
  #filter(): void {
    const id = /(?:^|[#/\s])([0-9a-f]{64})\s*$/i.exec(element<HTMLInputElement>("filter").value)?.[1];
    if (id) {
      element<HTMLInputElement>("filter").value = "";
      location.hash = id.toLowerCase();
    }
    this.#draw();
  }

  #select(): void {
    const id = /[0-9a-f]{64}$/i.exec(location.hash)?.[0].toLowerCase();
    this.#view?.close();
    this.#view = id ? new SpaceView(this.#client, this.#client.space(id), this.#chat) : undefined;
    element("space").hidden = !id;
    this.#draw();
  }

  /** Reads all that is stored of a space here, and says how it is. */
  async #check(space: Space | undefined): Promise<void> {
    if (!space) return;
    const { seq, damage } = await space.check();
    const events = `${seq} ${seq === 1 ? "event" : "events"}`;
    const text = damage ? `Damaged behind ${events}: ${damage}. It is fetched again.` : `All is well: ${events}`;
    toast(text);
    this.#timeline.add("status", `${nameOf(space.info())} was checked. ${text}`, damage ? "bad" : "");
  }

  #listenExport(): void {
    const file = element<HTMLInputElement>("import-file");
    element("export").replaceWith(button("Export", () => save(this.#client, undefined)));
    element("space-export").replaceWith(button("Export", () => save(this.#client, this.#view?.space.id)));
    element("space-check").replaceWith(button("Check", () => this.#check(this.#view?.space)));
    element("import").addEventListener("click", () => file.click());
    file.addEventListener("change", async () => {
      const [chosen] = file.files ?? [];
      file.value = "";
      if (!chosen) return;
      try {
        const spaces = await this.#client.import(chosen);
        toast(`Imported ${spaces.length} ${spaces.length === 1 ? "space" : "spaces"}`);
        this.#timeline.add("status", `imported ${chosen.name}: ${spaces.length} spaces`);
      } catch (error) {
        toast(`Not imported: ${messageOf(error)}`);
      }
    });
  }
}

function databaseOf({ identity, name, server }: Choice): string {
  const url = addressOf(server).url;
  const host = url === null ? "local" : url ? new URL(url).host : location.host;
  return ["skerry", host, name, identity].map(encodeURIComponent).join("/");
}

start().catch((error: unknown) => {
  setText(element("facts"), `Could not open it: ${messageOf(error)}`);
  Object.assign(globalThis, { skerry: { open, error } });
});
