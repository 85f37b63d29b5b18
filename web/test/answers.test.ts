// Generated TypeScript gives the answers that generated Go gives (syncserver/cmd/skerry/answers_test.go, which compiles that and writes them): over the table of changes, and for chains of
// versions at random whose authors forget to list what was, or refuse it. Of what chains say it is known what is meant: an answer is that, or an error. SKERRY_ANSWERS names another file.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readPayload } from "../src/declared.js";
import type { SkerryError } from "../src/error.js";
import { decodePayload, decodeTables } from "../src/wire.js";
import { codeOf, given, tablesOf, type Version } from "./generated.js";
import { fromHex, root } from "./root.js";

interface World {
  about: string;
  seed: number;
  versions: Version[];
  events: { version: number; type: string; schema: string; payload: string; means: Record<string, unknown> | null }[];
  answers: string[][];
}

const worlds = JSON.parse(readFileSync(process.env["SKERRY_ANSWERS"] ?? join(root, "web/test/testdata/answers.json"), "utf8")) as World[];

for (const { about, versions, events, answers } of worlds) {
  test(`${about}: generated TypeScript and Go read the same`, async () => {
    const codes = await Promise.all(versions.map(codeOf));
    const modules = [undefined, ...versions.map((v) => decodeTables(tablesOf(v)))];
    let compared = 0;
    for (const [n, event] of events.entries()) {
      for (const [reader, code] of codes.entries()) {
        const own = code.events[event.type];
        const want = answers[n]![reader]!.split(" ");
        if (!own) {
          assert.deepEqual(want, [""]);
          continue;
        }
        for (const [place, module] of modules.entries()) {
          const at = `${event.type} ${event.payload} of version ${event.version} and schema ${event.schema}, read by version ${reader}, in a space of version ${place - 1}`;
          let payload: Record<string, unknown>;
          try {
            payload = readPayload(event.type, own, event.schema, decodePayload(fromHex(event.payload)), module?.events.find((e) => e.name === event.type));
          } catch (error) {
            assert.equal((error as SkerryError).code, want[place] ?? want[0], at);
            continue;
          }
          const answer = want[place] ?? want[0]!;
          assert.match(answer, /^[0-9a-f]+$/, at);
          assert.deepEqual(payload, decodePayload(fromHex(answer)), at);
          compared++;
          const { means } = event;
          if (!means) continue;
          const author = codes[event.version]!.events[event.type]!;
          const meant = versions[event.version]!.meanings[event.type] ?? [];
          (versions[reader]!.meanings[event.type] ?? []).forEach((meaning, i) => {
            const value = payload[own.fields[i]![0]];
            const from = meant.indexOf(meaning);
            if (meaning in means) assert.equal(value, means[meaning], at);
            else if (from >= 0 && author.fields[from]![2] === 2) assert.equal(value, author.fields[from]![3], `${at}: its author's default`);
            else assert.ok(given(own, i).includes(value), `${at}: ${String(value)} is nobody's`);
          });
        }
      }
    }
    assert.ok(compared > 0);
  });
}
