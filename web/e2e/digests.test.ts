// The tables of every device are the server's, by the digests of checkpoints, whatever became of devices, modules and the
// network in between; and where they are not, the page says so and goes on. In the engine that SKERRY_ENGINE names, with
// Chromium beside it.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Page } from "playwright-core";
import { damage, falsify, kept, lose } from "./checkpoints.js";
import { chromium, workerOf } from "./chromium.js";
import type { Engine, Tab } from "./engine.js";
import { chat, type Manifest, members } from "./guests.js";
import type { Replica } from "./replica.js";
import { engine, name } from "./tested.js";
import { assertSameLogs, seeded, seededBy, World } from "./world.js";

type Random = () => number;
type Event = { type: string; payload: object };

const upTo = (random: Random, n: number) => Math.floor(random() * n);
const pick = <T>(random: Random, of: readonly T[]): T => of[upTo(random, of.length)]!;

/** Modules that take over from one another. */
interface Family {
  readonly first: () => Uint8Array;
  /** Makes a module of random tables, of which some cannot take over. */
  next(random: Random, version: string): Uint8Array;
  /** Makes an event that the module may refuse; of the records up to head. */
  event(random: Random, head: number): Event;
  /** What the module allows unless a random index wants rows to differ: what is filled with is like it. */
  readonly alike: Event[];
}

/** Gives tables random indexes more, and takes them over in a random way. */
function vary(random: Random, manifest: Manifest): Manifest {
  const tables = manifest.tables!.map((table) => {
    const more = Array.from({ length: upTo(random, 3) }, (_, i) => ({
      name: `more${i}`,
      columns: table.columns.filter(() => random() < 0.5).map(({ name }) => name),
      unique: random() < 0.1,
    }));
    return { ...table, indexes: [...(table.indexes ?? []), ...more.filter(({ columns }) => columns.length > 0)] };
  });
  return { ...manifest, tables, upgrade: pick(random, ["carry", "replay"] as const) };
}

const families: Family[] = [
  {
    first: () => chat(),
    alike: ["alike", "alike"].map((text) => ({ type: "message", payload: { room: "fill", text } })),
    next: (random, version) => chat(version, pick(random, ["messages", "messages", "posts"]), (manifest) => vary(random, manifest)),
    event(random, head) {
      const text = "ünïcode ".repeat(upTo(random, 20));
      switch (upTo(random, 10)) {
        case 0:
          return { type: "message", payload: { room: "tea", text: "" } }; // refused
        case 1:
        case 2:
          return { type: "remove", payload: { seq: 1 + upTo(random, head) } };
        case 3:
          return { type: "edit", payload: { seq: 1 + upTo(random, head), text } };
        case 4:
          return { type: "stats", payload: { room: "tea" } };
        case 5:
          return { type: "join", payload: { name: `Ada ${upTo(random, 3)}`, age: upTo(random, 90) - 10 } };
      }
      return { type: "message", payload: { room: pick(random, ["tea", "cake"]), text: `${text}.` } };
    },
  },
  {
    first: () => members(),
    alike: ["member 1", "member 2"].map((who) => ({ type: "add", payload: { who } })),
    next: (random, version) => members(version, pick(random, ["members", "people"]), (manifest) => vary(random, manifest)),
    event(random) {
      const who = pick(random, ["bea", "cy", "dï", "x"]); // migrate stops at the last one
      switch (upTo(random, 6)) {
        case 0:
          return { type: "add", payload: { who } };
        case 1:
        case 2:
          return { type: "remove", payload: { who } };
      }
      return { type: "note", payload: { text: `${upTo(random, 1000)}` } };
    },
  },
];

/** A space of a family's modules. */
interface Subject {
  readonly id: string;
  readonly family: Family;
  readonly random: Random;
}

/** Makes a space of a module that only the page has. */
function make(page: Tab, module: Uint8Array): Promise<string> {
  return page.evaluate(async (module) => {
    const { client } = globalThis.skerry;
    return (await client.createSpace({ module: await client.putModule(new Uint8Array(module)) })).id;
  }, [...module]);
}

/** Writes transactions, and returns what became of each. */
function write(page: Tab, id: string, transactions: Event[][]): Promise<string[]> {
  return page.evaluate(
    async ([id, transactions]) => {
      const space = globalThis.skerry.client.space(id);
      const receipts = transactions.map((events) => space.transact(events));
      return Promise.all(receipts.map(({ synced }) => synced.then(() => "synced", (error: { code: string }) => error.code)));
    },
    [id, transactions] as const,
  );
}

/** Writes so many random transactions of one event or two. */
async function writeRandomly(page: Tab, { id, family, random }: Subject, count: number): Promise<string[]> {
  const head = await page.evaluate((id) => globalThis.skerry.client.space(id).info().seq, id);
  const event = () => family.event(random, head + 1);
  return write(page, id, Array.from({ length: count }, () => (random() < 0.8 ? [event()] : [event(), event()])));
}

/** Fills the log with changes that the module allows until it is behind record `to`, in transactions of at most so many events. */
async function fill(page: Tab, { id, random }: Subject, to: number, size = 200): Promise<void> {
  const refused = await page.evaluate(
    async ([id, to, size, seed]) => {
      const space = globalThis.skerry.client.space(id);
      let state = seed;
      const random = (n: number) => (state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff) % n;
      const pick = (of: string[]) => of[random(of.length)]!;
      const { name, tables } = await space.tables();
      if (name === "chat") await space.transact(Array.from({ length: 20 }, (_, i) => ({ type: "message", payload: { room: "fill", text: `${i}` } }))).synced;
      const own = name === "chat" ? (await space.table(tables[0]!.name).query()).filter((row) => row["room"] !== "hall").map((row) => row["seq"] as number) : [];
      const event = () =>
        name === "chat"
          ? { type: "edit", payload: { seq: own[random(own.length)]!, text: "changed ".repeat(1 + random(10)) } }
          : { type: pick(["add", "add", "remove"]), payload: { who: `member ${random(50)}` } };
      const receipts = [];
      for (let head = space.info().seq; head < to; head += size) receipts.push(space.transact(Array.from({ length: size }, event)));
      const codes = await Promise.all(receipts.map(({ synced }) => synced.then(() => "", (error: { code: string }) => error.code)));
      return codes.filter(Boolean);
    },
    [id, to, size, upTo(random, 2 ** 31)] as const,
  );
  assert.deepEqual(refused, []);
}

/** Takes the space over to random modules until one is accepted that can be filled. */
async function upgrade(page: Tab, { id, family, random }: Subject, version: number): Promise<void> {
  for (let n = 0; ; n++) {
    assert.ok(n < 20, "no module can take over");
    const module = [...family.next(random, `${version}.${n}.0`)];
    const code = await page.evaluate(
      async ([id, module]) => {
        const { client } = globalThis.skerry;
        const { synced } = client.space(id).upgrade(await client.putModule(new Uint8Array(module)));
        return synced.then(() => "", (error: { code: string }) => error.code);
      },
      [id, module] as const,
    );
    if (code === "" && (await write(page, id, [family.alike]))[0] === "synced") return;
    await write(page, id, [[{ type: "remove", payload: { who: "x" } }]]); // at which migrate stops
  }
}

/** Has a page make tables from now on. */
function watch(page: Tab, id: string): Promise<void> {
  return page.evaluate(async (id) => {
    const space = globalThis.skerry.client.space(id);
    const { tables } = await space.tables();
    space.table(tables[0]!.name).live().subscribe(() => {});
  }, id);
}

/** Waits until a page has the log up to a record, and its tables, and returns the chain, how many rows the tables have, and a hash of all. */
function rows(page: Tab, id: string, seq: number): Promise<string> {
  return page.evaluate(
    async ([id, seq]) => {
      const space = globalThis.skerry.client.space(id);
      await new Promise<void>((resolve) => {
        const look = () => space.info().seq >= seq && resolve();
        space.subscribe(look);
        look();
      });
      const { tables } = await space.tables();
      const query = () => Promise.all(tables.map(({ name }) => space.table(name).query({ limit: 100_000 })));
      let all = await query();
      while (all.flat().some((row) => row.$pending)) all = await query(); // about to be settled
      const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(JSON.stringify(all)));
      return [space.info().chain, ...tables.map(({ name }, i) => `${name} ${all[i]!.length}`), new Uint8Array(hash).slice(0, 8)].join();
    },
    [id, seq] as const,
  );
}

interface Told {
  readonly head: number;
  /** The newest checkpoint. */
  readonly checkpoint_seq?: number;
  readonly checkpoint: string;
}

/** Returns what the server tells of a space when it has a checkpoint of a record, or a later one. */
async function tells(world: World, id: string, least: number): Promise<Told> {
  const url = `http://127.0.0.1:${world.server.port}`;
  for (;;) {
    const [told] = await world.server.cli<Told>("space", "info", "--json", "--url", url, "--identity", "ada", id);
    if ((told!.checkpoint_seq ?? 0) >= least) return told!;
  }
}

/** Holds the tables of some devices, and their digests at the server's newest checkpoint, to the server's and each other. */
async function same(world: World, what: string, id: string, least: number, devices: Replica<Tab>[]): Promise<void> {
  const { head, checkpoint_seq: seq, checkpoint } = await tells(world, id, least);
  const all = await Promise.all(devices.map(({ page }) => rows(page, id, head)));
  assert.deepEqual(all, devices.map(() => all[0]), `${what}: devices have other rows`);
  const here = await Promise.all(devices.map(({ page }) => kept(page, id, seq!)));
  assert.deepEqual(here, devices.map(() => checkpoint), `${what}: other tables at record ${seq}`);
  const codes = await Promise.all(devices.map(({ page }) => page.evaluate((id) => globalThis.skerry.client.space(id).info().code, id)));
  assert.deepEqual(codes.filter(Boolean), [], what);
}

/** Adds a device of ada's, whose key the command line has, too. */
async function hers<T extends Tab>(world: World, engine: Engine<T>): Promise<Replica<T>> {
  return world.replica("ada", engine, await world.server.key("ada"));
}

/** Waits until a page has more of the log than up to a record. */
function moved(page: Tab, id: string, from: number): Promise<void> {
  return page.evaluate(
    ([id, from]) => {
      const space = globalThis.skerry.client.space(id);
      return new Promise<void>((resolve) => {
        const look = () => space.info().seq > from && resolve();
        space.subscribe(look);
        look();
      });
    },
    [id, from] as const,
  );
}

/** Ends a device in the middle of whatever it does, and opens it again. */
async function crash(device: Replica<Tab>): Promise<void> {
  if (name === "webkit") {
    await device.page.goto("about:blank"); // it keeps nothing on disk while it is automated, so its browser must go on
  } else {
    await device.kill();
    await device.launch();
  }
  await device.load();
}

test(`${name}: a page's tables are the server's, after upgrades, a crash, a rebase, and when they are made anew`, { timeout: 240_000 }, () =>
  World.run([], async (world) => {
    const seed = seeded();
    const ada = await hers(world, engine);
    const subjects: Subject[] = [];
    for (const family of families) subjects.push({ id: await make(ada.page, family.first()), family, random: seededBy(upTo(seed, 2 ** 31)) });
    const each = (f: (subject: Subject) => Promise<unknown>) => Promise.all(subjects.map(f));
    const allSame = async (what: string, least: number, ...devices: Replica<Tab>[]) => {
      await each(({ id }) => same(world, what, id, least, devices));
      console.log(`the same ${what}`);
    };

    await each(({ id }) => watch(ada.page, id));
    const far = await hers(world, chromium);
    await each(async (subject) => {
      await writeRandomly(ada.page, subject, 60);
      await rows(far.page, subject.id, 60 / 4); // what there is, so that it makes tables as they come
      await watch(far.page, subject.id);
      await fill(ada.page, subject, 1000);
    });
    await allSame("as written", 1000, ada, far);

    await each(async (subject) => {
      for (const version of [2, 3]) {
        await upgrade(ada.page, subject, version);
        await writeRandomly(ada.page, subject, 30);
      }
      await fill(ada.page, subject, 2000);
    });
    await allSame("upgraded", 2000, ada, far);

    const heads = new Map(await Promise.all(subjects.map(async ({ id }) => [id, (await tells(world, id, 2000)).head] as const)));
    ada.wire.rate = 200_000;
    const filled = each((subject) => fill(far.page, subject, 3000, 20));
    await each(({ id }) => moved(ada.page, id, heads.get(id)!));
    await crash(ada);
    ada.wire.rate = 0;
    await filled;
    await allSame("after a crash", 3000, ada, far);
    await each(({ id }) => watch(ada.page, id));

    await ada.wire.cut();
    const waiting = each((subject) => writeRandomly(ada.page, subject, 40));
    await each(async (subject) => {
      await writeRandomly(far.page, subject, 40);
      await fill(far.page, subject, 4000);
    });
    await ada.wire.mend();
    await ada.poke();
    await waiting;
    await allSame("rebased", 4000, ada, far);

    await ada.wire.cut(); // so that they are made of the log
    for (const spoil of [lose, damage]) {
      await each(({ id }) => spoil(ada.page, id));
      await ada.page.reload();
      await ada.opened();
      await each(({ id }) => ada.page.evaluate((id) => void globalThis.skerry.client.space(id).tables(), id));
      await ada.page.reload(); // in the middle of it
      await ada.opened();
      await allSame("made anew", 4000, ada, far);
    }
    await ada.wire.mend();
    await ada.poke();

    const fresh = await hers(world, engine);
    await each(async (subject) => {
      await rows(fresh.page, subject.id, 1);
      await fill(far.page, subject, 5000);
    });
    await allSame("begun with the server's", 5000, ada, far, fresh);
  }),
);

/** Notes from now on what a page is told of a space: its codes, each once, and that of the client. */
function listen(page: Tab, id: string): Promise<void> {
  return page.evaluate((id) => {
    const { client } = globalThis.skerry;
    const space = client.space(id);
    const told: string[] = [];
    const note = () => {
      const { code = "" } = space.info();
      if (told.at(-1) !== code) told.push(code);
    };
    space.subscribe(note);
    note();
    Object.assign(globalThis, { told });
  }, id);
}

/** Waits until a page was told of a space with a code, and returns all that it was told, and what it says now. */
function toldOf(page: Tab, id: string, code: string): Promise<{ told: string[]; reason: string; status: string }> {
  return page.evaluate(
    async ([id, code]) => {
      const { client } = globalThis.skerry;
      const space = client.space(id);
      await new Promise<void>((resolve, reject) => {
        setTimeout(() => reject(new Error(`not said to be "${code}": ${JSON.stringify([space.info(), client.status])}`)), 60_000);
        const look = () => (space.info().code ?? "") === code && (client.status.code ?? "") === code && resolve();
        space.subscribe(look);
        client.subscribe(look);
        look();
      });
      return { told: (globalThis as unknown as { told: string[] }).told, reason: space.info().reason, status: client.status.reason };
    },
    [id, code] as const,
  );
}

/** The texts of a chat's messages that are not of the filling; when nothing waits any more, unless that is not to be. */
function texts(page: Tab, id: string, waits = false): Promise<string> {
  return page.evaluate(async ([id, waits]) => {
    const space = globalThis.skerry.client.space(id);
    await new Promise<void>((resolve) => {
      const look = () => (waits || space.info().pending === 0) && resolve();
      space.subscribe(look);
      look();
    });
    let said = await space.table("messages").query({ index: "by_room", prefix: ["hall"] });
    while (!waits && said.some((row) => row.$pending)) said = await space.table("messages").query({ index: "by_room", prefix: ["hall"] });
    return said.map((row) => `${row["text"]}${row.$pending ? "*" : ""}`).join();
  }, [id, waits] as const);
}

const say = (text: string): Event => ({ type: "message", payload: { room: "hall", text } });

test(`${name}: a page whose tables are not the server's says so, takes the server's, and loses nothing`, { timeout: 120_000 }, () =>
  World.run([], async (world) => {
    const ada = await hers(world, engine);
    const subject = { id: await make(ada.page, chat()), family: families[0]!, random: seeded() };
    const { id } = subject;
    await watch(ada.page, id);
    await write(ada.page, id, [[say("what was said")]]);
    await fill(ada.page, subject, 1000);
    const there = await tells(world, id, 1000);
    const here = await kept(ada.page, id, there.checkpoint_seq!);
    assert.equal(here, there.checkpoint);

    await ada.wire.cut();
    await falsify(ada.page, id, "what was said", "what was SAID");
    await ada.page.reload();
    await ada.opened();
    assert.equal(await texts(ada.page, id), "what was SAID"); // nobody can tell
    await listen(ada.page, id);
    await ada.page.evaluate(async (id) => void (await globalThis.skerry.client.space(id).append("message", { room: "hall", text: "meanwhile" }).durable), id);
    assert.equal(await texts(ada.page, id, true), "what was SAID,meanwhile*");

    await ada.wire.mend();
    await ada.poke();
    const { told, reason, status } = await toldOf(ada.page, id, "module_diverged");
    assert.deepEqual(told, ["", "module_diverged"]);
    assert.equal(status, reason);
    assert.match(reason, new RegExp(`after record ${there.checkpoint_seq} are [0-9a-f]{64} here, by module [0-9a-f]{64} in .*, and ${there.checkpoint} on the server`));
    await ada.synced();
    assert.equal(await texts(ada.page, id), "what was said,meanwhile");
    assert.deepEqual(await write(ada.page, id, [[say("")], [say("afterwards")]]), ["module_2", "synced"]);
    assert.equal(await texts(ada.page, id), "what was said,meanwhile,afterwards");
    assert.deepEqual((await toldOf(ada.page, id, "module_diverged")).told, ["", "module_diverged"]);

    await fill(ada.page, subject, 2000);
    await tells(world, id, 2000);
    assert.deepEqual((await toldOf(ada.page, id, "")).told, ["", "module_diverged", ""]);
    await same(world, "after it agreed", id, 2000, [ada]);
    await assertSameLogs(world, [id]);
  }),
);

/** Has the engine in a page's worker write other rows into a module's first table than the module does, or no more. */
function err(page: Page, wrong: boolean): Promise<void> {
  return workerOf(page).evaluate((wrong) => {
    const worker = globalThis as unknown as { wrong?: boolean };
    if (worker.wrong === undefined) {
      type Put = (table: number, at: number, length: number) => void;
      const { Instance } = WebAssembly;
      WebAssembly.Instance = function (module: WebAssembly.Module, imports: { skerry1: Record<string, Put> }) {
        const put: Put = (table, at, length) => {
          const memory = instance.exports["memory"] as WebAssembly.Memory;
          if (worker.wrong && table === 0) new Uint8Array(memory.buffer)[at + length - 1]! ^= 1;
          imports.skerry1["put"]!(table, at, length);
        };
        const instance = new Instance(module, { skerry1: { ...imports.skerry1, put } });
        return instance;
      } as unknown as typeof Instance;
    }
    worker.wrong = wrong;
  }, wrong);
}

test("an engine with an error is found out at an upgrade, and queries say so until the server's tables can be had", { timeout: 120_000, skip: name !== "chromium" }, () =>
  World.run([], async (world) => {
    const ada = await hers(world, chromium);
    await err(ada.page, true);
    const subject = { id: await make(ada.page, chat()), family: families[0]!, random: seeded() };
    const { id } = subject;
    await watch(ada.page, id);
    await listen(ada.page, id);
    await write(ada.page, id, [[say("a")], [say("b")]]);
    assert.equal(await texts(ada.page, id), "`,c");
    const codes = await ada.page.evaluate(
      async ([id, module]) => {
        const { client } = globalThis.skerry;
        const space = client.space(id);
        const live = space.table("messages").live();
        live.subscribe(() => {});
        await space.upgrade(await client.putModule(new Uint8Array(module))).synced;
        await new Promise<void>((resolve) => {
          const look = () => live.error && resolve();
          live.subscribe(look);
          look();
        });
        const query = await space.table("messages").query().then(() => "", (error: { code: string }) => error.code);
        await space.append("message", { room: "hall", text: "c" }).synced; // the log goes on
        while (!space.info().code || !client.status.code) await new Promise((resolve) => setTimeout(resolve, 20)); // the view may tell first
        return [live.error?.code, query, space.info().code, client.status.code];
      },
      [id, [...chat("2.0.0")]] as const,
    );
    assert.deepEqual(codes, Array(4).fill("module_diverged"));
    assert.match((await toldOf(ada.page, id, "module_diverged")).reason, /after record 3 are .* in .*Chrome/);

    await err(ada.page, false);
    const far = await hers(world, chromium);
    await rows(far.page, id, 5);
    await fill(far.page, subject, 1000);
    const { head } = await tells(world, id, 1000);
    await ada.page.evaluate(async (id) => {
      const table = globalThis.skerry.client.space(id).table("messages");
      while (await table.query().then(() => false, (error: { code: string }) => error.code === "module_diverged")) await new Promise((resolve) => setTimeout(resolve, 20));
    }, id);
    assert.equal(await rows(ada.page, id, head), await rows(far.page, id, head));
    assert.equal(await texts(ada.page, id), "a,b,c");
    await fill(ada.page, subject, 2000);
    await tells(world, id, 2000);
    assert.deepEqual((await toldOf(ada.page, id, "")).told.slice(-3), ["", "module_diverged", ""]);
    await same(world, "after it agreed", id, 2000, [ada, far]);
  }),
);
