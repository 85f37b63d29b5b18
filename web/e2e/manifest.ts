// What a golden directory says of itself, in manifest.json.
import type { DatabaseExport } from "./database.js";
import type { Key } from "./key.js";
import type { ReplicaRecord } from "./world.js";

/** A space with its whole log, as server and replica had it. */
export interface GoldenSpace {
  readonly id: string;
  readonly stamp: string;
  readonly creator: string;
  readonly module: string;
  readonly params: unknown;
  /** False: made offline, and not at the server yet. */
  readonly created: boolean;
  readonly records: readonly ReplicaRecord[];
}

/** A transaction that waits in the replica or was refused. */
export interface GoldenTransaction {
  readonly space: string;
  readonly id: string;
  readonly author: string;
  readonly events: readonly { readonly id: string; readonly type: string; readonly payload: unknown }[];
  /** Why it was refused. */
  readonly code?: string;
}

export interface Manifest {
  /** The replica's identity. */
  readonly identity: string;
  /** Its key, and the name that its page goes by. Version 1 has none: its clients said names that nobody proves, which no server takes any more. */
  readonly key?: Key;
  readonly name?: string;
  readonly spaces: readonly GoldenSpace[];
  /** In outbox order. */
  readonly waiting: readonly GoldenTransaction[];
  readonly rejected: readonly GoldenTransaction[];
}

/** indexeddb.json: the database without its name, which has the server's address in it. */
export type GoldenDatabase = DatabaseExport;

/** Returns what a replica keeps beside its logs; in the page `skerry` is open. */
export async function readRows(spaces: readonly string[]): Promise<Pick<Manifest, "waiting" | "rejected">> {
  const waiting: GoldenTransaction[] = [];
  const rejected: GoldenTransaction[] = [];
  for (const id of spaces) {
    const space = globalThis.skerry.client.space(id);
    for (const { id: name, author, events } of await space.pending()) waiting.push({ space: id, id: name, author, events });
    for (const { id: name, author, events, code } of await space.rejected()) rejected.push({ space: id, id: name, author, events, code });
  }
  return { waiting, rejected };
}
