import { type FormEvent, useState } from "react";
import type { Space } from "skerry";
import { useClient, useSpaces, useTable } from "./skerry";

/** A space of a module, shown by its tables: the module is fetched once, and on this device from then on. */
export function Chat({ module }: { module: string }) {
  const client = useClient();
  const first = useSpaces()[0];
  if (first) return <Hall space={client.space(first.id)} />;
  async function start() {
    const bytes = new Uint8Array(await (await fetch(module)).arrayBuffer());
    const space = await client.createSpace({ module: await client.putModule(bytes) });
    space.append("join", { name: client.identity });
  }
  return <button onClick={start}>Start</button>;
}

function Hall({ space }: { space: Space }) {
  const { rows, ready, error } = useTable(space, "messages", { index: "by_room", prefix: ["hall"] });
  const [text, setText] = useState("");
  function say(event: FormEvent) {
    event.preventDefault();
    space.append("message", { room: "hall", text });
    setText("");
  }
  return (
    <form onSubmit={say}>
      <ol>
        {rows.map((row) => (
          <li key={row.$key}>
            {row["text"]}
            {row.$pending && <em> (to sync)</em>}
          </li>
        ))}
      </ol>
      <input value={text} onChange={(event) => setText(event.target.value)} aria-label="A message" required />
      <button disabled={!ready}>Say</button>
      {error && <p role="alert">{error.reason}</p>}
    </form>
  );
}
