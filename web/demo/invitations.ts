// Invitations by link. A link has a seed, of which both sides derive one secret for each person that it lets in; the room's log
// has only their hashes, until somebody uses one up by writing it. So whoever follows a link needs nobody to be there: what
// they write waits on their device like everything else, and so does who invited them.
import { blake3 } from "@noble/hashes/blake3";
import type { Receipt, RejectedTransaction, SkerryError } from "skerry";
import { refusals, type Role, type Room } from "./module.js";

/** What a link says: the room, and the seed and how many people it is for if it invites. */
export interface Link {
  readonly id: string;
  readonly seed: string;
  readonly count: number;
}

/** Reads an address: `#/room/ID`, or `#/join/ID/SEED.COUNT` in a link for others. */
export function linkIn(text: string): Link | undefined {
  const found = /(?:^|[#/])([0-9a-f]{64})(?:\/([0-9a-f]{32})\.(\d{1,3}))?$/i.exec(text.trim());
  if (!found) return undefined;
  const [, id, seed = "", count = "0"] = found;
  return { id: id!.toLowerCase(), seed: seed.toLowerCase(), count: Math.min(Number(count), 100) };
}

/** Writes an invitation for so many people, and returns its link. The secret is behind the #, so that no server's log has it. */
export function invite(room: Room, role: Role, count: number): { url: string; receipt: Receipt } {
  const seed = toHex(crypto.getRandomValues(new Uint8Array(16)));
  const hashes = new Uint8Array(32 * count);
  for (let i = 0; i < count; i++) hashes.set(blake3(secretOf(seed, i)), 32 * i);
  const receipt = room.append("invite", { role, hashes });
  return { url: new URL(`#/join/${room.id}/${seed}.${count}`, location.origin + location.pathname).href, receipt };
}

function secretOf(seed: string, i: number): Uint8Array {
  return blake3(Uint8Array.from([...(seed.match(/../g) ?? []).map((byte) => parseInt(byte, 16)), i]));
}

function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** An invitation that somebody follows here, also after a reload. */
interface Followed {
  readonly seed: string;
  readonly count: number;
  readonly tries: number; // of its secrets, beginning with any of them
  readonly first: number;
  readonly sent: string; // the transaction that tries one
}

const keyOf = (me: string, id: string) => `skerry-demo/invitation/${encodeURIComponent(me)}/${id}`;
const unstored = new Map<string, string>(); // where storage is blocked

/** Notes that this person follows a link. */
export function follow(me: string, { id, seed, count }: Link): void {
  if (count === 0 || followed(me, id)?.seed === seed) return;
  keep(me, id, { seed, count, tries: 0, first: Math.floor(Math.random() * count), sent: "" });
}

function followed(me: string, id: string): Followed | undefined {
  const key = keyOf(me, id);
  try {
    const kept = localStorage.getItem(key) ?? unstored.get(key);
    return kept === undefined ? undefined : (JSON.parse(kept) as Followed);
  } catch {
    return undefined;
  }
}

function keep(me: string, id: string, value: Followed | undefined): void {
  const key = keyOf(me, id);
  unstored.delete(key);
  try {
    if (value) localStorage.setItem(key, JSON.stringify(value));
    else localStorage.removeItem(key);
  } catch {
    if (value) unstored.set(key, JSON.stringify(value));
  }
}

/** Whether a link to the room is followed and the server has not said yet whether it holds. */
export function isJoining(me: string, id: string): boolean {
  return followed(me, id) !== undefined;
}

/**
 * Becomes a member by the link that is followed, if one is: a secret that somebody else used up makes way for the next one.
 * Returns whether the link was no good.
 */
export async function join(me: string, room: Room): Promise<boolean> {
  for (let at = followed(me, room.id); at; at = followed(me, room.id)) {
    if (!at.sent && at.tries >= at.count) {
      keep(me, room.id, undefined);
      return true;
    }
    const secret = secretOf(at.seed, (at.first + at.tries) % at.count);
    const receipt = at.sent ? room.receipt(at.sent) : room.append("redeem", { secret });
    keep(me, room.id, { ...at, sent: receipt.id });
    try {
      await receipt.synced;
      keep(me, room.id, undefined);
      if (at.tries > 0) await retryFirstWords(room);
    } catch (error) {
      const { code } = error as SkerryError;
      if (code === "closed") return false; // it waits on this device, and goes on when the room is opened again
      const used = code === refusals.noInvitation;
      keep(me, room.id, used ? { ...at, tries: at.tries + 1, sent: "" } : undefined);
      if (used || code === refusals.already) await room.discard(receipt.id).catch(() => {}); // another tab did
    }
  }
  return false;
}

/** Sends again what was written in the meantime, and came to the server before the secret that let its author in. */
async function retryFirstWords(room: Room): Promise<void> {
  for (const { id, code } of await room.rejected()) if (code === refusals.noMember) await room.retry(id);
}

/** Whether a transaction tried a secret that was no good, which {@link join} sees to. */
export function isTry({ events, code }: RejectedTransaction): boolean {
  return events.length === 1 && events[0]!.type === "redeem" && (code === refusals.noInvitation || code === refusals.already);
}
