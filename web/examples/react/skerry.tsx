// Hooks over Skerry: copy this file, it is all there is to it.
import { createContext, type ReactNode, useContext, useEffect, useMemo, useState, useSyncExternalStore } from "react";
import { type Client, type EventRecord, open, type OpenOptions, type Space, type SpaceInfo, type Status } from "skerry";

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

/** The committed events of a space, as they come. */
export function useEvents(space: Space): readonly EventRecord[] {
  const store = useMemo(() => eventStore(space), [space]);
  return useSyncExternalStore(store.subscribe, store.getSnapshot);
}

/** Reads a space while somebody looks. What comes at once is told of once: an array for every event would be slow. */
function eventStore(space: Space) {
  let events: readonly EventRecord[] = [];
  async function read(signal: AbortSignal, onChange: () => void) {
    let fresh: EventRecord[] = [];
    const after = events.at(-1)?.position;
    for await (const event of space.events({ live: true, signal, ...(after && { after }) })) {
      if (fresh.push(event) > 1) continue;
      setTimeout(() => {
        if (signal.aborted) return;
        events = [...events, ...fresh];
        fresh = [];
        onChange();
      });
    }
  }
  return {
    getSnapshot: () => events,
    subscribe(onChange: () => void): () => void {
      const stop = new AbortController();
      read(stop.signal, onChange).catch(() => {}); // the client was closed, and status tells why
      return () => stop.abort();
    },
  };
}
