// Who writes: a key that the browser made and keeps.
import assert from "node:assert/strict";
import { generateKeyPairSync, sign } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { didOf } from "../src/did.js";
import { World } from "./world.js";

test("a page's key proves who writes, and stays", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.device("ada");
    await ada.load();
    const write = () =>
      ada.page.evaluate(async () => {
        const { client } = globalThis.skerry;
        const space = await client.createSpace();
        await space.append("note", { text: "mine" }).synced;
        return { identity: client.identity, proof: client.status.identity, id: space.id, creator: space.creator };
      });
    const first = await write();
    assert.match(first.identity, /^did:key:z6Mk/);
    assert.deepEqual([first.creator, first.proof], [first.identity, "key"]);
    assert.deepEqual((await world.server.log(first.id)).map(({ author }) => author), [first.identity]);

    await ada.load();
    assert.equal((await write()).identity, first.identity);
    const kept = await ada.page.evaluate(async () => {
      const done = <T>(request: IDBRequest<T>) => new Promise<T>((resolve) => (request.onsuccess = () => resolve(request.result)));
      const database = await done(indexedDB.open("skerry-identities"));
      const store = database.transaction("identities").objectStore("identities");
      const [entry, keys] = await Promise.all([done(store.getAll()), done(store.getAllKeys())]);
      database.close();
      const { public: raw, secret } = entry[0] as { public: Uint8Array; secret: CryptoKey };
      const stolen = await crypto.subtle.exportKey("pkcs8", secret).then(() => true, () => false);
      return { keys: keys.map(String), raw: [...raw], extractable: secret.extractable, stolen };
    });
    assert.equal(didOf("Ed25519", new Uint8Array(kept.raw)), first.identity);
    assert.deepEqual([kept.keys.length, kept.extractable, kept.stolen], [1, false, false]);
  }),
);

test("where the engine has no Ed25519 a key is of P-256, and where keys cannot be kept they are wrapped, or gone with the page", { timeout: 90_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.device("ada");
    await ada.load();
    const found = await ada.page.evaluate(async () => {
      const { open } = globalThis.skerry;
      const { generateKey } = crypto.subtle;
      const { add } = IDBObjectStore.prototype;
      const opened: { identity: string; kept: string; again: boolean }[] = [];
      const make = async (name: string) => {
        const client = await open({ name });
        const twin = await open({ name });
        await (await client.createSpace()).append("note", {}).synced;
        opened.push({ identity: client.identity, kept: client.status.identity, again: twin.identity === client.identity });
        await Promise.all([client.close(), twin.close()]);
      };
      crypto.subtle.generateKey = ((algorithm: { name: string }, ...rest: [boolean, KeyUsage[]]) =>
        algorithm.name === "Ed25519"
          ? Promise.reject(new DOMException("no such keys", "NotSupportedError"))
          : generateKey.call(crypto.subtle, algorithm as EcKeyGenParams, ...rest)) as typeof generateKey;
      await make("p256");
      IDBObjectStore.prototype.add = function (value: { secret?: unknown }, key) {
        if (value?.secret instanceof CryptoKey) throw new DOMException("not cloned", "DataCloneError");
        return add.call(this, value, key);
      };
      await make("wrapped");
      IDBObjectStore.prototype.add = () => {
        throw new DOMException("nothing is cloned", "DataCloneError");
      };
      await make("gone");
      crypto.subtle.generateKey = generateKey;
      IDBObjectStore.prototype.add = add;
      await make("wrapped"); // it is still there
      return opened;
    });
    assert.deepEqual(found.map(({ kept }) => kept), ["key", "key", "ephemeral", "key"]);
    for (const { identity, again } of found) {
      assert.match(identity, /^did:key:zDn/);
      assert.ok(again, "a page has one identity");
    }
    assert.equal(found[3]!.identity, found[1]!.identity);
  }),
);

test("what a plain name wrote can be read, and goes nowhere", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.device("ada");
    await ada.load(ada.page, "inspector.html?identity=ada");
    assert.equal(await ada.page.evaluate(() => globalThis.skerry.client.identity), "ada");
    const id = await ada.page.evaluate(async () => {
      const space = await globalThis.skerry.client.createSpace();
      await space.append("note", { text: "mine" }).durable;
      return space.id;
    });
    await ada.until("told", (c) => c.status.connection === "auth_required");
    const { status, pending } = await ada.page.evaluate(async (id) => {
      const { client } = globalThis.skerry;
      return { status: client.status, pending: await client.space(id).pending() };
    }, id);
    assert.deepEqual([status.identity, status.pending, status.code], ["unproven", 1, "auth_required"]);
    assert.equal(pending.length, 1);
    assert.deepEqual(await world.server.spaces(), []);
  }),
);

test("who signs in is known by tokens, which are renewed before they end; one that has ended is told", { timeout: 60_000 }, async () => {
  const dir = mkdtempSync(join(tmpdir(), "skerry-issuer-"));
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  writeFileSync(join(dir, "keys.pem"), publicKey.export({ type: "spki", format: "pem" }));
  writeFileSync(join(dir, "issuers.json"), JSON.stringify([{ issuer: "https://id.example", audience: ["skerry"], keys: join(dir, "keys.pem") }]));
  const base64 = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const token = (seconds: number) => {
    const exp = Math.floor(Date.now() / 1000) + seconds;
    const signed = `${base64({ alg: "EdDSA", typ: "JWT" })}.${base64({ iss: "https://id.example", sub: "ada", aud: "skerry", exp })}`;
    return `${signed}.${sign(null, Buffer.from(signed), privateKey).toString("base64url")}`;
  };
  try {
    await World.run(["--issuers", join(dir, "issuers.json")], async (world) => {
      const ada = await world.device("ada");
      await ada.load();
      const found = await ada.page.evaluate(
        async ({ good, old, fresh }) => {
          const { open } = globalThis.skerry;
          let asked = 0;
          let renewed!: () => void;
          const twice = new Promise<void>((resolve) => (renewed = resolve));
          const client = await open({
            token: () => {
              if (++asked === 3) renewed(); // for its name, for the connection, and again
              return good;
            },
          });
          const space = await client.createSpace();
          const { position } = await space.append("note", { text: "signed in" }).synced;
          await twice;
          await space.append("note", { text: "still" }).synced;
          const { identity, status } = client;
          await client.close();
          let signedIn = old;
          const late = await open({ name: "late", identity, token: async () => signedIn });
          await new Promise<void>((resolve) => {
            const look = () => void (late.status.code === "auth_expired" && resolve());
            late.subscribe(look);
            look();
          });
          const waits = (await late.createSpace()).append("note", { text: "waits" });
          await waits.durable;
          const told = late.status;
          signedIn = fresh;
          dispatchEvent(new Event("online")); // as a page does that has signed somebody in: try at once
          await waits.synced;
          return { id: space.id, position: typeof position, identity, proof: status.identity, connection: status.connection, told: told.connection };
        },
        { good: token(4), old: token(-120), fresh: token(600) },
      );
      assert.deepEqual(
        { ...found, id: "" },
        { id: "", position: "string", identity: "https://id.example#ada", proof: "token", connection: "online", told: "auth_required" },
      );
      assert.deepEqual((await world.server.log(found.id)).map(({ author }) => author), [found.identity, found.identity]);
    });
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test("a storage that fails for the moment makes nobody somebody else: it is asked again, and told if that is of no use", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.device("ada");
    await ada.load(ada.page, "?name=");
    const found = await ada.page.evaluate(async () => {
      const { open, client } = globalThis.skerry;
      const { open: openDatabase } = IDBFactory.prototype;
      const { get } = IDBObjectStore.prototype;
      const failing = (name: string, times: number) => {
        let asked = 0;
        IDBFactory.prototype.open = function (database, version) {
          if (database !== "skerry-identities" || asked++ >= times) return openDatabase.call(this, database, version);
          throw new DOMException("not now", name);
        };
        return () => asked;
      };
      const again = async () => {
        try {
          const twin = await open({ clientVersion: "demo/1" }); // the page has it open: it is the same replica, or another identity's
          const { identity, status } = twin;
          await twin.close();
          return [identity === client.identity, status.identity];
        } catch (error) {
          return [(error as { code: string }).code];
        }
      };
      const outcomes: Record<string, unknown> = {};
      const once = failing("UnknownError", 1);
      outcomes["once"] = [...(await again()), once()];
      failing("QuotaExceededError", Infinity);
      outcomes["full"] = await again();
      failing("UnknownError", Infinity);
      outcomes["for good"] = await again();
      IDBFactory.prototype.open = openDatabase;
      let reads = 0;
      IDBObjectStore.prototype.get = function (key) {
        if (String(key).endsWith("/key") && reads++ < 1) this.transaction.abort();
        return get.call(this, key);
      };
      outcomes["a read"] = await again();
      IDBObjectStore.prototype.get = get;
      failing("SecurityError", Infinity);
      const denied = await open({ name: "denied" });
      outcomes["denied"] = denied.status.identity;
      await denied.close();
      IDBFactory.prototype.open = openDatabase;
      outcomes["after"] = await again();
      return outcomes;
    });
    assert.deepEqual(found, {
      once: [true, "key", 2], full: ["storage_failed"], "for good": ["storage_failed"], "a read": [true, "key"], denied: "ephemeral", after: [true, "key"],
    });
  }),
);

test("where a browser lets a page store nothing, whoever writes is told that they are gone with it", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const ada = await world.device("ada");
    await ada.kill();
    const settings = join(ada.profile, "Default");
    mkdirSync(settings, { recursive: true });
    writeFileSync(join(settings, "Preferences"), JSON.stringify({ profile: { default_content_setting_values: { cookies: 2 } } })); // nothing
    await ada.launch();
    await ada.load(ada.page, "?name=");
    const told = await ada.page.evaluate(async () => {
      const { client } = globalThis.skerry;
      await (await client.createSpace()).append("note", 1).synced;
      return [client.status.identity, client.status.storage.state];
    });
    assert.deepEqual(told, ["ephemeral", "memory"]);
  }),
);

test("an administrator sees in their page who connects, as it happens, and others see nothing of it", { timeout: 60_000 }, () =>
  World.run(["--local-setup"], async (world) => {
    const [ada, eve] = [await world.device("ada"), await world.device("eve")];
    await ada.load();
    const audit = await ada.page.evaluate(async () => {
      const { client } = globalThis.skerry;
      const body = JSON.stringify({ identity: client.identity });
      await fetch("/api/v1/setup", { method: "POST", body });
      for (;;) {
        const [space] = client.spaces();
        if (space) return space.id;
        await new Promise<void>((resolve) => { const stop = client.subscribe(() => (stop(), resolve())); });
      }
    });
    const heard = ada.page.evaluate(async (id) => {
      const told: (readonly [string, string])[] = [];
      for await (const { type, payload } of globalThis.skerry.client.space(id).events({ live: true })) {
        const { identity } = payload as { identity?: string };
        told.push([type, identity ?? ""]);
        const last = told.findLast(([kind]) => kind === "$disconnect");
        if (last && last[1] !== globalThis.skerry.client.identity) break;
      }
      return { me: globalThis.skerry.client.identity, told };
    }, audit);
    await eve.load();
    await eve.until("welcomed", ({ status }) => status.connection === "online");
    const { name, known } = await eve.page.evaluate(async (id) => {
      const { client } = globalThis.skerry;
      const known = [client.spaces().length, 0];
      for await (const _ of client.space(id).events()) known[1]! += 1;
      return { name: client.identity, known };
    }, audit);
    assert.deepEqual(known, [0, 0]);
    await eve.page.goto("about:blank");
    const { me, told } = await heard;
    const of = (type: string, identity: string) => told.filter((record) => record[0] === type && record[1] === identity).length;
    assert.ok(of("$connect", me) >= 1 && of("$setup", me) === 1, String(told));
    assert.ok(of("$connect", name) >= 1 && of("$disconnect", name) === 1, String(told));
  }),
);
