// The table of spaces, and the form that makes one.
import type { Client, SpaceInfo } from "skerry";
import { arrange, element, make, messageOf, setText, toast } from "../dom.js";
import { count, left, nameOf } from "../format.js";
import { shorten } from "../names.js";

const shown = 200;

export class Spaces {
  readonly #client: Client;
  readonly #open: (id: string) => void;
  readonly #rows = new Map<string, { row: HTMLElement; info: SpaceInfo; looks: string }>();

  constructor(client: Client, open: (id: string) => void) {
    this.#client = client;
    this.#open = open;
    const dialog = element<HTMLDialogElement>("make-space");
    element("make").addEventListener("click", () => dialog.showModal());
    dialog.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#make(dialog);
    });
  }

  /** Draws the newest spaces of those that the filter leaves. */
  draw(current: string): void {
    const filter = element<HTMLInputElement>("filter").value.trim().toLowerCase();
    const all = this.#client.spaces();
    const found: SpaceInfo[] = [];
    let matching = 0;
    for (let i = all.length - 1; i >= 0; i--) {
      const info = all[i]!;
      if (filter && !`${nameOf(info)} ${info.creator} ${info.id}`.toLowerCase().includes(filter)) continue;
      matching++;
      if (found.length < shown) found.push(info);
    }
    arrange(element("space-rows"), found.map((info) => this.#row(info, info.id === current)));
    const hidden = matching - found.length;
    setText(element("spaces-more"), hidden > 0 ? `and ${hidden.toLocaleString()} older ones: filter to find them` : matching === 0 ? "None." : "");
    setText(element("spaces-title"), `Spaces (${all.length.toLocaleString()})`);
  }

  #row(info: SpaceInfo, current: boolean): HTMLElement {
    const next = left(info.retryAt);
    const looks = `${current} ${next} ${caughtUp(info, this.#client)}`;
    const made = this.#rows.get(info.id);
    if (made?.info === info && made.looks === looks) return made.row;
    const open = make("button.plain", { type: "button" }, nameOf(info));
    if (current) open.setAttribute("aria-current", "true");
    open.addEventListener("click", () => this.#open(info.id));
    const behind = info.head > info.seq ? ` of ${info.head.toLocaleString()}` : "";
    const cell = (text: string, kind = "") => make(kind ? `td.${kind}` : "td", {}, text);
    const row = make(
      current ? "tr.current" : "tr",
      {},
      make("th", { scope: "row" }, open),
      cell(info.seq.toLocaleString() + behind, "number"),
      make("td.mono", { title: info.chain }, info.chain.slice(0, 8)),
      cell(String(info.pending), info.pending > 0 ? "number.wait" : "number"),
      cell(String(info.rejected), info.rejected > 0 ? "number.bad" : "number"),
      cell(info.created ? "yes" : next ? `in ${next}` : "not yet", info.created ? "" : "wait"),
      cell(caughtUp(info, this.#client)),
      cell(shorten(info.creator ?? "unknown")),
      cell(info.stamp ?? "unknown", "mono"),
      make("td.mono", { title: info.module ?? "" }, info.module?.slice(0, 8) ?? "unknown"),
    );
    const focused = made?.row.contains(document.activeElement);
    if (made?.row.isConnected) made.row.replaceWith(row);
    if (focused) open.focus();
    this.#rows.set(info.id, { row, info, looks });
    return row;
  }

  async #make(dialog: HTMLDialogElement): Promise<void> {
    const value = (id: string) => element<HTMLInputElement>(id).value.trim();
    try {
      const text = value("make-params");
      const params: unknown = text ? JSON.parse(text) : undefined;
      const space = await this.#client.createSpace({ module: value("make-module") || "open", params });
      dialog.close();
      this.#open(space.id);
    } catch (error) {
      toast(`Not created: ${messageOf(error)}`);
    }
  }
}

/** Says whether nothing is missing; only the tab that syncs is told. */
function caughtUp(info: SpaceInfo, client: Client): string {
  return info.caughtUp ? "yes" : !client.status.leader ? "the leader knows" : "no";
}

/** Returns what is known of one space as facts. */
export function factsOf(info: SpaceInfo, client: Client): readonly (readonly [string, string, ("" | "good" | "wait" | "bad" | "mono")?])[] {
  return [
    ["ID", info.id, "mono"],
    ["stamp", info.stamp ?? "unknown", "mono"],
    ["creator", info.creator ?? "unknown"],
    ["module", info.module ?? "unknown", "mono"],
    ...(info.genesisModule !== info.module ? [["made with", info.genesisModule ?? "unknown", "mono"] as const] : []),
    ["events here", `${info.seq.toLocaleString()}${info.head > info.seq ? ` of ${info.head.toLocaleString()}` : ""}`],
    ["position", info.position, "mono"],
    ["chain", info.chain, "mono"],
    ["server has it", info.created ? "yes" : "not yet", info.created ? "" : "wait"],
    ["caught up", caughtUp(info, client)],
    ["waiting", count(info.pending, "transaction"), info.pending > 0 ? "wait" : ""],
    ["refused", count(info.rejected, "transaction"), info.rejected > 0 ? "bad" : ""],
    ["problem", info.code ? `${info.code}${info.reason ? `: ${info.reason}` : ""}${left(info.retryAt) ? `, again in ${left(info.retryAt)}` : ""}` : "none", info.code ? "bad" : ""],
  ];
}
