// More than one device of one person, by links, and by a recovery key.
import assert from "node:assert/strict";
import { test } from "node:test";
import { World } from "./world.js";

const key = "?name=";

test("a device that another one links is one of its identity's, and no more from when it is unlinked on; what it wrote before is its own", { timeout: 120_000 }, () =>
  World.run([], async (world) => {
    const [laptop, phone] = [await world.device("laptop"), await world.device("phone")];
    await Promise.all([laptop.load(laptop.page, key), phone.load(phone.page, key)]);
    const ours = await laptop.page.evaluate(async () => {
      const { client } = globalThis.skerry;
      const space = await client.createSpace({ module: "personal" });
      await space.append("note", 1).synced;
      return { id: space.id, ann: client.identity, device: client.device };
    });
    assert.equal(ours.device, ours.ann);
    await phone.wire.cut();
    const own = await phone.page.evaluate(async (ann) => {
      const { client } = globalThis.skerry;
      const space = await client.createSpace();
      await space.append("note", "mine").durable;
      const unreachable = await client.acceptLink(ann).catch((error: { code: string }) => error.code);
      return { id: space.id, device: client.device, unreachable };
    }, ours.ann);
    assert.equal(own.unreachable, "overloaded");
    await phone.wire.mend();
    const accept = () => phone.page.evaluate((ann) => globalThis.skerry.client.acceptLink(ann), ours.ann);
    // A stranger links the phone, who says that it was after everybody else.
    const stranger = await world.device("stranger");
    await stranger.load(stranger.page, key);
    await stranger.page.evaluate((device) => {
      Date.now = () => 2 ** 53 - 1;
      return globalThis.skerry.client.link(device);
    }, own.device);
    assert.equal(await accept(), undefined);
    const nobody = await phone.page.evaluate(() => Promise.all(["", "ann", globalThis.skerry.client.device].map((name) => globalThis.skerry.client.acceptLink(name).catch((error: { code: string }) => error.code))));
    assert.deepEqual(nobody, ["bad_argument", "bad_argument", "bad_argument"]);
    await laptop.page.evaluate((device) => globalThis.skerry.client.link(device, { label: "phone" }), own.device);
    assert.equal(await accept(), ours.ann);
    await phone.page.reload();
    await phone.opened();
    await phone.poke();
    await phone.synced();
    const made = await phone.page.evaluate(async ({ ours, own }) => {
      const { client } = globalThis.skerry;
      await client.space(ours).append("note", 2).synced; // which only ann may
      await client.space(own).append("note", "ours").synced;
      const space = await client.createSpace({ module: "personal" });
      await space.append("note", 1).synced;
      const forbidden = await client.link(client.identity).catch((error: { code: string }) => error.code);
      return { identity: client.identity, device: client.device, kept: client.status.identity, id: space.id, creator: space.creator, forbidden };
    }, { ours: ours.id, own: own.id });
    assert.deepEqual({ ...made, id: "" }, { identity: ours.ann, device: own.device, kept: "key", id: "", creator: ours.ann, forbidden: "forbidden" });
    const authors = async (id: string) => (await world.server.log(id)).map(({ author }) => author);
    assert.deepEqual(await authors(ours.id), [ours.ann, ours.ann]);
    assert.deepEqual(await authors(own.id), [own.device, ours.ann]);
    await laptop.page.evaluate((id) => globalThis.skerry.client.space(id).append("note", 2).synced, made.id);

    const listed = await laptop.page.evaluate(async (device) => {
      const { client } = globalThis.skerry;
      await client.unlink(device);
      return client.devices();
    }, own.device);
    assert.equal(listed.length, 1);
    assert.deepEqual([listed[0]!.device, listed[0]!.label, listed[0]!.recovery, typeof listed[0]!.revokedAt], [own.device, "phone", false, "number"]);
    await phone.until("told", (c) => c.status.connection === "auth_required" && c.status.code === "revoked");
    const left = await phone.page.evaluate(async ({ id, ann }) => {
      const { client } = globalThis.skerry;
      await client.space(id).append("note", 3).durable;
      await client.unlink(client.device); // it is itself again
      return client.acceptLink(ann).catch((error: { code: string }) => error.code);
    }, ours);
    assert.equal(left, "revoked");
    phone.faults.splice(0, phone.faults.length, ...phone.faults.filter((fault) => !fault.includes("403"))); // the console tells of what was refused
    await phone.page.reload();
    await phone.opened();
    await phone.until("itself", (c) => c.identity === c.device && c.status.connection === "online");
    await phone.page.evaluate((id) => globalThis.skerry.client.space(id).append("note", "mine again").synced, own.id);
    assert.deepEqual(await authors(own.id), [own.device, ours.ann, own.device]);
    assert.equal((await world.server.log(ours.id)).length, 2);
    assert.equal(await phone.page.evaluate(() => globalThis.skerry.client.status.pending), 1); // kept, under the name that it was written under
  }),
);

test("a device whose link has ended is itself again when it takes it off, and one of the identity's again by another link", { timeout: 120_000 }, () =>
  World.run([], async (world) => {
    const [laptop, phone] = [await world.device("laptop"), await world.device("phone")];
    await Promise.all([laptop.load(laptop.page, key), phone.load(phone.page, key)]);
    const ours = await laptop.page.evaluate(async () => {
      const { client } = globalThis.skerry;
      const space = await client.createSpace({ module: "personal" });
      await space.append("note", 1).synced;
      return { id: space.id, ann: client.identity };
    });
    const device = await phone.page.evaluate(() => globalThis.skerry.client.device);
    const early = await laptop.page.evaluate((device) => globalThis.skerry.client.link(device, { expires: 1 }).catch((error: { code: string }) => error.code), device);
    assert.equal(early, "auth_expired");
    laptop.faults.splice(0, laptop.faults.length, ...laptop.faults.filter((fault) => !fault.includes("401"))); // the console tells of what was refused
    const expires = await laptop.page.evaluate(async (device) => {
      const expires = Date.now() + 10_000;
      await globalThis.skerry.client.link(device, { expires });
      return expires;
    }, device);
    const accept = () => phone.page.evaluate((ann) => globalThis.skerry.client.acceptLink(ann).catch((error: { code: string }) => error.code), ours.ann);
    assert.equal(await accept(), ours.ann);
    await phone.page.reload();
    await phone.opened();
    // However much of the link's time loading takes: connected already or not, it hears of the end.
    await phone.until("told", (c) => c.identity !== c.device && c.status.connection === "auth_required" && c.status.code === "auth_expired");
    assert.ok(Date.now() >= expires);
    await phone.page.evaluate(async ({ id }) => {
      const { client } = globalThis.skerry;
      await client.space(id).append("note", 2).durable;
      await client.unlink(client.device);
    }, ours);
    phone.faults.splice(0, phone.faults.length, ...phone.faults.filter((fault) => !fault.includes("401"))); // the console tells of what was refused
    await phone.page.reload();
    await phone.opened();
    await phone.until("itself", (c) => c.identity === c.device && c.status.connection === "online");
    await phone.page.evaluate(async () => (await globalThis.skerry.client.createSpace()).append("note", "mine").synced);
    await phone.until("one waits", (c) => c.status.pending === 1); // under the identity that it does not have now
    assert.equal((await world.server.log(ours.id)).length, 1);
    assert.equal(await accept(), "auth_expired");
    await laptop.page.evaluate((device) => globalThis.skerry.client.link(device), device);
    assert.equal(await accept(), ours.ann);
    await phone.page.reload();
    await phone.opened();
    await phone.synced();
    assert.equal((await world.server.log(ours.id)).length, 2);
  }),
);

test("a recovery key makes new devices its identity's, as often as it is needed, until it is unlinked", { timeout: 120_000 }, () =>
  World.run([], async (world) => {
    const [laptop, other] = [await world.device("laptop"), await world.device("other")];
    await Promise.all([laptop.load(laptop.page, key), other.load(other.page, key)]);
    const ours = await laptop.page.evaluate(async () => {
      const { client } = globalThis.skerry;
      const space = await client.createSpace({ module: "personal" });
      await space.append("note", 1).synced;
      return { id: space.id, ann: client.identity, words: await client.recoveryKey() };
    });
    assert.match(ours.words, /^([0-9A-Z]{6}-){11}[0-9A-Z]{6}$/);
    const paperKey = await laptop.page.evaluate(async () => (await globalThis.skerry.client.devices()).find(({ recovery }) => recovery)!.device);
    const older = await laptop.page.evaluate(async () => {
      const { importKey } = crypto.subtle;
      crypto.subtle.importKey = ((...all: Parameters<typeof importKey>) =>
        JSON.stringify(all[2]).includes("Ed25519") ? Promise.reject(new DOMException("no such keys", "NotSupportedError")) : importKey.apply(crypto.subtle, all)) as typeof importKey;
      const words = await globalThis.skerry.client.recoveryKey();
      crypto.subtle.importKey = importKey;
      const devices = (await globalThis.skerry.client.devices()).filter(({ recovery }) => recovery).map(({ device }) => device.slice(0, 11));
      return { words, devices: devices.sort() };
    });
    assert.deepEqual(older.devices, ["did:key:z6M", "did:key:zDn"]); // by an engine without Ed25519
    await laptop.kill(); // it is lost
    await other.page.evaluate(async (device) => {
      const { now } = Date;
      Date.now = () => 2 ** 53 - 1;
      await globalThis.skerry.client.link(device); // a stranger, who knows the key's name
      Date.now = now;
    }, paperKey);
    const recover = (name: string, words: string) =>
      other.page.evaluate(async ({ name, words, id }) => {
        const { open } = globalThis.skerry;
        const failed = (error: { code: string }) => error.code;
        const client = await open({ name, recover: words }).catch(failed);
        if (typeof client === "string") return client;
        const { seq } = await client.space(id).append("note", name).synced;
        const { identity, device } = client;
        await client.close();
        const again = await open({ name });
        const found = { same: device !== identity && again.identity === identity, identity, seq };
        await again.close();
        return found;
      }, { name, words, id: ours.id });
    assert.deepEqual(await recover("first", ours.words), { same: true, identity: ours.ann, seq: 2 });
    const spoken = ours.words.toLowerCase().replaceAll("-", " ").replaceAll("1", "l").replaceAll("0", "o");
    assert.deepEqual(await recover("second", spoken), { same: true, identity: ours.ann, seq: 3 });
    assert.deepEqual(await recover("older", older.words), { same: true, identity: ours.ann, seq: 4 });
    const wrong = ours.words.startsWith("A") ? "B" : "A";
    for (const words of [wrong + ours.words.slice(1), ours.words.slice(0, -1), `${ours.words}A`, ""]) assert.equal(await recover("wrong", words), "bad_argument", words);
    // One that the server has never heard of.
    const unheard = await other.page.evaluate(async () => {
      const { fetch } = globalThis;
      globalThis.fetch = (input, init) => (init?.method === "POST" && String(input).endsWith("/links") ? Promise.resolve(new Response("{}", { status: 201 })) : fetch(input, init));
      const words = await globalThis.skerry.client.recoveryKey();
      globalThis.fetch = fetch;
      return words;
    });
    assert.equal(await recover("unheard", unheard), "not_found");

    await laptop.launch(); // it is found again
    await laptop.load(laptop.page, key);
    const paper = await laptop.page.evaluate(async () => {
      const { client } = globalThis.skerry;
      const all = await client.devices();
      const papers = all.filter(({ recovery }) => recovery);
      for (const { device } of papers) await client.unlink(device);
      return { devices: all.length, labels: papers.map(({ label }) => label) };
    });
    assert.deepEqual(paper, { devices: 5, labels: ["recovery key", "recovery key"] });
    assert.equal(await recover("third", ours.words), "revoked");
    const after = await other.page.evaluate(async () => {
      const client = await globalThis.skerry.open({ name: "first" });
      const code = await new Promise<string | undefined>((resolve) => {
        const look = () => void (client.status.code && resolve(client.status.code));
        client.subscribe(look);
        look();
      });
      await client.close();
      return code;
    });
    assert.equal(after, "revoked");
  }),
);
