import { SkerryError } from "./error.js";
import { ownIdentity } from "./identity.js";
import type { WorkerLike } from "./link.js";

/** What {@link open} takes. Everything is optional. */
export interface OpenOptions {
  /**
   * The server's WebSocket address, `wss://host/sync`; `https:` is taken too, and a path alone is the page's own
   * server. Without it: `/sync` there. `null`: never sync.
   */
  readonly url?: string | URL | null;
  /** Names one of several replicas of a page; `default` without it. */
  readonly name?: string;
  /** Who writes. Without it a name is made for this browser and kept. */
  readonly identity?: string;
  /** The version of your app, kept with each transaction. */
  readonly clientVersion?: string;
  /** Gives up opening. */
  readonly signal?: AbortSignal;
  /** Where the worker's script is, or a function that starts it. */
  readonly worker?: string | URL | (() => WorkerLike);
  /** Where the client's WebAssembly is. */
  readonly wasmUrl?: string | URL;
  /** Takes lines about what the client does, for finding faults. */
  readonly log?: (line: string) => void;
}

/** What the worker is told. */
export interface Config {
  readonly url: string;
  readonly database: string;
  readonly identity: string;
  readonly clientVersion: string;
  readonly log: boolean;
}

/** Checks options and fills them in. Only a name that is to be made is waited for. */
export async function toConfig(options: OpenOptions): Promise<Config> {
  const url = toSocketURL(options.url);
  const name = options.name ?? "default";
  const server = url ? new URL(url).host : "local";
  const identity = options.identity ?? (await ownIdentity(server, name));
  const bytes = new TextEncoder().encode(identity).length;
  if (bytes === 0 || bytes > 256) throw new SkerryError("bad_argument", "an identity has 1 to 256 bytes");
  return {
    url,
    database: ["skerry", server, name, identity].map(encodeURIComponent).join("/"),
    identity,
    clientVersion: options.clientVersion ?? "",
    log: options.log !== undefined,
  };
}

function toSocketURL(given: OpenOptions["url"]): string {
  if (given === null) return "";
  const base = globalThis.location?.href;
  let url: URL;
  try {
    url = new URL(given ?? "/sync", base);
  } catch {
    throw new SkerryError("bad_argument", `not a server's address: ${String(given)}`);
  }
  if (url.protocol === "http:") url.protocol = "ws:";
  if (url.protocol === "https:") url.protocol = "wss:";
  if (url.protocol !== "ws:" && url.protocol !== "wss:") {
    throw new SkerryError("bad_argument", `a server's address begins with wss: or https:, not ${url.protocol}`);
  }
  url.hash = "";
  return url.href;
}
