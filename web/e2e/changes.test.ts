// What a change of a module does to whom: a page whose code was generated from the older module and one whose code is from the newer, at one server, go through every
// change. Either reads what the other wrote, at the older module and at the newer one, and the older page comes back with what it wrote offline meanwhile. What
// happens is what docs/modules/versions.md says. The rows are gone through at once, a space each.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import type { Client, EventRecord, ModuleCode, open as Open, Space } from "skerry";
import { codeOf, type Version } from "../test/generated.js";
import { fromHex, root } from "../test/root.js";
import { chromium } from "./chromium.js";
import { type EventType, field, type Field, inventory, kept, keptBy, type Manifest, members } from "./guests.js";
import type { Replica } from "./replica.js";
import { assertSameLogs, World } from "./world.js";

interface Written {
  readonly type: string;
  readonly payload: Record<string, unknown>;
}

/** What a live query gives: why not, if it does not, and how many rows. */
type Given = readonly [code: string, rows: number];

interface Looks {
  readonly table: string;
  readonly index?: string;
  readonly before: Given;
  readonly after: Given;
}

interface Change {
  readonly what: string;
  /** By how much a version has to rise for it, as `skerry module diff` says. */
  readonly bump: "patch" | "minor" | "major";
  readonly older: Uint8Array;
  readonly newer: Uint8Array;
  /** Lists what newer does not, where that leaves something waiting. */
  readonly again?: Uint8Array;
  /** What the older page writes, at the older module and offline; `late` is what it writes offline instead. */
  readonly olds: readonly Written[];
  readonly late?: readonly Written[];
  /** What the newer page writes, at either module. */
  readonly news: readonly Written[];
  /** Why news wait at the older module, if they do, and what the older page writes offline at the newer one. */
  readonly waits?: string;
  readonly stays?: string;
  /** What of the older page the newer module refuses, by type or by an item. */
  readonly refused?: Readonly<Record<string, string>>;
  /** What the older page reads of news, and the newer one of olds, a payload or a code; at the older module, if that differs; and of news, if that is not what it wrote. */
  readonly oldReads: readonly unknown[];
  readonly newReads: readonly unknown[];
  readonly newReadBefore?: readonly unknown[];
  readonly own?: readonly unknown[];
  /** What either page is told, once. */
  readonly oldTold: readonly string[];
  readonly newTold: readonly string[];
  /** What the module keeps of the olds of before, as news, and of the olds that come later. */
  readonly kept?: readonly [was: readonly string[], news: readonly string[], later: readonly string[]];
  /** What the queries of either page give at the older module and at the newer. */
  readonly oldLooks?: Looks;
  readonly newLooks?: Looks;
}

/** Values as the module keeps them: texts, whole numbers, absent ones, and optional ones that are there. */
function row(...values: (string | number | null | [string])[]): string {
  const text = (s: string) => String.fromCharCode(s.length, 0, 0, 0) + s;
  return values.map((v) => (v === null ? "\0" : typeof v === "number" ? String.fromCharCode(v & 0xff, v >> 8, 0, 0, 0, 0, 0, 0) : typeof v === "string" ? text(v) : `\x01${text(v[0])}`)).join("");
}

const texts = (...names: string[]): Field[] => names.map((name) => field(name, "text"));
const was = texts("text");
const mood: Field = field("mood", "text", true);
const calm: Field = { ...field("mood", "text"), default: "calm" };
const note = (fields: readonly Field[], ...older: NonNullable<EventType["older"]>): EventType => ({ name: "note", fields, ...(older.length > 0 ? { older } : {}) });
const shout: EventType = { name: "shout", fields: was };
const wrote = (payload: Record<string, unknown>, type = "note"): Written => ({ type, payload });
const two = [wrote({ text: "one" }), wrote({ text: "two" })];
const twoRows = [row("one"), row("two")];
const one = kept("1.0.0", [note(was)]);
const lists = { fields: was };
const same = { olds: two, news: [wrote({ text: "new" })], oldReads: [{ text: "new" }], newReads: [{ text: "one" }, { text: "two" }], oldTold: [] as string[], newTold: [] as string[] };
const renamed = (name: string) => (m: Manifest): Manifest => ({ ...m, tables: [{ ...m.tables![0]!, name }] });
const indexed = (m: Manifest): Manifest => ({ ...m, tables: [{ ...m.tables![0]!, indexes: [{ name: "by_payload", columns: ["payload"] }] }] });
const put = (index: number, item: string) => wrote({ index, item }, "put");

const changes: readonly Change[] = [
  {
    what: "add an event type", bump: "minor", older: one, newer: kept("1.1.0", [note(was), shout]), olds: two, news: [wrote({ text: "ho" }, "shout")], waits: "unknown_type",
    oldReads: ["nothing"], newReads: [{ text: "one" }, { text: "two" }], oldTold: ["event shout: undefined"], newTold: ["event shout: unknown_type"],
    kept: [twoRows, [row("ho")], twoRows],
  }, {
    what: "add an optional field", bump: "minor", older: one, newer: kept("1.1.0", [note([...was, mood], lists)]), olds: two, news: [wrote({ text: "new", mood: "glad" })], waits: "schema_unknown",
    oldReads: [{ text: "new" }], newReads: [{ text: "one" }, { text: "two" }], oldTold: ["event note: undefined"], newTold: ["event note: schema_unknown"],
    kept: [twoRows, [row("new", ["glad"])], [row("one", null), row("two", null)]],
  }, {
    what: "add a field with a default", bump: "minor", older: one, newer: kept("1.1.0", [note([...was, calm], lists)]), olds: two, news: [wrote({ text: "new" })], waits: "schema_unknown",
    oldReads: [{ text: "new" }], newReads: [{ text: "one", mood: "calm" }, { text: "two", mood: "calm" }], own: [{ text: "new", mood: "calm" }],
    oldTold: ["event note: undefined"], newTold: ["event note: schema_unknown"], kept: [twoRows, [row("new", "calm")], [row("one", "calm"), row("two", "calm")]],
  }, {
    what: "add a field with a default, and make the tables anew", bump: "minor", older: one, newer: kept("1.1.0", [note([...was, calm], lists)], (m) => ({ ...m, upgrade: "replay" })),
    olds: two, news: [wrote({ text: "new" })], waits: "schema_unknown",
    oldReads: [{ text: "new" }], newReads: [{ text: "one", mood: "calm" }, { text: "two", mood: "calm" }], own: [{ text: "new", mood: "calm" }],
    oldTold: ["event note: undefined"], newTold: ["event note: schema_unknown"],
    kept: [[row("one", "calm"), row("two", "calm")], [row("new", "calm")], [row("one", "calm"), row("two", "calm")]],
  }, {
    what: "add a required field", bump: "minor", older: one, newer: kept("1.1.0", [note(texts("mood", "text"), { ...lists, default: { mood: "calm" } })]),
    olds: two, news: [wrote({ text: "new", mood: "glad" })], waits: "schema_unknown",
    oldReads: [{ text: "new" }], newReads: [{ mood: "calm", text: "one" }, { mood: "calm", text: "two" }], oldTold: ["event note: undefined"], newTold: ["event note: schema_unknown"],
    kept: [twoRows, [row("glad", "new")], [row("calm", "one"), row("calm", "two")]],
  }, {
    what: "add a required field, and refuse what lacks it", bump: "major", older: one, newer: kept("2.0.0", [note(texts("mood", "text"), { ...lists, refused: true })]),
    olds: two, news: [wrote({ text: "new", mood: "glad" })], waits: "schema_unknown", refused: { one: "schema_mismatch", two: "schema_mismatch" },
    oldReads: ["schema_unknown"], newReads: ["schema_unknown", "schema_unknown"], // nobody says what the fields of one are to the other
    oldTold: ["event note: schema_mismatch"], newTold: ["event note: schema_unknown"], kept: [twoRows, [row("glad", "new")], []],
  }, {
    what: "remove a field", bump: "major", older: kept("1.0.0", [note(texts("text", "mood"))]), newer: kept("2.0.0", [note(was, { fields: texts("text", "mood"), drop: ["mood"] })]),
    olds: [wrote({ text: "one", mood: "glad" })], news: [wrote({ text: "new" })], waits: "schema_unknown",
    oldReads: ["schema_incompatible"], newReads: [{ text: "one" }], oldTold: ["event note: schema_incompatible"], newTold: ["event note: schema_unknown"],
    kept: [[row("one", "glad")], [row("new")], [row("one")]],
  }, {
    what: "rename a field", bump: "minor", older: kept("1.0.0", [note(texts("body"))]), newer: kept("1.1.0", [note(was, { fields: texts("body"), rename: { body: "text" } })]),
    olds: [wrote({ body: "one" })], news: [wrote({ text: "new" })], waits: "schema_unknown",
    oldReads: [{ body: "new" }], newReads: [{ text: "one" }], oldTold: ["event note: undefined"], newTold: ["event note: schema_unknown"], kept: [[row("one")], [row("new")], [row("one")]],
  }, {
    what: "retype a field", bump: "major", older: kept("1.0.0", [note([field("at", "u64")])]), newer: kept("2.0.0", [note(texts("at"), { fields: [field("at", "u64")], drop: ["at"], default: { at: "" } })]),
    olds: [wrote({ at: 12 })], news: [wrote({ at: "noon" })], waits: "schema_unknown",
    oldReads: ["schema_incompatible"], newReads: [{ at: "" }], oldTold: ["event note: schema_incompatible"], newTold: ["event note: schema_unknown"], kept: [[row(12)], [row("noon")], [row("")]],
  }, {
    what: "remove an event type", bump: "major", older: kept("1.0.0", [note(was), shout]), newer: kept("2.0.0", [note(was), { ...shout, removed: true }]),
    olds: [two[0]!, wrote({ text: "ho" }, "shout"), two[1]!], news: [wrote({ text: "new" })], refused: { ho: "type_removed" },
    oldReads: [{ text: "new" }], newReads: [{ text: "one" }, { text: "ho" }, { text: "two" }], oldTold: ["event shout: type_removed"], newTold: [],
    kept: [[row("one"), row("ho"), row("two")], [row("new")], twoRows],
  }, {
    what: "list a declaration no more, and list it again", bump: "major", older: one, newer: kept("2.0.0", [note([...was, mood])]), again: kept("2.1.0", [note([...was, mood], lists)]),
    olds: two, news: [wrote({ text: "new", mood: "glad" })], waits: "schema_unknown", stays: "schema_unknown",
    oldReads: [{ text: "new" }], newReads: [{ text: "one" }, { text: "two" }], newReadBefore: ["schema_unknown", "schema_unknown"],
    oldTold: ["event note: schema_unknown", "event note: undefined"], newTold: ["event note: schema_unknown"], kept: [twoRows, [row("new", ["glad"])], [row("one", null), row("two", null)]],
  }, {
    ...same, what: "add a table", bump: "minor", older: one, newer: kept("1.1.0", [note(was)], (m) => ({ ...m, tables: [{ ...m.tables![0]!, name: "late" }, ...m.tables!] })),
    newTold: ["table late: not_found"], oldLooks: { table: "kept", before: ["", 3], after: ["", 3] }, newLooks: { table: "late", before: ["not_found", 0], after: ["", 3] },
  }, {
    ...same, what: "remove a table", bump: "major", older: one, newer: kept("2.0.0", [note(was)], renamed("late")), oldTold: ["table kept: not_found"], newTold: ["table late: not_found"],
    oldLooks: { table: "kept", before: ["", 3], after: ["not_found", 0] }, newLooks: { table: "late", before: ["not_found", 0], after: ["", 3] },
  }, {
    ...same, what: "add an index", bump: "patch", older: one, newer: kept("1.0.1", [note(was)], indexed),
    oldLooks: { table: "kept", before: ["", 3], after: ["", 6] }, newLooks: { table: "kept", index: "by_payload", before: ["schema_incompatible", 2], after: ["", 6] },
  }, {
    ...same, what: "remove an index", bump: "major", older: kept("1.0.0", [note(was)], indexed), newer: kept("2.0.0", [note(was)]),
    oldLooks: { table: "kept", index: "by_payload", before: ["", 3], after: ["schema_incompatible", 6] }, newLooks: { table: "kept", before: ["", 2], after: ["", 6] },
  }, {
    ...same, what: "remove an index that is in no use", bump: "major", older: kept("1.0.0", [note(was)], indexed), newer: kept("2.0.0", [note(was)]),
    oldLooks: { table: "kept", before: ["", 3], after: ["", 6] }, newLooks: { table: "kept", before: ["", 2], after: ["", 6] },
  }, {
    what: "take tables over by migrate", bump: "major", older: members("1.0.0"), newer: members("2.0.0", "people"), olds: [wrote({ who: "bea" }, "add")], late: [wrote({ who: "cy" }, "add")],
    news: [wrote({ text: "new" })], oldReads: [{ text: "new" }], newReads: [{ who: "bea" }], oldTold: ["table members: not_found"], newTold: ["table people: not_found"],
    oldLooks: { table: "members", before: ["", 2], after: ["not_found", 0] },
    newLooks: { table: "people", before: ["not_found", 0], after: ["", 4] }, // and one that migrate adds
  }, {
    what: "the same shape with a new meaning", bump: "major", older: kept("1.0.0", [{ name: "put", fields: [field("index", "u64"), field("item", "text")] }]), newer: inventory(),
    olds: [put(0, "axe")], late: [put(2, "lamp"), put(8, "map")], news: [put(2, "rope")], refused: { map: "refused" },
    oldReads: [{ index: 2, item: "rope" }], newReads: [{ index: 0, item: "axe" }], oldTold: ["table kept: not_found"], newTold: ["table slots: not_found"],
    oldLooks: { table: "kept", before: ["", 2], after: ["not_found", 0] }, newLooks: { table: "slots", before: ["not_found", 0], after: ["", 3] },
  },
];

/** What a page says of a space. */
interface Said {
  readonly reads: readonly unknown[];
  readonly by: readonly string[]; // api and app, of each
  readonly pending: readonly string[]; // why, of each
  readonly rejected: readonly string[];
  readonly told: readonly string[];
  readonly kept: readonly string[];
  readonly looked: Given;
  readonly seq: number;
  readonly module: string | undefined;
}

/** A space by its name in these tests, and what is waited for before it says anything. */
interface Asked {
  readonly name: string;
  readonly seq?: number;
  readonly pending?: readonly string[];
  readonly looked?: Given;
  readonly told?: number;
}

/** What is installed in either page: an app whose code is of one version. */
interface App {
  open(clientVersion: string): Promise<void>;
  use(rows: readonly { name: string; id: string; code: ModuleCode; looks?: Looks | undefined }[]): void;
  make(modules: readonly number[][]): Promise<string[]>;
  write(rows: readonly { name: string; events: readonly Written[] }[], moment: "durable" | "synced"): Promise<void>;
  upgrade(rows: readonly { name: string; module: readonly number[] }[]): Promise<void>;
  say(rows: readonly Asked[]): Promise<Said[]>;
  history(names: readonly string[]): Promise<string[][]>;
  slots(name: string): Promise<string[]>;
}

declare global {
  var app: App;
}

async function install(): Promise<void> {
  const library = "/skerry.js";
  const { open } = (await import(library)) as { open: typeof Open };
  const spaces = new Map<string, { space: Space; told: string[]; look: () => Given }>();
  const { app } = Object.assign(globalThis, { skerry: { open, client: undefined as unknown as Client }, app: {} as App });
  const of = (name: string) => spaces.get(name)!;
  const codeOf = (error: unknown) => (error as { code: string }).code;

  app.open = async (clientVersion) => {
    const client = await open({ name: "ada", clientVersion });
    spaces.clear();
    client.on("warning", ({ space, of, name, code }) => {
      for (const known of spaces.values()) if (known.space.id === space) known.told.push(`${of} ${name}: ${code}`);
    });
    globalThis.skerry.client = client;
  };
  app.use = (rows) => {
    for (const { name, id, code, looks } of rows) {
      const known = { space: undefined as unknown as Space, told: [] as string[], look: (): Given => ["", 0] };
      spaces.set(name, known);
      known.space = globalThis.skerry.client.space(id, code) as unknown as Space;
      if (!looks) continue;
      const live = known.space.table(looks.table).live((looks.index ? { index: looks.index } : {}) as object);
      live.subscribe(() => {});
      known.look = () => [live.error?.code ?? (live.ready ? "" : "not yet"), live.getSnapshot().length];
    }
  };
  app.make = (modules) =>
    Promise.all(modules.map(async (bytes) => {
      const { client } = globalThis.skerry;
      return (await client.createSpace({ module: await client.putModule(new Uint8Array(bytes)) })).id;
    }));
  app.write = async (rows, moment) => {
    await Promise.all(rows.flatMap(({ name, events }) => events.map(({ type, payload }) => of(name).space.append(type, payload)[moment])));
  };
  app.upgrade = async (rows) => {
    await Promise.all(rows.map(async ({ name, module }) => of(name).space.upgrade(await globalThis.skerry.client.putModule(new Uint8Array(module))).synced));
  };
  app.say = (rows) =>
    Promise.all(rows.map(async ({ name, seq = 0, pending: waiting = [], looked, told: tells = 0 }) => {
      const { space, told, look } = of(name);
      const end = Date.now() + 20_000; // then it says what there is, which is not what should be
      let pending: string[];
      for (;;) {
        const { seq: at, caughtUp } = space.info();
        pending = (await space.pending()).map(({ code }) => String(code));
        if (at >= seq && caughtUp && `${pending}` === `${waiting}` && (!looked || `${look()}` === `${looked}`)) break;
        if (Date.now() > end) break;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      const reads: unknown[] = [];
      const by: string[] = [];
      for await (const event of space.events()) {
        if (event.type.startsWith("$")) continue;
        by.push(`${event.api} ${event.clientVersion}`);
        reads.push(await (space.read as (event: EventRecord) => Promise<{ payload: unknown } | undefined>).call(space, event).then((read) => read?.payload ?? "nothing", codeOf));
      }
      while (told.length < tells && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 20));
      const rejected = (await space.rejected()).map(({ events: [event], code }) => `${Object.values(event!.payload as object).at(-1)}: ${code}`);
      const keeps = (await space.tables()).tables.some((table) => table.name === "kept");
      const kept = keeps ? (await space.table("kept").query()).map((row) => String.fromCharCode(...(row["payload"] as Uint8Array))) : [];
      return { reads, by, pending, rejected, told: [...told], kept, looked: look(), seq: space.info().seq, module: space.info().module };
    }));
  app.history = (names) => Promise.all(names.map(async (name) => (await of(name).space.modules()).history.map(({ version }) => String(version))));
  app.slots = async (name) => (await of(name).space.table("slots").query()).map((row) => `${row["slot"]} ${row["item"]}`);
}

/** Opens the app of a version on a device that has nothing loaded. */
async function start(device: Replica, clientVersion: string): Promise<void> {
  await device.page.goto(`${device.wire.origin}/nothing.html`);
  await device.page.evaluate(install);
  await device.page.evaluate((version) => globalThis.app.open(version), clientVersion);
}

const all = changes.map(({ what }) => what);
const say = ({ page }: Replica, rows: readonly Asked[]): Promise<Said[]> => page.evaluate((rows) => globalThis.app.say(rows), rows);
const write = ({ page }: Replica, rows: readonly { name: string; events: readonly Written[] }[], moment: "durable" | "synced") =>
  page.evaluate(([rows, moment]) => globalThis.app.write(rows, moment), [rows, moment] as const);
const upgrade = ({ page }: Replica, rows: readonly { name: string; module: readonly number[] }[]) => page.evaluate((rows) => globalThis.app.upgrade(rows), rows);
const payloads = (events: readonly Written[]) => events.map(({ payload }) => payload);
const isRefused = (change: Change) => ({ payload }: Written) => Object.values(payload).some((value) => Object.hasOwn(change.refused ?? {}, String(value)));

/** What either page says of every change, at each of its moments. */
class Seen {
  bumps: { older: { version: string }; newer: { version: string }; least_bump: string; enough: boolean }[] = [];
  newBefore: Said[] = [];
  oldBefore: Said[] = [];
  newAlone: Said[] = [];
  oldBack: Said[] = [];
  oldAfter: Said[] = [];
  newAfter: Said[] = [];
  updated: Said[] = [];
  history: string[][] = [];
  slots: string[] = [];
  ids: readonly string[] = [];
}

/** Takes spaces over to modules, as who publishes them does. */
async function publish(world: World, modules: readonly (readonly [id: string, file: string])[], strict = true): Promise<void> {
  await Promise.all(modules.map(([id, file]) => world.server.cli("module", "publish", "--json", "--yes", ...(strict ? ["--strict"] : []), "--url", `ws://127.0.0.1:${world.server.port}/sync`, "--identity", "ada", id, file)));
}

/** Takes two pages of one person through all changes at once. */
async function live(world: World, old: Replica, now: Replica): Promise<Seen> {
  const seen = new Seen();
  const dir = join(world.dir, "modules");
  mkdirSync(dir);
  const fileOf = (i: number, version: number) => join(dir, `${i}-${version}.wasm`);
  const made = new Map<string, Promise<ModuleCode>>(); // many rows begin with the same module
  const codes = await Promise.all(changes.map(async ({ older, newer }, i) => {
    const files = [older, newer].map((bytes, k) => {
      const file = fileOf(i, k);
      writeFileSync(file, bytes);
      return file;
    });
    const generated = files.map((file, k) => {
      const key = Buffer.from([older, newer][k]!).toString("base64");
      if (!made.has(key)) made.set(key, world.server.print("module", "types", "--lang", "ts", file).then((typescript) => codeOf({ typescript } as Version)));
      return made.get(key)!;
    });
    [seen.bumps[i]] = (await world.server.cli<Seen["bumps"][0]>("module", "diff", "--json", ...files)) as [Seen["bumps"][0]];
    return Promise.all(generated);
  }));
  const use = ({ page }: Replica, version: 0 | 1, ids: readonly string[]) =>
    page.evaluate((rows) => globalThis.app.use(rows), changes.map(({ what, oldLooks, newLooks }, i) => ({ name: what, id: ids[i]!, code: codes[i]![version]!, looks: version ? newLooks : oldLooks })));
  const written = (of: "olds" | "late" | "news") => changes.map((change) => ({ name: change.what, events: (of === "late" ? change.late ?? change.olds : change[of]) }));

  // The older page makes the spaces, and writes.
  const ids = await old.page.evaluate((modules) => globalThis.app.make(modules), changes.map(({ older }) => [...older]));
  seen.ids = ids;
  await use(old, 0, ids);
  await write(old, written("olds"), "synced");

  // The newer page reads that, and writes at the older module.
  await use(now, 1, ids);
  await say(now, changes.map(({ what, olds, newLooks }) => ({ name: what, seq: olds.length, ...(newLooks ? { looked: newLooks.before } : {}) })));
  await write(now, written("news"), "durable");
  seen.newBefore = await say(now, changes.map(({ what, olds, news, waits, newTold }) => ({ name: what, seq: olds.length + (waits ? 0 : news.length), pending: waits ? news.map(() => waits) : [], told: newTold.length })));
  seen.oldBefore = await say(old, changes.map(({ what, olds, news, waits, oldLooks }) => ({ name: what, seq: olds.length + (waits ? 0 : news.length), ...(oldLooks ? { looked: oldLooks.before } : {}) })));

  // While the older page writes offline, the newer one takes the spaces over.
  await old.wire.cut();
  await write(old, written("late"), "durable");
  await publish(world, changes.map((_, i) => [ids[i]!, fileOf(i, 1)]));
  await write(now, written("news"), "synced");
  seen.newAlone = await say(now, all.map((name) => ({ name })));
  await old.wire.mend();
  await old.poke();
  const stays = ({ stays, olds }: Change) => (stays ? olds.map((_, i) => (i === 0 ? stays : "undefined")) : []); // what is behind it is not judged
  const back = (again: boolean) => say(old, changes.map((change, i) => ({ name: change.what, seq: seen.newAlone[i]!.seq, pending: again ? [] : stays(change), told: again ? change.oldTold.length : 0, ...(change.oldLooks ? { looked: change.oldLooks.after } : {}) })));
  seen.oldBack = await back(false);
  await upgrade(now, changes.flatMap(({ what, again }) => (again ? [{ name: what, module: [...again] }] : [])));
  seen.oldAfter = await back(true);
  seen.newAfter = await say(now, changes.map(({ what, newLooks }, i) => ({ name: what, seq: seen.oldAfter[i]!.seq, ...(newLooks ? { looked: newLooks.after } : {}) })));
  seen.history = await now.page.evaluate((names) => globalThis.app.history(names), all);

  // The older app is upgraded before what it wrote offline is sent.
  await old.wire.cut();
  await write(old, [{ name: all.at(-1)!, events: [put(3, "oar")] }], "durable");
  await old.wire.mend();
  await start(old, "2.4.6");
  await use(old, 1, ids);
  seen.updated = await say(old, changes.map(({ what, newLooks }, i) => ({ name: what, seq: seen.newAfter[i]!.seq + (what === all.at(-1) ? 1 : 0), ...(newLooks && what !== all.at(-1) ? { looked: newLooks.after } : {}) })));
  seen.slots = await old.page.evaluate((name) => globalThis.app.slots(name), all.at(-1)!);
  return seen;
}

async function check(t: TestContext, seen: Seen): Promise<void> {
  for (const [i, change] of changes.entries()) {
    await t.test(change.what, () => {
      const { olds, news, oldReads, newReads, newReadBefore = newReads, own = payloads(news), waits, stays, refused = {} } = change;
      const late = change.late ?? olds;
      const taken = late.filter((event) => !isRefused(change)(event));
      const old = (events: readonly Written[]) => events.map((event) => newReads[olds.findIndex(({ type, payload }) => type === event.type && JSON.stringify(payload) === JSON.stringify(event.payload))] ?? event.payload);
      const { older, newer, least_bump, enough } = seen.bumps[i]!;
      assert.deepEqual([least_bump, enough], [change.bump, true]);
      assert.deepEqual(seen.history[i], [older.version, newer.version, ...(change.again ? ["2.1.0"] : [])]);

      assert.deepEqual(seen.newBefore[i]!.reads, [...newReadBefore, ...(waits ? [] : own)], "the newer page at the older module reads");
      assert.deepEqual(seen.newBefore[i]!.pending, waits ? news.map(() => waits) : []);
      assert.deepEqual(seen.newBefore[i]!.told, change.newTold);
      assert.deepEqual(seen.oldBefore[i]!.reads, [...payloads(olds), ...(waits ? [] : oldReads)], "the older page at the older module reads");
      assert.deepEqual(seen.oldBefore[i]!.told, []);

      if (stays) assert.deepEqual(seen.oldBack[i]!.reads, [...payloads(olds), ...[...news, ...news].map(() => stays)], "the older page reads what nobody translates");
      assert.deepEqual(seen.oldBack[i]!.pending, stays ? late.map((_, i) => (i === 0 ? stays : "undefined")) : []);
      assert.deepEqual(seen.oldAfter[i]!.reads, [...payloads(olds), ...oldReads, ...oldReads, ...payloads(taken)], "the older page at the newer module reads");
      assert.deepEqual(seen.oldAfter[i]!.rejected, Object.entries(refused).map(([item, code]) => `${item}: ${code}`));
      assert.deepEqual(seen.oldAfter[i]!.told, change.oldTold);
      const read = [...newReads, ...own, ...own, ...old(taken)];
      assert.deepEqual(seen.newAfter[i]!.reads, read, "the newer page at the newer module reads");
      assert.deepEqual(seen.newAfter[i]!.rejected, []);
      assert.deepEqual(seen.newAfter[i]!.told, change.newTold);
      assert.deepEqual(seen.newAfter[i]!.by, [...olds.map(() => "1.0.0 2.4.4"), ...[...news, ...news].map(() => "1.0.0 2.4.6"), ...taken.map(() => "1.0.0 2.4.4")]);
      assert.deepEqual(seen.updated[i]!.reads.slice(0, read.length), read, "once it was upgraded, the older page reads");
      if (change.kept) {
        const [was, rows, later] = change.kept;
        for (const { kept } of [seen.oldAfter[i]!, seen.newAfter[i]!, seen.updated[i]!]) assert.deepEqual(kept, [...was, ...rows, ...rows, ...later]);
      }
      assert.deepEqual([seen.oldBefore[i]!.looked, seen.oldAfter[i]!.looked, seen.newAfter[i]!.looked], [
        change.oldLooks?.before ?? ["", 0], change.oldLooks?.after ?? ["", 0], change.newLooks?.after ?? ["", 0],
      ]);
      assert.equal(seen.oldAfter[i]!.module, seen.newAfter[i]!.module);
    });
  }
}

/** What the pages of the two versions say when all is done. */
interface Literal {
  readonly id: string;
  readonly before: Said;
  readonly waits: Said;
  readonly lens: Said;
  readonly refused: string;
  readonly old: Said;
  readonly now: Said;
}

/**
 * An event is encoded under api, app and module 1.1.2, and read under 1.0.1. No build speaks api 1.1.2 yet: what waits in the newer page is marked so where it is stored, as
 * by one that did before its site went back to this build.
 */
async function literal(world: World, old: Replica, now: Replica): Promise<Literal> {
  const versions = JSON.parse(readFileSync(join(root, "web/test/testdata/notes.json"), "utf8")) as [Version, Version];
  const [v101, v112] = await Promise.all(versions.map(codeOf)) as [ModuleCode, ModuleCode];
  const [was, is] = versions.map(({ manifest }) => keptBy(fromHex(manifest))) as [Uint8Array, Uint8Array];
  const file = join(world.dir, "notes-1.1.2.wasm");
  writeFileSync(file, is);
  await Promise.all([start(old, "1.0.1"), start(now, "1.1.2")]);
  const [id] = (await old.page.evaluate((modules) => globalThis.app.make(modules), [[...was]])) as [string];
  const use = ({ page }: Replica, code: ModuleCode) => page.evaluate((rows) => globalThis.app.use(rows), [{ name: "notes", id, code }]);
  const says = async (device: Replica, seq: number, pending: readonly string[] = []) => (await say(device, [{ name: "notes", seq, pending }]))[0]!;
  await use(old, v101);
  await use(now, v112);
  await says(now, 0);

  await now.wire.cut();
  await write(now, [{
    name: "notes",
    events: [
      wrote({ text: "same" }, "same"), wrote({ text: "more", stars: 5 }, "more"), wrote({ to: "bob", from: "ada" }, "letter"), wrote({ amount: 499, currency: "cents" }, "price"), wrote({ at: "noon" }, "when"),
    ],
  }], "durable");
  await now.page.evaluate(() => globalThis.skerry.client.close());
  await now.wire.mend();
  await now.page.goto(`${now.wire.origin}/nothing.html`);
  assert.equal(await now.page.evaluate(mark), 5);
  await start(now, "1.1.2");
  await use(now, v112);
  const waits = await says(now, 1, ["schema_unknown", "undefined", "undefined", "undefined"]);
  const before = await says(old, 1);

  const mine = [{ name: "notes", events: [wrote({ from: "cy", to: "di" }, "letter"), wrote({ amount: 5 }, "price")] }];
  await write(old, mine, "synced");
  const lens = await says(now, 3, ["schema_unknown", "undefined", "undefined", "undefined"]);
  const refused = await publish(world, [[id, file]]).then(() => "nothing", (error: Error) => error.message);
  await publish(world, [[id, file]], false);
  await says(now, 9);
  await write(old, mine, "synced");
  return { id, before, waits, lens, refused, old: await says(old, 11), now: await says(now, 11) };
}

/** In a page that has nothing open: marks what waits as of api 1.1.2, and says how many transactions that are. */
async function mark(): Promise<number> {
  const [{ name }] = (await indexedDB.databases()).filter(({ name }) => name!.startsWith("skerry/")) as [{ name: string }];
  const done = <T>(request: IDBRequest<T>) => new Promise<T>((resolve, reject) => Object.assign(request, { onsuccess: () => resolve(request.result), onerror: () => reject(request.error) }));
  const database = await done(indexedDB.open(name));
  const outbox = database.transaction("outbox", "readwrite").objectStore("outbox");
  let marked = 0;
  for (const key of await done(outbox.getAllKeys())) {
    const value = (await done(outbox.get(key))) as { row: Uint8Array };
    const text = String.fromCharCode(...new Uint8Array(value.row));
    if (text.split("1.0.0").length !== 2) throw new Error(`a transaction does not say its api once: ${text}`);
    await done(outbox.put({ ...value, row: Uint8Array.from(text.replace("1.0.0", "1.1.2"), (c) => c.charCodeAt(0)) }, key));
    marked++;
  }
  database.close();
  return marked;
}

test("the change table, by an older page and a newer one", { timeout: 120_000 }, async (t) => {
  let seen = new Seen();
  let notes: Literal | undefined;
  await World.run([], async (world) => {
    const key = await world.server.key("ada");
    const old = await world.device("ada", chromium, key);
    const now = await world.device("ada", chromium, key);
    await Promise.all([start(old, "2.4.4"), start(now, "2.4.6")]);
    seen = await live(world, old, now);
    notes = await literal(world, old, now);
    const logs = seen.ids.map((id, i) => [id, seen.updated[i]!.seq] as const);
    for (const { page } of [old, now]) {
      await page.evaluate((logs) => logs.forEach(([id]) => globalThis.skerry.client.space(id)), logs);
      await page.waitForFunction((logs) => logs.every(([id, seq]) => globalThis.skerry.client.space(id).info().seq >= seq), logs);
    }
    await assertSameLogs(world, [...seen.ids, notes.id]);
  });
  await check(t, seen);

  await t.test("encoded under api 1.1.2 with a schema, read under 1.0.1: an error or the right value, never a wrong one", () => {
    const { before, waits, lens, refused, old, now } = notes!;
    assert.deepEqual([before.reads, before.by], [[{ text: "same" }], ["1.1.2 1.1.2"]]);
    assert.deepEqual([waits.reads, waits.rejected], [[{ text: "same" }], []]);
    assert.deepEqual(lens.reads, [{ text: "same" }, { to: "cy", from: "di" }, { amount: 0, currency: "" }]); // what the amount meant is not what it means
    assert.match(refused, /rises from 1\.0\.1 to 1\.1\.2, and the changes call for a bump of major/);
    assert.deepEqual(old.reads, [
      { text: "same" }, { from: "cy", to: "di" }, { amount: 5 }, { text: "more" }, { from: "bob", to: "ada" }, "schema_incompatible", "schema_incompatible", { from: "cy", to: "di" }, { amount: 5 },
    ]);
    assert.deepEqual(now.reads, [
      { text: "same" }, { to: "cy", from: "di" }, { amount: 0, currency: "" }, { text: "more", stars: 5 }, { to: "bob", from: "ada" }, { amount: 499, currency: "cents" }, { at: "noon" },
      { to: "cy", from: "di" }, { amount: 0, currency: "" },
    ]);
    const [by101, by112] = ["1.0.0 1.0.1", "1.1.2 1.1.2"];
    assert.deepEqual(old.by, [by112, by101, by101, by112, by112, by112, by112, by101, by101]);
    assert.deepEqual(now.by, old.by);
    const kept = [
      row("same"), row("cy", "di"), row(5), // as they were carried
      row("more") + "\x01" + row(5), row("bob", "ada"), row(499, "cents"), row("noon"), row("cy", "di"), row(0, ""),
    ];
    assert.deepEqual([old.kept, now.kept], [kept, kept]);
  });
});
