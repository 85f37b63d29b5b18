// Keys that more than one device has, or a program too, as somebody's devices have them: given to a browser where it keeps those
// that it makes itself.

/** An Ed25519 key with its secret half, in the forms that WebCrypto takes. */
export interface Key {
  readonly public: readonly number[]; // raw
  readonly secret: readonly number[]; // PKCS #8
}

/** In a page that has opened nothing yet: keeps a key for its server and a name, wrapped, which every engine can. */
export async function keepKey([name, key]: readonly [string, Key]): Promise<void> {
  const { subtle } = crypto;
  const done = <T>(request: IDBRequest<T>) =>
    new Promise<T>((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  const open = await subtle.importKey("pkcs8", Uint8Array.from(key.secret), { name: "Ed25519" }, true, ["sign"]);
  const under = await subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["wrapKey", "unwrapKey"]);
  const iv = crypto.getRandomValues(new Uint8Array(12));
  const secret = await subtle.wrapKey("pkcs8", open, under, { name: "AES-GCM", iv });
  const request = indexedDB.open("skerry-identities", 1);
  request.onupgradeneeded = () => request.result.createObjectStore("identities");
  const database = await done(request);
  const store = database.transaction("identities", "readwrite").objectStore("identities");
  await done(store.add({ kind: "Ed25519", public: Uint8Array.from(key.public), secret, under, iv }, `skerry/${location.host}/${name}/key`));
  database.close();
}
