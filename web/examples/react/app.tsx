import { type FormEvent, useState } from "react";
import type { OpenOptions, Space } from "skerry";
import { Chat } from "./chat";
import { SkerryProvider, useClient, useLog, useSpaces, useStatus } from "./skerry";

export function App({ options, module }: { options?: OpenOptions; module?: string | null }) {
  return (
    <SkerryProvider options={options} fallback={<p>Opening…</p>}>
      {module ? <Chat module={module} /> : <Notes />}
      <Footer />
    </SkerryProvider>
  );
}

function Notes() {
  const client = useClient();
  const spaces = useSpaces();
  const first = spaces[0];
  if (first) return <List space={client.space(first.id)} />;
  return <button onClick={() => client.createSpace({ params: { name: "notes" } })}>Start</button>;
}

function List({ space }: { space: Space }) {
  const { events, waiting } = useLog(space);
  const [text, setText] = useState("");
  const [refused, setRefused] = useState("");
  function add(event: FormEvent) {
    event.preventDefault();
    space.append("note", { text }).synced.catch((error) => setRefused(error.code));
    setText("");
  }
  return (
    <form onSubmit={add}>
      <ol>
        {events.filter(isNote).map((event) => (
          <li key={event.id}>{textOf(event)}</li>
        ))}
        {waiting.filter(isNote).map((event) => (
          <li key={event.id}>
            <em>{textOf(event)}</em> (to sync)
          </li>
        ))}
      </ol>
      <input value={text} onChange={(event) => setText(event.target.value)} aria-label="A note" required />
      <button>Add</button>
      {refused && <p role="alert">refused: {refused}</p>}
    </form>
  );
}

/** A log may have events of other versions of this app, and Skerry's own, whose types begin with `$`. */
function isNote(event: { type: string }): boolean {
  return event.type === "note";
}

function textOf(event: { payload: unknown }): string {
  return (event.payload as { text: string }).text;
}

function Footer() {
  const { connection, pending } = useStatus();
  return (
    <footer>
      {connection}, {pending > 0 ? `${pending} to sync` : "all synced"}
    </footer>
  );
}
