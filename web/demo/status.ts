// How the replica stands, in words and one colour.
import type { Client, Connection, Status } from "skerry";
import { announce, arrange, button, element, make, messageOf, toast } from "./dom.js";
import { count, left, time } from "./format.js";

/** How good or bad something is; a colour, and never the only sign of it. */
type Tone = "good" | "wait" | "bad" | "quiet";

export interface Standing {
  readonly tone: Tone;
  readonly title: string;
  readonly lines: readonly { readonly text: string; readonly tone: Tone }[];
}

const titles: Partial<Record<Connection, [Tone, string]>> = {
  off: ["quiet", "On this device only"],
  offline: ["wait", "Offline"],
  connecting: ["wait", "Connecting…"],
  online: ["good", "Online"],
  following: ["good", "Another tab syncs"],
  logged_out: ["quiet", "Logged out"],
  setup_required: ["bad", "The server is not set up"],
  auth_required: ["bad", "The server does not let you in"],
  server_changed: ["bad", "This is another server"],
  upgrade_required: ["bad", "This page is too old"],
};

const storages: Partial<Record<Status["storage"]["state"], string>> = {
  blocked: "Another tab blocks this browser's storage: nothing written now is safe yet",
  degraded: "This device's storage is full, fails or is damaged",
  memory: "This browser keeps nothing: all is gone when the page is closed",
  replica_lost: "This device's copy was deleted",
};

/** Says how things stand. */
export function standingOf(s: Status): Standing {
  const lines: { text: string; tone: Tone }[] = [];
  const say = (text: string, tone: Tone = "quiet") => lines.push({ text, tone });
  const [tone, title] = titles[s.connection] ?? ["bad", s.connection.replaceAll("_", " ")];
  const stored = storages[s.storage.state];
  if (stored) say(stored, "bad");
  if (s.undurable > 0) say(`${count(s.undurable, "change")} not saved yet`, "bad");
  if (s.pending > 0) say(`${count(s.pending, "change")} to sync`, "wait");
  if (s.pendingSpaces > 0) {
    const next = left(s.retryAt);
    say(`${count(s.pendingSpaces, "space")} to sync${next ? `: the server takes the next in ${next}` : ""}`, "wait");
  }
  if (s.rejected > 0) say(`${count(s.rejected, "change")} refused`, "bad");
  if (s.catchingUp > 0) say(`Catching up with ${count(s.catchingUp, "space")}`);
  if (s.connection === "offline") {
    const next = left(s.reconnectAt);
    if (s.pending + s.pendingSpaces === 0) say("What you write is kept on this device");
    say(next ? `Tries again in ${next}` : "Tries again when there is a network");
  }
  if (s.pending + s.pendingSpaces + s.catchingUp === 0 && (s.connection === "online" || s.connection === "following")) {
    say(s.rejected > 0 ? "Everything else is synced" : "Everything is synced");
  }
  if (s.code && s.connection !== "offline") say(s.reason ? `${s.code}: ${s.reason}` : s.code, "bad");
  return { tone: stored && tone === "good" ? "bad" : tone, title, lines };
}

let drawn = "";
let heard = "";

/** Draws the standing into the page. It runs down each second, so it is no live region: a change of state is told. */
export function drawStatus(client: Client): void {
  const s = client.status;
  const { tone, title, lines } = standingOf(s);
  const since = s.lastSync ? `as of ${time(s.lastSync)}` : "";
  const looks = JSON.stringify([tone, title, lines, since, s.storage.persisted]);
  if (looks === drawn) return;
  drawn = looks;
  const at = element("status");
  at.dataset["tone"] = tone;
  const head = make("p.title", {}, make(`b.${s.connection}`, {}, title));
  if (since) head.append(make("time", { title: "when the server last told of a space" }, since));
  const list = lines.map((line) => make(`p.${line.tone}`, {}, line.text));
  const children: Element[] = [head, ...list];
  if (s.pending + s.pendingSpaces > 0 && s.storage.persisted === false && s.storage.state === "ok") children.push(evictable(client));
  if (s.connection === "setup_required") children.push(setUp(client));
  if (s.connection === "offline") children.push(again());
  else if (s.catchingUp > 0) children.push(make("progress", { "aria-label": "Catching up" }));
  arrange(at, children);
  const news = `${title}. ${s.pending > 0 && s.connection === "offline" ? "What you write waits on this device." : ""}`;
  if (heard && news !== heard && s.connection !== "connecting") announce(news);
  if (s.connection !== "connecting") heard = news;
}

let warning: HTMLElement | undefined;

/** Returns a warning, and the button that asks the browser not to evict what only this device has. */
function evictable(client: Client): HTMLElement {
  if (!warning) {
    const asked = make("p.quiet", {}, "The browser may evict what only this device has. ");
    const keep = make<HTMLButtonElement>("button.plain", { type: "button" }, "Ask it not to");
    keep.addEventListener("click", async () => {
      keep.disabled = true;
      toast((await client.persist()) ? "The browser keeps it" : "The browser does not promise it");
    });
    asked.append(keep);
    warning = asked;
  }
  return warning;
}

let administrator: HTMLElement | undefined;

/** Returns what to do about a server that has no administrator: on a developer's own machine one click, elsewhere whoever has the link. */
function setUp(client: Client): HTMLElement {
  if (!administrator) {
    const at = make("div.set-up");
    administrator = at;
    const link = make<HTMLInputElement>("input", { id: "setup-link", autocomplete: "off", spellcheck: "false", placeholder: "The link from its log" });
    const form = make<HTMLFormElement>("form", {}, link, make("button.plain", {}, "Make me its administrator"));
    link.setAttribute("aria-label", "The link by which the server is set up");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const token = link.value.trim().split("=").at(-1)!;
      administer(client, token).catch((error: unknown) => toast(messageOf(error)));
    });
    at.append(form);
    const state = fetch("/api/v1/setup").then((answer) => answer.json() as Promise<{ local?: boolean }>);
    void state.then(
      ({ local }) => {
        if (local) at.replaceChildren(button("Make me its administrator", () => administer(client, ""), "plain"));
      },
      () => {}, // offline by now
    );
  }
  return administrator;
}

/** Names who writes here as the first administrator. */
async function administer(client: Client, token: string): Promise<void> {
  const answer = await fetch("/api/v1/setup", { method: "POST", body: JSON.stringify({ token, identity: client.identity }) });
  const { reason } = (await answer.json()) as { reason?: string };
  toast(answer.ok ? "You are the administrator" : (reason ?? answer.statusText));
  if (answer.ok) dispatchEvent(new Event("online")); // try at once
}

let tried: HTMLButtonElement | undefined;

/** Returns the button that tries at once, as when the browser says that there is a network again. */
function again(): HTMLButtonElement {
  if (!tried) {
    tried = make<HTMLButtonElement>("button.plain", { type: "button" }, "Try now");
    tried.addEventListener("click", () => dispatchEvent(new Event("online")));
  }
  return tried;
}
