import type { Client } from "skerry";

/** Returns the element with an id; the page's HTML has it. */
export function element<T extends HTMLElement = HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

/** Makes an element of a tag with classes, as `span.mark.synced`, with attributes and what is in it. */
export function make<T extends HTMLElement = HTMLElement>(
  name: string,
  attributes: Readonly<Record<string, string>> = {},
  ...inside: (Node | string)[]
): T {
  const [tag, ...classes] = name.split(".");
  const made = document.createElement(tag!);
  if (classes.length > 0) made.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...inside);
  return made as T;
}

/** Makes a button that cannot be pressed again until what it does is over; if that fails it says why. */
export function button(label: string, act: () => Promise<unknown>, classes = ""): HTMLButtonElement {
  const made = make<HTMLButtonElement>(classes ? `button.${classes}` : "button", { type: "button" }, label);
  made.addEventListener("click", () => {
    made.disabled = true;
    act().then(
      () => (made.disabled = false),
      (error: unknown) => {
        made.disabled = false;
        toast(messageOf(error));
      },
    );
  });
  return made;
}

/** Gives a parent these children in this order, moving and making as little as it can. */
export function arrange(parent: Element, children: readonly Element[]): void {
  const wanted = new Set(children);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  let at = parent.firstElementChild;
  for (const child of children) {
    if (child === at) at = at.nextElementSibling;
    else parent.insertBefore(child, at);
  }
}

/** Sets an element's text, if it is another. */
export function setText(at: Element, text: string): void {
  if (at.textContent !== text) at.textContent = text;
}

/** Tells people who do not see the page. */
export function announce(text: string): void {
  setText(element("announce"), text);
}

let toasted: ReturnType<typeof setTimeout> | undefined;

/** Shows a line for a moment. */
export function toast(text: string): void {
  const at = element("toast");
  at.textContent = text;
  at.classList.add("shown");
  clearTimeout(toasted);
  toasted = setTimeout(() => at.classList.remove("shown"), 3000);
}

/** Lets the browser save a space, or the whole replica. */
export async function save(client: Client, id: string | undefined): Promise<void> {
  const url = URL.createObjectURL(await client.export(id));
  const link = make<HTMLAnchorElement>("a", { href: url, download: `${id ? id.slice(0, 12) : client.identity}.skerry` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Calls f at most once a frame, however often the returned function is called; in a hidden page after a while. */
export function eachFrame(f: () => void): () => void {
  let due = false;
  const run = () => {
    if (!due) return;
    due = false;
    f();
  };
  return () => {
    if (due) return;
    due = true;
    if (document.visibilityState === "visible") requestAnimationFrame(run);
    else setTimeout(run, 200);
  };
}
