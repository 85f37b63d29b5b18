// The README's example of a page does what it says.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "../test/root.js";
import { World } from "./world.js";

test("the README's page runs as it stands", { timeout: 60_000 }, () =>
  World.run([], async (world) => {
    const text = readFileSync(join(root, "README.md"), "utf8");
    const code = /<!-- page example[^>]*-->\n```js\n([^]*?)```\n<!-- end of page example -->/.exec(text)?.[1];
    assert.ok(code, "README.md has no example of a page");
    writeFileSync(join(world.server.www, "hello.js"), code);
    writeFileSync(join(world.server.www, "hello.html"), '<!doctype html><link rel="icon" href="icon.svg" /><script type="module" src="hello.js"></script>');
    const ada = await world.device("ada");
    const lines: string[] = [];
    const all = new Promise<void>((resolve) => {
      ada.page.on("console", (message) => {
        if (lines.push(message.text()) === 3) resolve();
      });
    });
    await ada.page.goto(`${ada.wire.origin}/hello.html`);
    await all;
    assert.match(lines[0]!, /^made [0-9a-f]{64}$/);
    const [record, number] = lines.slice(1).sort();
    assert.match(record!, /^1 did:key:z6Mk\w+ message\.post hello from the reef$/);
    assert.equal(number, "in everyone's log as number 1");
  }),
);
