// How far somebody has read each room: the number of the last event that was seen, kept in this browser for all tabs.
const keyOf = (identity: string, id: string) => `skerry-demo/read/${encodeURIComponent(identity)}/${id}`;

/** Returns the number up to which a room was read; `undefined` if it never was. */
export function readUpTo(identity: string, id: string): number | undefined {
  try {
    const kept = localStorage.getItem(keyOf(identity, id));
    return kept === null ? undefined : Number(kept) || 0;
  } catch {
    return undefined; // storage is blocked
  }
}

/** Notes that a room was read; it is never read less. */
export function markRead(identity: string, id: string, seq: number): void {
  if ((readUpTo(identity, id) ?? -1) >= seq) return;
  try {
    localStorage.setItem(keyOf(identity, id), String(seq));
  } catch {
    // storage is blocked: it is new again next time
  }
}
