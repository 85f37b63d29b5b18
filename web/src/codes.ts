// Made by `npm run codes` from package wire. Do not edit.

/** The name of each code by its number on the wire. Codes are append-only. */
export const codes = {
  0: "unknown",
  1: "bad_frame",
  2: "unknown_frame",
  3: "unsupported",
  4: "message_too_big",
  5: "window_exceeded",
  6: "superseded",
  7: "api_unsupported",
  8: "slow_reader",
  9: "idle",
  10: "shutdown",
  11: "too_many",
  12: "internal",
  13: "bad_credentials",
  40: "behind",
  41: "rate_limited",
  42: "overloaded",
  43: "server_full",
  44: "unknown_space",
  45: "unknown_type",
  46: "module_missing",
  47: "setup_required",
  48: "auth_required",
  49: "recovering",
  50: "upgrading",
  80: "id_reused",
  81: "forbidden",
  82: "reserved_type",
  83: "too_large",
  84: "bad_transaction",
  85: "bad_genesis",
  86: "space_full",
  87: "bad_module",
  88: "refused",
  89: "bad_payload",
  90: "out_of_fuel",
  91: "too_deep",
  92: "module_trap",
  93: "bad_call",
  94: "bad_row",
  95: "unique",
  96: "quota_tables",
  97: "bad_upgrade",
  98: "migrate_failed",
  120: "diverged",
  121: "resume_gone",
  122: "left",
  123: "deleted",
  200: "bad_chain",
  201: "server_changed",
  202: "upgrade_required",
  203: "quota",
  204: "not_durable",
  205: "discarded",
  206: "closed",
  207: "insecure_context",
  208: "build_mismatch",
  209: "bad_argument",
  210: "no_such_space",
  211: "storage_failed",
  212: "not_found",
  213: "bad_server_message",
  214: "bad_archive",
  215: "replica_lost",
  216: "module_diverged",
  217: "damaged",
} as const;

const ownModule = 65536; // added to the numbers that a space's module refuses with

/** The name of a code, as errors and verdicts carry it; `module_N` is a number that the space's module refused with. */
export type Code = (typeof codes)[keyof typeof codes] | `module_${number}`;

/** Returns a code's name; `code_N` for one that this build does not know. */
export function codeName(number: number): Code {
  if (number > ownModule && number < 2 * ownModule) return `module_${number - ownModule}`;
  return (codes as Record<number, Code>)[number] ?? (`code_${number}` as Code);
}
