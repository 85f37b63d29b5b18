// Which replicas this origin has in this browser, by the names of their databases.

export interface ReplicaName {
  readonly database: string;
  readonly server: string; // a host, or `local` for a replica that never syncs
  readonly name: string;
  readonly identity: string;
}

/** Returns the replicas of this origin; none where the browser does not list databases. */
export async function replicasHere(): Promise<ReplicaName[]> {
  const databases = await indexedDB.databases?.().catch(() => []);
  const found: ReplicaName[] = [];
  for (const { name: database } of databases ?? []) {
    const parts = database?.split("/").map(decodeURIComponent);
    if (database === undefined || parts?.length !== 4 || parts[0] !== "skerry") continue;
    found.push({ database, server: parts[1]!, name: parts[2]!, identity: parts[3]! });
  }
  return found;
}

/** Returns the names of those who have a replica of this page's server here. */
export async function namesHere(): Promise<string[]> {
  const here = (await replicasHere()).filter((r) => r.server === location.host && r.name !== "default" && r.identity.startsWith("did:"));
  return [...new Set(here.map((r) => r.name))].slice(0, 8);
}
