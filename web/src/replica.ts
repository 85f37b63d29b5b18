import { toHex } from "./bytes.js";
import { SkerryError } from "./error.js";
import { forgetKey } from "./identity.js";
import { type Host, Link, type Request, type WorkerLike } from "./link.js";
import { claimsOf, type Config, type OpenOptions, toConfig } from "./options.js";
import { askPersist, askStorage, persistIsSilent, type StorageFacts, visibility, warnBeforeUnload, watchPage } from "./page.js";
import type { Receipt } from "./receipt.js";
import {
  decodeChange,
  decodeEphemeral,
  decodeInfo,
  decodeLifecycle,
  decodeOpened,
  decodeRefused,
  decodeSeq,
  type Ephemeral,
  emptyInfo,
  type SpaceInfo,
  type SpaceLifecycle,
  type Status,
  toPosition,
  type Verdict,
} from "./wire.js";

const failing = 5; // starts in a row until status says that it does not get better by itself
const askInterval = 60_000;
const mostMemory = 256 << 20; // of a worker, which never gives any back: beyond that it makes way for another
const renewInterval = 600_000; // a replica may need as much from the start
const linger = 1000; // how long a replica stays open that nobody uses: a page that renders twice opens it again at once

const unknownStorage: StorageFacts = Object.freeze({ persisted: undefined, usage: undefined, quota: undefined });

const unopened = Object.freeze({
  connection: "offline",
  leader: false,
  pending: 0,
  pendingSpaces: 0,
  undurable: 0,
  rejected: 0,
  lost: 0,
  refusal: undefined,
  catchingUp: 0,
  atRisk: 0,
  identity: "key",
  retryAt: undefined,
  reconnectAt: undefined,
  code: undefined,
  reason: "",
  lastSync: undefined,
  worker: "running",
  storage: Object.freeze({ state: "ok", ...unknownStorage }),
} satisfies Status);

/** The replicas that this page has open, by the names of their databases. */
const replicas = new Map<string, Replica>();

/**
 * One replica as this page has it open, with one worker for all that use it. It keeps what the worker would have to be
 * told again.
 */
export class Replica implements Host {
  readonly config: Config;
  readonly wasm: string;
  readonly #options: OpenOptions;
  readonly #link: Link;
  readonly #opening: Promise<void>;
  #settleOpening!: { resolve(): void; reject(error: SkerryError): void };
  #uses = 0;
  #linger: ReturnType<typeof setTimeout> | undefined;
  #closing: { done: Promise<void>; resolve(): void } | undefined;

  readonly #infos = new Map<string, SpaceInfo>();
  readonly #unknown = new Map<string, SpaceInfo>(); // asked for, and nothing known yet
  readonly #opened = new Set<string>(); // spaces that the worker was told to look at
  readonly #users = new Map<string, Set<object>>(); // who looks at each space, beside watchers
  readonly #made = new Map<string, readonly unknown[]>(); // spaces and modules that are nowhere else, where storage is memory
  readonly #listeners = new Set<() => void>();
  readonly #watchers = new Map<string, Set<() => void>>();
  readonly #verdicts = new Set<(verdict: Verdict) => void>();
  readonly #lifecycles = new Set<(event: SpaceLifecycle) => void>();
  readonly #hearers = new Set<(space: string, ephemeral: Ephemeral) => void>();
  readonly #undurable = new Set<Receipt>();
  #sorted: readonly SpaceInfo[] | undefined;

  #told: Status = unopened; // by the worker
  #status: Status | undefined; // all together; made when it is asked for
  #facts = unknownStorage;
  #factsAt = 0;
  #renewedAt = -Infinity;
  #wroteDurably = false;
  #refusal: Verdict | undefined;
  #failure: SkerryError | undefined; // of the worker, while there is none
  #failures = 0;
  #notifying = false;
  #leaving: Promise<void> | undefined; // settled when a key is gone that is to be forgotten
  #unwatch: (() => void) | undefined;

  identity = "";

  private constructor(config: Config, options: OpenOptions) {
    this.config = config;
    this.#options = options;
    this.wasm = absolute(options.wasmUrl ?? beside(new URL(__WASM__, import.meta.url))).href; // a worker has another base
    this.#opening = new Promise((resolve, reject) => (this.#settleOpening = { resolve, reject }));
    this.#opening.catch(() => {});
    this.#link = new Link(this);
  }

  /**
   * Returns the page's replica for a configuration, opened if it is not, to be given back by {@link Replica.release}.
   * One that is open was opened with the same options, functions aside. A key whose replica was forgotten makes way for another.
   */
  static async use(config: Config, options: OpenOptions): Promise<Replica> {
    let replica = replicas.get(config.database);
    if (!replica || replica.#link.ended) {
      replica = new Replica(config, options);
      if (!replica.#link.ended) replicas.set(config.database, replica);
    } else if (describe(config, options) !== describe(replica.config, replica.#options)) {
      throw new SkerryError("bad_argument", "this page has the replica open with another url, clientVersion, worker or wasmUrl");
    }
    replica.#uses++;
    clearTimeout(replica.#linger);
    replica.#link.goOn();
    replica.#closing?.resolve();
    replica.#closing = undefined;
    const { signal } = options;
    const aborted = signal && new Promise<never>((_, reject) => {
      const give = () => reject(new SkerryError("closed", "opening was given up"));
      if (signal.aborted) give();
      else signal.addEventListener("abort", give, { once: true });
    });
    try {
      await (aborted ? Promise.race([replica.#opening, aborted]) : replica.#opening);
      return replica;
    } catch (error) {
      if (--replica.#uses === 0) replica.#link.end(error as SkerryError);
      if (!config.key || (error as SkerryError).code !== "forgotten") throw error;
      await forgetKey(config.name, config.identity); // who had the replica forgotten has not come to that yet, or never will
      return Replica.use(await toConfig(options), options);
    }
  }

  /** Gives the replica back. It resolves when the replica is closed, or somebody else uses it. */
  release(): Promise<void> {
    if (--this.#uses > 0 || this.#link.ended) return Promise.resolve();
    let resolve!: () => void;
    const done = new Promise<void>((r) => (resolve = r));
    this.#closing = { done, resolve };
    this.#linger = setTimeout(() => void this.#close().then(resolve), linger);
    return done;
  }

  /** Says that what cannot be made durable now need not be tried again, if nobody else uses the replica. */
  lastTry(): void {
    if (this.#uses === 1) this.#link.lastTry();
  }

  async #close(): Promise<void> {
    replicas.delete(this.config.database);
    this.#unwatch?.();
    await this.#link.call("close").catch(() => {});
    this.#link.end(new SkerryError("closed", "the client was closed"));
  }

  // What the link asks for and tells.

  start(): WorkerLike {
    const given = this.#options.worker;
    if (typeof given === "function") return given();
    return startWorker(workerURL(given));
  }

  async reload(): Promise<void> {
    const given = this.#options.worker;
    const files = [this.wasm, ...(typeof given === "function" ? [] : [String(workerURL(given))])];
    await Promise.all(files.map((file) => fetch(file, { cache: "reload" }).then((r) => r.arrayBuffer(), () => {})));
  }

  opened(bytes: Uint8Array): void {
    const { identity, status, infos } = decodeOpened(bytes);
    this.identity = identity;
    const first = !this.#unwatch;
    this.#failure = undefined;
    this.#unwatch ??= watchPage({
      lifecycle: (what) => this.#lifecycle(what),
      online: () => this.#link.tell("poke"),
      tick: (onTime) => this.#tick(onTime),
    });
    this.#link.tell("lifecycle", visibility());
    if (status.storage.state === "memory") for (const create of this.#made.values()) this.#link.tell(...create);
    for (const id of this.#opened) this.#link.tell("space", id);
    if (first) void this.#ask();
    this.#update(status, infos);
    this.#settleOpening.resolve();
  }

  told(what: string, value: unknown): void {
    if (what === "change") {
      const { status, infos } = decodeChange(value as Uint8Array);
      this.#update(status, infos);
    } else if (what === "refused") {
      this.#verdict(decodeRefused(value as Uint8Array));
    } else if (what === "lifecycle") {
      const event = decodeLifecycle(value as Uint8Array);
      this.#update(this.#told, [event.info]); // so that who is told finds it so everywhere
      for (const f of [...this.#lifecycles]) callback(() => f(event));
    } else if (what === "ephemeral") {
      const [space, ephemeral] = decodeEphemeral(value as Uint8Array);
      for (const f of [...this.#hearers]) callback(() => f(space, ephemeral));
    } else if (what === "token") {
      void this.#giveToken();
    } else if (what === "log") {
      this.#options.log?.(value as string);
    }
  }

  async #giveToken(): Promise<void> {
    try {
      const token = await this.#options.token!();
      const { exp } = claimsOf(token);
      this.#link.tell("token", token, typeof exp === "number" ? Math.max(1, exp * 1000 - Date.now()) : 0, "");
    } catch (error) {
      this.#link.tell("token", "", 0, error instanceof Error ? error.message : String(error));
    }
  }

  failed(error: SkerryError, failures: number): void {
    this.#options.log?.(`${error.message}; it is started again`);
    this.#failure = error;
    this.#failures = failures;
    this.#changed();
  }

  ended(error: SkerryError): void {
    if (this.#leaving) {
      void this.#leaving.then(() => this.ended(error)); // who hears of it may leave the page, and the key would stay
      return;
    }
    if (replicas.get(this.config.database) === this) replicas.delete(this.config.database);
    clearTimeout(this.#linger);
    this.#unwatch?.();
    this.#settleOpening.reject(error);
    this.#failure = error;
    this.#failures = Infinity;
    this.#update(this.#told, []);
    for (const watchers of this.#watchers.values()) for (const f of watchers) callback(f);
  }

  #lifecycle(what: Parameters<Parameters<typeof watchPage>[0]["lifecycle"]>[0]): void {
    if (what === "visible" || what === "resume" || what === "pageshow") {
      this.#link.release("lifecycle", what);
      return;
    }
    if (what === "pagehide" && this.#undurable.size === 0 && this.#told.storage.state !== "memory") {
      // There is nothing to be flushed, and a worker that is stopped inside a transaction keeps the store from every other tab:
      // WebKit stops it wherever it is.
      this.#link.rest();
      return;
    }
    this.#link.tell("lifecycle", what);
    if (what !== "hidden") this.#link.hold(); // what comes now would run into a store that is closed
  }

  #tick(onTime: boolean): void {
    if (this.#link.held) this.#lifecycle("visible"); // it was not told, but it can be seen that the page goes on
    if (onTime) this.#link.tick();
    if (Date.now() - this.#factsAt < askInterval) return;
    void this.#ask();
    void this.#weigh();
  }

  // What clients ask for.

  /** How things stand. The object is replaced when something changed. */
  get status(): Status {
    return (this.#status ??= this.#compose());
  }

  call(method: string, ...args: unknown[]): Promise<Uint8Array | undefined> {
    return this.#link.call(method, ...args);
  }

  /** Makes a space; with the same stamp it is the same one, also when a worker dies over it. */
  async create(module: string, params: Uint8Array, stamp: Uint8Array, user: object): Promise<string> {
    const message = ["create", module, params, stamp];
    const info = decodeInfo((await this.#link.call(...(message as [string, ...unknown[]])))!);
    if (this.status.storage.state === "memory") this.#made.set(info.id, message);
    this.#opened.add(info.id);
    this.openSpace(info.id, user);
    this.#learn(info);
    return info.id;
  }

  /** Keeps a module; where storage is memory, for the next worker too. */
  async putModule(module: Uint8Array): Promise<string> {
    const message: [string, ...unknown[]] = ["putModule", module];
    const hash = toHex((await this.#link.call(...message))!);
    if (this.status.storage.state === "memory") this.#made.set(hash, message);
    return hash;
  }

  /** Notes that somebody looks at a space, so that it is pulled. */
  openSpace(id: string, user: object): void {
    const users = this.#users.get(id);
    if (users) users.add(user);
    else this.#users.set(id, new Set([user]));
    this.#look(id);
  }

  /** Ends what `openSpace` began. Who watches the space goes on looking at it. */
  closeSpace(id: string, user: object): void {
    const users = this.#users.get(id);
    if (users?.delete(user) && users.size === 0) this.#users.delete(id);
    this.#look(id);
  }

  /** Tells the worker whether anybody looks at a space. */
  #look(id: string): void {
    const looked = this.#users.has(id) || this.#watchers.has(id);
    if (looked === this.#opened.has(id)) return;
    if (!looked) {
      this.#opened.delete(id);
      this.#link.tell("leave", id);
      return;
    }
    this.#opened.add(id);
    this.#link.call("space", id).then(
      (bytes) => this.#learn(decodeInfo(bytes!)),
      () => this.#opened.delete(id), // told by status
    );
  }

  /** Writes a transaction, of which the bytes are kept here until they are durable. */
  append(space: string, transaction: Uint8Array, receipt: Receipt): void {
    const { applied, durable, synced } = receipt.moments;
    this.#undurable.add(receipt);
    this.#armed();
    const request: Request = this.#link.send(
      (error, result, nth) => {
        if (error) {
          // What was refused is told by the worker, whoever wrote it.
          if (this.#undurable.delete(receipt) ? error.code !== "closed" : (error.code as string) === "replica_lost") {
            this.#verdict({ space, id: receipt.id, code: error.code, reason: error.reason, position: undefined });
          }
          receipt.fail(error);
        } else if (nth === 0) {
          applied.resolve();
        } else if (nth === 2) {
          this.#undurable.delete(receipt);
          const verdict = toSynced(result!);
          synced.resolve(verdict);
          this.#verdict({ space, id: receipt.id, code: undefined, reason: "", position: verdict.position });
        } else if (this.#told.storage.state === "memory") {
          durable.reject(new SkerryError("not_durable", "the browser gives no storage: all is gone with the page"));
        } else {
          this.#undurable.delete(receipt);
          durable.resolve();
          request.again = ["receipt", space, receipt.id]; // all that another worker need be told
          this.#firstDurable();
        }
        this.#armed();
      },
      3,
      "append",
      space,
      transaction,
      false,
    );
    request.again = ["append", space, transaction, true];
  }

  /** Finds out what became of a transaction. */
  find(space: string, receipt: Receipt): void {
    const { applied, durable, synced } = receipt.moments;
    this.#link.send(
      (error, result, nth) => {
        if (error) receipt.fail(error);
        else if (nth === 0) applied.resolve();
        else if (nth === 1) durable.resolve();
        else synced.resolve(toSynced(result!));
      },
      3,
      "receipt",
      space,
      receipt.id,
    );
  }

  /** Sends a refused transaction again. A worker may die between doing it and saying so. */
  retry(space: string, id: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const request: Request = this.#link.send(
        (error) => (error && (request.sent < 2 || error.code !== "not_found") ? reject(error) : resolve()),
        1, "retry", space, id,
      );
    });
  }

  /** Logs in or out. What is forgotten is over for whoever has it open, here and in other tabs, and so is its key. */
  async login(how: number): Promise<void> {
    const { identity, key, name } = this.config;
    if (how < 2) return void (await this.#link.call("login", how));
    let done!: () => void;
    this.#leaving = new Promise((resolve) => (done = resolve));
    try {
      await this.#link.call("login", how).catch((error: SkerryError) => {
        if (error.code !== "forgotten") throw error; // the worker told of its end before it answered
      });
      if (key) await forgetKey(name, identity);
    } finally {
      this.#leaving = undefined;
      done();
    }
    this.#link.end(new SkerryError("forgotten", "you logged out and had everything forgotten"));
  }

  async persist(): Promise<boolean> {
    const granted = await askPersist();
    await this.#ask();
    return granted;
  }

  infoOf(id: string): SpaceInfo {
    const known = this.#infos.get(id) ?? this.#unknown.get(id);
    if (known) return known;
    const info = emptyInfo(id);
    this.#unknown.set(id, info);
    return info;
  }

  spaces(): readonly SpaceInfo[] {
    this.#sorted ??= Object.freeze(
      [...this.#infos.values()].sort((a, b) => compare(a.stamp ?? "~", b.stamp ?? "~") || compare(a.id, b.id)),
    );
    return this.#sorted;
  }

  subscribe(f: () => void): () => void {
    return listen(this.#listeners, f);
  }

  onVerdict(f: (verdict: Verdict) => void): () => void {
    return listen(this.#verdicts, f);
  }

  onLifecycle(f: (event: SpaceLifecycle) => void): () => void {
    return listen(this.#lifecycles, f);
  }

  onEphemeral(id: string, f: (ephemeral: Ephemeral) => void): () => void {
    return listen(this.#hearers, (space, ephemeral) => {
      if (space === id) f(ephemeral);
    });
  }

  /** Sends what nobody keeps. While there is no worker it is lost: nobody wants to hear of it later. */
  async sendEphemeral(id: string, bytes: Uint8Array): Promise<void> {
    if (!this.#failure) await this.#link.call("sendEphemeral", id, bytes);
  }

  watch(id: string, f: () => void): () => void {
    const watcher = () => f();
    let watchers = this.#watchers.get(id);
    if (!watchers) this.#watchers.set(id, (watchers = new Set()));
    watchers.add(watcher);
    this.#look(id);
    return () => {
      watchers.delete(watcher);
      if (watchers.size > 0 || this.#watchers.get(id) !== watchers) return;
      this.#watchers.delete(id);
      this.#look(id);
    };
  }

  // What changes.

  #learn(info: SpaceInfo): void {
    if (!this.#infos.has(info.id)) this.#update(this.#told, [info]); // else something newer was told already
  }

  #verdict(verdict: Verdict): void {
    Object.freeze(verdict);
    if (verdict.code) this.#refusal = verdict;
    for (const f of [...this.#verdicts]) callback(() => f(verdict));
    if (verdict.code) this.#changed();
  }

  /**
   * Warns of leaving the page while something would be lost by it. Listeners hear of the first and the last such thing;
   * of those between the worker's own changes tell soon enough.
   */
  #armed(): void {
    this.#status = undefined;
    if (warnings.set(this, this.#undurable.size > 0)) this.#changed();
  }

  #firstDurable(): void {
    if (this.#wroteDurably) return;
    this.#wroteDurably = true;
    void persistIsSilent()
      .then(async (silent) => void (await (silent ? this.persist() : this.#ask())))
      .catch(() => {}); // what the browser does not say is no fault
  }

  /** Asks the browser how storage stands. */
  async #ask(): Promise<void> {
    this.#factsAt = Date.now();
    const facts = await askStorage().catch(() => unknownStorage);
    if (this.#facts.persisted === facts.persisted && this.#facts.usage === facts.usage && this.#facts.quota === facts.quota) return;
    this.#facts = facts;
    this.#changed();
  }

  /** Replaces a worker that has grown large, at a moment when it has nothing to do. */
  async #weigh(): Promise<void> {
    const answer = await this.#link.call("ping").catch(() => undefined);
    const idle = this.#undurable.size + this.#told.catchingUp === 0 && Date.now() - this.#renewedAt >= renewInterval;
    if (!answer || !idle || decodeSeq(answer) <= mostMemory) return;
    this.#renewedAt = Date.now();
    this.#link.renew();
  }

  #compose(): Status {
    const told = this.#told;
    const state = told.storage.state === "ok" && this.config.lost ? "replica_lost" : told.storage.state;
    const storage = Object.freeze({ state, ...this.#facts });
    const down = this.#failure;
    return Object.freeze({
      ...told,
      identity: this.config.kept,
      undurable: this.#undurable.size,
      refusal: this.#refusal,
      atRisk: storage.persisted ? 0 : told.pendingSpaces,
      storage,
      ...(down && {
        connection: "offline" as const,
        leader: false,
        code: down.code,
        reason: down.reason,
        worker: this.#failures === Infinity ? "ended" as const : this.#failures < failing ? "restarting" as const : "failing" as const,
      }),
    });
  }

  #update(status: Status, infos: readonly SpaceInfo[]): void {
    this.#told = status;
    this.#status = undefined;
    for (const info of infos) {
      if (!info.creator && this.#infos.get(info.id)?.code === "deleted") this.#infos.delete(info.id); // it was forgotten
      else this.#infos.set(info.id, info);
      this.#unknown.delete(info.id);
      if (info.created) this.#made.delete(info.id);
    }
    if (infos.length > 0) this.#sorted = undefined;
    for (const info of infos) for (const f of this.#watchers.get(info.id) ?? []) callback(f);
    for (const f of [...this.#listeners]) callback(f);
  }

  /** Notes that status is another one, and tells so once for all that changes now. */
  #changed(): void {
    this.#status = undefined;
    if (this.#notifying) return;
    this.#notifying = true;
    queueMicrotask(() => {
      this.#notifying = false;
      for (const f of [...this.#listeners]) callback(f);
    });
  }
}

/** Has `f` called with what is told to those in a set, until the returned function is called. */
function listen<Told extends unknown[]>(set: Set<(...told: Told) => void>, f: (...told: Told) => void): () => void {
  const listener = (...told: Told) => f(...told); // the same function may listen twice
  set.add(listener);
  return () => void set.delete(listener);
}

/** Which replicas want the user to be asked before they leave the page. */
const warnings = {
  of: new Set<Replica>(),
  /** Reports whether that is new. */
  set(replica: Replica, on: boolean): boolean {
    if (this.of.has(replica) === on) return false;
    if (on) this.of.add(replica);
    else this.of.delete(replica);
    if (this.of.size === Number(on)) warnBeforeUnload(on);
    return true;
  },
};

function toSynced(result: Uint8Array) {
  const seq = decodeSeq(result);
  return { seq, position: toPosition(seq) };
}

/** What must be equal for two opens of one replica, as text. */
function describe({ url, clientVersion }: Config, { worker, wasmUrl }: OpenOptions): string {
  return JSON.stringify([url, clientVersion, typeof worker === "function" ? "" : String(worker ?? ""), String(wasmUrl ?? "")]);
}

function workerURL(given: string | URL | undefined): URL {
  return absolute(given ?? beside(new URL(__WORKER__, import.meta.url)));
}

/** Vite before version 8, while one develops, moves this module into its cache and leaves the files beside it behind. */
function beside(url: URL): string {
  return url.href.replace(/\/\.vite\/deps\/([^/]*)$/, "/skerry/lib/$1");
}

function absolute(url: string | URL): URL {
  try {
    return new URL(url, globalThis.location?.href);
  } catch {
    throw new SkerryError("bad_argument", `not an address: ${String(url)}`);
  }
}

/**
 * Starts a worker from where its script is. Browsers start none of another origin, so there a script of the page's own
 * origin imports it; the page's policy must allow `worker-src blob:` then.
 */
function startWorker(url: URL): Worker {
  let script = url.href;
  if (url.origin !== globalThis.location.origin) {
    script = URL.createObjectURL(new Blob([`importScripts(${JSON.stringify(script)})`], { type: "text/javascript" }));
  }
  return new Worker(trusted(script), { name: "skerry" });
}

interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): { createScriptURL(url: string): string };
}
let policy: ReturnType<TrustedTypes["createPolicy"]> | undefined;

/** Says for a page with `require-trusted-types-for 'script'` that an address is good; it must allow the policy `skerry`. */
function trusted(url: string): string {
  try {
    policy ??= (globalThis as { trustedTypes?: TrustedTypes }).trustedTypes?.createPolicy("skerry", { createScriptURL: (url) => url });
  } catch {
    // not allowed: where the page does not ask for it, the address will do
  }
  return policy?.createScriptURL(url) ?? url;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Calls a listener; what it throws is the page's own error and does not stop the others. */
export function callback(f: () => void): void {
  try {
    f();
  } catch (error) {
    globalThis.reportError?.(error);
  }
}
