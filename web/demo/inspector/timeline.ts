// What happens, as it happens: how the status changes, records that arrive, verdicts, and the lines of the client's log.
import type { Client, SpaceInfo, Status, Verdict } from "skerry";
import { eachFrame, element, make } from "../dom.js";
import { count, nameOf } from "../format.js";

type Kind = "status" | "records" | "verdict" | "log";

interface Entry {
  readonly at: number;
  readonly kind: Kind;
  readonly text: string;
  readonly tone: "" | "bad";
}

const kept = 500;
const clock = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23" });

export class Timeline {
  #entries: Entry[] = []; // the newest last
  #drawn = 0; // of all entries ever
  #count = 0;
  #paused = false;
  #status: Status | undefined;
  #infos: ReadonlyMap<string, SpaceInfo> = new Map();
  readonly #schedule = eachFrame(() => this.#draw());

  constructor() {
    element("pause").addEventListener("click", () => {
      this.#paused = !this.#paused;
      element("pause").setAttribute("aria-pressed", String(this.#paused));
      this.#schedule();
    });
    element("clear").addEventListener("click", () => {
      this.#entries = [];
      element("timeline").replaceChildren();
    });
    const shown = () => {
      for (const box of element("kinds").querySelectorAll("input")) element("timeline").classList.toggle(`no-${box.value}`, !box.checked);
    };
    element("kinds").addEventListener("change", shown);
    shown();
  }

  add(kind: Kind, text: string, tone: Entry["tone"] = ""): void {
    this.#entries.push({ at: Date.now(), kind, text, tone });
    this.#count++;
    if (this.#entries.length > 2 * kept) this.#entries = this.#entries.slice(-kept);
    this.#schedule();
  }

  /** Notes what became of a transaction. */
  verdict(client: Client, { space, id, code, reason }: Verdict): void {
    const name = nameOf(client.space(space).info());
    this.add("verdict", `${name}: ${id} ${code ? `refused, ${code}: ${reason}` : "is in the log"}`, code ? "bad" : "");
  }

  /** Compares the client with what it was, and notes what changed. */
  watch(client: Client): void {
    const { status } = client;
    if (status !== this.#status) {
      if (this.#status) this.#compare(this.#status, status);
      else this.add("status", `opened as ${client.identity}: ${status.connection}`);
      this.#status = status;
    }
    const infos = new Map<string, SpaceInfo>();
    let told = 0;
    for (const info of client.spaces()) {
      infos.set(info.id, info);
      const before = this.#infos.get(info.id);
      if (before === info || this.#infos.size === 0) continue;
      if (++told <= 20) this.#compareSpace(before, info);
    }
    if (told > 20) this.add("records", `and ${told - 20} more spaces changed`);
    this.#infos = infos;
  }

  #compare(before: Status, now: Status): void {
    const told: string[] = [];
    const fields = ["connection", "leader", "pending", "pendingSpaces", "undurable", "rejected", "catchingUp", "code"] as const;
    for (const field of fields) {
      if (before[field] !== now[field]) told.push(`${field} ${String(before[field] ?? "none")} → ${String(now[field] ?? "none")}`);
    }
    if (before.storage.state !== now.storage.state) told.push(`storage ${before.storage.state} → ${now.storage.state}`);
    if (told.length > 0) this.add("status", told.join(", "), now.rejected > before.rejected ? "bad" : "");
  }

  #compareSpace(before: SpaceInfo | undefined, now: SpaceInfo): void {
    const name = nameOf(now);
    if (!before) return this.add("status", `${name}: new here, ${now.created ? "at the server" : "only on this device"}`);
    if (now.seq !== before.seq) this.add("records", `${name}: ${count(now.seq - before.seq, "record")}, now ${now.seq.toLocaleString()}, chain ${now.chain.slice(0, 8)}`);
    if (now.created !== before.created) this.add("verdict", `${name}: the server has it`);
    if (now.code && now.code !== before.code) this.add("verdict", `${name}: ${now.code} ${now.reason}`, "bad");
  }

  #draw(): void {
    if (this.#paused) return;
    const fresh = Math.min(this.#count - this.#drawn, this.#entries.length);
    this.#drawn = this.#count;
    const list = element("timeline");
    const items = this.#entries.slice(this.#entries.length - fresh).map(({ at, kind, text, tone }) => {
      const classes = tone ? `li.${kind}.${tone}` : `li.${kind}`;
      return make(classes, {}, make("time", {}, clock.format(at)), make("b", {}, kind), make("span", {}, text));
    });
    list.prepend(...items.reverse());
    while (list.childElementCount > kept) list.lastElementChild!.remove();
  }
}
