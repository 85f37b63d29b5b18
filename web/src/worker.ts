// The script of the dedicated worker: it loads the client's WebAssembly and keeps messages until that listens.
import "jsengine_glue"; // what runs the modules of spaces
import "wasm_exec";
import { beginLog } from "./freshlog.js";

declare class Go {
  readonly importObject: WebAssembly.Imports;
  exit: (code: number) => void;
  _resume(): void;
  run(instance: WebAssembly.Instance): Promise<void>;
}

/** What jsengine_glue puts into the worker. */
declare const skerryModules: {
  readonly imports: WebAssembly.ModuleImports;
  begin(exports: WebAssembly.Exports): void;
};

interface Scope {
  onmessage: ((event: MessageEvent) => void) | null;
  postMessage(message: unknown, transfer?: Transferable[]): void;
  close(): void;
  skerryWorker: unknown;
}

const scope = globalThis as unknown as Scope;
const waiting: unknown[] = [];
let listening = false;

const program = {
  deliver: (_message: unknown): void => {},
  /** How many bytes the program has taken; it gives none back. */
  memory: (): number => 0,
  ready() {
    listening = true;
    for (const message of waiting.splice(0)) this.deliver(message);
  },
  send(ref: number, first: unknown, second: unknown, transfer?: Transferable[]) {
    scope.postMessage([ref, first, second], transfer ?? []);
  },
};
scope.skerryWorker = program;

scope.onmessage = ({ data }) => {
  if (data[1] === "start") {
    program.send(0, "started", null);
    beginLog();
    void start(data[2], data[3]);
  } else if (listening) program.deliver(data);
  else waiting.push(data);
};

async function start(build: string, wasm: string): Promise<void> {
  if (build !== __BUILD__) {
    program.send(0, "failed", ["build_mismatch", `the page is of build ${build}, the worker of ${__BUILD__}`]);
    return;
  }
  try {
    const go = new Go();
    go.importObject["skerry"] = skerryModules.imports;
    const { instance, module } = await instantiate(wasm, go.importObject);
    const id = idOf(module);
    if (id !== __WASM_ID__) {
      program.send(0, "failed", ["build_mismatch", `${wasm} is of another build: ${id || "unnamed"}, and not ${__WASM_ID__}`]);
      return;
    }
    program.memory = () => (instance.exports["mem"] as WebAssembly.Memory).buffer.byteLength;
    go.exit = (code) => {
      program.send(0, "exit", code);
      // Else timers of the program that ended still fire, and fail; and promises, in the task that it ended in.
      scope.close();
      go._resume = () => {};
    };
    skerryModules.begin(instance.exports);
    await go.run(instance);
  } catch (error) {
    program.send(0, "failed", ["internal", `the client could not be started: ${String(error)}`]);
  }
}

async function instantiate(wasm: string, imports: WebAssembly.Imports): Promise<WebAssembly.WebAssemblyInstantiatedSource> {
  const response = await fetch(wasm);
  if (!response.ok) throw new Error(`${wasm}: ${response.status}`);
  if (response.headers.get("Content-Type")?.startsWith("application/wasm")) {
    return WebAssembly.instantiateStreaming(response, imports);
  }
  return WebAssembly.instantiate(await response.arrayBuffer(), imports);
}

/** Which WebAssembly this is, as the build wrote into it: an address can have been given that has another one. */
function idOf(module: WebAssembly.Module): string {
  const [section] = WebAssembly.Module.customSections(module, "skerry");
  return section ? new TextDecoder().decode(section) : "";
}
