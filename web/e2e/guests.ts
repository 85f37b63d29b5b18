// Modules for tests.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { encode } from "@msgpack/msgpack";
import { root } from "../test/root.js";

/**
 * Returns the module of the conformance suite's chat, with a manifest as another language makes it; of another version, and
 * with another name for its messages, if that is said.
 */
export function chat(version = "1.0.0-e2e", messages = "messages"): Uint8Array {
  const field = (name: string, type: string, optional = false) => ({ name, type, optional });
  const manifest = encode({
    name: "chat",
    version,
    abi: 1,
    io: 1 << 16,
    events: [
      { name: "message", fields: [field("room", "text"), field("text", "text")] },
      { name: "edit", fields: [field("seq", "u64"), field("text", "text")] },
      { name: "remove", fields: [field("seq", "u64")] },
      { name: "join", fields: [field("name", "text"), field("age", "i64", true)] },
      { name: "stats", fields: [field("room", "text")] },
    ],
    tables: [
      {
        name: messages,
        columns: [field("seq", "u64"), field("author", "text"), field("room", "text"), field("text", "text")],
        key: ["seq"],
        indexes: [{ name: "by_room", columns: ["room"] }, { name: "by_author", columns: ["author", "room"] }],
      },
      {
        name: "users",
        columns: [field("author", "text"), field("name", "text"), field("age", "i64", true)],
        key: ["author"],
        indexes: [{ name: "by_name", columns: ["name"], unique: true }, { name: "by_age", columns: ["age"] }],
      },
      { name: "rooms", columns: [field("room", "text"), field("count", "u64"), field("last", "u64")], key: ["room"] },
    ],
    readable: ["users"],
    upgrade: "carry",
    something: "that a later version says",
  });
  const name = new TextEncoder().encode("skerry.manifest");
  const content = Buffer.concat([Buffer.from([name.length]), name, manifest]);
  const size = [];
  for (let n = content.length; n > 0 || size.length === 0; n >>>= 7) size.push(n > 0x7f ? (n & 0x7f) | 0x80 : n);
  return Buffer.concat([readFileSync(join(root, "shared/module/moduletest/guests/chat.wasm")), Buffer.from([0, ...size]), content]);
}
