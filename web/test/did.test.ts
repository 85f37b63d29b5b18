// The names of keys and what they sign, by the vectors that Go's tests read.
import assert from "node:assert/strict";
import { test } from "node:test";

import { didOf, type KeyKind } from "../src/did.js";
import { fromHex, readVectors } from "./root.js";

interface Vector {
  readonly name: string;
  readonly identity: string;
  readonly kind?: KeyKind;
  readonly public?: string;
  readonly message?: string;
  readonly signature?: string;
  readonly refused?: boolean;
  readonly forged?: boolean;
}

const algorithms = { Ed25519: { name: "Ed25519" }, "P-256": { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } };

for (const [file, vectors] of readVectors<Vector[]>("shared/identity/testdata/vectors")) {
  for (const v of vectors.filter(({ refused }) => !refused)) {
    test(`${file}: ${v.name}`, async () => {
      const bytes = fromHex(v.public!);
      const algorithm = algorithms[v.kind!];
      const key = await crypto.subtle.importKey("raw", new Uint8Array(bytes), algorithm, true, ["verify"]);
      const raw = new Uint8Array(await crypto.subtle.exportKey("raw", key));
      assert.equal(didOf(v.kind!, raw), v.identity);
      if (!v.signature) return;
      const good = await crypto.subtle.verify(algorithm, key, new Uint8Array(fromHex(v.signature)), new Uint8Array(fromHex(v.message!)));
      assert.equal(good, !v.forged);
    });
  }
}
