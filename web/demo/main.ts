// The page: a list of spaces, the log of one, a box to write, and a line that says how things stand. It uses nothing
// but what package skerry exports, which is also at `skerry` in the browser's console.
import { type Client, open, type Space, type SpaceInfo, SkerryError } from "skerry";
import { Log } from "./log.js";
import { count, element, left, time } from "./dom.js";

const shown = 200; // spaces in the list; more are reached by their links

async function start(): Promise<void> {
  navigator.serviceWorker?.register("./sw.js").catch((error: unknown) => console.info("no service worker:", error));
  const parameters = new URLSearchParams(location.search);
  const identity = parameters.get("identity");
  const client = await open({ clientVersion: "demo/1", ...(identity ? { identity } : {}) });
  Object.assign(globalThis, { skerry: { open, client } });
  element("who").textContent = client.identity;
  new Page(client);
}

class Page {
  readonly #client: Client;
  #log: Log | undefined;
  #listed: readonly SpaceInfo[] | undefined;
  #scheduled = false;

  constructor(client: Client) {
    this.#client = client;
    client.subscribe(() => this.#schedule());
    addEventListener("hashchange", () => this.#select());
    on("create", () => this.#create());
    on("open", () => this.#open());
    element("back").addEventListener("click", () => (location.hash = ""));
    element("copy").addEventListener("click", () => void this.#copy());
    this.#select();
    this.#draw();
    setInterval(() => this.#drawStatus(), 1000); // waits run down
  }

  /** Draws at most once a frame, however much changes. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => {
      this.#scheduled = false;
      this.#draw();
    });
  }

  async #create(): Promise<void> {
    const name = element<HTMLInputElement>("name");
    const space = await this.#client.createSpace({ module: "open", params: { name: name.value.trim() || "untitled" } });
    name.value = "";
    location.hash = space.id;
    element("text").focus();
  }

  #open(): void {
    const input = element<HTMLInputElement>("id");
    const id = /[0-9a-fA-F]{64}/.exec(input.value)?.[0];
    if (!id) throw new SkerryError("bad_argument", "an ID is 64 hexadecimal digits");
    input.value = "";
    location.hash = id.toLowerCase();
  }

  async #copy(): Promise<void> {
    const button = element("copy");
    await navigator.clipboard.writeText(new URL(location.hash, location.origin + location.pathname).href);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy link"), 1500);
  }

  #select(): void {
    const id = location.hash.slice(1).toLowerCase();
    this.#log?.close();
    this.#log = undefined;
    this.#listed = undefined;
    const valid = /^[0-9a-f]{64}$/.test(id);
    document.body.classList.toggle("reading", valid);
    element("main").hidden = !valid;
    element("welcome").hidden = valid;
    if (valid) this.#log = new Log(this.#client.space(id), this.#client.identity);
    this.#schedule();
  }

  #draw(): void {
    this.#drawStatus();
    const spaces = this.#client.spaces();
    if (spaces !== this.#listed) this.#drawSpaces(spaces);
    this.#listed = spaces;
    if (this.#log) drawHead(this.#log.space);
  }

  #drawSpaces(spaces: readonly SpaceInfo[]): void {
    const current = location.hash.slice(1).toLowerCase();
    const items = spaces.slice(-shown).reverse().map((info) => spaceItem(info, info.id === current));
    element("spaces").replaceChildren(...items);
    element("none").hidden = spaces.length > 0;
    element("more").hidden = spaces.length <= shown;
    element("more").textContent = `and ${spaces.length - shown} older ones`;
  }

  #drawStatus(): void {
    const s = this.#client.status;
    const parts: [string, string?][] = [[connections[s.connection] ?? s.connection.replace("_", " "), `dot ${s.connection}`]];
    if (s.undurable > 0) parts.push([`${s.undurable} not saved yet`, "bad"]);
    if (s.pending > 0) parts.push([`${count(s.pending, "message")} to sync`, "waits"]);
    if (s.pendingSpaces > 0) {
      const next = left(s.retryAt);
      parts.push([`${count(s.pendingSpaces, "space")} to sync${next ? `: the server takes the next in ${next}` : ""}`, "waits"]);
    }
    if (s.pending + s.pendingSpaces === 0) parts.push(["everything is synced"]);
    if (s.catchingUp > 0) parts.push([`catching up with ${count(s.catchingUp, "space")}`]);
    if (s.rejected > 0) parts.push([`${s.rejected} refused`, "bad"]);
    if (s.code) parts.push([s.reason ? `${s.code}: ${s.reason}` : s.code]);
    if (s.storage.state !== "ok") parts.push([`storage ${s.storage.state.replace("_", " ")}`, "bad"]);
    if (s.lastSync) parts.push([`last heard of the server at ${time(s.lastSync)}`]);
    const spans = parts.map(([text, kind]) => {
      const span = document.createElement("span");
      span.textContent = text;
      if (kind) span.className = kind;
      return span;
    });
    const footer = element("status");
    const before = [...footer.children].map((child) => child.textContent).join();
    if (before !== spans.map((span) => span.textContent).join()) footer.replaceChildren(...spans);
  }
}

const connections: Partial<Record<string, string>> = {
  offline: "offline: what you write is kept on this device",
  following: "another tab syncs",
};

function nameOf(info: SpaceInfo): string {
  const { params } = info;
  const name = typeof params === "object" && params !== null && "name" in params ? params.name : undefined;
  return typeof name === "string" && name ? name : (info.stamp ?? info.id.slice(0, 12));
}

function spaceItem(info: SpaceInfo, current: boolean): HTMLLIElement {
  const item = document.createElement("li");
  const link = document.createElement("a");
  link.href = `#${info.id}`;
  if (current) link.setAttribute("aria-current", "page");
  const name = document.createElement("b");
  name.textContent = nameOf(info);
  const more = document.createElement("span");
  more.className = info.pending > 0 || !info.created ? "waits" : "quiet";
  more.textContent = [
    info.created ? count(info.seq, "event") : info.code === "rate_limited" ? "waits for its turn at the server" : "only on this device",
    info.pending > 0 ? `${info.pending} to sync` : "",
  ]
    .filter(Boolean)
    .join(" · ");
  link.append(name, more);
  item.append(link);
  return item;
}

function drawHead(space: Space): void {
  const info = space.info();
  element("title").textContent = nameOf(info);
  element("about").textContent = [
    info.creator ? `made by ${info.creator}` : "nothing is known of it yet",
    info.created ? count(info.seq, "event") : info.creator ? "only on this device until the server has it" : "",
    info.code ? `${info.code}${info.reason ? `: ${info.reason}` : ""}` : "",
  ]
    .filter(Boolean)
    .join(" · ");
}

/** Handles a form's submission; what fails is shown in the form's own field. */
function on(form: string, submit: () => Promise<void> | void): void {
  element(form).addEventListener("submit", async (event) => {
    event.preventDefault();
    const input = element(form).querySelector("input")!;
    input.setCustomValidity("");
    try {
      await submit();
    } catch (error) {
      input.setCustomValidity(error instanceof Error ? error.message : String(error));
      input.reportValidity();
      input.addEventListener("input", () => input.setCustomValidity(""), { once: true });
    }
  });
}

start().catch((error: unknown) => {
  element("status").textContent = `Could not start: ${error instanceof Error ? error.message : String(error)}`;
  element("status").className = "bad";
  Object.assign(globalThis, { skerry: { open, error } });
});
