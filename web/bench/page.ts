// What `npm run bench` runs in the page: the same work by Skerry, by raw IndexedDB (the floor) and by Dexie. Times are in
// milliseconds. Node calls these functions by their names in `globalThis.bench`.
import { decode, decodeMulti, encode } from "@msgpack/msgpack";
import { Dexie } from "dexie";
import { type Client, open } from "skerry";

const payload = (): { text: string } => ({ text: crypto.randomUUID().padEnd(190, "x") });

/** A record as the log delivers it, as plain arrays. */
const record = (seq: number): unknown[] => {
  return [seq, crypto.getRandomValues(new Uint8Array(16)), "note.edited", encode(payload()), 1_790_000_000_000, 0, 1, "did:key:z6Mk", "1.0.0", ""];
};

async function timed(f: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await f();
  return performance.now() - began;
}

function median(times: number[]): number {
  return times.sort((a, b) => a - b)[times.length >> 1]!;
}

/** The medians of several ways to do the same, by name, each once in every round, so that all have the same machine. */
async function medians(rounds: number, ways: Record<string, () => () => Promise<unknown>>): Promise<Record<string, number>> {
  const times: Record<string, number[]> = {};
  for (let round = 0; round < rounds; round++) {
    for (const [name, prepare] of Object.entries(ways)) (times[name] ??= []).push(await timed(prepare()));
  }
  return Object.fromEntries(Object.entries(times).map(([name, list]) => [name, median(list)]));
}

function request<T>(r: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    r.onsuccess = () => resolve(r.result);
    r.onerror = () => reject(r.error);
  });
}

/** Opens an empty database with one store. */
async function database(name: string): Promise<IDBDatabase> {
  await request(indexedDB.deleteDatabase(name));
  const r = indexedDB.open(name, 1);
  r.onupgradeneeded = () => r.result.createObjectStore("rows");
  return request(r);
}

/** Runs f in a transaction and resolves when it is complete. */
function written(db: IDBDatabase, durability: IDBTransactionDurability, f: (store: IDBObjectStore) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const tx = db.transaction("rows", "readwrite", { durability });
    tx.oncomplete = () => resolve();
    tx.onabort = () => reject(tx.error);
    f(tx.objectStore("rows"));
    tx.commit();
  });
}

class Table extends Dexie {
  constructor(name: string) {
    super(name, { chromeTransactionDurability: "strict" });
    this.version(1).stores({ events: "id" });
  }
}

/** Appends that are durable: one at a time, and `events` in transactions of 1,000. What is appended is made before. */
async function append(events: number): Promise<Record<string, number>> {
  const client = await open({ url: null, name: "append" });
  const space = await client.createSpace({ module: "open" });
  const db = await database("floor-append");
  const table = new Table("dexie-append");
  await table.delete();
  await table.open();
  let key = 0;
  const batch = (n: number) => Array.from({ length: n }, () => ({ type: "note.edited", payload: payload() }));
  const rows = (n: number) => batch(n).map((event) => ({ id: ++key, ...event }));
  const thousands = <T>(make: (n: number) => T): T[] => Array.from({ length: Math.ceil(events / 1000) }, (_, i) => make(Math.min(1000, events - 1000 * i)));
  const put = (values: unknown[]) => () => written(db, "strict", (store) => values.forEach((value) => store.put(encode(value), ++key)));

  const one = await medians(100, {
    one: () => {
      const [event] = batch(1);
      return () => space.append(event!.type, event!.payload).durable;
    },
    oneFloor: () => put(rows(1)),
    oneDexie: () => {
      const [row] = rows(1);
      return () => table.table("events").put(row);
    },
  });
  const many = () => {
    const transactions = thousands(batch);
    return () => Promise.all(transactions.map((transaction) => space.transact(transaction).durable));
  };
  const manyFirst = await timed(many());
  const rest = await medians(9, {
    many,
    manyFloor: () => put(thousands(rows)),
    manyRows: () => put(rows(events)),
    manyDexie: () => {
      const all = rows(events);
      return () => table.table("events").bulkPut(all);
    },
  });
  db.close();
  table.close();
  await client.close();
  return { ...one, manyFirst, ...rest };
}

/** Follows a space from nothing until this device has all of it. */
async function catchUp(id: string, records: number): Promise<number> {
  const client = await open({ name: "reader" });
  const took = await timed(
    () =>
      new Promise<void>((resolve) => {
        const space = client.space(id);
        const look = (): void => {
          if (space.info().seq >= records) resolve();
        };
        space.subscribe(look);
        look();
      }),
  );
  await client.close();
  return took;
}

/** Packed segments of 1,000 records, one relaxed transaction each: what storing so many takes at least. */
async function pack(records: number): Promise<number> {
  const db = await database("floor-segments");
  const segments: Uint8Array<ArrayBuffer>[] = [];
  for (let seq = 1; seq <= records; seq += 1000) {
    const parts = Array.from({ length: 1000 }, (_, i) => encode(record(seq + i)));
    const segment = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
    let at = 0;
    for (const part of parts) {
      segment.set(part, at);
      at += part.length;
    }
    segments.push(segment);
  }
  const took = await timed(async () => {
    for (const [i, segment] of segments.entries()) await written(db, "relaxed", (store) => store.put(segment, i));
  });
  db.close();
  return took;
}

/** Opens the replica and reads every event of a space, as a page that starts does. */
async function coldLoad(id: string, records: number): Promise<Record<string, number>> {
  let client: Client;
  const opened = await timed(async () => (client = await open({ name: "reader" })));
  let n = 0;
  const read = await timed(async () => {
    for await (const event of client.space(id).events()) if (event.payload !== undefined) n++;
  });
  await client!.close();
  if (n !== records) throw new Error(`${n} of ${records} records`);
  return { opened, read };
}

/** Reads the packed segments and makes the same of them: every record, its payload decoded. */
async function unpack(records: number): Promise<number> {
  const db = await request(indexedDB.open("floor-segments"));
  let n = 0;
  const took = await timed(async () => {
    const segments: Uint8Array[] = await request(db.transaction("rows").objectStore("rows").getAll());
    for (const segment of segments) {
      for (const parts of decodeMulti(segment) as Iterable<[number, Uint8Array, string, Uint8Array]>) if (decode(parts[3])) n++;
    }
  });
  db.close();
  if (n !== records) throw new Error(`${n} of ${records} records`);
  return took;
}

/** Makes a space of so many messages by the chat's module, and returns its ID when its log and a checkpoint of its tables are here. */
async function chat(records: number): Promise<string> {
  const client = await open({ name: "chat" });
  const module = await client.putModule(new Uint8Array(await (await fetch("chat.wasm")).arrayBuffer()));
  const space = await client.createSpace({ module });
  const text = "is anybody there?";
  const messages = (n: number) => Array.from({ length: 1000 }, (_, i) => ({ type: "message", payload: { room: `room ${i % 20}`, text, n } }));
  for (let n = 0; n < records; n += 10_000) {
    await Promise.all(Array.from({ length: 10 }, (_, i) => space.transact(messages(n + i)).synced));
  }
  await newest(client, space.id, records);
  await kept();
  await client.close();
  return space.id;
}

/** Asks for the newest message of a chat of so many. */
async function newest(client: Client, id: string, records: number): Promise<void> {
  const live = client.space(id).table("messages");
  for (;;) {
    const [row] = await live.query({ reverse: true, limit: 1 });
    if (Number(row?.["seq"]) === records && !row!.$pending) return;
  }
}

/** Does something with what a replica keeps of tables. */
async function checkpoints<T>(f: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  const { name } = (await indexedDB.databases()).find(({ name }) => name!.includes("/chat/"))!;
  const db = await request(indexedDB.open(name!));
  const done = await request(f(db.transaction("checkpoints", "readwrite").objectStore("checkpoints")));
  db.close();
  return done;
}

/** Waits until there is a checkpoint: its row, whose key is an array, comes behind all its pages. */
async function kept(): Promise<void> {
  while ((await checkpoints((store) => store.count(IDBKeyRange.lowerBound([])))) === 0) await new Promise((resolve) => setTimeout(resolve, 100));
}

/** A page that starts asks for the newest message: from what the device keeps of the tables, and with that gone. */
async function tables(id: string, records: number): Promise<Record<string, number>> {
  const times: Record<"kept" | "log", number[]> = { kept: [], log: [] };
  for (let round = 0; round < 5; round++) {
    for (const from of ["kept", "log"] as const) {
      if (from === "log") await checkpoints((store) => store.clear());
      const client = await open({ name: "chat" });
      times[from].push(await timed(() => newest(client, id, records)));
      await kept();
      await client.close();
    }
  }
  return { kept: median(times.kept), log: median(times.log) };
}

/** Makes a space with so many events, which everybody may read, and returns its ID when the server has them. */
async function long(records: number): Promise<string> {
  const client = await open({ name: "long" });
  const space = await client.createSpace({ module: "broadcast" });
  const text = "is anybody there? ".repeat(4);
  for (let n = 0; n < records; n += 10_000) {
    await Promise.all(Array.from({ length: 10 }, (_, i) => space.transact(Array.from({ length: 1000 }, (_, j) => ({ type: "note", payload: { n: n + 1000 * i + j, text } }))).synced));
  }
  await client.close();
  return space.id;
}

/** Opens a space as a new device: how long until its table was asked and the newest 100 of its events are here, and what was left out. */
async function boot(id: string, records: number, name: string): Promise<Record<string, number>> {
  const began = performance.now();
  const client = await open({ name });
  const space = client.space(id);
  const until = (is: () => boolean): Promise<void> =>
    new Promise((resolve) => {
      const stop = space.subscribe(() => {
        if (!is()) return;
        stop();
        resolve();
      });
      if (is()) resolve();
    });
  await until(() => space.info().seq > 0);
  if ((await space.table("owner").query()).length !== 1) throw new Error("the table is not that of the space");
  const tables = performance.now() - began;
  await until(() => space.info().seq >= records);
  const newest: number[] = [];
  for await (const event of space.events({ reverse: true, limit: 100 })) newest.push(event.seq);
  const usable = performance.now() - began;
  if (newest.length !== 100 || newest[0] !== records) throw new Error(`the newest of ${records} is ${newest[0]}`);
  const { oldest } = space.info();
  const older = await timed(async () => {
    for await (const event of space.events({ reverse: true, limit: 1000 })) if (event.seq < oldest - 500) break;
  });
  return { usable, tables, older, oldest };
}

Object.assign(globalThis, { bench: { boot, long, chat, tables, append, catchUp, pack, coldLoad, unpack } });
