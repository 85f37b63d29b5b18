// What is signed of a link is what servers read.
import assert from "node:assert/strict";
import { test } from "node:test";
import { toHex } from "../src/bytes.js";
import { linkBody, linkMessage } from "../src/linked.js";
import { readVectors } from "./root.js";

interface Vector {
  readonly name: string;
  readonly identity: string;
  readonly signature: string;
  readonly device?: string;
  readonly issued_at?: number;
  readonly expires?: number;
  readonly may_link?: boolean;
  readonly label?: string;
  readonly signed?: string;
}

test("links are written as in the vectors", () => {
  const vectors = readVectors<Vector[]>("shared/identity/testdata/links");
  const links = vectors.flatMap(([, all]) => all).filter(({ device }) => device);
  assert.ok(links.length >= 3);
  for (const v of links) {
    const body = linkBody(v.device!, v.issued_at ?? 0, v.expires ?? 0, v.may_link === true, v.label ?? "");
    assert.equal(toHex(linkMessage(v.identity, body)), v.signed, v.name);
    assert.ok(v.signature.slice(0, -128).endsWith(toHex(body)), v.name);
  }
});
