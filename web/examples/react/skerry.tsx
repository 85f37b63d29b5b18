// Hooks over Skerry: copy this file, it is all there is to it.
import { createContext, type ReactNode, useContext, useEffect, useMemo, useState, useSyncExternalStore } from "react";
import {
  type AnyModule, type AnyTable, type Client, type EventRecord, type ModuleTypes, open, type OpenOptions, type PendingTransaction, type QueryOptions, type Row,
  type SkerryError, type Space, type TableOf, type TableTypes,
  type SpaceInfo, type Status,
} from "skerry";

const Context = createContext<Client | undefined>(undefined);

/**
 * Opens the replica as long as it is mounted, and shows `fallback` until then; on a server that is all it shows. The
 * options are those of the first render. What fails is thrown to the next error boundary.
 */
export function SkerryProvider(props: { options?: OpenOptions; fallback?: ReactNode; children: ReactNode }) {
  const [client, setClient] = useState<Client>();
  const [failure, setFailure] = useState<{ error: unknown }>();
  useEffect(() => {
    let mounted = true;
    const opening = open(props.options);
    opening.then(
      (client) => mounted && setClient(client),
      (error: unknown) => mounted && setFailure({ error }),
    );
    return () => {
      mounted = false;
      setClient(undefined);
      opening.then((client) => client.close()).catch(() => {}); // told by setFailure
    };
  }, []);
  if (failure) throw failure.error;
  return client ? <Context value={client}>{props.children}</Context> : props.fallback;
}

export function useClient(): Client {
  const client = useContext(Context);
  if (!client) throw new Error("useClient needs a SkerryProvider around it");
  return client;
}

export function useStatus(): Status {
  const client = useClient();
  return useSyncExternalStore(client.subscribe, () => client.status);
}

export function useSpaces(): readonly SpaceInfo[] {
  const client = useClient();
  return useSyncExternalStore(client.subscribe, () => client.spaces());
}

/** What a query finds now; while the rows are not here, or cannot be, `ready` and `error` say so. */
export interface Rows<T extends TableTypes = AnyTable> {
  readonly rows: readonly Row<T["row"]>[];
  readonly ready: boolean;
  readonly error: SkerryError | undefined;
}

/** Rows of a table of a space, as they change. Options that are equal are one query, so they may be written in place. */
export function useTable<M extends ModuleTypes = AnyModule, Name extends keyof M["tables"] & string = keyof M["tables"] & string>(
  space: Space<M>,
  table: Name,
  options: QueryOptions<TableOf<M, Name>> = {},
): Rows<TableOf<M, Name>> {
  const live = useMemo(() => space.table(table).live(options), [space, table, JSON.stringify(options)]);
  const rows = useSyncExternalStore(live.subscribe, live.getSnapshot);
  return { rows, ready: live.ready, error: live.error };
}

/** What a space has: the log's events, as they come, and those that were written here and are not in it yet. */
export interface Log {
  readonly events: readonly EventRecord[];
  readonly waiting: readonly PendingTransaction["events"][number][];
}

export function useLog(space: Space): Log {
  const store = useMemo(() => logStore(space), [space]);
  return useSyncExternalStore(store.subscribe, store.getSnapshot);
}

/** Reads a space while somebody looks: a thousand events at a time, since an array for every event would be slow. */
function logStore(space: Space) {
  let log: Log = { events: [], waiting: [] };
  // What waits is read first: an event that goes into the log meanwhile is seen twice, which can be told, and not missed.
  async function look(): Promise<boolean> {
    const pending = (await space.pending()).flatMap((transaction) => transaction.events);
    const fresh: EventRecord[] = [];
    const after = log.events.at(-1)?.position;
    for await (const event of space.events({ limit: 1000, ...(after && { after }) })) fresh.push(event);
    const here = new Set(fresh.map((event) => event.id));
    log = { events: [...log.events, ...fresh], waiting: pending.filter(({ id }) => !here.has(id)) };
    return fresh.length === 1000;
  }
  const listeners = new Set<() => void>();
  let changed = false;
  let running = false;
  async function run(): Promise<void> {
    changed = true;
    if (running) return;
    running = true;
    try {
      while (changed && listeners.size > 0) {
        changed = false;
        if (await look()) changed = true;
        for (const onChange of listeners) onChange();
      }
    } catch {
      // the client was closed, and status tells why
    } finally {
      running = false;
    }
  }
  return {
    getSnapshot: () => log,
    subscribe(onChange: () => void): () => void {
      listeners.add(onChange);
      const stop = space.subscribe(() => void run());
      void run();
      return () => {
        listeners.delete(onChange);
        stop();
      };
    },
  };
}
