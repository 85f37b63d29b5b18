import type { Code } from "./codes.js";

/**
 * The error of everything in this package. `code` is stable and the same in Go, in TypeScript and on the wire;
 * `reason` is for people and may change.
 */
export class SkerryError extends Error {
  /** What went wrong, by its stable name. */
  readonly code: Code;
  /** Why, for people; may be empty. */
  readonly reason: string;

  constructor(code: Code, reason = "") {
    super(reason ? `${code}: ${reason}` : code);
    this.name = "SkerryError";
    this.code = code;
    this.reason = reason;
  }
}

/** Returns what a failed call is rejected with. */
export function toError(error: readonly [Code, string]): SkerryError {
  return new SkerryError(error[0], error[1]);
}
