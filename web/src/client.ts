import { checkDigest } from "./bytes.js";
import type { ModuleCode, Warning } from "./declared.js";
import { encodeValue } from "./encode.js";
import { SkerryError } from "./error.js";
import type { AnyModule, ModuleTypes } from "./module.js";
import { keepActing } from "./identity.js";
import { askFor, type Device, devices, link, linkedAs, type LinkOptions, recoveryKey, unlink } from "./linked.js";
import { type Config, type OpenOptions, toConfig } from "./options.js";
import { Receipt } from "./receipt.js";
import { callback, Replica } from "./replica.js";
import { Space } from "./space.js";
import { ULIDSource } from "./ulid.js";
import { decodeImported, type Ephemeral, type ImportedSpace, type SpaceInfo, type SpaceLifecycle, type Status, type Verdict } from "./wire.js";

/** What a space is made with. */
export interface SpaceOptions<M extends ModuleTypes = AnyModule> {
  /**
   * The module that judges what is written: a built-in's name (`open`: everyone writes and reads; `personal`: only who made
   * the space does; `broadcast`: only who made it writes, everyone reads; `members`: people with roles, by invitation;
   * `kv`: tables of the app's own, over such roles, see {@link KeyValue}), or the hash of one that {@link Client.putModule}
   * keeps here or that the server has, or the generated code of one, as for {@link Client.space}.
   */
  readonly module?: string | ModuleCode<M>;
  /** Whatever the module wants to know; part of the space's identity. */
  readonly params?: M["params"];
}

/**
 * Opens this device's replica. It resolves when what is stored can be read and written; syncing goes on behind it and
 * needs no server to begin with. Call {@link Client.close} when done.
 *
 * A page has one worker for each replica, however often it opens it: each call returns a client of its own, and the
 * last one that is closed ends the worker. All must be opened with the same `url`, `clientVersion`, `worker` and
 * `wasmUrl`, else it is `bad_argument`; where `worker` and `log` are functions, those of the first count.
 *
 * It rejects with `insecure_context` where the page was loaded without https, `bad_argument`, `build_mismatch` if page,
 * worker and WebAssembly are not of one build, `upgrade_required` if a newer version has written the replica, `closed`
 * if the signal gave up, and `internal` if the worker could not be started.
 */
export async function open(options: OpenOptions = {}): Promise<Client> {
  if (globalThis.isSecureContext === false) {
    throw new SkerryError("insecure_context", "pages need https, or localhost, to store anything");
  }
  const config = await toConfig(options);
  return new Client(await Replica.use(config, options));
}

/** What a client tells of, by name. */
export interface ClientEvents {
  /**
   * The server has put a transaction into the log that this client's page wrote; or a transaction was refused, or could
   * not be stored, whoever wrote it on this device.
   */
  verdict: Verdict;
  /**
   * What happened to a space: told to every page for itself, for one space in the order in which it happened. Of what happened while
   * the page was not open, or not connected, only what is so now is told: as `created` or `joined` a space that was not known
   * here; as `upgraded` one with another module than was known; as `expired` one of which events have expired; as `left` one that may not be read any more, by a page that
   * connects, each time one is opened.
   */
  lifecycle: SpaceLifecycle;
  /**
   * The generated code with which a space was opened ({@link Client.space}) and the module that the space has now differ, about an event type or a table. Told
   * once for each, and again when the space has another module; where nobody listens on the console.
   */
  warning: Warning;
}

/** One identity's replica on this device, as one part of a page has it open. Made by {@link open}. */
export class Client {
  readonly #replica: Replica;
  readonly #spaces = new Map<string, Space>();
  readonly #open = new Set<Receipt>(); // receipts that are not decided
  readonly #stops = new Map<() => void, () => void>(); // what ends each subscription, and what it is told at the end
  readonly #warned = new Set<(warning: Warning) => void>();
  readonly #warnings = new Set<string>(); // that were told
  #closing: Promise<void> | undefined;

  /** @internal */
  readonly ids = new ULIDSource();

  /** @internal */
  constructor(replica: Replica) {
    this.#replica = replica;
  }

  /** The name of this device's own key, by which another one links it; `identity` too, unless it was linked. */
  get device(): string {
    return this.#replica.config.identity;
  }

  /** Who writes. */
  get identity(): string {
    return this.#replica.identity;
  }

  /** How things stand. The object is replaced when something changes, so it can be compared. */
  get status(): Status {
    return this.#replica.status;
  }

  /**
   * Calls `onChange` when `status`, `spaces()` or a space's `info()` changed, until the returned function is called.
   * With `status` as snapshot it fits React's `useSyncExternalStore`.
   */
  readonly subscribe = (onChange: () => void): (() => void) => this.#keep(this.#replica.subscribe(onChange));

  /** Calls `f` with what happens, until the returned function is called. */
  on<Name extends keyof ClientEvents>(name: Name, f: (event: ClientEvents[Name]) => void): () => void {
    if (name === "lifecycle") return this.#keep(this.#replica.onLifecycle(f as (event: SpaceLifecycle) => void));
    if (name === "warning") {
      this.#warned.add(f as (event: Warning) => void);
      return this.#keep(() => void this.#warned.delete(f as (event: Warning) => void));
    }
    if (name !== "verdict") throw new SkerryError("bad_argument", `there is no event ${String(name)}`);
    return this.#keep(this.#replica.onVerdict(f as (event: Verdict) => void));
  }

  /**
   * Makes a space, offline too. It resolves when the space is durable on this device; the server hears of it when it
   * can. It rejects with `bad_genesis` for params that the module refuses, whose reason says why.
   */
  async createSpace<M extends ModuleTypes = AnyModule>(options: SpaceOptions<M> = {}): Promise<Space<M>> {
    this.#check();
    const params = options.params === undefined ? new Uint8Array() : encodeValue(options.params);
    const { module = "open" } = options;
    const code = typeof module === "string" ? undefined : module;
    const id = await this.#replica.create(code?.hash ?? (module as string), params, this.ids.next(), this);
    return this.#spaceOf(id, code) as Space<M>;
  }

  /**
   * Keeps a module on this device, durably, and returns its hash, by which `createSpace` makes spaces of it. It needs no
   * network: the server is sent the bytes when it misses them. To put a module again is harmless. It rejects with
   * `bad_module` for bytes that can be no module, and says why; `too_large` beyond 4 MiB; `quota` where the device is full.
   */
  async putModule(module: Uint8Array): Promise<string> {
    this.#check();
    // Of a frame, or of an extension, it is an instance of another Uint8Array.
    if (!ArrayBuffer.isView(module)) throw new SkerryError("bad_argument", "a module's bytes are a Uint8Array");
    const { buffer, byteOffset, byteLength } = module;
    return this.#replica.putModule(new Uint8Array(buffer, byteOffset, byteLength).slice()); // what it is a part of is not sent along
  }

  /**
   * Returns the space with an ID, which need not be known here yet: until {@link Space.close} it is kept up to date, as
   * far as the server lets this identity read it. Of the others `spaces()` tells that they are there; see
   * {@link Space.pin} for what is to be read offline.
   *
   * With `code`, which `skerry module types` makes of a module, what is written is held to what that declares and says by which declaration
   * it was written, and {@link Space.read} reads events by theirs. Where the space's module is another one, what differs is told as a `warning`.
   */
  space<M extends ModuleTypes = AnyModule>(id: string, code?: ModuleCode<M>): Space<M> {
    const checked = checkDigest(id, "a space's ID");
    if (!this.#closing) this.#replica.openSpace(checked, this);
    return this.#spaceOf(checked, code) as Space<M>;
  }

  /** Returns every space that this replica knows, oldest stamp first. The array is replaced when one changes. */
  spaces(): readonly SpaceInfo[] {
    return this.#replica.spaces();
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
   * Takes a space that was deleted ({@link Space.delete}) off this device, in all tabs; {@link Client.export} it before, if it is
   * to be kept. Rejects with `bad_argument` while something in it was never sent, unless `force` says that it may be lost, and
   * for a space that was not deleted.
   */
  async forget(id: string, options: { readonly force?: boolean } = {}): Promise<void> {
    await this.call("forget", checkDigest(id, "a space's ID"), options.force === true);
    this.closeSpace(id);
  }

  /**
   * Ends syncing, in all tabs and over reloads, until {@link Client.login}: `status.connection` says `logged_out`. All that is here
   * stays, key included, and can be read and written as without a network; what is written waits.
   *
   * With `forget` the replica and its key are deleted too, and all clients of it end, with the code `forgotten`: open another one then.
   * It rejects with `unsynced`, logged out and with nothing deleted, while something is on this device alone, unless `force` says
   * that it may be lost.
   */
  async logout({ forget, force }: { readonly forget?: boolean; readonly force?: boolean } = {}): Promise<void> {
    this.#check();
    await this.#replica.login(forget ? (force ? 3 : 2) : 1);
  }

  /** Syncs again after {@link Client.logout}, in all tabs. */
  async login(): Promise<void> {
    this.#check();
    await this.#replica.login(0);
  }

  /**
   * Lets another device act as this identity: `device` is what {@link Client.device} says there. It needs the server, and the device whose
   * key the identity is (`forbidden` elsewhere). The other one calls {@link Client.acceptLink}, with the identity
   * that `identity` says here.
   */
  link(device: string, options: LinkOptions = {}): Promise<void> {
    return link(this.#config(), device, options);
  }

  /**
   * Looks at the server whether an identity has linked this device, and returns as whom it acts from the next {@link open} of this
   * replica on (load the page again), which is that identity; `undefined` if it has not. Anybody can link any device to themselves: the
   * identity is the one that the linking device shows ({@link Client.identity} there). What this one wrote before stays under its own
   * name, and goes up too. It rejects with `revoked` and `auth_expired` for a link that was taken back or has ended, and needs the server.
   */
  async acceptLink(identity: string): Promise<string | undefined> {
    const config = this.#config();
    const acting = await linkedAs(config, identity);
    if (acting) await keepActing(config.name, acting);
    return acting?.as;
  }

  /** Returns the devices that were linked to this identity, as the server knows them. */
  devices(): Promise<Device[]> {
    return devices(this.#config());
  }

  /**
   * Takes a device off this identity, for ever, and ends its connections (`revoked`): from the identity's own device any, from a linked
   * one itself alone, which acts under its own name again from the next {@link open} on, also where its link was revoked or has ended.
   * What it wrote stays; what is not sent yet waits until it is linked again.
   */
  async unlink(device: string): Promise<void> {
    const config = this.#config();
    const own = device === config.identity;
    await unlink(config, device).catch((error: SkerryError) => {
      if (!own || !/^(revoked|auth_expired)$/.test(error.code)) throw error; // the link has ended already
    });
    if (own) await keepActing(config.name, undefined);
  }

  /**
   * Makes a key that is kept on paper, and returns it as twelve groups of letters: this is the only time that anybody sees them. With them, `open({ recover })`
   * makes any device one of this identity's. Whoever reads them can do so too: {@link Client.unlink} takes it off, with all
   * devices that came by it.
   */
  recoveryKey(): Promise<string> {
    return recoveryKey(this.#config());
  }

  #config(): Config {
    this.#check();
    return this.#replica.config;
  }

  /**
   * Asks the browser not to evict this origin's storage when the device runs full, and returns what it says;
   * `status.storage.persisted` says it from then on. Call it from a click, since Firefox asks the user. The other
   * browsers decide by themselves, and are asked without this at the first durable write.
   */
  async persist(): Promise<boolean> {
    this.#check();
    return this.#replica.persist();
  }

  /**
   * Stops. Everything that this client wrote is durable first, or has failed; what is not synced stays and goes on when
   * the replica is opened again, and its open `synced` promises reject with `closed`. The worker of the last client of
   * a replica goes on for a second, in which the replica can be opened again at no cost.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#replica.lastTry();
    await Promise.all([...this.#open].map((receipt) => receipt.durable.catch(() => {})));
    const closed = closedError();
    for (const receipt of this.#open) receipt.fail(closed);
    this.#open.clear();
    for (const { id } of this.#spaces.values()) this.#replica.closeSpace(id, this);
    const stops = [...this.#stops];
    this.#stops.clear();
    for (const [stop, last] of stops) {
      stop();
      last();
    }
    await this.#replica.release();
  }

  /** @internal */
  call(method: string, ...args: unknown[]): Promise<Uint8Array | undefined> {
    if (this.#closing) return Promise.reject(closedError());
    return this.#replica.call(method, ...args);
  }

  /** @internal */
  retry(space: string, id: string): Promise<void> {
    if (this.#closing) return Promise.reject(closedError());
    return this.#replica.retry(space, id);
  }

  /** @internal */
  append(space: string, transaction: Uint8Array, receipt: Receipt): void {
    if (this.#follow(receipt)) this.#replica.append(space, transaction, receipt);
  }

  /** @internal */
  find(space: string, receipt: Receipt): void {
    if (this.#follow(receipt)) this.#replica.find(space, receipt);
  }

  /** @internal */
  ask(path: string): Promise<unknown> {
    return askFor(this.#config(), path);
  }

  /** @internal */
  infoOf(id: string): SpaceInfo {
    return this.#replica.infoOf(id);
  }

  /** @internal */
  closeSpace(id: string): void {
    this.#replica.closeSpace(id, this);
  }

  /** @internal */
  watch(id: string, f: () => void): () => void {
    return this.#keep(this.#replica.watch(id, f), () => callback(f));
  }

  /** @internal */
  sendEphemeral(id: string, bytes: Uint8Array): Promise<void> {
    return this.#closing ? Promise.reject(closedError()) : this.#replica.sendEphemeral(id, bytes);
  }

  /** @internal */
  onEphemeral(id: string, f: (ephemeral: Ephemeral) => void): () => void {
    const unlook = this.look(id, () => {}); // what nobody looks at is not subscribed to
    const stop = this.#keep(this.#replica.onEphemeral(id, f));
    return () => {
      unlook();
      stop();
    };
  }

  /** @internal */
  look(id: string, ended: () => void): () => void {
    return this.#keep(this.#replica.watch(id, () => {}), ended);
  }

  /** Notes a receipt until it is decided, unless it is too late for it. */
  #follow(receipt: Receipt): boolean {
    if (this.#closing) {
      receipt.fail(closedError());
      return false;
    }
    this.#open.add(receipt);
    receipt.moments.synced.onSettled = () => this.#open.delete(receipt);
    return true;
  }

  /** Keeps a subscription until it is ended, by who made it or with the client; `last` is told of the latter. */
  #keep(stop: () => void, last = () => {}): () => void {
    this.#stops.set(stop, last);
    return () => {
      this.#stops.delete(stop);
      stop();
    };
  }

  #check(): void {
    if (this.#closing) throw closedError();
  }

  /** @internal */
  warn(code: ModuleCode, module: string, warning: Warning): void {
    const key = [warning.space, code.hash, module, warning.of, warning.name, warning.code].join();
    if (this.#warnings.has(key)) return;
    this.#warnings.add(key);
    if (this.#warned.size === 0) console.warn(`skerry: ${warning.of} ${warning.name}: ${warning.reason}`);
    for (const f of [...this.#warned]) callback(() => f(warning));
  }

  #spaceOf(id: string, code?: ModuleCode): Space {
    const key = code ? id + code.hash : id;
    let space = this.#spaces.get(key);
    if (!space) this.#spaces.set(key, (space = new Space(this, id, code)));
    return space;
  }
}

function closedError(): SkerryError {
  return new SkerryError("closed", "the client was closed");
}
