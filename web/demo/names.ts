// What people are called. In a room it is their own word, which its table has; whoever said none is shown by a piece of their
// identity, which is who they are.

/** Returns an identity short enough to be read: of a key its end, as keys of one kind begin alike. */
export function shorten(identity: string): string {
  if (identity.startsWith("did:key:")) return `did:key:…${identity.slice(-6)}`;
  return identity.length > 40 ? `${identity.slice(0, 39)}…` : identity;
}

export class Names {
  #names = new Map<string, string>();
  #many = new Map<string, number>(); // who go by a name

  /** Takes what is in the room's table. */
  set(rows: readonly { readonly identity: string; readonly name: string }[]): void {
    this.#names = new Map(rows.map(({ identity, name }) => [identity, name]));
    this.#many = new Map();
    for (const { name } of rows) this.#many.set(name, (this.#many.get(name) ?? 0) + 1);
  }

  /** Returns what somebody said they are called. */
  said(identity: string): string | undefined {
    return this.#names.get(identity);
  }

  /** Returns what to show for an identity: of two who go by one name, more than that. */
  of(identity: string): string {
    const name = this.#names.get(identity);
    if (name === undefined) return shorten(identity);
    return this.#many.get(name)! > 1 ? `${name} (…${identity.slice(-6)})` : name;
  }
}
