// Not run: what the compiler takes and what it refuses, of a module whose types it has and of one whose types it has not.
import { type KeyValue, open, type QueryOptions, type Row, type Space } from "../src/index.js";
import { chat, type Chat, type MessagesRow } from "./chat.js";
import { type AllRow, type Default, defaultModule } from "./odd.js";

export async function typed(): Promise<void> {
  const client = await open();
  const space = await client.createSpace<Chat>({ module: chat.hash });
  space.append("message", { room: "hall", text: "hello" });
  space.append("join", { name: "ann" });
  space.append("join", { name: "ann", age: 2n ** 60n });
  // @ts-expect-error: no event is called so
  space.append("massage", { room: "hall", text: "hello" });
  // @ts-expect-error: a field is missing
  space.append("message", { room: "hall" });
  // @ts-expect-error: a field is of another kind
  space.append("edit", { seq: "1", text: "hello" });
  // @ts-expect-error: the payload is missing
  space.append("message");
  space.transact([{ type: "message", payload: { room: "hall", text: "one" } }, { type: "remove", payload: { seq: 1 } }]);
  // @ts-expect-error: the payload is another event's
  space.transact([{ type: "message", payload: { seq: 1 } }]);

  const messages = space.table("messages");
  const rows: readonly Row<MessagesRow>[] = await messages.query({ index: "by_author", prefix: ["ann", "hall"], limit: 10 });
  const author: string = rows[0]!.author;
  const pending: boolean = rows[0]!.$pending;
  await messages.query({ prefix: [7] });
  const live = messages.live({ index: "by_room", prefix: [], reverse: true });
  const texts: string[] = live.getSnapshot().map((row) => row.text);
  // @ts-expect-error: no table is called so
  space.table("masses");
  // @ts-expect-error: no column is called so
  rows[0]!.autor;
  // @ts-expect-error: no index is called so
  await messages.query({ index: "by_text" });
  // @ts-expect-error: another index's column
  await messages.query({ index: "by_room", prefix: [1] });
  // @ts-expect-error: more than the index has
  await messages.query({ index: "by_room", prefix: ["hall", "ann"] });
  // @ts-expect-error: a table without indexes
  await space.table("rooms").query({ index: "by_room" });

  const plain: Space = space; // a component that takes any space
  console.log(author, pending, texts, plain);
}

export async function odd(): Promise<void> {
  const client = await open();
  const space = await client.createSpace<Default>({ module: defaultModule.hash, params: { größe: 1 } });
  // @ts-expect-error: a parameter is missing
  await client.createSpace<Default>({ module: defaultModule.hash, params: {} });
  space.append("nothing", {});
  // @ts-expect-error: the module would refuse it, as what is left out is no map
  space.append("nothing");
  space.append("every.", {});
  space.append("every.", { text: "one", bool: undefined });
  space.append("another", { of: "any kind" }); // the module takes events that it does not declare
  // @ts-expect-error: this one is declared
  space.append("every", { text: "one" });
  const row: AllRow | undefined = (await space.table("all").query({ index: "by text", prefix: ["a", undefined] }))[0];
  const none: number | bigint | undefined = row?.["i64 or none"];
  console.log(none);
}

export async function untyped(): Promise<void> {
  const client = await open();
  const space = await client.createSpace({ module: "open", params: { any: "thing" } });
  space.append("note");
  space.append("note", { text: "hello" });
  space.transact([{ type: "note" }, { type: "note", payload: 1 }]);
  const options: QueryOptions = { index: "by_room", prefix: ["hall", 1n, true, undefined], limit: 3 };
  const rows: readonly Row[] = await client.space(space.id).table("messages").query(options);
  // @ts-expect-error: a column may be of any kind
  const text: string = rows[0]!["text"];
  console.log(text);
}

const tables = { todos: { title: "text", done: "bool", due: "f64?" }, counts: { n: "u64" } } as const;
type Todos = KeyValue<typeof tables>;

export async function keyValue(): Promise<void> {
  const client = await open();
  const space = await client.createSpace<Todos>({ module: "kv", params: { tables, name: "home" } });
  // @ts-expect-error: the params have other tables
  await client.createSpace<Todos>({ module: "kv", params: { tables: { todos: { title: "text" } } } });
  // @ts-expect-error: there is no such type
  type Wrong = KeyValue<{ todos: { title: "string" } }>;
  space.append("set", { table: "todos", id: "1", values: { title: "milk", done: false } });
  space.append("set", { table: "todos", id: "1", values: { due: null, title: undefined } });
  space.append("set", { table: "counts", id: "1", values: { n: 2n ** 60n } });
  space.append("delete", { table: "counts", id: "1" });
  space.append("grant", { identity: "bob", role: "writer" });
  space.transact([{ type: "set", payload: { table: "todos", id: "1", values: { done: true } } }, { type: "leave", payload: {} }]);
  // @ts-expect-error: no table is called so
  space.append("set", { table: "todo", id: "1", values: {} });
  // @ts-expect-error: no column is called so
  space.append("set", { table: "todos", id: "1", values: { titel: "milk" } });
  // @ts-expect-error: it is another table's
  space.append("set", { table: "counts", id: "1", values: { title: "milk" } });
  // @ts-expect-error: it is of another type
  space.append("set", { table: "todos", id: "1", values: { done: "yes" } });
  // @ts-expect-error: it cannot be absent
  space.append("set", { table: "todos", id: "1", values: { title: null } });
  // @ts-expect-error: the app has no such events
  space.append("note", { text: "hello" });

  const live = space.table("todos").live({ prefix: ["1"] });
  for (const row of live.getSnapshot()) {
    const title: string = row.title;
    const due: number | undefined = row.due;
    // @ts-expect-error: it may be absent
    const never: number = row.due;
    console.log(row.id, row.$pending, title, due, never);
  }
  const owners = await space.table("members").query({ index: "by_role", prefix: ["owner"] });
  const own = await client.createSpace<KeyValue<typeof tables, { note: { text: string } }>>({ module: "kv", params: { tables } });
  own.append("note", { text: owners[0]!.identity });
  const plain: Space = space;
  console.log(plain, undefined as unknown as Wrong);
}
