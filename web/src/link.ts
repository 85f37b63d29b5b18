import type { Code } from "./codes.js";
import { SkerryError, toError } from "./error.js";

/**
 * Takes the answers to one message. Most messages have one; an append has up to three. `nth` counts them from 0, and
 * begins again with a worker that was started in place of one that failed.
 */
export type Answer = (error: SkerryError | undefined, result: Uint8Array | undefined, nth: number) => void;

/** As much of a Worker as is needed here, so that a test can stand in for one. */
export interface WorkerLike {
  postMessage(message: unknown, transfer?: Transferable[]): void;
  terminate(): void;
  onmessage: ((event: MessageEvent) => void) | null;
  onerror: ((event: ErrorEvent) => void) | null;
  onmessageerror: ((event: MessageEvent) => void) | null;
}

/** A message that waits for answers. */
export interface Request {
  message: readonly unknown[]; // method and arguments
  again?: readonly unknown[]; // what the next worker is told instead: this one may have done it
  readonly answers: number;
  readonly answer: Answer;
  got: number; // answers of this worker
  sent: number; // to how many workers
  waits: boolean; // it was not sent to this worker yet
}

/** The other side of a link: who starts the worker and hears what it was not asked for. */
export interface Host {
  /** Where the client's WebAssembly is. */
  readonly wasm: string;
  /** What the worker is opened with. */
  readonly config: object;
  start(): WorkerLike;
  /** Fetches the build's files anew, past the browser's cache. */
  reload(): Promise<unknown>;
  /** The worker is open; each one that is started says so. */
  opened(bytes: Uint8Array): void;
  told(what: string, value: unknown): void;
  /** The worker failed, so many times in a row, and another one is about to be started. */
  failed(error: SkerryError, failures: number): void;
  /** There is no worker and will be none. */
  ended(error: SkerryError): void;
}

const shortestDelay = 250; // before the second start in a row; the first is made at once
const longestDelay = 30_000;
const stable = 30_000; // a worker that lived so long was no failure
const silentTicks = 5;
const mostUnheard = 20_000; // a script that takes so long to come is asked for again
const mostCalls = 3; // workers that are asked for what is no transaction

// What another start would not change.
const final: ReadonlySet<Code> = new Set<Code>(["build_mismatch", "upgrade_required", "bad_argument", "forgotten"]);

/**
 * The page's end of the channel to its worker, which it supervises: one that fails, ends or falls silent makes way for
 * another, and everything that waits for an answer is sent to that in the order in which it was sent first. So whatever
 * is sent here must be harmless when it is done twice. Transactions are sent until they are answered, other calls to
 * three workers. The worker that cannot even be opened once is not replaced, unless nothing was ever heard of it:
 * Chromium has been seen to forget about a worker's script.
 */
export class Link {
  readonly #host: Host;
  readonly #requests = new Map<number, Request>();
  #worker: WorkerLike | undefined;
  #open = false; // this worker has opened the replica
  #everOpen = false;
  #openRef = 0;
  #ref = 0;
  #held = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #failures = 0;
  #reloaded = false;
  #lastTry = false;
  #unheard: ReturnType<typeof setTimeout> | undefined; // runs until this worker's script has come
  #heard = true; // since the last tick
  #silent = 0; // ticks
  #startedAt = 0;
  #ended: SkerryError | undefined;

  constructor(host: Host) {
    this.#host = host;
    this.#start();
  }

  /** Why there is no worker any more. */
  get ended(): SkerryError | undefined {
    return this.#ended;
  }

  /** Whether messages are kept here. */
  get held(): boolean {
    return this.#held;
  }

  /** Sends a message that has one answer. */
  call(method: string, ...args: unknown[]): Promise<Uint8Array | undefined> {
    return new Promise((resolve, reject) => {
      this.send((error, result) => (error ? reject(error) : resolve(result)), 1, method, ...args);
    });
  }

  /** Sends a message that has up to `answers` answers, an error being the last. */
  send(answer: Answer, answers: number, ...message: unknown[]): Request {
    const request: Request = { message, answers, answer, got: 0, sent: 0, waits: true };
    if (this.#ended) {
      answer(this.#ended, undefined, 0);
      return request;
    }
    this.#requests.set(++this.#ref, request);
    if (this.#open && !this.#held) this.#post(this.#ref, request);
    return request;
  }

  /** Sends a message at once, also while others are held, to a worker that is open; nobody waits for the answer. */
  tell(...message: unknown[]): void {
    if (this.#open) this.#worker!.postMessage([++this.#ref, ...message]);
  }

  /** Keeps messages here, since the worker may be suspended. */
  hold(): void {
    this.#held = true;
  }

  /** Ends the worker too, until what is kept is sent to another one. */
  rest(): void {
    this.hold();
    if (!this.#ended) this.#again();
  }

  /** Sends a message and then those that were kept. */
  release(...message: unknown[]): void {
    this.tell(...message);
    this.#held = false;
    if (!this.#worker && !this.#ended && this.#timer === undefined) this.#start();
    this.#heard = true; // what is silent from now on is counted anew
    this.#flush();
  }

  /** Tries at once whatever is waited with, for the last time: one more failure ends the link. */
  lastTry(): void {
    this.#lastTry = true;
    if (this.#timer !== undefined) this.#start();
    this.tell("lastTry");
  }

  /** Takes back {@link Link.lastTry}. */
  goOn(): void {
    this.#lastTry = false;
  }

  /** Starts another worker in place of one that works: what waits for an answer is sent to that. */
  renew(): void {
    if (!this.#open || this.#held || this.#ended) return;
    this.#again();
    this.#start();
  }

  /**
   * Takes a tick of the page's clock that came on time, while the page is visible. Only such ticks count: after a sleep
   * or in a busy page silence says nothing of the worker.
   */
  tick(): void {
    if (!this.#open || this.#held) return;
    if (this.#failures > 0 && Date.now() - this.#startedAt >= stable) this.#failures = 0;
    if (this.#heard) this.#silent = 0;
    else if (++this.#silent >= silentTicks) {
      this.#fail(new SkerryError("internal", "the worker was silent for too long"));
      return;
    } else this.tell("ping");
    this.#heard = false;
  }

  /** Ends the worker; every open answer is `error`. */
  end(error: SkerryError): void {
    if (this.#ended) return;
    this.#ended = error;
    this.#drop();
    const open = [...this.#requests.values()];
    this.#requests.clear();
    for (const { answer, got } of open) answer(error, undefined, got);
    this.#host.ended(error);
  }

  #start(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    let worker: WorkerLike;
    try {
      worker = this.#host.start();
    } catch (error) {
      this.#fail(error instanceof SkerryError ? error : new SkerryError("internal", `the worker could not be started: ${String(error)}`));
      return;
    }
    this.#worker = worker;
    this.#startedAt = Date.now();
    this.#unheard = setTimeout(() => this.#fail(new SkerryError("internal", "the worker's script did not come"), true), mostUnheard);
    (this.#unheard as { unref?(): void }).unref?.(); // Node's keeps a program alive
    worker.onmessage = (event) => this.#received(event.data as [number, unknown, unknown]);
    worker.onerror = (event) => {
      event.preventDefault?.();
      this.#fail(new SkerryError("internal", `the worker failed: ${event.message || "it could not be loaded"}`));
    };
    worker.onmessageerror = () => this.#fail(new SkerryError("internal", "a message of the worker could not be read"));
    worker.postMessage([-1, "start", __BUILD__, this.#host.wasm]);
    this.#openRef = ++this.#ref;
    worker.postMessage([this.#openRef, "open", this.#host.config]);
  }

  /** Ends the worker that is there; nothing of it is heard any more. */
  #drop(): void {
    clearTimeout(this.#unheard);
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#open = false;
    const worker = this.#worker;
    this.#worker = undefined;
    if (!worker) return;
    worker.onmessage = worker.onerror = worker.onmessageerror = null;
    worker.terminate();
  }

  /** Ends the worker that is there; the next one is sent all that waits for an answer. */
  #again(): void {
    this.#drop();
    for (const request of this.#requests.values()) {
      request.got = 0;
      request.waits = true;
    }
  }

  /** Starts another worker in place of one that failed, unless that is of no use. */
  #fail(error: SkerryError, unheard = false): void {
    if (this.#ended) return;
    this.#drop();
    if (error.code === "build_mismatch" && !this.#reloaded) {
      // A cache gave files of two builds: one look past it may help.
      this.#reloaded = true;
      void this.#host.reload().then(() => !this.#ended && !this.#worker && this.#start());
      return;
    }
    if (!this.#everOpen && !unheard || this.#lastTry || final.has(error.code)) {
      this.end(error);
      return;
    }
    for (const [ref, request] of this.#requests) {
      if (request.answers === 1 && request.sent === mostCalls) {
        this.#requests.delete(ref); // for all that is known, it is what the workers die of
        request.answer(error, undefined, 0);
      }
      request.got = 0;
      request.waits = true;
    }
    const delay = this.#failures === 0 ? 0 : Math.min(shortestDelay * 4 ** (this.#failures - 1), longestDelay);
    this.#failures++;
    this.#host.failed(error, this.#failures);
    this.#timer = setTimeout(() => this.#start(), delay);
  }

  #post(ref: number, request: Request): void {
    request.waits = false;
    if (request.sent++ > 0 && request.again) request.message = request.again;
    this.#worker!.postMessage([ref, ...request.message]);
  }

  #flush(): void {
    if (!this.#open || this.#held) return;
    for (const [ref, request] of this.#requests) if (request.waits) this.#post(ref, request);
  }

  #received([ref, first, second]: [number, unknown, unknown]): void {
    this.#heard = true;
    clearTimeout(this.#unheard);
    if (ref === 0) {
      if (first === "started") return;
      if (first === "failed") this.#fail(toError(second as [Code, string]));
      else if (first === "exit") this.#fail(new SkerryError("internal", `the worker's program ended with code ${String(second)}`));
      else this.#host.told(first as string, second);
    } else if (ref === this.#openRef) {
      this.#opened(first as [Code, string] | null, second as Uint8Array);
    } else {
      const request = this.#requests.get(ref);
      if (!request) return;
      const nth = request.got++;
      if (first || request.got === request.answers) this.#requests.delete(ref);
      request.answer(first ? toError(first as [Code, string]) : undefined, (second as Uint8Array | null) ?? undefined, nth);
    }
  }

  #opened(error: [Code, string] | null, bytes: Uint8Array): void {
    if (error) {
      this.#fail(toError(error));
      return;
    }
    this.#open = this.#everOpen = true;
    this.#silent = 0;
    this.#host.opened(bytes);
    if (this.#lastTry) this.tell("lastTry");
    this.#flush();
  }
}
