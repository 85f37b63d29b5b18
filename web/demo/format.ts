// Numbers, times and names as people here read them.
import type { SpaceInfo } from "skerry";

/** Returns a number of things. */
export function count(n: number, thing: string): string {
  return `${n.toLocaleString()} ${thing}${n === 1 ? "" : "s"}`;
}

/** Returns how long it is until a time, as 4:05; empty if that is over. */
export function left(until: number | undefined): string {
  const seconds = Math.ceil(((until ?? 0) - Date.now()) / 1000);
  return seconds > 0 ? `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}` : "";
}

const clock = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const thisYear = new Intl.DateTimeFormat([], { weekday: "long", day: "numeric", month: "long" });
const otherYear = new Intl.DateTimeFormat([], { day: "numeric", month: "long", year: "numeric" });
const shortDay = new Intl.DateTimeFormat([], { day: "numeric", month: "short" });

export function time(at: number): string {
  return clock.format(at);
}

/** Returns a day's name; days are those of this device. */
export function day(at: number): string {
  const days = Math.round((startOfDay(Date.now()) - startOfDay(at)) / 86_400_000);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  return (new Date(at).getFullYear() === new Date().getFullYear() ? thisYear : otherYear).format(at);
}

/** Returns the time of today and the day of earlier ones. */
export function when(at: number): string {
  return startOfDay(at) === startOfDay(Date.now()) ? time(at) : shortDay.format(at);
}

export function startOfDay(at: number): number {
  return new Date(at).setHours(0, 0, 0, 0);
}

/** Returns bytes as people count them. */
export function bytes(n: number): string {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let unit = 0;
  for (; n >= 1000 && unit < units.length - 1; unit++) n /= 1000;
  return `${n >= 100 || unit === 0 ? Math.round(n) : n.toFixed(1)} ${units[unit]}`;
}

/** Returns what a room is called: the name it was made with, or else a piece of its ID. */
export function nameOf(info: SpaceInfo): string {
  const { params } = info;
  const name = typeof params === "object" && params !== null && "name" in params ? params.name : undefined;
  return typeof name === "string" && name.trim() ? name : `room ${info.id.slice(0, 8)}`;
}

/** Returns a payload as JSON; what JSON has no form for is described. */
export function json(value: unknown, space?: number): string {
  const plain = (_: string, v: unknown) =>
    v instanceof Uint8Array ? `(${v.length} bytes)` : typeof v === "bigint" ? String(v) : v;
  return JSON.stringify(value, plain, space) ?? "";
}

const digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/** Returns the ULID whose 16 bytes an event's id has in tables. */
export function formatID(id: Uint8Array): string {
  let number = id.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n);
  let text = "";
  for (; text.length < 26; number /= 32n) text = digits[Number(number % 32n)] + text;
  return text;
}

/** Returns the 16 bytes of a ULID. */
export function parseID(ulid: string): Uint8Array {
  let number = [...ulid].reduce((sum, c) => sum * 32n + BigInt(digits.indexOf(c)), 0n);
  const id = new Uint8Array(16);
  for (let i = 15; i >= 0; i--, number /= 256n) id[i] = Number(number % 256n);
  return id;
}

/** Returns when a ULID was made, in milliseconds since 1970. */
export function ulidTime(ulid: string): number {
  let at = 0;
  for (const c of ulid.slice(0, 10)) at = at * 32 + digits.indexOf(c);
  return at;
}
