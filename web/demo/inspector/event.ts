// One event of a log: a line, which opens to all that is known of it.
import type { EventRecord } from "skerry";
import { make } from "../dom.js";
import { bytes, json } from "../format.js";
import { shorten } from "../names.js";
import { drawFacts } from "./facts.js";

const stamp = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const dumped = 4096; // bytes of a payload shown in hexadecimal

export function drawEvent(record: EventRecord): HTMLElement {
  const line = json(record.payload);
  const summary = make(
    "summary",
    {},
    make("span.number", {}, record.seq.toLocaleString()),
    make("time", { datetime: new Date(record.time).toISOString() }, stamp.format(record.time)),
    make("span.author", { title: record.author }, shorten(record.author)),
    make("b", {}, record.type),
    make("code", {}, line.length > 200 ? `${line.slice(0, 200)}…` : line),
  );
  const details = make<HTMLDetailsElement>("details", {}, summary);
  details.addEventListener("toggle", () => details.childElementCount === 1 && details.append(...inside(record)), { once: true });
  return make("li", {}, details);
}

function inside(record: EventRecord): Node[] {
  const facts = make("dl");
  drawFacts(facts, [
    ["id", record.id, "mono"],
    ["author", record.author, "mono"],
    ["position", record.position, "mono"],
    ["written", new Date(record.time).toISOString(), "mono"],
    ["received", new Date(record.receivedAt).toISOString(), "mono"],
    ["transaction", `${record.index + 1} of ${record.count}`],
    ["api", record.api || "none"],
    ["client version", record.clientVersion || "none"],
    ["schema", record.schema, "mono"],
    ["payload", bytes(record.bytes.length)],
  ]);
  const more = record.bytes.length > dumped ? `\n… ${bytes(record.bytes.length - dumped)} more` : "";
  return [
    facts,
    make("pre", { tabindex: "0", role: "region", "aria-label": "Payload as JSON" }, json(record.payload, 2) || "not msgpack"),
    make("pre.hex", { tabindex: "0", role: "region", "aria-label": "Payload in hexadecimal" }, hexDump(record.bytes.subarray(0, dumped)) + more),
  ];
}

/** Returns bytes in lines of 16: offset, hexadecimal, text. */
export function hexDump(data: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < data.length; at += 16) {
    const row = [...data.subarray(at, at + 16)];
    const hex = row.map((b) => b.toString(16).padStart(2, "0")).join(" ");
    const text = row.map((b) => (b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : "·")).join("");
    lines.push(`${at.toString(16).padStart(4, "0")}  ${hex.padEnd(47)}  ${text}`);
  }
  return lines.join("\n");
}
