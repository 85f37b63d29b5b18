// Much of everything: ten thousand spaces, ten thousand transactions that wait. Node calls these functions by their names
// in `globalThis.scale`, each in a page of its own, and measures on the wire what they cannot.
import { type Client, open } from "skerry";
import { keepKey } from "../e2e/key.js";

/** Resolves when `done` says so, which is asked whenever something changes. */
function until(client: Client, done: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const stop = client.subscribe(look);
    function look(): void {
      if (!done()) return;
      stop();
      resolve();
    }
    look();
  });
}

/** Learns of all spaces of a name's key from the server's directory, until all of them are stored. */
async function learn(name: string, spaces: number): Promise<void> {
  for (let stored = -1; stored < spaces; ) {
    const client = await open({ name });
    stored = client.spaces().length;
    await until(client, () => client.spaces().length >= spaces);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    await client.close();
  }
}

/** Opens a replica, and returns how long that took and until the list of spaces was there. */
async function openReplica(name: string, spaces: number, sync: boolean): Promise<Record<string, number>> {
  const began = performance.now();
  const client = await open(sync ? { name } : { name, url: null });
  const opened = performance.now() - began;
  if (client.spaces().length !== spaces) throw new Error(`${client.spaces().length} of ${spaces} spaces`);
  const listed = performance.now() - began;
  await client.close();
  return { opened, listed };
}

/** Connects, and waits until there is nothing to do any more. */
async function connect(name: string): Promise<void> {
  const client = await open({ name });
  await until(client, () => client.status.connection === "online" && client.status.catchingUp === 0);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  await client.close();
}

/** Writes transactions of one event that no server takes. Returns the space. */
async function wait(name: string, transactions: number): Promise<string> {
  const client = await open({ name, url: null });
  const space = await client.createSpace();
  let last: Promise<unknown> = Promise.resolve();
  for (let n = 0; n < transactions; n++) {
    last = space.append("note.edited", { text: "x".repeat(190) }).durable;
    if (n % 1000 === 999) await last;
  }
  await last;
  await client.close();
  return space.id;
}

/** Appends to a space so many times a second until `globalThis.enough` is set. */
async function write(name: string, id: string, perSecond: number): Promise<void> {
  const client = await open({ name, url: null });
  const space = client.space(id);
  while (!("enough" in globalThis)) {
    void space.append("note.edited", { text: "y".repeat(190) }).applied;
    await new Promise((resolve) => setTimeout(resolve, 1000 / perSecond));
  }
  await client.close();
}

/** Appends now and then, and returns the median and the longest time until an append shows in the space's info. */
async function append(name: string, id: string, times: number): Promise<Record<string, number>> {
  const client = await open({ name, url: null });
  const space = client.space(id);
  await until(client, () => space.info().pending > 0);
  const applied: number[] = [];
  const durable: number[] = [];
  for (let n = 0; n < times; n++) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    const began = performance.now();
    const receipt = space.append("note.edited", { text: "z".repeat(190) });
    await receipt.applied;
    applied.push(performance.now() - began);
    await receipt.durable;
    durable.push(performance.now() - began);
  }
  await client.close();
  const sorted = (list: number[]) => list.sort((a, b) => a - b);
  return {
    applied: sorted(applied)[times >> 1]!, appliedMost: applied.at(-1)!,
    durable: sorted(durable)[times >> 1]!, durableMost: durable.at(-1)!,
  };
}

Object.assign(globalThis, { scale: { keepKey, learn, openReplica, connect, wait, write, append } });
