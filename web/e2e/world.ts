import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach } from "node:test";
import { chain } from "../test/hashes.js";
import { fromHex } from "../test/root.js";
import { toHex } from "../src/bytes.js";
import { parseULID } from "../src/ulid.js";
import { chromium } from "./chromium.js";
import type { Engine, Tab } from "./engine.js";
import { type Key } from "./key.js";
import { Replica } from "./replica.js";
import { type LoggedRecord, TestServer } from "./server.js";

/** Those whose test goes on. */
const running = new Set<World>();

// A test that runs out of time leaves its body waiting, whose browsers would keep the file from ever ending.
afterEach(() => Promise.all([...running].map((world) => world.end())));

/** A server and some devices; everything ends with the test. */
export class World {
  readonly dir: string;
  readonly server: TestServer;
  readonly replicas: Replica<Tab>[] = [];
  #ended: Promise<void> | undefined;

  private constructor(dir: string, server: TestServer) {
    this.dir = dir;
    this.server = server;
  }

  /** Runs a body; the server may be given a copy of a data directory to begin with, and other files to serve. */
  static async run(flags: string[], body: (world: World) => Promise<void>, from: { data?: string; www?: string } = {}): Promise<void> {
    const dir = mkdtempSync(join(tmpdir(), "skerry-e2e-"));
    const server = await TestServer.make(dir, flags, from.www);
    if (from.data) cpSync(from.data, server.data, { recursive: true });
    const world = new World(dir, server);
    running.add(world);
    try {
      await server.start();
      await body(world);
      assert.deepEqual(world.replicas.flatMap((replica) => replica.faults), []);
      running.delete(world);
    } finally {
      await world.end();
    }
  }

  /** Ends everything, and tells what there is to tell of a test that failed. */
  end(): Promise<void> {
    return (this.#ended ??= this.#end());
  }

  async #end(): Promise<void> {
    if (running.delete(this)) {
      console.error(this.replicas.flatMap((replica) => replica.faults).join("\n"));
      console.error(`the server said:\n${this.server.output.join("").slice(-4000)}`);
    }
    await Promise.all(this.replicas.map((replica) => replica.close()));
    await this.server.kill();
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 5 });
  }

  /** Adds a device whose browser has nothing loaded; with a key, or else its browser makes one. */
  device(name: string): Promise<Replica>;
  device<T extends Tab>(name: string, engine: Engine<T>, key?: Key): Promise<Replica<T>>;
  async device(name: string, engine: Engine = chromium, key?: Key): Promise<Replica<Tab>> {
    const dir = join(this.dir, String(this.replicas.length)); // two may have one name
    mkdirSync(dir);
    const replica = await Replica.start(engine, dir, name, this.server.port);
    this.replicas.push(replica);
    if (key) await replica.keep(key);
    return replica;
  }

  /** Adds a device with the page loaded and installed. */
  replica(name: string): Promise<Replica>;
  replica<T extends Tab>(name: string, engine: Engine<T>, key?: Key): Promise<Replica<T>>;
  async replica(name: string, engine: Engine = chromium, key?: Key): Promise<Replica<Tab>> {
    const replica = await this.device(name, engine, key);
    await replica.load();
    await replica.installed();
    return replica;
  }
}

/** A record as a replica has it, in the server's own terms. */
export interface ReplicaRecord extends Omit<LoggedRecord, "payload"> {
  readonly payload: string; // hexadecimal bytes
  readonly schema: string;
}

export interface ReplicaLog {
  readonly seq: number;
  readonly chain: string;
  readonly records: readonly ReplicaRecord[];
}

/** Reads logs whole from a tab, by the library. */
export function readLogs(page: Tab, ids: readonly string[]): Promise<ReplicaLog[]> {
  return page.evaluate(async (ids) => {
    const hex = (bytes: Uint8Array) => [...bytes].map((b) => b.toString(16).padStart(2, "0")).join("");
    const logs = [];
    for (const id of ids) {
      const space = globalThis.skerry.client.space(id);
      const records = [];
      for await (const r of space.events()) {
        records.push({
          seq: r.seq, id: r.id, chain: "", received_at: r.receivedAt, index: r.index, count: r.count, author: r.author,
          type: r.type, api: r.api, client_version: r.clientVersion, schema: r.schema, payload: hex(r.bytes),
        });
      }
      const { seq, chain } = space.info();
      logs.push({ seq, chain, records });
    }
    return logs;
  }, [...ids]);
}

/** Returns records with the chain after each, computed here from what the replica holds. */
export function fold(id: string, records: readonly ReplicaRecord[]): ReplicaRecord[] {
  let value = fromHex(id);
  return records.map((r) => {
    value = chain(value, {
      id: parseULID(r.id), seq: r.seq, receivedAt: r.received_at, index: r.index, count: r.count, author: r.author,
      type: r.type, schema: fromHex(r.schema), bytes: fromHex(r.payload), api: r.api, clientVersion: r.client_version,
    });
    return { ...r, chain: toHex(value) };
  });
}

/**
 * Holds every tab's copy of some spaces to the server's log: the same ids under the same numbers with the same chain,
 * which covers every byte of every record before it. Returns the ids of all events, by space.
 */
export async function assertSameLogs(world: World, ids: readonly string[]): Promise<Map<string, string[]>> {
  const tabs = world.replicas.flatMap((replica) => replica.tabs.map((page) => ({ page, name: replica.name })));
  const held = await Promise.all(tabs.map(({ page }) => readLogs(page, ids)));
  await world.server.stop();
  const all = new Map<string, string[]>();
  for (const [i, id] of ids.entries()) {
    const logged = await world.server.log(id);
    const want = logged.map(({ seq, id, chain, received_at, index, count, author, type }) => ({ seq, id, chain, received_at, index, count, author, type }));
    all.set(id, want.map((r) => r.id));
    for (const [n, { name }] of tabs.entries()) {
      const log = held[n]![i]!;
      const got = fold(id, log.records).map(({ seq, id, chain, received_at, index, count, author, type }) => ({ seq, id, chain, received_at, index, count, author, type }));
      assert.deepEqual(got, want, `${name} and the server differ in ${id}`);
      assert.equal(log.chain, want.at(-1)?.chain ?? id, `${name} stands elsewhere in ${id}`);
      assert.equal(log.seq, want.length);
    }
    assert.equal(new Set(want.map((r) => r.id)).size, want.length, `an event is in ${id} twice`);
  }
  return all;
}

/** Random numbers by a seed that is printed, so that a failure can be repeated. */
export function seeded(seed = Number(process.env["SKERRY_SEED"]) || Math.floor(Math.random() * 2 ** 31)): () => number {
  console.log(`seed ${seed} (SKERRY_SEED=${seed} repeats it)`);
  return seededBy(seed);
}

/** Random numbers by a seed. */
export function seededBy(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
