// The key of whoever writes: made once for each server and name, and kept in a small database, because only there two tabs
// that begin at once agree. Its secret half never leaves the browser. Every key was used for a signature before anything is written
// under its name, since what a key cannot sign no server takes.
import { didOf, type KeyKind } from "./did.js";
import { SkerryError } from "./error.js";
import type { Acting } from "./linked.js";

/** Who writes, and what proves it. */
export interface Owner {
  readonly identity: string;
  readonly key?: CryptoKey;
  readonly kept: Kept;
  /** As whom this device acts, if it was linked. */
  readonly acting?: Acting;
  /** Whether another key was kept here, which is gone without having been forgotten, and with it all that the browser kept beside it. */
  readonly lost?: boolean;
}

/**
 * `key`: a key that this browser keeps. `ephemeral`: a key that is gone with the page, as the browser keeps nothing. `token`: a
 * token proves it. `unproven`: nothing does here, so it can be read what is on this device, and no server takes what is written.
 */
export type Kept = "key" | "ephemeral" | "token" | "unproven";

/** A key as it is kept. One that cannot be kept as it is lies under another key, which can. */
interface Entry {
  readonly kind: KeyKind;
  readonly public: Uint8Array<ArrayBuffer>;
  readonly secret: CryptoKey | ArrayBuffer;
  readonly under?: CryptoKey;
  readonly iv?: Uint8Array<ArrayBuffer>;
  readonly acting?: Acting;
}

const algorithms = { Ed25519: { name: "Ed25519" }, "P-256": { name: "ECDSA", namedCurve: "P-256" } };
const ephemerals = new Map<string, Promise<Owner>>(); // so that all of a page is one

/** Under which name the key of a replica is kept. */
export const keyName = (server: string, name: string) => `skerry/${server}/${name}/key`;

const patience = [100, 400, 1600]; // milliseconds until storage is asked again that failed

/**
 * Returns the owner of a replica of this browser: its key is found, or made. Where it cannot be told whether there is one, since storage
 * fails for the moment, it rejects with `storage_failed`: whoever has been here must not be somebody else for that.
 */
export async function ownKey(at: string): Promise<Owner> {
  for (let failed = 0; ; failed++) {
    try {
      const entry = await keptKey(at);
      if (!entry) break;
      const identity = didOf(entry.kind, entry.public);
      return { identity, ...(await proving(entry)), ...(entry.acting && { acting: entry.acting }), lost: ![identity, null].includes(note(at, identity)) };
    } catch (error) {
      if (denies(error)) break;
      const wait = patience[failed];
      if (wait === undefined) throw new SkerryError("storage_failed", `the key of whoever writes cannot be read now: ${String(error)}`);
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
  let owner = ephemerals.get(at);
  if (!owner) ephemerals.set(at, (owner = ephemeral()));
  return owner;
}

/**
 * Notes in another storage than the key's whose key there is, or that there is none, and returns what was noted: a browser that loses its
 * databases keeps that.
 */
function note(at: string, identity: string | null): string | null {
  try {
    const noted = localStorage.getItem(at);
    if (identity === null) localStorage.removeItem(at);
    else if (noted !== identity) localStorage.setItem(at, identity);
    return noted;
  } catch {
    return null; // it keeps nothing there
  }
}

/** Keeps as whom the device with a key acts, or that it does no more. */
export async function keepActing(at: string, acting: Acting | undefined): Promise<void> {
  const database = await openDatabase();
  try {
    await inStore(database, (store) => {
      const got = store.get(at);
      got.addEventListener("success", () => got.result && store.put({ ...(got.result as Entry), acting }, at));
      return got;
    });
  } finally {
    database.close();
  }
}

/** Forgets the key of an identity and no other: another tab may have made one meanwhile. What is signed by it is nobody's any more. */
export async function forgetKey(at: string, identity: string): Promise<void> {
  const owner = ephemerals.get(at);
  if ((await owner)?.identity === identity) {
    if (ephemerals.get(at) === owner) ephemerals.delete(at);
    return;
  }
  const database = await openDatabase();
  try {
    await inStore(database, (store) => {
      const got = store.get(at);
      got.addEventListener("success", () => {
        const entry = got.result as Entry | undefined;
        if (entry && didOf(entry.kind, entry.public) === identity && store.delete(at)) note(at, null);
      });
      return got;
    });
  } finally {
    database.close();
  }
}

/** Whether a browser says that it keeps nothing here, so that no key was ever kept. Chromium does not by the database's own error. */
function denies(error: unknown): boolean {
  try {
    return globalThis.localStorage === null || /^(SecurityError|NotAllowedError|none)$/.test(nameOf(error));
  } catch {
    return true;
  }
}

/** Errors that say something of the moment, and not of what was to be kept. */
const passing = /^(AbortError|InvalidStateError|TransactionInactiveError|UnknownError)$/;

function nameOf(error: unknown): string {
  return (error as Error | undefined)?.name ?? "";
}

/** The key of an identity that was made before is used while it works; without it the replica can still be read. */
async function proving(entry: Entry): Promise<{ key?: CryptoKey; kept: Kept }> {
  try {
    return { key: await usable(entry), kept: "key" };
  } catch {
    return { kept: "unproven" };
  }
}

async function ephemeral(): Promise<Owner> {
  for (const kind of ["Ed25519", "P-256"] as const) {
    try {
      const entry = await make(kind, false);
      return { identity: didOf(kind, entry.public), key: await usable(entry), kept: "ephemeral" };
    } catch {
      // the engine has no such keys
    }
  }
  throw new Error("this browser makes no keys");
}

async function make(kind: KeyKind, wrapped: boolean): Promise<Entry> {
  const { subtle } = crypto;
  const pair = (await subtle.generateKey(algorithms[kind], wrapped, ["sign", "verify"])) as CryptoKeyPair;
  const raw = new Uint8Array(await subtle.exportKey("raw", pair.publicKey));
  if (!wrapped) return { kind, public: raw, secret: pair.privateKey };
  const under = await subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["wrapKey", "unwrapKey"]);
  const iv = crypto.getRandomValues(new Uint8Array(12));
  return { kind, public: raw, secret: await subtle.wrapKey("pkcs8", pair.privateKey, under, { name: "AES-GCM", iv }), under, iv };
}

/** Returns an entry's key once it has signed something. */
async function usable({ kind, public: raw, secret, under, iv }: Entry): Promise<CryptoKey> {
  const { subtle } = crypto;
  const key =
    secret instanceof ArrayBuffer
      ? await subtle.unwrapKey("pkcs8", secret, under!, { name: "AES-GCM", iv: iv! }, algorithms[kind], false, ["sign"])
      : secret;
  const algorithm = { ...algorithms[kind], hash: "SHA-256" };
  const message = crypto.getRandomValues(new Uint8Array(32));
  const check = await subtle.importKey("raw", raw, algorithms[kind], true, ["verify"]);
  if (!(await subtle.verify(algorithm, check, await subtle.sign(algorithm, key, message), message))) throw new Error("the key does not sign");
  return key;
}

/** Returns the key that is kept, or makes the best that this browser can keep: it was read back and has signed before it counts. */
async function keptKey(at: string): Promise<Entry | undefined> {
  const database = await openDatabase();
  try {
    const kept = await inStore<Entry | undefined>(database, (store) => store.get(at), undefined, "readonly");
    if (kept) return kept;
    for (const kind of ["Ed25519", "P-256"] as const) {
      for (const wrapped of [false, true]) {
        const probe = `probe/${crypto.randomUUID()}`;
        try {
          await inStore(database, (store, entry) => store.add(entry, probe), await make(kind, wrapped));
          const back = (await inStore<Entry>(database, (store) => store.get(probe)))!;
          await usable(back);
          return (await inStore<Entry | undefined>(database, (store) => first(store, at, back))) ?? back;
        } catch (error) {
          if (passing.test(nameOf(error))) throw error;
          // else the engine has no such keys, or cannot keep them so
        } finally {
          await inStore(database, (store) => store.delete(probe)).catch(() => {});
        }
      }
    }
    return undefined;
  } finally {
    database.close();
  }
}

/** Keeps an entry unless another tab was first, whose entry it gives. */
function first(store: IDBObjectStore, at: string, entry: Entry): IDBRequest {
  const got = store.get(at);
  got.addEventListener("success", () => got.result ?? store.add(entry, at));
  return got;
}

async function openDatabase(): Promise<IDBDatabase> {
  const none = new DOMException("this browser keeps nothing here", "none");
  if (!globalThis.indexedDB) throw none;
  const request = indexedDB.open("skerry-identities", 1);
  let fresh = false;
  request.onupgradeneeded = () => {
    fresh = true; // there was none, so nothing was kept
    request.result.createObjectStore("identities");
  };
  const late = new DOMException("the database does not open", "TimeoutError");
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<never>((_, reject) => (timer = setTimeout(reject, 10_000, late)));
  return Promise.race([done(request), timeout])
    .catch((error) => {
      request.onsuccess = () => request.result.close(); // whenever it opens after all
      throw fresh && nameOf(error) === "QuotaExceededError" ? none : error;
    })
    .finally(() => clearTimeout(timer));
}

/** Makes a request in a transaction of its own, and returns what it gave once that is complete. */
async function inStore<T>(
  database: IDBDatabase,
  ask: (store: IDBObjectStore, entry: unknown) => IDBRequest,
  entry?: unknown,
  mode: IDBTransactionMode = "readwrite",
): Promise<T> {
  const transaction = database.transaction("identities", mode, { durability: "strict" });
  const written = new Promise<void>((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
  });
  written.catch(() => {}); // awaited below, unless asking threw
  const request = ask(transaction.objectStore("identities"), entry);
  await written;
  return request.result as T;
}

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
