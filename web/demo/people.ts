// Who writes. Each person has a replica of their own in this browser, so several can sit at one device, each in a window.
import { element, make } from "./dom.js";
import { flagOf } from "./flags.js";
import { identitiesHere } from "./replicas.js";

const key = "skerry-demo/identity";

/**
 * Returns who writes in this window: the address says so by `?identity=`, or it was chosen before, or is chosen now.
 * `undefined`: any name will do, which `?identity=` without a name says too.
 */
export async function whoWrites(invited: boolean): Promise<string | undefined> {
  const given = new URLSearchParams(location.search).get("identity");
  if (given !== null) return given.trim() || undefined;
  const kept = read();
  if (kept !== null) return kept || undefined;
  const chosen = await ask({
    title: invited ? "You are invited to a room" : "Who writes?",
    about: "What you write carries this name. Identities are not proven in this version: everybody believes everybody.",
    first: true,
    me: "",
  });
  const name = chosen?.name ?? "";
  try {
    localStorage.setItem(key, name);
  } catch {
    // storage is blocked: asked again next time
  }
  return name || undefined;
}

function read(): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

/** Lets somebody else write, here or in a new window. */
export async function changeWho(me: string): Promise<void> {
  const chosen = await ask({
    title: `You write as ${me}`,
    about: "Each person has a replica of their own in this browser. Open a window as somebody else and talk to yourself.",
    first: false,
    me,
  });
  if (!chosen?.name || chosen.name === me) return;
  const address = new URL(location.href);
  address.searchParams.set("identity", chosen.name);
  if (chosen.window) open(address, "_blank", "noopener");
  else location.assign(address);
}

/** Shows who writes. */
export function drawMe(me: string): void {
  const at = element("me");
  at.replaceChildren(flagOf(me), make("span", {}, me));
  at.setAttribute("aria-label", `You write as ${me}. Change`);
}

interface Question {
  readonly title: string;
  readonly about: string;
  readonly first: boolean; // nobody is chosen yet, so it cannot be left
  readonly me: string;
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
async function offerOthers(input: HTMLInputElement, me: string, signal: AbortSignal): Promise<void> {
  const list = element("who-others");
  list.replaceChildren();
  for (const identity of await identitiesHere()) {
    if (identity === me) continue;
    const button = make("button.person", { type: "button" }, flagOf(identity), identity);
    button.addEventListener("click", () => {
      input.value = identity;
      input.setCustomValidity("");
      input.focus();
    }, { signal });
    list.append(make("li", {}, button));
  }
}
