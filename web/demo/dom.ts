/** Returns the element with an id, or the only one of a tag; the page's HTML has it. */
export function element<T extends HTMLElement = HTMLElement>(id: string): T {
  return (document.getElementById(id) ?? document.querySelector(id)) as T;
}

/** Returns a time as people here write it. */
export function time(at: number, seconds = false): string {
  const date = new Date(at);
  const sameDay = date.toDateString() === new Date().toDateString();
  const clock: Intl.DateTimeFormatOptions = { hour: "2-digit", minute: "2-digit", ...(seconds ? { second: "2-digit" } : {}) };
  return sameDay ? date.toLocaleTimeString([], clock) : date.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}
