// What a replica keeps of its tables in IndexedDB: looked at, lost, damaged, and falsified.
import { blake3 } from "../test/hashes.js";
import type { Tab } from "./engine.js";

/** A row of the store: that of a checkpoint, which names a root and pages, or one of those under its digest. */
interface Row {
  readonly seq?: number;
  readonly digest?: string;
  readonly value: string;
}

type Change = { readonly what: "lose" | "damage" } | { readonly what: "put"; readonly rows: readonly Row[] };

/** Reads what is kept of a space, or waits until the checkpoint of a record is and returns the digest of its root; or changes what is kept. */
function store<R>(page: Tab, space: string, todo: "read" | number | Change): Promise<R> {
  return page.evaluate(async ([space, todo]) => {
    const done = <T>(request: IDBRequest<T>) =>
      new Promise<T>((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
      });
    const hex = (bytes: ArrayBuffer | Uint8Array) => [...new Uint8Array(bytes)].map((b) => b.toString(16).padStart(2, "0")).join("");
    // The page's own kind: Firefox's driver runs scripts in another realm, whose buffers are no keys in the page's.
    const bytes = (hex: string) => globalThis.Uint8Array.from({ length: hex.length / 2 }, (_, i) => parseInt(hex.slice(2 * i, 2 * i + 2), 16)).buffer;
    const isOf = (key: IDBValidKey): key is IDBValidKey[] =>
      Array.isArray(key) && (typeof key[0] === "string" ? key[0] : hex(key[0] as ArrayBuffer)) === space;
    const { name } = (await indexedDB.databases()).find(({ name }) => name?.startsWith("skerry/"))!;
    const database = await done(indexedDB.open(name!));
    const end = performance.now() + 60_000;
    try {
      for (;;) {
        const transaction = database.transaction("checkpoints", typeof todo === "object" ? "readwrite" : "readonly");
        const over = new Promise((resolve) => (transaction.oncomplete = resolve));
        const store = transaction.objectStore("checkpoints");
        const [keys, values] = await Promise.all([done(store.getAllKeys()), done(store.getAll() as IDBRequest<ArrayBuffer[]>)]);
        const place = keys.findIndex((key) => isOf(key) && (typeof todo !== "number" || key[1] === todo));
        if (typeof todo === "number") {
          if (place >= 0) return hex(values[place]!).slice(2, 66); // behind the format
          if (performance.now() > end) throw new Error(`nothing is kept at ${todo}: ${JSON.stringify(keys.filter(isOf).map((key) => key[1]))}`);
          await new Promise((resolve) => setTimeout(resolve, 20));
          continue;
        }
        const rows = keys.map((key, i) => ({ ...(Array.isArray(key) ? { seq: isOf(key) ? (key[1] as number) : 0 } : { digest: hex(key as ArrayBuffer) }), value: hex(values[i]!) }));
        if (todo === "read") return rows;
        if (place < 0) throw new Error("nothing is kept");
        if (todo.what === "lose") store.delete(keys[place]!);
        if (todo.what === "damage") {
          for (const [i, key] of keys.entries()) {
            const value = new Uint8Array(values[i]!);
            value[value.length - 1]! ^= 1;
            if (!Array.isArray(key)) store.put(value.buffer, key);
          }
        }
        if (todo.what === "put") for (const row of todo.rows) store.put(bytes(row.value), row.digest ? bytes(row.digest) : keys[place]!);
        await over;
        return undefined;
      }
    } finally {
      database.close();
    }
  }, [space, todo] as const) as Promise<R>;
}

/** Waits until a page's replica has kept its tables at a record, and returns the digest. */
export const kept = (page: Tab, space: string, seq: number): Promise<string> => store(page, space, seq);

/** Lets go of what is kept of a space. */
export const lose = (page: Tab, space: string): Promise<void> => store(page, space, { what: "lose" });

/** Changes a bit of each page that is kept of any space, as disks do. */
export const damage = (page: Tab, space: string): Promise<void> => store(page, space, { what: "damage" });

/**
 * Makes of what is kept a checkpoint whose rows have another text of equal length in place of one, with digests that are right:
 * as if the engine had made other tables of the same log.
 */
export async function falsify(page: Tab, space: string, text: string, other: string): Promise<void> {
  const rows = await store<Row[]>(page, space, "read");
  const named = rows.find(({ seq }) => seq)!;
  const names = named.value.slice(2).match(/.{64}/g)!; // behind the format
  const values = new Map(rows.map(({ digest, value }) => [digest, value]));
  const [was, is] = [text, other].map((t) => Buffer.from(t).toString("hex"));
  const put: Row[] = [];
  const replace = (name: string, change: (value: string) => string): string => {
    const value = change(values.get(name)!.slice(2));
    const digest = Buffer.from(blake3(Buffer.from(value, "hex"))).toString("hex");
    put.push({ digest, value: values.get(name)!.slice(0, 2) + value });
    return digest;
  };
  const renamed = new Map<string, string>();
  for (const name of names.slice(1)) {
    if (values.get(name)!.includes(was!)) renamed.set(name, replace(name, (value) => value.replace(was!, is!)));
  }
  if (renamed.size === 0) throw new Error(`no page has ${text}`);
  const rename = (value: string) => [...renamed].reduce((all, [from, to]) => all.replaceAll(from, to), value);
  renamed.set(names[0]!, replace(names[0]!, rename));
  put.push({ value: rename(named.value) });
  await store(page, space, { what: "put", rows: put });
}
