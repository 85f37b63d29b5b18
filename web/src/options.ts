import { SkerryError } from "./error.js";
import { type Kept, keepActing, keyName, type Owner, ownKey } from "./identity.js";
import type { WorkerLike } from "./link.js";
import { recover } from "./linked.js";

/** What {@link open} takes. Everything is optional. */
export interface OpenOptions {
  /**
   * The server's WebSocket address, `wss://host/sync`; `https:` is taken too, and a path alone is the page's own
   * server. Without it: `/sync` there. `null`: never sync.
   */
  readonly url?: string | URL | null;
  /** Names one of several replicas of a page; `default` without it. */
  readonly name?: string;
  /**
   * Who writes. Without it and a token it is a key (`did:key`) that is made for this browser, the server and `name`, and kept. What
   * another identity wrote here can be read by its name, but nobody proves it.
   */
  readonly identity?: string;
  /**
   * Gives a token (JWT) of an issuer that the server trusts. It is called for every connection, and again before the token expires;
   * what it rejects with is in `status` while nobody is signed in. `identity` is the token's issuer, `#` and its subject; it
   * should be given, else a token is needed before anything opens.
   */
  readonly token?: () => string | Promise<string>;
  /**
   * A recovery key ({@link Client.recoveryKey}), by which this device becomes one of whose it is. It needs the server. Where
   * the device is linked already nothing is done.
   */
  readonly recover?: string;
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
  /** Which key of this browser's it is. */
  readonly name: string;
  readonly url: string;
  readonly database: string;
  /** Whose the database is: a device's own key, where it was linked. */
  readonly identity: string;
  /** As whom it acts then, and what shows that; empty and `null`: as itself. */
  readonly as: string;
  readonly links: Uint8Array | null;
  /** Signs for the identity, if it is a key. */
  readonly key: CryptoKey | null;
  readonly kept: Kept;
  /** Whether the browser kept something here before, and lost it. */
  readonly lost: boolean;
  readonly clientVersion: string;
  readonly log: boolean;
}

/** Checks options and fills them in. Only a name that is to be made is waited for. */
export async function toConfig(options: OpenOptions): Promise<Config> {
  const url = toSocketURL(options.url);
  const name = options.name ?? "default";
  const server = url ? new URL(url).host : "local";
  const owner = await ownerOf(options, server, name);
  const { identity, key, kept } = owner;
  let { acting } = owner;
  if (options.recover !== undefined && !acting) {
    if (!key || !url) throw new SkerryError("bad_argument", "recovering needs a key of this browser's own, and a server");
    acting = await recover(url, options.recover, identity);
    if (kept === "key") await keepActing(keyName(server, name), acting);
  }
  const bytes = new TextEncoder().encode(identity).length;
  if (bytes === 0 || bytes > 256) throw new SkerryError("bad_argument", "an identity has 1 to 256 bytes");
  return {
    name: keyName(server, name),
    url,
    database: ["skerry", server, name, identity].map(encodeURIComponent).join("/"),
    identity,
    as: acting?.as ?? "",
    links: acting?.links ?? null,
    key: key ?? null,
    kept,
    lost: owner.lost ?? false,
    clientVersion: options.clientVersion ?? "",
    log: options.log !== undefined,
  };
}

async function ownerOf({ identity, token }: OpenOptions, server: string, name: string): Promise<Owner> {
  if (token) return { identity: identity ?? identityOf(await token()), kept: "token" };
  if (identity !== undefined && !identity.startsWith("did:key:")) return { identity, kept: "unproven" };
  const own = await ownKey(keyName(server, name));
  return identity === undefined || identity === own.identity || identity === own.acting?.as ? own : { identity, kept: "unproven" };
}

/** What a token says of itself. The server believes nothing of it that is not signed. */
export function claimsOf(token: string): Record<string, unknown> {
  try {
    const payload = token.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/");
    const bytes = Uint8Array.from(atob(payload), (c) => c.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
  } catch {
    throw new SkerryError("bad_argument", "that is no token (JWT)");
  }
}

function identityOf(token: string): string {
  const { iss, sub } = claimsOf(token);
  return `${String(iss)}#${String(sub)}`;
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
