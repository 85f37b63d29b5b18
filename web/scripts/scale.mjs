// Measures much of everything in Chromium and writes Markdown: bench/scale.ts in pages of the real server, each row
// beside the same with little, in the same run. It needs build/skerry, build/syncload and dist.
//
// Usage: node scale.mjs [COUNT]
import { execFileSync, spawn } from "node:child_process";
import { createPrivateKey, createPublicKey } from "node:crypto";
import { cpSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { blake3 } from "@noble/hashes/blake3";
import * as esbuild from "esbuild";
import { chromium } from "playwright-core";

const web = join(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "..");
const root = join(web, "..");
const dir = mkdtempSync(join(tmpdir(), "skerry-scale-"));
const many = Number(process.argv[2] ?? 10_000);
const executablePath = [process.env["CHROMIUM"], process.env["CHROME"], "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(
  (path) => path && existsSync(path),
);
if (!executablePath) throw new Error("no Chromium; set CHROMIUM to its path");

/** Starts a server that lets anybody make and write as much as they like, as fast as they can. */
async function serve() {
  const limits = ["", "address-", "server-"].flatMap((whose) => [`--create-${whose}burst`, "1000000", `--create-${whose}per-hour`, "1000000"]);
  limits.push(...["", "address-"].flatMap((whose) => [`--events-${whose}burst`, "1000000000", `--bytes-${whose}burst`, "1000000000000"]));
  limits.push("--unsettled-address-burst", "1000000000", "--quota-spaces", "1000000", "--quota-bytes", "1000000000000");
  const args = ["serve", "--listen", "127.0.0.1:0", "--data", join(dir, "data"), "--web", join(dir, "www"), "--admin", "nobody", "--log-level", "warn", "--json"];
  const child = spawn(join(root, "build", "skerry"), [...args, ...limits], { stdio: ["ignore", "pipe", "inherit"] });
  const url = await new Promise((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`the server ended with ${code}`)));
    child.stdout.setEncoding("utf8").once("data", (line) => resolve(JSON.parse(line).url));
  });
  return { child, url };
}

/** Returns the key by which syncload goes by a name. */
function keyOf(name) {
  const seed = blake3(new TextEncoder().encode(`syncload ${name}`));
  const secret = [...Buffer.from("302e020100300506032b657004220420", "hex"), ...seed]; // PKCS #8
  const { x } = createPublicKey(createPrivateKey({ key: Buffer.from(secret), format: "der", type: "pkcs8" })).export({ format: "jwk" });
  return { public: [...Buffer.from(x, "base64url")], secret };
}

/** Stands between browser and server, and counts what goes through sockets of the protocol, either way. */
async function countBytes(port) {
  const counter = { bytes: 0, url: "", close: () => server.close() };
  const server = createServer((client) => {
    const upstream = connect(port, "127.0.0.1");
    let syncs = false;
    client.on("data", (bytes) => {
      syncs ||= bytes.includes("GET /sync");
      if (syncs) counter.bytes += bytes.length;
      upstream.write(bytes);
    });
    upstream.on("data", (bytes) => {
      if (syncs) counter.bytes += bytes.length;
      client.write(bytes);
    });
    for (const [one, other] of [[client, upstream], [upstream, client]]) one.on("close", () => other.destroy()).on("error", () => other.destroy());
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  counter.url = `http://127.0.0.1:${server.address().port}`;
  return counter;
}

/** Returns how many bytes the worker of a page takes after it opened each replica and wrote to one. */
async function weigh(newPage, many, knows, waits) {
  const page = await newPage();
  const largest = [];
  for (const work of [["connect", knows], ["append", "many", waits, 30]]) {
    const weighed = page.waitForEvent("worker").then(async (worker) => {
      let most = 0;
      let here = true;
      worker.once("close", () => (here = false));
      while (here) {
        most = Math.max(most, await worker.evaluate(() => globalThis.skerryWorker?.memory() ?? 0).catch(() => 0));
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      return most;
    });
    await page.evaluate(([name, ...args]) => globalThis.scale[name](...args), work);
    largest.push(await weighed);
  }
  await page.close();
  return largest;
}

async function measure() {
  cpSync(join(web, "dist"), join(dir, "www"), { recursive: true });
  await esbuild.build({
    entryPoints: [join(web, "bench", "scale.ts")],
    outfile: join(dir, "www", "scale.js"),
    bundle: true,
    format: "esm",
    target: "es2022",
    logLevel: "warning",
    plugins: [{ name: "skerry", setup: (b) => b.onResolve({ filter: /^skerry$/ }, () => ({ path: "./skerry.js", external: true })) }],
  });
  writeFileSync(join(dir, "www", "scale.html"), '<!doctype html><meta charset="utf-8"><title>scale</title><script type="module" src="scale.js"></script>');
  const { child, url } = await serve();
  const wire = await countBytes(Number(new URL(url).port));
  const browser = await chromium.launchPersistentContext(join(dir, "profile"), { executablePath, args: ["--no-sandbox", "--disable-gpu", "--disable-quic"] });
  const newPage = async () => {
    const page = await browser.newPage();
    await page.goto(`${wire.url}/scale.html`);
    await page.waitForFunction(() => "scale" in globalThis);
    return page;
  };
  const call = async (name, ...args) => {
    const page = await newPage();
    try {
      return await page.evaluate(([name, args]) => globalThis.scale[name](...args), [name, args]);
    } finally {
      await page.close();
    }
  };
  try {
    const few = 10;
    const spaces = {};
    for (const n of [few, many]) {
      const flags = ["--clients", "1", "--spaces", String(n), "--batch", "1", "--events", String(n), "--seed", String(n)];
      execFileSync(join(root, "build", "syncload"), ["run", "--url", url, ...flags], { stdio: ["ignore", "ignore", "pipe"] });
      await call("keepKey", [`load-${n}-0`, keyOf(`load-${n}-0`)]);
      await call("learn", `load-${n}-0`, n);
      spaces[n] = { opened: [], bytes: 0 };
    }
    const waiting = { none: { id: await call("wait", "none", 0), opened: [] }, many: { id: await call("wait", "many", many), opened: [] } };
    for (let run = 0; run < 5; run++) {
      for (const n of [few, many]) spaces[n].opened.push((await call("openReplica", `load-${n}-0`, n, true)).opened);
      for (const who of ["none", "many"]) waiting[who].opened.push((await call("openReplica", who, 1, false)).opened);
    }
    for (const n of [few, many]) {
      wire.bytes = 0;
      await call("connect", `load-${n}-0`);
      spaces[n].bytes = wire.bytes;
    }
    for (const who of ["none", "many"]) {
      const writer = await newPage();
      writer.evaluate(([who, id]) => globalThis.scale.write(who, id, 50), [who, waiting[who].id]).catch(() => {}); // until it is closed
      waiting[who].append = await call("append", who, waiting[who].id, 30);
      await writer.close();
    }
    const memory = await weigh(newPage, many, `load-${many}-0`, waiting.many.id);
    report(spaces[few], spaces[many], waiting.none, waiting.many, memory);
  } finally {
    await browser.close();
    wire.close();
    const exited = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    await exited;
  }
}

const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1];
const ms = (n) => `${n < 10 ? n.toFixed(1) : Math.round(n).toLocaleString("en")} ms`;
const met = (ok) => (ok ? "met" : "**missed**");

function report(few, lots, none, waiting, memory) {
  const row = (...cells) => console.log(`| ${cells.join(" | ")} |`);
  const count = many.toLocaleString("en");
  console.log(`## ${count} of everything, in a page\n`);
  console.log(`A replica that knows ${count} spaces beside one that knows 10: until open resolves, and what goes over the`);
  console.log(`socket when it connects again, both ways. A space with ${count} transactions that wait beside one with none: until`);
  console.log("open resolves, and until an append is applied and durable while another tab writes 50 a second. Medians.\n");
  row("", `with ${count}`, "with few", "times", "wanted", "");
  row("---", "--:", "--:", "--:", "--:", "---");
  const line = (name, a, b, show, wanted, ok) => row(name, show(a), show(b), (a / b).toFixed(1), wanted, wanted && met(ok));
  const [a, b] = [median(lots.opened), median(few.opened)];
  line("spaces: open", a, b, ms, "1 s", a < 1000);
  line("spaces: bytes to connect again", lots.bytes, few.bytes, (n) => n.toLocaleString("en"), "100 kB", lots.bytes < 100_000);
  const [c, d] = [median(waiting.opened), median(none.opened)];
  line("waiting: open", c, d, ms, "2 x", c < 2 * d);
  line("waiting: an append is applied", waiting.append.applied, none.append.applied, ms, "100 ms", waiting.append.applied < 100);
  line("the same, the longest of 30", waiting.append.appliedMost, none.append.appliedMost, ms, "", true);
  line("waiting: an append is durable", waiting.append.durable, none.append.durable, ms, "", true);
  console.log();
  console.log("What the worker's program takes of memory, at most, in MiB; it gives none back.\n");
  row("", "MiB", "wanted", "");
  row("---", "--:", "--:", "---");
  for (const [i, name] of [`${count} spaces, connected`, `${count} transactions waiting, appended to`].entries()) {
    const mebibytes = memory[i] / 2 ** 20;
    row(name, Math.round(mebibytes), "150", met(mebibytes < 150));
  }
  console.log();
}

try {
  await measure();
} finally {
  rmSync(dir, { recursive: true, force: true });
}
