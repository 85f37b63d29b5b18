// What a page tells of itself, and what it can be asked. Where there is no page (a test, a server) nothing is told.

/** A moment of a page's life, as the worker is told it. */
export type Lifecycle = "visible" | "hidden" | "freeze" | "resume" | "pagehide" | "pageshow";

/** Who hears of a page. */
export interface PageListener {
  lifecycle(what: Lifecycle): void;
  /** The network is back. */
  online(): void;
  /** Some time has passed while the page was visible; `onTime` if no more than that. */
  tick(onTime: boolean): void;
}

const tickInterval = 2000;

/** Tells of a page until the returned function is called. */
export function watchPage(on: PageListener): () => void {
  const stop = new AbortController();
  const { signal } = stop;
  const listen = (target: EventTarget | undefined, names: readonly string[], f: (event: Event) => void) => {
    for (const name of names) target?.addEventListener?.(name, f, { signal });
  };
  const page = globalThis.addEventListener === undefined ? undefined : globalThis;
  listen(page, ["online"], () => on.online());
  listen(page, ["pagehide", "pageshow"], ({ type, persisted }: Event & { persisted?: boolean }) => {
    if (type === "pagehide" || persisted) on.lifecycle(type as Lifecycle); // the first pageshow is no return
  });
  listen(globalThis.document, ["visibilitychange"], () => on.lifecycle(visibility()));
  listen(globalThis.document, ["freeze", "resume"], ({ type }) => on.lifecycle(type as Lifecycle));
  let last = Date.now();
  const timer: unknown = setInterval(() => {
    const passed = Date.now() - last;
    last = Date.now();
    // Late, or right after a late one: the machine slept or the page was busy.
    if (visibility() === "visible") on.tick(passed > 0.5 * tickInterval && passed < 1.5 * tickInterval);
  }, tickInterval);
  (timer as { unref?(): void }).unref?.(); // Node's keeps a program alive
  return () => {
    stop.abort();
    clearInterval(timer as number);
  };
}

/** Whether the page can be seen, as the worker is told it. */
export function visibility(): "visible" | "hidden" {
  return globalThis.document?.visibilityState === "hidden" ? "hidden" : "visible";
}

const warn = (event: Event) => {
  event.preventDefault();
  Reflect.set(event, "returnValue", true); // older browsers look at nothing else
};

/** Makes the browser ask before the page is left, or not any more. */
export function warnBeforeUnload(on: boolean): void {
  if (on) globalThis.addEventListener?.("beforeunload", warn);
  else globalThis.removeEventListener?.("beforeunload", warn);
}

/** What the browser says of the origin's storage; `undefined` what it does not say. */
export interface StorageFacts {
  readonly persisted: boolean | undefined;
  readonly usage: number | undefined;
  readonly quota: number | undefined;
}

const nothing = (): undefined => undefined;

/** Asks the browser what it says of the origin's storage. */
export async function askStorage(): Promise<StorageFacts> {
  const storage = globalThis.navigator?.storage as Partial<StorageManager> | undefined;
  const [persisted, estimate] = await Promise.all([
    storage?.persisted?.().catch(nothing),
    storage?.estimate?.().catch(nothing),
  ]);
  return { persisted, usage: estimate?.usage, quota: estimate?.quota };
}

/** Asks the browser not to evict the origin's storage, and returns what it says. */
export async function askPersist(): Promise<boolean> {
  const storage = globalThis.navigator?.storage as Partial<StorageManager> | undefined;
  return (await storage?.persist?.().catch(nothing)) ?? false;
}

/** Whether asking for that shows nothing to the user: Firefox asks them, the others decide by themselves. */
export async function persistIsSilent(): Promise<boolean> {
  const permission = await globalThis.navigator?.permissions
    ?.query({ name: "persistent-storage" as PermissionName })
    .catch(nothing);
  if (permission && permission.state !== "prompt") return permission.state === "granted";
  return !/Firefox\//.test(globalThis.navigator?.userAgent ?? "Firefox/");
}
