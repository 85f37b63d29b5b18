// Keys that more than one device has, or a program too, as somebody's devices have them: given to a browser where it keeps those
// that it makes itself.
import { didOf, type KeyKind } from "../src/did.js";

/** A key with its secret half, in the forms that WebCrypto takes. */
export interface Key {
  readonly kind: KeyKind;
  readonly public: readonly number[]; // raw
  readonly secret: readonly number[]; // PKCS #8
}

/** Makes a key that every engine has. */
export async function makeKey(): Promise<Key> {
  const { subtle } = globalThis.crypto;
  const pair = (await subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"])) as CryptoKeyPair;
  const [raw, secret] = await Promise.all([subtle.exportKey("raw", pair.publicKey), subtle.exportKey("pkcs8", pair.privateKey)]);
  return { kind: "P-256", public: [...new Uint8Array(raw)], secret: [...new Uint8Array(secret)] };
}

/** Returns the name of a key. */
export const identityOf = (key: Key): string => didOf(key.kind, Uint8Array.from(key.public));

/** In a page that has opened nothing yet: keeps a key for its server and a name, wrapped, which every engine can. */
export async function keepKey([name, key]: readonly [string, Key]): Promise<void> {
  const { subtle } = crypto;
  const done = <T>(request: IDBRequest<T>) =>
    new Promise<T>((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  const algorithm = key.kind === "P-256" ? { name: "ECDSA", namedCurve: "P-256" } : { name: "Ed25519" };
  const open = await subtle.importKey("pkcs8", Uint8Array.from(key.secret), algorithm, true, ["sign"]);
  const under = await subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["wrapKey", "unwrapKey"]);
  const iv = crypto.getRandomValues(new Uint8Array(12));
  const secret = await subtle.wrapKey("pkcs8", open, under, { name: "AES-GCM", iv });
  const request = indexedDB.open("skerry-identities", 1);
  request.onupgradeneeded = () => request.result.createObjectStore("identities");
  const database = await done(request);
  const store = database.transaction("identities", "readwrite").objectStore("identities");
  await done(store.add({ kind: key.kind, public: Uint8Array.from(key.public), secret, under, iv }, `skerry/${location.host}/${name}/key`));
  database.close();
}
