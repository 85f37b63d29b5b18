// Who is here and who is typing. Nobody keeps that: it is said again and again, and believed for a while.
import type { Room } from "./module.js";

const beat = 15_000;
const believed = 40_000; // that somebody is here, who did not say that they go
const typingBelieved = 5_000;
const typingEach = 2_000;

type Word = "hello" | "here" | "typing" | "away";

export class Presence {
  readonly #room: Room;
  readonly #me: string;
  readonly #changed: () => void;
  readonly #people = new Map<string, { until: number; typing: number }>();
  #said = 0; // when this page last said that somebody types
  #timer: ReturnType<typeof setTimeout> | undefined;
  #among = false;

  constructor(room: Room, me: string, signal: AbortSignal, changed: () => void) {
    this.#room = room;
    this.#me = me;
    this.#changed = changed;
    const unlisten = room.on("ephemeral", ({ author, payload }) => this.#hear(author, payload));
    const beats = setInterval(() => this.#seen("here"), beat);
    document.addEventListener("visibilitychange", () => this.#say(document.visibilityState === "visible" ? "hello" : "away"), { signal });
    signal.addEventListener("abort", () => {
      unlisten();
      clearInterval(beats);
      clearTimeout(this.#timer);
      this.#say("away");
    });
  }

  /** Notes whether what is said here reaches the others now. Who is let in, or back, says so at once. */
  among(is: boolean): void {
    if (is && !this.#among) this.#seen("hello");
    this.#among = is;
  }

  /** Others who are here, by name. */
  get here(): string[] {
    return this.#who((person, now) => person.until > now);
  }

  /** Others who are typing, by name. */
  get typing(): string[] {
    return this.#who((person, now) => person.typing > now);
  }

  #who(is: (person: { until: number; typing: number }, now: number) => boolean): string[] {
    const now = Date.now();
    return [...this.#people].filter(([, person]) => is(person, now)).map(([name]) => name).sort();
  }

  /** Says that somebody types here. */
  type(): void {
    if (Date.now() - this.#said < typingEach) return;
    this.#said = Date.now();
    this.#say("typing");
  }

  /** Says that what was typed is written. */
  typed(): void {
    if (this.#said > 0) this.#say("here");
    this.#said = 0;
  }

  #seen(word: Word): void {
    if (document.visibilityState === "visible") this.#say(word);
  }

  #say(word: Word): void {
    void this.#room.sendEphemeral({ is: word });
  }

  #hear(author: string, payload: unknown): void {
    if (author === this.#me || typeof payload !== "object" || payload === null || !("is" in payload)) return;
    const now = Date.now();
    if (payload.is === "away") this.#people.delete(author);
    else this.#people.set(author, { until: now + believed, typing: payload.is === "typing" ? now + typingBelieved : 0 });
    if (payload.is === "hello") this.#seen("here"); // who comes is told who is here
    this.#tell();
  }

  /** Tells what is so now, and again when that is over. */
  #tell(): void {
    clearTimeout(this.#timer);
    this.#changed();
    const now = Date.now();
    const ends = [...this.#people.values()].flatMap(({ until, typing }) => [until, typing]).filter((end) => end > now);
    if (ends.length > 0) this.#timer = setTimeout(() => this.#tell(), Math.min(...ends) - now + 50);
  }
}
