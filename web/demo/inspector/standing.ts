// The replica as a whole: who, where, which tab syncs, what waits, and how the device's storage stands.
import type { Client, Status } from "skerry";
import { button, element, setText, toast } from "../dom.js";
import { bytes, count, left, time } from "../format.js";
import { type Fact, drawFacts } from "./facts.js";

let locks = "";

/** Draws what the status says. */
export function drawStanding(client: Client): void {
  const s = client.status;
  const facts: Fact[] = [
    ["identity", client.identity],
    ["connection", connection(s), s.connection === "online" || s.connection === "following" ? "good" : s.connection.includes("_") ? "bad" : "wait"],
    ["this tab", s.leader ? "leads: it syncs for all" : s.connection === "off" ? "alone" : "follows: another tab syncs"],
    ["locks", locks || "none"],
    ["spaces", client.spaces().length.toLocaleString()],
    ["waiting", `${count(s.pending, "transaction")}, ${count(s.pendingSpaces, "space")}`, s.pending + s.pendingSpaces > 0 ? "wait" : ""],
    ["not durable", s.undurable.toLocaleString(), s.undurable > 0 ? "wait" : ""],
    ["refused", s.rejected.toLocaleString(), s.rejected > 0 ? "bad" : ""],
    ["catching up", count(s.catchingUp, "space")],
    ["last sync", s.lastSync ? time(s.lastSync) : s.connection === "following" ? "the tab that leads knows" : "not yet"],
    ["next space in", left(s.retryAt) || "now"],
    ["last code", s.code ? `${s.code}${s.reason ? `: ${s.reason}` : ""}` : "none", s.code ? "wait" : ""],
    ["storage", s.storage.state, s.storage.state === "ok" ? "good" : "bad"],
    ["kept", s.storage.persisted === undefined ? "the browser does not say" : s.storage.persisted ? "promised" : "may be evicted"],
  ];
  drawFacts(element("facts"), facts);
  drawQuota(s);
}

function connection(s: Status): string {
  const next = s.connection === "offline" ? left(s.reconnectAt) : "";
  return s.connection.replaceAll("_", " ") + (next ? `, tries again in ${next}` : "");
}

function drawQuota({ storage: { usage, quota } }: Status): void {
  element("quota").hidden = !quota;
  if (!quota) return;
  const used = (usage ?? 0) / quota;
  element<HTMLMeterElement>("meter").value = used;
  setText(element("quota-text"), `${bytes(usage ?? 0)} of ${bytes(quota)}, ${used < 0.0001 ? "next to nothing" : `${(used * 100).toFixed(2)} %`}`);
}

/** Looks after the buttons on storage, and keeps what only the browser knows up to date. */
export function listenStorage(client: Client, database: string, draw: () => void): void {
  setText(element("database"), database);
  const look = async () => {
    const all = await navigator.locks?.query();
    const mine = (list: LockInfo[] | undefined) => (list ?? []).filter((lock) => lock.name?.includes(database)).length;
    locks = all ? `${mine(all.held)} held, ${mine(all.pending)} waited for` : "not in this browser";
    draw();
  };
  void look();
  setInterval(() => void look(), 2000);
  element("count").replaceWith(button("Count rows", () => countRows(database)));
  element("persist").replaceWith(
    button("Ask to keep it", async () => toast((await client.persist()) ? "The browser keeps it" : "The browser promises nothing")),
  );
}

/** Counts the rows of each store, in one transaction that changes nothing. */
async function countRows(name: string): Promise<void> {
  const database = await done(indexedDB.open(name));
  try {
    const names = [...database.objectStoreNames];
    const transaction = database.transaction(names, "readonly");
    const counts = await Promise.all(names.map((store) => done(transaction.objectStore(store).count())));
    drawFacts(element("stores"), names.map((store, i) => [store, counts[i]!.toLocaleString(), "mono"]));
  } finally {
    database.close();
  }
}

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
