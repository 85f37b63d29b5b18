// The name of whoever writes, where the page gives none: made once for each server and name, and kept in a small
// database, because only there two tabs that begin at once agree. localStorage is a copy in each of the browser's
// processes, in which a tab may miss what another has just written.

const manners = ["amber", "brisk", "calm", "eager", "fond", "gentle", "hardy", "keen", "lucid", "merry", "noble", "quiet"];
const birds = ["auk", "dunlin", "eider", "fulmar", "gannet", "heron", "kittiwake", "plover", "puffin", "skua", "tern", "wren"];

/** Returns the name that was made for a replica of this browser, or makes it. */
export async function ownIdentity(server: string, name: string): Promise<string> {
  const key = `skerry/${server}/${name}`;
  const proposed = stored(key) ?? fresh();
  try {
    return await add(key, proposed);
  } catch {
    return proposed; // storage is blocked: a name for this page
  }
}

function fresh(): string {
  const [a, b, c] = crypto.getRandomValues(new Uint32Array(3)) as unknown as [number, number, number];
  return `${manners[a % manners.length]}-${birds[b % birds.length]}-${c.toString(36).padStart(7, "0")}`;
}

/** Returns the name that an older version kept. */
function stored(key: string): string | null {
  try {
    return localStorage.getItem(`${key}/identity`);
  } catch {
    return null;
  }
}

/** Keeps a name unless there is one, and returns the one that is kept. */
async function add(key: string, name: string): Promise<string> {
  const request = indexedDB.open("skerry-identities", 1);
  request.onupgradeneeded = () => request.result.createObjectStore("identities");
  const database = await done(request);
  try {
    const transaction = database.transaction("identities", "readwrite");
    const written = new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error);
    });
    const store = transaction.objectStore("identities");
    const kept: unknown = await done(store.get(key));
    if (kept === undefined) store.add(name, key);
    await written;
    return typeof kept === "string" ? kept : name;
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
