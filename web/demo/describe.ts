// What an event says, in words: for the list of rooms, and for what was refused or waits.
import { count, json } from "./format.js";
import { shorten } from "./names.js";

type Described = { readonly type: string; readonly payload: unknown };

type NameOf = (identity: string) => string;

const words: Readonly<Record<string, (payload: Record<string, unknown>, name: NameOf) => string>> = {
  message: ({ text }) => String(text),
  edit: ({ text }) => `Change a message to: ${String(text)}`,
  delete: () => "Delete a message",
  react: ({ sign, on }) => (on ? `React with ${String(sign)}` : `Take ${String(sign)} back`),
  invite: ({ role, hashes }) => `Invite ${count((hashes as Uint8Array).length / 32, String(role))} by a link`,
  revoke: () => "Take a link back",
  redeem: () => "Become a member by a link",
  grant: ({ identity, role }, name) => `Make ${name(String(identity))} ${role === "admin" ? "an" : "a"} ${String(role)}`,
  remove: ({ identity }, name) => `Remove ${name(String(identity))}`,
  leave: () => "Leave the room",
  $delete: () => "Delete the room",
  transfer: ({ to }, name) => `Hand the room over to ${name(String(to))}`,
  name: ({ name }) => `Be called ${String(name)}`,
};

/** Returns what an event does; of one that no room has, its type and payload. */
export function describe({ type, payload }: Described, name: NameOf = shorten): string {
  try {
    if (Object.hasOwn(words, type)) return words[type]!(payload as Record<string, unknown>, name);
  } catch {
    // another version wrote it
  }
  return `${type} ${json(payload)}`.trimEnd();
}
