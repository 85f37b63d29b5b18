import type { Code } from "./codes.js";
import { SkerryError, toError } from "./error.js";

/** Takes the answers to one message. Most messages have one; an append has up to three. */
export type Answer = (error: SkerryError | undefined, result: Uint8Array | undefined) => void;

/** As much of a Worker as is needed here, so that a test can stand in for one. */
export interface WorkerLike {
  postMessage(message: unknown, transfer?: Transferable[]): void;
  terminate(): void;
  onmessage: ((event: MessageEvent) => void) | null;
  onerror: ((event: ErrorEvent) => void) | null;
  onmessageerror: ((event: MessageEvent) => void) | null;
}

/** The page's end of the channel to its worker. When the worker fails, everything that waits for it does. */
export class Link {
  readonly #worker: WorkerLike;
  readonly #answers = new Map<number, { answer: Answer; left: number }>();
  readonly #onChange: (bytes: Uint8Array) => void;
  readonly #onLog: (line: string) => void;
  readonly #onEnd: (error: SkerryError) => void;
  #ref = 0;
  #ended: SkerryError | undefined;

  constructor(
    worker: WorkerLike,
    on: { change(bytes: Uint8Array): void; log(line: string): void; end(error: SkerryError): void },
  ) {
    this.#worker = worker;
    this.#onChange = (bytes) => on.change(bytes);
    this.#onLog = (line) => on.log(line);
    this.#onEnd = (error) => on.end(error);
    worker.onmessage = (event) => this.#received(event.data as [number, unknown, unknown]);
    worker.onerror = (event) => {
      event.preventDefault?.();
      this.end(new SkerryError("internal", `the worker failed: ${event.message || "it could not be loaded"}`));
    };
    worker.onmessageerror = () => this.end(new SkerryError("internal", "a message of the worker could not be read"));
  }

  /** Whether the worker can still answer. */
  get ended(): SkerryError | undefined {
    return this.#ended;
  }

  /** Sends a message that has one answer. */
  call(method: string, ...args: unknown[]): Promise<Uint8Array | undefined> {
    return new Promise((resolve, reject) => {
      this.send((error, result) => (error ? reject(error) : resolve(result)), 1, method, ...args);
    });
  }

  /** Sends a message that has up to `answers` answers, an error being the last. */
  send(answer: Answer, answers: number, method: string, ...args: unknown[]): void {
    if (this.#ended) {
      answer(this.#ended, undefined);
      return;
    }
    const ref = ++this.#ref;
    this.#answers.set(ref, { answer, left: answers });
    this.#worker.postMessage([ref, method, ...args]);
  }

  /** Sends a message to the worker's own script. */
  post(...message: unknown[]): void {
    this.#worker.postMessage(message);
  }

  /** Ends the worker; every open answer is `error`. */
  end(error: SkerryError): void {
    if (this.#ended) return;
    this.#ended = error;
    this.#worker.terminate();
    const open = [...this.#answers.values()];
    this.#answers.clear();
    for (const { answer } of open) answer(error, undefined);
    this.#onEnd(error);
  }

  #received([ref, first, second]: [number, unknown, unknown]): void {
    if (this.#ended) return;
    if (ref === 0) {
      if (first === "change") this.#onChange(second as Uint8Array);
      else if (first === "log") this.#onLog(second as string);
      else if (first === "failed") this.end(toError(second as [Code, string]));
      else if (first === "exit") this.end(new SkerryError("internal", `the worker's program ended with code ${String(second)}`));
      return;
    }
    const waiting = this.#answers.get(ref);
    if (!waiting) return;
    if (first || --waiting.left === 0) this.#answers.delete(ref);
    waiting.answer(first ? toError(first as [Code, string]) : undefined, (second as Uint8Array | null) ?? undefined);
  }
}
