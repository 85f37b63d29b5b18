/** Returns the element with an id, or the only one of a tag; the page's HTML has it. */
export function element<T extends HTMLElement = HTMLElement>(id: string): T {
  return (document.getElementById(id) ?? document.querySelector(id)) as T;
}

/** Returns a number of things. */
export function count(n: number, thing: string): string {
  return `${n.toLocaleString()} ${thing}${n === 1 ? "" : "s"}`;
}

/** Returns how long it is until a time, as 4:05; empty if that is over. */
export function left(until: number | undefined): string {
  const seconds = Math.ceil(((until ?? 0) - Date.now()) / 1000);
  return seconds > 0 ? `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}` : "";
}

/** Returns a time as people here write it. */
export function time(at: number): string {
  const date = new Date(at);
  const sameDay = date.toDateString() === new Date().toDateString();
  const clock: Intl.DateTimeFormatOptions = { hour: "2-digit", minute: "2-digit" };
  return sameDay ? date.toLocaleTimeString([], clock) : date.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}
