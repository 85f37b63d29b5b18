import { checkDigest } from "./bytes.js";
import { encodeValue } from "./encode.js";
import { SkerryError } from "./error.js";
import { Link, type WorkerLike } from "./link.js";
import { type OpenOptions, toConfig } from "./options.js";
import type { Receipt } from "./receipt.js";
import { settle, Space } from "./space.js";
import { ULIDSource } from "./ulid.js";
import { decodeChange, decodeImported, decodeInfo, decodeOpened, emptyInfo, type ImportedSpace, type SpaceInfo, type Status } from "./wire.js";

/** What a space is made with. */
export interface SpaceOptions {
  /** The module that judges what is written: a built-in's name (`open`: everyone writes and reads) or a hash. */
  readonly module?: string;
  /** Whatever the module wants to know; part of the space's identity. */
  readonly params?: unknown;
}

/**
 * Opens this device's replica. It resolves when what is stored can be read and written; syncing goes on behind it and
 * needs no server to begin with. Call {@link Client.close} when done.
 */
export async function open(options: OpenOptions = {}): Promise<Client> {
  if (globalThis.isSecureContext === false) {
    throw new SkerryError("insecure_context", "pages need https, or localhost, to store anything");
  }
  const config = await toConfig(options);
  const worker = startWorker(options.worker);
  const client = new Client(worker, options);
  const abort = () => client.abandon(new SkerryError("closed", "opening was given up"));
  options.signal?.addEventListener("abort", abort);
  try {
    if (options.signal?.aborted) abort();
    await client.start(config, String(options.wasmUrl ?? new URL(__WASM__, import.meta.url)));
    return client;
  } catch (error) {
    client.abandon(error instanceof SkerryError ? error : new SkerryError("internal", String(error)));
    throw error;
  } finally {
    options.signal?.removeEventListener("abort", abort);
  }
}

function startWorker(given: OpenOptions["worker"]): WorkerLike {
  if (typeof given === "function") return given();
  return new Worker(given ?? new URL(__WORKER__, import.meta.url), { name: "skerry" });
}

const unopened: Status = Object.freeze({
  connection: "offline",
  leader: false,
  pending: 0,
  pendingSpaces: 0,
  undurable: 0,
  rejected: 0,
  catchingUp: 0,
  retryAt: undefined,
  reconnectAt: undefined,
  code: undefined,
  reason: "",
  lastSync: undefined,
  storage: Object.freeze({ state: "ok", persisted: undefined, usage: undefined, quota: undefined }),
});

/** One identity's replica on this device, as one tab has it open. Made by {@link open}. */
export class Client {
  readonly #link: Link;
  readonly #spaces = new Map<string, Space>();
  readonly #infos = new Map<string, SpaceInfo>();
  readonly #unknown = new Map<string, SpaceInfo>(); // asked for, and nothing known yet
  readonly #listeners = new Set<() => void>();
  readonly #watchers = new Map<string, Set<() => void>>();
  readonly #undurable = new Set<Receipt>();
  #sorted: readonly SpaceInfo[] | undefined;
  #identity = "";
  #status = unopened;
  #closing: Promise<void> | undefined;
  #stopPoking = (): void => {};

  /** @internal */
  readonly ids = new ULIDSource();

  /** @internal */
  constructor(worker: WorkerLike, options: OpenOptions) {
    this.#link = new Link(worker, {
      change: (bytes) => {
        const { status, infos } = decodeChange(bytes);
        this.#update(status, infos);
      },
      log: (line) => options.log?.(line),
      end: (error) => {
        this.#stopPoking();
        const { code, reason } = error;
        this.#update({ ...this.#status, connection: "offline", leader: false, code, reason }, []);
        for (const watchers of this.#watchers.values()) for (const f of watchers) call(f);
      },
    });
  }

  /** @internal */
  async start(config: object, wasm: string): Promise<void> {
    this.#link.post(-1, "start", __BUILD__, wasm);
    const bytes = await this.#link.call("open", config);
    const { identity, status, infos } = decodeOpened(bytes!);
    this.#identity = identity;
    this.#update(status, infos);
    this.#stopPoking = pokeFrom(() => this.#link.send(() => {}, 1, "poke"));
  }

  /** @internal */
  abandon(error: SkerryError): void {
    this.#link.end(error);
  }

  /** Who writes. */
  get identity(): string {
    return this.#identity;
  }

  /** How things stand. The object is replaced when something changes, so it can be compared. */
  get status(): Status {
    return this.#status;
  }

  /**
   * Calls `onChange` when `status`, `spaces()` or a space's `info()` changed, until the returned function is called.
   * With `status` as snapshot it fits React's `useSyncExternalStore`.
   */
  readonly subscribe = (onChange: () => void): (() => void) => {
    const listener = () => onChange(); // the same function may subscribe twice
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  /**
   * Makes a space, offline too. It resolves when the space is durable on this device; the server hears of it when it
   * can.
   */
  async createSpace(options: SpaceOptions = {}): Promise<Space> {
    const params = options.params === undefined ? undefined : encodeValue(options.params);
    const bytes = await this.call("create", options.module ?? "open", params ?? new Uint8Array());
    const info = decodeInfo(bytes!);
    if (!this.#infos.has(info.id)) this.#update(this.#status, [info]); // else something newer was told already
    return this.#spaceOf(info.id);
  }

  /**
   * Returns the space with an ID, which need not be known here yet: from now on it is kept up to date, as far as the
   * server lets this identity read it.
   */
  space(id: string): Space {
    const checked = checkDigest(id, "a space's ID");
    const known = this.#spaces.get(checked);
    if (known) return known;
    const space = this.#spaceOf(checked);
    this.call("space", checked).then(
      (bytes) => {
        const info = decodeInfo(bytes!);
        if (!this.#infos.has(info.id)) this.#update(this.#status, [info]);
      },
      () => {}, // told by status
    );
    return space;
  }

  /** Returns every space that this replica knows, oldest stamp first. The array is replaced when one changes. */
  spaces(): readonly SpaceInfo[] {
    this.#sorted ??= Object.freeze(
      [...this.#infos.values()].sort((a, b) => compare(a.stamp ?? "~", b.stamp ?? "~") || compare(a.id, b.id)),
    );
    return this.#sorted;
  }

  /**
   * Writes a space, or all of them, to a file: its log as this device has it, what waits and what was refused. It needs
   * no network. The format is open; see package `archive`.
   */
  async export(id?: string): Promise<Blob> {
    const given = id === undefined ? "" : checkDigest(id, "a space's ID");
    return (await this.call("export", given)) as unknown as Blob;
  }

  /**
   * Adds what {@link Client.export} wrote, on this device or another one. The whole file is checked first. What is here
   * stays: logs are continued, and what waits is sent under its own ids, so nothing comes twice, however often a file is
   * imported.
   */
  async import(file: Blob): Promise<ImportedSpace[]> {
    return decodeImported((await this.call("import", file))!);
  }

  /**
   * Stops. Everything written is durable first; what is not synced stays and goes on when the replica is opened again.
   * Open `synced` promises reject with `closed`.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#link.ended) return;
    await Promise.allSettled([...this.#undurable].map((receipt) => receipt.durable));
    const closed = new SkerryError("closed", "the client was closed");
    try {
      await this.#link.call("close");
    } finally {
      this.#link.end(closed);
    }
  }

  /** @internal */
  call(method: string, ...args: unknown[]): Promise<Uint8Array | undefined> {
    if (this.#closing) return Promise.reject(new SkerryError("closed", "the client was closed"));
    return this.#link.call(method, ...args);
  }

  /** @internal */
  append(id: string, transaction: Uint8Array, receipt: Receipt): void {
    if (this.#closing) {
      receipt.fail(new SkerryError("closed", "the client was closed"));
      return;
    }
    const tell = settle(receipt);
    this.#undurable.add(receipt);
    this.#link.send(
      (error, result) => {
        tell(error, result);
        if (receipt.moments.durable.settled) this.#undurable.delete(receipt);
      },
      3,
      "append",
      id,
      transaction,
    );
  }

  /** @internal */
  infoOf(id: string): SpaceInfo {
    const known = this.#infos.get(id) ?? this.#unknown.get(id);
    if (known) return known;
    const info = emptyInfo(id);
    this.#unknown.set(id, info);
    return info;
  }

  /** @internal */
  watch(id: string, f: () => void): () => void {
    const watcher = () => f();
    let watchers = this.#watchers.get(id);
    if (!watchers) this.#watchers.set(id, (watchers = new Set()));
    watchers.add(watcher);
    return () => {
      watchers.delete(watcher);
      if (watchers.size === 0 && this.#watchers.get(id) === watchers) this.#watchers.delete(id);
    };
  }

  #spaceOf(id: string): Space {
    let space = this.#spaces.get(id);
    if (!space) this.#spaces.set(id, (space = new Space(this, id)));
    return space;
  }

  #update(status: Status, infos: readonly SpaceInfo[]): void {
    this.#status = status;
    for (const info of infos) this.#infos.set(info.id, info);
    if (infos.length > 0) this.#sorted = undefined;
    for (const info of infos) for (const f of this.#watchers.get(info.id) ?? []) call(f);
    for (const f of [...this.#listeners]) call(f);
  }
}

/** Calls poke when a page is looked at again or the network is back: a good time to look and to connect. */
function pokeFrom(poke: () => void): () => void {
  const looked = () => {
    if (globalThis.document?.visibilityState === "visible") poke();
  };
  globalThis.addEventListener?.("online", poke);
  globalThis.addEventListener?.("pageshow", looked);
  globalThis.document?.addEventListener("visibilitychange", looked);
  return () => {
    globalThis.removeEventListener?.("online", poke);
    globalThis.removeEventListener?.("pageshow", looked);
    globalThis.document?.removeEventListener("visibilitychange", looked);
  };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Calls a listener; what it throws is the page's own error and does not stop the others. */
function call(f: () => void): void {
  try {
    f();
  } catch (error) {
    globalThis.reportError?.(error);
  }
}
