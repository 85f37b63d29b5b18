// Chains of versions of a module, made at random (syncserver/cmd/skerry/chains_test.go): pages whose code the generator made of any of them read what was written by any other,
// in spaces that have any third. They read what was meant, or say why not; and are told once what differs. SKERRY_CHAINS names another file of chains.
import { encode } from "@msgpack/msgpack";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { differences, readPayload } from "../src/declared.js";
import { open, SkerryError, type Warning } from "../src/index.js";
import { decodePayload, decodeTables } from "../src/wire.js";
import { FakeWorker, id } from "./fake.js";
import { codeOf, given, tablesOf, type Version } from "./generated.js";
import { fromHex, root } from "./root.js";

interface Event {
  version: number;
  type: string;
  schema: string;
  payload: string;
  means: Record<string, unknown>;
}
interface Chain {
  seed: number;
  versions: Version[];
  events: Event[];
}

const chains = JSON.parse(readFileSync(process.env["SKERRY_CHAINS"] ?? join(root, "web/test/testdata/chains.json"), "utf8")) as Chain[];

for (const chain of chains) {
  test(`chain ${chain.seed}: what is read is what was meant, or nothing is`, async () => {
    const codes = await Promise.all(chain.versions.map(codeOf));
    const modules = chain.versions.map((v) => decodeTables(tablesOf(v)));
    const read = { right: 0, refused: 0 };
    for (const event of chain.events) {
      const author = codes[event.version]!.events[event.type]!;
      const meant = chain.versions[event.version]!.meanings[event.type] ?? [];
      for (const [reader, code] of codes.entries()) {
        const own = code.events[event.type];
        if (!own) continue;
        for (const [has, module] of modules.entries()) {
          const about = `chain ${chain.seed}: ${event.type} of version ${event.version}, read by version ${reader}, in a space of version ${has}: ${JSON.stringify(event.means)}`;
          const theirs = module.events.find((e) => e.name === event.type);
          let payload: Record<string, unknown>;
          try {
            payload = readPayload(event.type, own, event.schema, decodePayload(fromHex(event.payload)), theirs);
          } catch (error) {
            const { code } = error as SkerryError;
            assert.ok(code === "schema_unknown" || code === "schema_incompatible", `${about}: ${String(error)}`);
            assert.ok(reader < event.version, `${about}: newer code reads what older code wrote: ${String(error)}`);
            // What diff calls less than major no reader of before is refused, unless the space has gone on to what is.
            const bumps = [event.version, has].map((version) => chain.versions[reader]!.bumps[version]![event.type]);
            assert.ok(bumps.includes("major") || has < event.version, `${about}: diff says ${bumps.join()}: ${String(error)}`);
            read.refused++;
            continue;
          }
          read.right++;
          (chain.versions[reader]!.meanings[event.type] ?? []).forEach((meaning, at) => {
            const value = payload[own.fields[at]![0]];
            const place = meant.indexOf(meaning);
            if (meaning in event.means) assert.equal(value, event.means[meaning], about);
            else if (place >= 0 && author.fields[place]![2] === 2) assert.equal(value, author.fields[place]![3], `${about}: its author's default`);
            else assert.ok(given(own, at).includes(value), `${about}: ${String(value)} is nobody's`);
          });
        }
      }
    }
    assert.ok(read.right > 0 && read.refused > 0, JSON.stringify(read));
  });

  test(`chain ${chain.seed}: a page is told what differs where diff says that something breaks, and where it says that nothing does it is told no more than that there is something`, async () => {
    const codes = await Promise.all(chain.versions.map(codeOf));
    for (const [reader, code] of codes.entries()) {
      for (const [has, version] of chain.versions.entries()) {
        const told = differences(code, decodeTables(tablesOf(version)));
        assert.equal(new Set(told.map(({ of, name }) => `${of} ${name}`)).size, told.length);
        for (const name of Object.keys(code.events)) {
          if (code.events[name]!.removed) continue;
          const warning = told.find((t) => t.name === name);
          const bump = chain.versions[reader]!.bumps[has]![name] ?? "none";
          assert.equal(warning?.code !== undefined, bump === "major", `${name} of version ${reader} in a space of version ${has}: ${bump}, ${JSON.stringify(warning)}`);
        }
      }
    }
  });

  test(`chain ${chain.seed}: each warning once for each module, however often the space is opened, and is offline in between`, async () => {
    const codes = await Promise.all(chain.versions.map(codeOf));
    for (const [reader, code] of codes.entries()) {
      const page = new Page(chain);
      const client = await open({ url: "ws://127.0.0.1:1/sync", name: `chain ${chain.seed} ${reader}`, identity: "alice", worker: () => page, wasmUrl: "https://page.test/client.wasm" });
      const told: Warning[] = [];
      client.on("warning", (warning) => told.push(warning));
      const want: string[] = [];
      for (const [has, version] of chain.versions.entries()) {
        for (let again = 0; again < 3; again++) {
          await page.has(has, again !== 1); // offline in between
          const space = client.space(id, code);
          for (const event of chain.events.filter((e, n) => e.version <= has && n % 3 === 0)) {
            const payload = decodePayload(fromHex(event.payload));
            await space.read({ type: event.type, schema: event.schema, payload }).catch((error: SkerryError) => assert.match(error.code, /^schema_(unknown|incompatible)$/));
          }
          await settled();
        }
        const once = new Set<string>(); // of each module
        if (has !== reader) for (const { of, name, code: why } of differences(code, decodeTables(tablesOf(version)))) once.add(`${of} ${name} ${why}`);
        for (const { type } of chain.events.filter((e) => e.version <= has)) if (!Object.hasOwn(code.events, type)) once.add(`event ${type} undefined`);
        want.push(...once);
      }
      assert.deepEqual(told.map(({ of, name, code }) => `${of} ${name} ${code}`).sort(), want.sort());
      await client.close();
    }
  });
}

const settled = (): Promise<unknown> => new Promise((done) => void setImmediate(done));

/** The worker of a page with one space, which has a version of the chain. */
class Page extends FakeWorker {
  version = 0;
  readonly chain: Chain;

  constructor(chain: Chain) {
    super();
    this.chain = chain;
  }

  override postMessage(message: unknown): void {
    const [ref, method] = message as [number, string];
    if (method === "tables") this.answer(ref, tablesOf(this.chain.versions[this.version]!));
    else super.postMessage(message);
  }

  /** Takes the space over, and tells the page of it. */
  async has(version: number, online: boolean): Promise<void> {
    await settled();
    this.version = version;
    const bytes = new Uint8Array(32).fill(0xab);
    const info = [bytes, [new Uint8Array(16), "alice", new Uint8Array(32), new Uint8Array()], true, fromHex(this.chain.versions[version]!.module), 0, bytes, online, 0, 0, 0, 0, ""];
    this.tell([0, "change", encode([[online ? "online" : "offline", false, 0, 0, 0, 0, 0, 0, 0, "", 0, "ok", 0], [info]])]);
    await settled();
  }
}
