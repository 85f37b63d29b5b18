// Spaces made and written offline, on several devices, reach the server and each other exactly once in one order:
// when the server comes late, and when it dies again and again.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Tab } from "./engine.js";
import type { Replica } from "./replica.js";
import { assertSameLogs, seeded, World } from "./world.js";

/** A transaction to write: into which space, and how many events. */
interface Plan {
  readonly space: number;
  readonly events: number;
}

/** Writes what is planned, each transaction when the one before was applied, or so many milliseconds after that, and returns the ids of all events. */
function write(replica: Replica, spaces: readonly string[], plan: readonly Plan[], label: string, pace = 0): Promise<string[]> {
  return replica.page.evaluate(
    async ([spaces, plan, label, pace]) => {
      const { client } = globalThis.skerry;
      const ids: string[] = [];
      const durable: Promise<void>[] = [];
      const counts = globalThis as unknown as { syncedHere: number };
      counts.syncedHere ??= 0;
      for (const [n, { space, events }] of plan.entries()) {
        const receipt = client.space(spaces[space]!).transact(
          Array.from({ length: events }, (_, i) => ({ type: "note", payload: { by: label, n, i, text: "x".repeat((n * 37) % 300) } })),
        );
        ids.push(...receipt.ids);
        durable.push(receipt.durable);
        void receipt.synced.then(() => counts.syncedHere++);
        await receipt.applied;
        if (pace > 0) await new Promise((resolve) => setTimeout(resolve, pace));
      }
      await Promise.all(durable);
      return ids;
    },
    [[...spaces], [...plan], label, pace] as const,
  );
}

function create(replica: Replica, count: number): Promise<string[]> {
  return replica.page.evaluate(async (count) => {
    const { client } = globalThis.skerry;
    const spaces = await Promise.all(
      Array.from({ length: count }, (_, i) => client.createSpace({ params: { name: `${client.identity} ${i}` } })),
    );
    return spaces.map((space) => space.id);
  }, count);
}

function planOf(random: () => number, transactions: number, spaces: number): Plan[] {
  return Array.from({ length: transactions }, () => ({
    space: Math.floor(random() * spaces),
    events: 1 + Math.floor(random() * 5),
  }));
}

/** Opens spaces on a device, so that they are pulled. */
async function follow(replica: Replica<Tab>, spaces: readonly string[]): Promise<void> {
  await replica.page.evaluate((ids) => ids.forEach((id) => globalThis.skerry.client.space(id)), [...spaces]);
}

/** Waits until a device has as many records in all of some spaces as there should be. */
async function holds(replica: Replica<Tab>, spaces: readonly string[], events: number, timeout: number): Promise<void> {
  await replica.page.evaluate((ids) => Object.assign(globalThis, { wanted: ids }), [...spaces]);
  await replica.page.evaluate((events) => Object.assign(globalThis, { wantedEvents: events }), events);
  await replica.until(
    `holding ${events} events`,
    (c) => {
      const g = globalThis as unknown as { wanted: string[]; wantedEvents: number };
      return g.wanted.reduce((sum, id) => sum + c.space(id).info().seq, 0) >= g.wantedEvents;
    },
    timeout,
  );
  await replica.synced(timeout);
}

/** Waits until all devices hold all events, and compares all logs. */
async function compare(world: World, spaces: readonly string[], written: readonly string[]): Promise<void> {
  await Promise.all(world.replicas.map((replica) => follow(replica, spaces)));
  await Promise.all(world.replicas.map((replica) => holds(replica, spaces, written.length, 90_000)));
  const logged = [...(await assertSameLogs(world, spaces)).values()].flat();
  assert.equal(logged.length, written.length);
  assert.deepEqual(new Set(logged), new Set(written));
  console.log(`${spaces.length} spaces, ${written.length} events`);
}

async function devices(world: World): Promise<[Replica, Replica, Replica]> {
  const [ada, bob, eve] = [await world.replica("ada"), await world.replica("bob"), await world.replica("eve")];
  return [ada, bob, eve];
}

test("three replicas, two offline, server started late: all logs are equal", { timeout: 120_000 }, () =>
  World.run([], async (world) => {
    const random = seeded();
    const [ada, bob, eve] = await devices(world);
    await world.server.stop(); // the pages run on with no server
    await Promise.all([bob.wire.cut(), eve.wire.cut()]);
    const spaces = [...(await create(ada, 4)), ...(await create(bob, 3)), ...(await create(eve, 3))];
    const offline = await Promise.all([
      write(ada, spaces, planOf(random, 400, spaces.length), "ada"),
      write(bob, spaces, planOf(random, 200, spaces.length), "bob offline"),
      write(eve, spaces, planOf(random, 200, spaces.length), "eve offline"),
    ]);
    await world.server.start();
    await ada.poke();
    await ada.until("online", (c) => c.status.connection === "online");
    await Promise.all([bob.wire.mend(), eve.wire.mend()]);
    await Promise.all([bob.poke(), eve.poke()]);
    const online = await Promise.all([
      write(bob, spaces, planOf(random, 100, spaces.length), "bob"),
      write(eve, spaces, planOf(random, 100, spaces.length), "eve"),
    ]);
    await compare(world, spaces, [...offline, ...online].flat());
  }),
);

test("one connection carries all spaces, and events of types that nobody knows are kept", { timeout: 90_000 }, () =>
  World.run([], async (world) => {
    const [ada, bob] = [await world.replica("ada"), await world.replica("bob")];
    const spaces = await create(ada, 12);
    await ada.page.evaluate(async (spaces) => {
      const { client } = globalThis.skerry;
      await Promise.all(spaces.map((id, i) => client.space(id).append(`of.the.future/${i}`, { space: id, i }).synced));
    }, spaces);
    await follow(bob, spaces);
    await holds(bob, spaces, spaces.length, 30_000);
    const metrics = await (await fetch(`http://127.0.0.1:${world.server.port}/metrics`)).text();
    assert.match(metrics, /^skerry_connections 2$/m);
    // Each says by itself what it is, also where there is no server to ask.
    await bob.wire.cut();
    await bob.load();
    const read = await bob.page.evaluate(async (spaces) => {
      const all = [];
      for (const id of spaces) for await (const r of globalThis.skerry.client.space(id).events()) all.push([r.type, r.author, r.seq, r.payload]);
      return all;
    }, spaces);
    assert.deepEqual(read, spaces.map((id, i) => [`of.the.future/${i}`, ada.identity, 1, { space: id, i }]));
  }),
);

test("the server is killed ten times in the middle: all logs are equal", { timeout: 150_000 }, () =>
  World.run([], async (world) => {
    const random = seeded();
    const replicas = await devices(world);
    const [ada, bob, eve] = replicas;
    const spaces = [...(await create(ada, 4)), ...(await create(bob, 3)), ...(await create(eve, 3))];
    const written: string[] = [];
    let midway = 0;
    for (let kill = 1; kill <= 10; kill++) {
      // Who is not connected yet would send all of it at once.
      await Promise.all(replicas.map((replica) => replica.until("online", (c) => c.status.connection === "online")));
      const writing = Promise.all(replicas.map((replica) => write(replica, spaces, planOf(random, 33, spaces.length), `${kill}`, 20)));
      // Some of it is at the server and some is not, at a moment that the seed chooses: of what follows it, written at a person's pace,
      // some comes after the end however long a busy machine takes to bring that about.
      await ada.page.evaluate((more) => {
        const g = globalThis as unknown as { syncedHere: number; target: number };
        g.target = (g.syncedHere ?? 0) + more;
      }, 1 + Math.floor(random() * 15));
      await ada.until(
        "in the middle of syncing",
        () => {
          const g = globalThis as unknown as { syncedHere: number; target: number };
          return g.syncedHere >= g.target;
        },
        20_000,
      );
      await world.server.kill();
      const pending = await Promise.all(replicas.map((r) => r.page.evaluate(() => globalThis.skerry.client.status.pending)));
      if (pending.some((n) => n > 0)) midway++;
      await world.server.start();
      await Promise.all(replicas.map((replica) => replica.poke()));
      written.push(...(await writing).flat());
    }
    assert.ok(midway >= 5, `only ${midway} of 10 kills came in the middle`);
    const last = await Promise.all([
      write(ada, spaces, planOf(random, 4, spaces.length), "last"),
      write(bob, spaces, planOf(random, 3, spaces.length), "last"),
      write(eve, spaces, planOf(random, 3, spaces.length), "last"),
    ]);
    await compare(world, spaces, [...written, ...last.flat()]);
  }),
);
