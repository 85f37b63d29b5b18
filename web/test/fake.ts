// A worker that is played here, so that each answer comes when the test says.
import { encode } from "@msgpack/msgpack";
import type { WorkerLike } from "../src/index.js";

export const id = "ab".repeat(32);
const status = (connection: string, storage: string) => [connection, false, 0, 0, 0, 0, 0, 0, 0, "", 0, storage, 0];
const info = (seq = 0, module = 0xab) => {
  const bytes = new Uint8Array(32).fill(0xab);
  return [bytes, [new Uint8Array(16), "alice", new Uint8Array(32), new Uint8Array()], false, new Uint8Array(32).fill(module), seq, bytes, false, 0, 0, 0, 0, ""];
};
const record = (seq: number) => [new Uint8Array(16), seq, 5, 0, 1, "alice", "note", new Uint8Array(8), encode({ seq }), "1.0.0", ""];

export class FakeWorker implements WorkerLike {
  onmessage: WorkerLike["onmessage"] = null;
  onerror: WorkerLike["onerror"] = null;
  onmessageerror: WorkerLike["onmessageerror"] = null;
  terminated = false;
  storage = "ok";
  head = 0;
  memory = 10 << 20;
  readonly mute = new Set<string>(); // methods that get no answer
  readonly sent: [number, string, ...unknown[]][] = [];

  postMessage(message: unknown): void {
    const [ref, method, ...args] = message as [number, string, ...unknown[]];
    this.sent.push([ref, method, ...args]);
    if (this.mute.has(method)) return;
    if (method === "start") queueMicrotask(() => this.tell([0, "started", null]));
    if (method === "open") this.answer(ref, encode(["alice", status("offline", this.storage), [info()]]));
    if (method === "ping") this.answer(ref, encode([this.memory]));
    if (["poke", "lifecycle", "lastTry"].includes(method)) this.answer(ref);
    if (method === "space") this.answer(ref, encode(info()));
    if (method === "close") this.answer(ref);
    if (method === "read") {
      const [, after, limit] = args as [string, number, number];
      const records: Uint8Array[] = [];
      for (let seq = after + 1; seq <= this.head && records.length < limit; seq++) records.push(encode(record(seq)));
      this.answer(ref, Buffer.concat(records));
    }
    if (method === "readBefore") {
      const [, before, limit] = args as [string, number, number];
      const last = Math.min(this.head, before - 1);
      const records: Uint8Array[] = [];
      for (let seq = Math.max(1, last - limit + 1); seq <= last; seq++) records.push(encode(record(seq)));
      this.answer(ref, Buffer.concat(records));
    }
  }
  terminate(): void {
    this.terminated = true;
  }
  answer(ref: number, result: Uint8Array | null = null, error: [string, string] | null = null): void {
    queueMicrotask(() => this.tell([ref, error, result && new Uint8Array(result)]));
  }
  change(head = this.head, module?: number): void {
    this.head = head;
    this.tell([0, "change", encode([status("online", this.storage), [info(head, module)]])]);
  }
  tell(data: unknown): void {
    this.onmessage?.({ data } as MessageEvent);
  }
  ref(method: string): number {
    return this.sent.findLast((message) => message[1] === method)![0];
  }
  /** The messages of some methods, in their order. */
  messages(...methods: string[]): [number, string, ...unknown[]][] {
    return this.sent.filter((message) => methods.includes(message[1]));
  }
}
