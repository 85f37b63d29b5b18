// IndexedDB as JSON: out of one browser, and into another.
import type { Tab } from "./engine.js";

/** A key or value: bytes in hexadecimal, and objects with their fields. */
type Packed = number | string | { bytes: string } | Packed[] | { fields: Record<string, Packed> };

export interface StoreExport {
  readonly name: string;
  readonly autoIncrement: boolean;
  readonly indexes: readonly { readonly name: string; readonly keyPath: string[]; readonly unique: boolean }[];
  readonly rows: readonly { readonly key: Packed; readonly value: Packed }[];
}

export interface DatabaseExport {
  readonly version: number;
  readonly stores: readonly StoreExport[];
}

/** The name of the database of the page's replica. */
export function databaseOf(page: Tab): Promise<string> {
  return page.evaluate(async () => (await indexedDB.databases()).find(({ name }) => name?.startsWith("skerry/"))!.name!);
}

/** Reads every store of a database, in one transaction. */
export function exportDatabase(page: Tab, name: string): Promise<DatabaseExport> {
  return page.evaluate(async (name) => {
    const done = <T>(request: IDBRequest<T>) =>
      new Promise<T>((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
      });
    const hex = (bytes: Uint8Array) => [...bytes].map((b) => b.toString(16).padStart(2, "0")).join("");
    const pack = (value: unknown): Packed => {
      if (typeof value === "number" || typeof value === "string") return value;
      if (value instanceof ArrayBuffer) return { bytes: hex(new Uint8Array(value)) };
      if (value instanceof Uint8Array) return { bytes: hex(value) };
      if (Array.isArray(value)) return value.map(pack);
      if (Object.getPrototypeOf(value) !== Object.prototype) throw new Error(`not a value of a replica: ${String(value)}`);
      return { fields: Object.fromEntries(Object.entries(value as object).map(([key, field]) => [key, pack(field)])) };
    };
    const database = await done(indexedDB.open(name));
    const names = [...database.objectStoreNames];
    const transaction = database.transaction(names, "readonly");
    const stores = await Promise.all(
      names.map(async (name) => {
        const store = transaction.objectStore(name);
        if (store.keyPath !== null) throw new Error(`${name} has keys in its values`);
        const indexes = [...store.indexNames].map((name) => {
          const index = store.index(name);
          return { name, keyPath: [index.keyPath].flat(), unique: index.unique };
        });
        const [keys, values] = await Promise.all([done(store.getAllKeys()), done(store.getAll())]);
        const rows = keys.map((key, i) => ({ key: pack(key), value: pack(values[i]) }));
        return { name, autoIncrement: store.autoIncrement, indexes, rows };
      }),
    );
    const { version } = database;
    database.close();
    return { version, stores };
  }, name);
}

/** Makes a database of an export. There must be none of that name. */
export function importDatabase(page: Tab, name: string, from: DatabaseExport): Promise<void> {
  return page.evaluate(
    async ([name, json]) => {
      const { JSON, Object, Uint8Array } = globalThis; // the page's own: IndexedDB takes no other for keys in Firefox, where scripts have theirs
      const from = JSON.parse(json) as DatabaseExport;
      const unpack = (packed: Packed): unknown => {
        if (typeof packed !== "object") return packed;
        if (Array.isArray(packed)) return packed.map(unpack);
        if ("bytes" in packed) {
          const { bytes } = packed as { bytes: string };
          return Uint8Array.from({ length: bytes.length / 2 }, (_, i) => parseInt(bytes.slice(2 * i, 2 * i + 2), 16));
        }
        return Object.fromEntries(Object.entries(packed.fields).map(([key, field]) => [key, unpack(field)]));
      };
      const database = await new Promise<IDBDatabase>((resolve, reject) => {
        const request = indexedDB.open(name, from.version);
        request.onupgradeneeded = (event) => {
          if (event.oldVersion !== 0) reject(new Error(`${name} is there already`));
          for (const { name, autoIncrement, indexes } of from.stores) {
            const store = request.result.createObjectStore(name, { autoIncrement });
            for (const index of indexes) store.createIndex(index.name, index.keyPath, { unique: index.unique });
          }
        };
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
      });
      const transaction = database.transaction(from.stores.map((store) => store.name), "readwrite");
      for (const { name, rows } of from.stores) {
        const store = transaction.objectStore(name);
        for (const { key, value } of rows) store.put(unpack(value), unpack(key) as IDBValidKey);
      }
      await new Promise((resolve, reject) => {
        transaction.oncomplete = resolve;
        transaction.onabort = () => reject(transaction.error);
      });
      database.close();
    },
    [name, JSON.stringify(from)] as const,
  );
}
