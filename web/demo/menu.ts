// What can be done about one message: reacting, changing, deleting. One menu for all of them, which opens beside its button.
import { element, make } from "./dom.js";

/** The signs to react with, and what they are called. */
export const signNames: Readonly<Record<string, string>> = { "✓": "agreed", "♥": "love", "☺": "laugh", "★": "star", "⚓": "anchor", "⚠": "careful" };

export interface Choice {
  readonly signs: readonly string[]; // those that are taken already
  react(sign: string, on: boolean): void;
  edit?: (() => void) | undefined;
  delete?: (() => void) | undefined;
}

/** Opens the menu at a button. Escape and clicks elsewhere close it, and the button has the focus again. */
export function openMenu(at: HTMLElement, choice: Choice): void {
  const menu = element("menu");
  const act = (f: () => void) => () => {
    menu.hidePopover();
    f();
  };
  const signs = Object.entries(signNames).map(([sign, name]) => {
    const on = choice.signs.includes(sign);
    const made = make("button.sign", { type: "button", "aria-label": `React: ${name}`, "aria-pressed": String(on), title: name }, sign);
    made.addEventListener("click", act(() => choice.react(sign, !on)));
    return made;
  });
  const others: HTMLElement[] = [];
  if (choice.edit) others.push(entry("Edit", act(choice.edit)));
  if (choice.delete) others.push(twice("Delete", "Delete for everybody", act(choice.delete)));
  menu.replaceChildren(make("div.signs", {}, ...signs), ...others);
  menu.showPopover();
  place(menu, at);
  menu.querySelector("button")?.focus();
  menu.onkeydown = (event) => {
    const all = [...menu.querySelectorAll("button")];
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    all.at((all.indexOf(event.target as HTMLButtonElement) + step) % all.length)?.focus();
  };
}

function entry(label: string, act: () => void): HTMLElement {
  const made = make("button", { type: "button" }, label);
  made.addEventListener("click", act);
  return made;
}

/** Makes a button that is pressed twice before something happens that cannot be undone. */
function twice(label: string, sure: string, act: () => void): HTMLElement {
  const made = make("button.bad", { type: "button" }, label);
  made.addEventListener("click", () => {
    if (made.textContent === sure) return act();
    made.textContent = sure;
  });
  return made;
}

function place(menu: HTMLElement, at: HTMLElement): void {
  const button = at.getBoundingClientRect();
  const { width, height } = menu.getBoundingClientRect();
  const below = button.bottom + 4 + height <= innerHeight;
  menu.style.top = `${Math.max(4, below ? button.bottom + 4 : button.top - 4 - height)}px`;
  menu.style.left = `${Math.min(Math.max(4, button.left - width / 2), innerWidth - width - 4)}px`;
}
