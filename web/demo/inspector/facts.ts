// Pairs of a term and what is known of it.
import { arrange, make } from "../dom.js";

export type Fact = readonly [term: string, value: string | Node, kind?: "" | "good" | "wait" | "bad" | "mono"];

/** Draws facts into a list of terms, changing only what changed. */
export function drawFacts(list: HTMLElement, facts: readonly Fact[]): void {
  const before = new Map([...list.children].map((child) => [(child as HTMLElement).dataset["term"], child]));
  const items = facts.map(([term, value, kind]) => {
    const old = before.get(term);
    const text = typeof value === "string" ? value : value.textContent;
    if (old && old.lastElementChild!.textContent === text && old.lastElementChild!.className === (kind ?? "")) return old;
    const dd = make(kind ? `dd.${kind}` : "dd", {}, value);
    return make(text!.length > 40 && kind === "mono" ? "div.wide" : "div", { "data-term": term }, make("dt", {}, term), dd);
  });
  arrange(list, items);
}
