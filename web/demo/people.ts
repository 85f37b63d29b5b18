// Who writes. Each name has a key and a replica of its own in this browser, so several people can sit at one device, each in a
// window. The key is who one is; the name finds it again, and is what the others see.
import { element, make } from "./dom.js";
import { flagOf } from "./flags.js";
import { shorten } from "./names.js";
import { namesHere } from "./replicas.js";

const key = "skerry-demo/name";
const longest = 40; // as the rooms' module wants it

/**
 * Returns the name of who writes in this window: the address says so by `?name=`, or it was chosen before, or is chosen now.
 * It is empty where somebody wants none, which `?name=` alone says too.
 */
export async function whoWrites(invited: boolean): Promise<string> {
  const given = new URLSearchParams(location.search).get("name");
  if (given !== null) return given.trim().slice(0, longest);
  const kept = read();
  if (kept !== null) return kept;
  const chosen = await ask({
    title: invited ? "You are invited to a room" : "Who writes?",
    about: "Others see this name beside what you write. What proves that it is you is a key, which this browser makes and keeps.",
    first: true,
    me: undefined,
  });
  const name = chosen?.name ?? "";
  try {
    localStorage.setItem(key, name);
  } catch {
    // storage is blocked: asked again next time
  }
  return name;
}

function read(): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

/** Lets somebody else write, here or in a new window. */
export async function changeWho(me: string, identity: string): Promise<void> {
  const chosen = await ask({
    title: `You write as ${me || shorten(identity)}`,
    about: "Each name has a key and a replica of its own in this browser. Open a window as somebody else and talk to yourself.",
    first: false,
    me,
  });
  if (!chosen?.name || chosen.name === me) return;
  const address = new URL(location.href);
  address.searchParams.set("name", chosen.name);
  if (chosen.window) open(address, "_blank", "noopener");
  else location.assign(address);
}

/** Shows who writes. */
export function drawMe(me: string, identity: string): void {
  const at = element("me");
  const shown = me || shorten(identity);
  at.replaceChildren(flagOf(shown), make("span", {}, shown));
  at.title = identity;
  at.setAttribute("aria-label", `You write as ${shown}. Change`);
}

interface Question {
  readonly title: string;
  readonly about: string;
  readonly first: boolean; // nobody is chosen yet, so it cannot be left
  readonly me: string | undefined;
}

function ask(question: Question): Promise<{ name: string; window: boolean } | undefined> {
  const dialog = element<HTMLDialogElement>("who");
  const input = element<HTMLInputElement>("who-name");
  element("who-title").textContent = question.title;
  element("who-about").textContent = question.about;
  input.value = "";
  element("who-any").hidden = !question.first;
  element("who-cancel").hidden = element("who-window").hidden = question.first;
  element("who-go").textContent = question.first ? "Start" : "Switch here";
  return new Promise((resolve) => {
    const abort = new AbortController();
    const { signal } = abort;
    const end = (result: { name: string; window: boolean } | undefined) => {
      abort.abort();
      dialog.close();
      resolve(result);
    };
    const named = (window: boolean) => {
      const name = input.value.trim();
      input.setCustomValidity(name ? "" : "A name, please");
      if (input.reportValidity()) end({ name, window });
    };
    input.addEventListener("input", () => input.setCustomValidity(""), { signal });
    dialog.addEventListener("submit", (event) => (event.preventDefault(), named(false)), { signal });
    dialog.addEventListener("cancel", (event) => (event.preventDefault(), question.first || end(undefined)), { signal });
    dialog.addEventListener("close", () => end(undefined), { signal }); // a browser may insist on it
    element("who-any").addEventListener("click", () => end({ name: "", window: false }), { signal });
    element("who-cancel").addEventListener("click", () => end(undefined), { signal });
    element("who-window").addEventListener("click", () => named(true), { signal });
    void offerOthers(input, question.me, signal);
    dialog.showModal();
    input.focus();
  });
}

/** Offers the people who have a replica in this browser already. */
async function offerOthers(input: HTMLInputElement, me: string | undefined, signal: AbortSignal): Promise<void> {
  const list = element("who-others");
  list.replaceChildren();
  for (const name of await namesHere()) {
    if (name === me) continue;
    const button = make("button.person", { type: "button" }, flagOf(name), name);
    button.addEventListener("click", () => {
      input.value = name;
      input.setCustomValidity("");
      input.focus();
    }, { signal });
    list.append(make("li", {}, button));
  }
}
