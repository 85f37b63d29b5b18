// The rooms' module, as it comes with the page: its bytes are in the script, so that rooms are made and judged with no network.
import type { Client, Row, Space } from "skerry";
import { chat, type Chat, type MembersRow, type MessagesRow, type ReactionsRow, type ReadsRow } from "./chat.js";
import bytes from "./module/chat.wasm";

export type Room = Space<Chat>;
export type Message = Row<MessagesRow>;
export type Member = Row<MembersRow>;
export type Reaction = Row<ReactionsRow>;
export type ReadRow = Row<ReadsRow>;
export type Invitation = Chat["tables"]["invitations"];
export type Voided = Chat["tables"]["voided"];
export type Role = "owner" | "admin" | "writer" | "reader";

/** What the module's refusals are called, where the page does something of its own about them. */
export const refusals = { noMember: "module_1", noInvitation: "module_3", already: "module_4" } as const;

let kept: Promise<void> | undefined;

/** Keeps the module on this device, once somebody has to do with rooms; a server that lacks it gets it from here. */
export function keepModule(client: Client): Promise<void> {
  kept ??= keep(client).catch((error: unknown) => {
    kept = undefined;
    throw error;
  });
  return kept;
}

async function keep(client: Client): Promise<void> {
  const hash = await client.putModule(bytes);
  if (hash !== chat.hash) throw new Error(`the page's module is ${hash}, and its types are of ${chat.hash}`);
}

/** Makes a room, whose first word is what its maker is called, if anything. */
export async function makeRoom(client: Client, name: string, maker: string): Promise<Room> {
  await keepModule(client);
  const room = await client.createSpace({ module: chat, params: { name } });
  if (maker) room.append("name", { name: maker });
  return room;
}

/** Returns a room by its ID. */
export function roomOf(client: Client, id: string): Room {
  return client.space(id, chat);
}

/** Rooms that are taken off this device. Nobody may ask for them any more: who asks for a room has it here again. */
export const leaving = new Set<string>();

/** Whether a space is no room: one of another module, as the inspector may have made. */
export function isOther(info: { readonly module: string | undefined }): boolean {
  return info.module !== undefined && info.module !== chat.hash;
}

const ranks: Readonly<Record<string, number>> = { reader: 1, writer: 2, admin: 3, owner: 4 };

/** How much a role may; 0 is nobody's. */
export function rank(role: string | undefined): number {
  return ranks[role ?? ""] ?? 0;
}
