// The tables of a space: what its module makes of the log and of what waits, live, a page at a time.
import type { LiveQuery, Row, Space, SpaceTables, TableInfo, Value } from "skerry";
import { arrange, element, make, messageOf, setText } from "../dom.js";
import { count } from "../format.js";

const page = 50;
const clip = 200; // characters of a value

export class TablesView {
  readonly #space: Space;
  readonly #signal: AbortSignal;
  #of: SpaceTables | undefined;
  #asked: string | undefined; // the module whose tables were asked for
  #live: LiveQuery | undefined;
  #stop = () => {};
  #limit = page;
  #drawn = new Map<Row, HTMLElement>();

  constructor(space: Space, signal: AbortSignal) {
    this.#space = space;
    this.#signal = signal;
    element("tables").hidden = true;
    const again = () => ((this.#limit = page), this.#query());
    element("table").addEventListener("change", () => (this.#offerIndexes(), again()), { signal });
    for (const id of ["index", "reverse"]) element(id).addEventListener("change", again, { signal });
    element("rows-more").addEventListener("click", () => ((this.#limit += page), this.#query()), { signal });
    signal.addEventListener("abort", () => this.#stop());
    signal.addEventListener("abort", space.subscribe(() => void this.#look()));
    void this.#look();
  }

  /** Asks which tables there are, whenever another module judges. */
  async #look(): Promise<void> {
    const { module } = this.#space.info();
    if (!module || module === this.#asked) return;
    this.#asked = module;
    try {
      const of = await this.#space.tables();
      if (this.#signal.aborted) return;
      this.#of = of;
      setText(element("tables-module"), `by ${of.name} ${of.version}, ${of.module.slice(0, 12)}`);
      options("table", of.tables.map(({ name }) => [name, name]));
      this.#offerIndexes();
      this.#query();
      element("tables").hidden = of.tables.length === 0;
    } catch (error) {
      const none = (error as { code?: string }).code === "not_found";
      if (this.#signal.aborted) return;
      this.#stop();
      element("tables").hidden = none;
      if (none) return;
      this.#asked = undefined; // what is missing may come
      setText(element("tables-module"), messageOf(error));
      setText(element("rows-told"), "");
      arrange(element("table-rows"), []);
    }
  }

  get #table(): TableInfo | undefined {
    const name = element<HTMLSelectElement>("table").value;
    return this.#of?.tables.find((table) => table.name === name);
  }

  #offerIndexes(): void {
    const table = this.#table;
    if (!table) return;
    const indexes = table.indexes.map(({ name, columns, unique }) => [name, `${name}: ${columns.join(", ")}${unique ? ", unique" : ""}`] as const);
    options("index", [["", `key: ${table.key.join(", ")}`], ...indexes]);
    const heads = table.columns.map(({ name, type, optional }) => make("th", { scope: "col", title: optional ? `${type}, optional` : type }, name));
    element("row-columns").replaceChildren(...heads);
  }

  #query(): void {
    this.#stop();
    const table = this.#table;
    if (!table) return;
    const index = element<HTMLSelectElement>("index").value;
    const { checked: reverse } = element<HTMLInputElement>("reverse");
    const live = this.#space.table(table.name).live({ limit: this.#limit, reverse, ...(index && { index }) });
    this.#live = live;
    this.#stop = live.subscribe(() => this.#draw(table, live));
  }

  #draw(table: TableInfo, live: LiveQuery): void {
    if (live !== this.#live || this.#signal.aborted) return;
    const rows = live.getSnapshot();
    const drawn = new Map<Row, HTMLElement>();
    for (const row of rows) drawn.set(row, this.#drawn.get(row) ?? drawRow(table, row));
    this.#drawn = drawn;
    arrange(element("table-rows"), [...drawn.values()]);
    const waiting = rows.filter((row) => row.$pending).length;
    const more = rows.length === this.#limit;
    element("rows-more").hidden = !more;
    const told = `${more ? "the first " : ""}${count(rows.length, "row")}${waiting ? `, ${waiting} of them waiting` : ""}`;
    setText(element("rows-told"), live.error ? `${live.error.code}: ${live.error.reason}` : told);
  }
}

function options(id: string, values: readonly (readonly [string, string])[]): void {
  const list = element<HTMLSelectElement>(id);
  const before = list.value;
  list.replaceChildren(...values.map(([value, text]) => make("option", { value }, text)));
  if (values.some(([value]) => value === before)) list.value = before;
}

function drawRow(table: TableInfo, row: Row): HTMLElement {
  const cells = table.columns.map(({ name, type }) => {
    const number = type !== "text" && type !== "bytes" && type !== "bool";
    return make(number ? "td.number" : "td", {}, textOf(row[name]));
  });
  return make(row.$pending ? "tr.wait" : "tr", row.$pending ? { title: "waits for the server" } : {}, ...cells);
}

function textOf(value: Value): string {
  if (value === undefined) return "–";
  if (value instanceof Uint8Array) {
    const shown = value.subarray(0, clip / 2);
    return [...shown].map((b) => b.toString(16).padStart(2, "0")).join("") + (shown.length < value.length ? "…" : "");
  }
  const text = String(value);
  return text.length > clip ? `${text.slice(0, clip)}…` : text;
}
