// Devices that act as one identity, by links that its key has signed (PROTOCOL.md), and the recovery key, which is such a device on paper.
import { fromHex, toHex } from "./bytes.js";
import type { Code } from "./codes.js";
import { didOf, type KeyKind } from "./did.js";
import { SkerryError } from "./error.js";
import type { Config } from "./options.js";

type Bytes = Uint8Array<ArrayBuffer>;

/** A device that was linked to this identity. */
export interface Device {
  /** The name of its key, as {@link Client.device} says there. */
  readonly device: string;
  readonly label: string;
  /** When it was linked; milliseconds since 1970. */
  readonly linkedAt: number;
  /** When the link ends; `undefined`: never. */
  readonly expires: number | undefined;
  /** When it was unlinked; it never acts as this identity again. */
  readonly revokedAt: number | undefined;
  /** Whether it is a recovery key, which may link devices. */
  readonly recovery: boolean;
}

/** What a device is linked with. */
export interface LinkOptions {
  /**
   * What people call it, up to 63 bytes. With the device's key it is a part of every space that the device makes, so whoever may read
   * one learns both: no names of people, nor what they would not tell them.
   */
  readonly label?: string;
  /** When the link is to end, in milliseconds since 1970. */
  readonly expires?: number;
}

/** Who asks the server: a key, and as whom. */
interface Signer {
  readonly url: string;
  readonly identity: string;
  readonly key: CryptoKey;
  readonly links?: Uint8Array | null;
}

/** As whom a device acts, and what shows it. */
export interface Acting {
  readonly as: string;
  readonly links: Bytes;
}

interface Kept {
  readonly identity: string;
  readonly device: string;
  readonly label?: string;
  readonly issued_at?: number;
  readonly expires?: number;
  readonly revoked_at?: number;
  readonly may_link?: boolean;
  readonly links?: string;
}

/** What is signed of a link, and so the link without its signature. */
export function linkBody(device: string, issuedAt: number, expires: number, mayLink: boolean, label: string): Bytes {
  return join(text(device), number(issuedAt), number(expires), [Number(mayLink)], text(label));
}

/** What is signed to link a device to an identity. */
export const linkMessage = (identity: string, body: Uint8Array) => join(ascii("skerry.link.1"), text(identity), body);

const isKey = (name: string) => /^did:key:z\w+$/.test(name);

async function makeLink(key: CryptoKey, as: string, device: string, mayLink: boolean, { label = "", expires = 0 }: LinkOptions): Promise<Bytes> {
  if (!isKey(device)) throw new SkerryError("bad_argument", "a device is named by its key, did:key:…");
  if (ascii(label).length > 63) throw new SkerryError("bad_argument", "a label has at most 63 bytes");
  const body = linkBody(device, Date.now(), expires, mayLink, label);
  return join(body, await sign(key, linkMessage(as, body)));
}

/** Lets another device act as this identity. */
export async function link(config: Config, device: string, options: LinkOptions, mayLink = false): Promise<void> {
  const signer = signerOf(config);
  if (config.links) throw new SkerryError("forbidden", "a device that is linked links no others: use the identity's own, or its recovery key");
  const made = await makeLink(signer.key, signer.identity, device, mayLink, options);
  await ask(config.url, "links", await token(signer), { identity: signer.identity, links: base64(made) });
}

/** Returns the devices that were linked to this identity. */
export async function devices(config: Config): Promise<Device[]> {
  const signer = signerOf(config);
  return (await linksOf(signer)).filter(({ identity }) => identity === signer.identity).map((kept) => ({
    device: kept.device,
    label: kept.label ?? "",
    linkedAt: kept.issued_at ?? 0,
    expires: kept.expires,
    revokedAt: kept.revoked_at,
    recovery: kept.may_link === true,
  }));
}

/** Takes a device off this identity, for ever. */
export async function unlink(config: Config, device: string): Promise<void> {
  const signer = signerOf(config);
  await ask(config.url, "unlink", await token(signer), { identity: signer.identity, device });
}

/** Returns what lets this device act as an identity; `undefined`: nothing. Anybody can link it to themselves, so the identity is given. */
export async function linkedAs(config: Config, identity: string): Promise<Acting | undefined> {
  const own = signerOf({ ...config, as: "", links: null });
  if (!isKey(identity) || identity === own.identity) throw new SkerryError("bad_argument", "want the identity that links this device, did:key:…");
  return (await actingOf(own, await token(own), await sumOf(identity)))?.acting;
}

/** Makes a recovery key and returns its secret, which is nowhere else. */
export async function recoveryKey(config: Config): Promise<string> {
  const { identity } = signerOf(config);
  for (const kind of ["Ed25519", "P-256"] as const) {
    const secret = crypto.getRandomValues(new Uint8Array(32));
    const made = await importSecret(kind, secret).catch(() => undefined); // the engine has no such keys
    if (!made) continue;
    await link(config, made.identity, { label: "recovery key" }, true);
    return write(kind, secret, await sumOf(identity));
  }
  throw new SkerryError("unsupported", "this browser makes no keys");
}

/** Links a device by a recovery key. */
export async function recover(url: string, words: string, device: string): Promise<Acting> {
  const { kind, secret, sum } = await read(words);
  const paper = await importSecret(kind, secret).catch(() => {
    throw new SkerryError("unsupported", "this browser has no keys of the kind that the recovery key is");
  });
  const signer: Signer = { url, ...paper };
  const bearer = await token(signer);
  const found = await actingOf(signer, bearer, sum);
  if (!found?.mayLink) throw new SkerryError("not_found", "the server knows nobody whose recovery key this is");
  const { as, links } = found.acting;
  const made = join(links, await makeLink(paper.key, as, device, false, { label: "recovered" }));
  await ask(url, "links", bearer, { identity: as, links: base64(made) });
  return { as, links: made };
}

/** Returns what lets a device act as the identity with a hash, or the beginning of one. */
async function actingOf(own: Signer, bearer: string, sum: Uint8Array): Promise<{ acting: Acting; mayLink: boolean } | undefined> {
  for (const { identity, device, links, revoked_at, expires, may_link } of await linksOf(own, bearer, `?identity_sha256=${toHex(sum)}`)) {
    if (device !== own.identity || toHex(await sumOf(identity, sum.length)) !== toHex(sum)) continue; // a server that answers something else
    if (revoked_at) throw new SkerryError("revoked", "the link of this device was revoked");
    if (!links) continue;
    if (expires && expires <= Date.now()) throw new SkerryError("auth_expired", "the link of this device has expired: have it linked again");
    return { acting: { as: identity, links: bytesOf(links) }, mayLink: may_link === true };
  }
  return undefined;
}

async function linksOf(signer: Signer, bearer?: string, query = ""): Promise<Kept[]> {
  return ((await ask(signer.url, `links${query}`, bearer ?? (await token(signer)))) as { links: Kept[] }).links;
}

const sumSize = 8; // bytes of the hash of an identity: so many that nobody makes another identity with them

async function sumOf(identity: string, size = sumSize): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", ascii(identity))).slice(0, size);
}

function signerOf({ url, identity, key, as, links }: Pick<Config, "url" | "identity" | "key" | "as" | "links">): Signer {
  if (!key || !url) throw new SkerryError("auth_required", "this needs a key of this browser, and a server");
  return { url, identity: as || identity, key, links };
}

/** Asks the server as whoever this is; without a key as nobody. */
export async function askFor(config: Config, path: string): Promise<unknown> {
  if (!config.url) throw new SkerryError("auth_required", "there is no server to ask");
  return ask(config.url, path, config.key ? await token(signerOf(config)) : "");
}

/** Buys a token for a proof, as a socket's hello has it. */
async function token({ url, identity, key, links }: Signer): Promise<string> {
  const { nonce, server } = (await ask(url, "challenge")) as { nonce: string; server: string };
  const message = join(ascii("skerry.proof.1"), fromHex(nonce), fromHex(server), text(new URL(url).host));
  const proof = base64(join(await sign(key, message), links ?? []));
  return ((await ask(url, "token", "", { identity, nonce, proof })) as { token: string }).token;
}

async function ask(url: string, path: string, bearer = "", body?: object): Promise<unknown> {
  const at = new URL(`/api/v1/${path}`, url.replace(/^ws/, "http"));
  const headers = { ...(bearer && { Authorization: `Bearer ${bearer}` }), ...(body && { "Content-Type": "application/json" }) };
  const response = await fetch(at, { headers, cache: "no-store", ...(body && { method: "POST", body: JSON.stringify(body) }) }).catch(() => {
    throw new SkerryError("overloaded", "the server cannot be reached");
  });
  if (response.status === 204) return undefined;
  const answer = (await response.json().catch(() => ({}))) as { code?: Code; reason?: string };
  if (!response.ok) throw new SkerryError(answer.code ?? "bad_server_message", answer.reason ?? `${at}: ${response.status}`);
  return answer;
}

async function sign(key: CryptoKey, message: Bytes): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.sign({ name: key.algorithm.name, hash: "SHA-256" }, key, message));
}

// What lies before 32 bytes of a secret so that they are a private key, as PKCS #8 has it.
const pkcs8 = {
  Ed25519: "302e020100300506032b657004220420",
  "P-256": "3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420",
};

async function importSecret(kind: KeyKind, secret: Uint8Array): Promise<{ identity: string; key: CryptoKey }> {
  const { subtle } = crypto;
  const algorithm = kind === "Ed25519" ? { name: kind } : { name: "ECDSA", namedCurve: kind };
  const bytes = join(fromHex(pkcs8[kind]), secret);
  const { x, y } = await subtle.exportKey("jwk", await subtle.importKey("pkcs8", bytes, algorithm, true, ["sign"]));
  const raw = y ? join([4], bytesOf(x!), bytesOf(y)) : bytesOf(x!);
  return { identity: didOf(kind, raw), key: await subtle.importKey("pkcs8", bytes, algorithm, false, ["sign"]) };
}

const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"; // Crockford's, which people read well
const letters = 72; // of a kind, a secret, eight bytes of whose it is, and four that show a mistake

/** Writes a secret, and the beginning of the hash of whose it is, as twelve groups of six letters. */
async function write(kind: KeyKind, secret: Uint8Array, sum: Uint8Array): Promise<string> {
  const all = await checked(join([Number(kind === "P-256")], secret, sum));
  let bits = "";
  for (const byte of all) bits += byte.toString(2).padStart(8, "0");
  const characters = bits.match(/.{5}/g)!.map((five) => alphabet[parseInt(five, 2)]);
  return characters.join("").match(/.{6}/g)!.join("-");
}

async function read(words: string): Promise<{ kind: KeyKind; secret: Bytes; sum: Bytes }> {
  const letter = words.toUpperCase().replace(/[^0-9A-Z]/g, "").replace(/O/g, "0").replace(/[IL]/g, "1");
  const bits = [...letter].map((one) => alphabet.indexOf(one).toString(2).padStart(5, "0")).join("");
  const bytes = Uint8Array.from(bits.match(/.{8}/g) ?? [], (eight) => parseInt(eight, 2));
  const inner = bytes.slice(0, 33 + sumSize);
  if (letter.length !== letters || toHex(await checked(inner)) !== toHex(bytes)) {
    throw new SkerryError("bad_argument", "that is no recovery key: a letter is wrong, missing or too many");
  }
  return { kind: inner[0] === 1 ? "P-256" : "Ed25519", secret: inner.slice(1, 33), sum: inner.slice(33) };
}

async function checked(bytes: Bytes): Promise<Bytes> {
  const sum = new Uint8Array(await crypto.subtle.digest("SHA-256", join(ascii("skerry.recovery.1"), bytes)));
  return join(bytes, sum.slice(0, 4));
}

function join(...parts: ArrayLike<number>[]): Bytes {
  const all = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

const ascii = (value: string) => new TextEncoder().encode(value);

/** A text behind its length. */
function text(value: string): Bytes {
  const bytes = ascii(value);
  const n = bytes.length;
  return join(n < 64 ? [n << 2] : [((n << 2) & 0xff) | 1, n >> 6], bytes);
}

function number(value: number): Bytes {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
  return bytes;
}

function base64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");
}

const bytesOf = (value: string): Bytes => Uint8Array.from(atob(value.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
