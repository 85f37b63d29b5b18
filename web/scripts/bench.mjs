// Measures the client in Chromium and writes Markdown: bench/page.ts in a page of the real server, and the store's
// own benchmarks. It needs build/skerry, build/syncload and dist.
//
// Usage: node bench.mjs [PART [RUNS]]
//
// With a part, append, records or tables, it measures that alone, several times (3), and prints the medians; with modules or boot it
// measures that alone and prints its table. BOOT_RECORDS is how many records the space of boot has, 1,000,000 without it.
import { execFileSync, spawn } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as esbuild from "esbuild";
import { chromium } from "playwright-core";

const web = join(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "..");
const root = join(web, "..");
const dir = mkdtempSync(join(tmpdir(), "skerry-bench-"));
const events = 10_000;
const records = 100_000;

const executablePath = [process.env["CHROMIUM"], process.env["CHROME"], "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(
  (path) => path && existsSync(path),
);
if (!executablePath) throw new Error("no Chromium; set CHROMIUM to its path");

/** Starts the server on a free port and returns its address. */
function serve() {
  const args = ["serve", "--listen", "127.0.0.1:0", "--data", join(dir, "data"), "--web", join(dir, "www"), "--admin", "nobody", "--log-level", "warn", "--json", "--events-burst=100000000", "--events-address-burst=100000000", "--bytes-burst=100000000000", "--bytes-address-burst=100000000000", "--unsettled-address-burst=1000000000", "--quota-bytes=1000000000000"];
  const child = spawn(join(root, "build", "skerry"), args, { stdio: ["ignore", "pipe", "inherit"] });
  const url = new Promise((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`the server ended with ${code}`)));
    child.stdout.setEncoding("utf8").once("data", (line) => resolve(JSON.parse(line).url));
  });
  return { child, url };
}

/** Fills a space with records and returns its ID. */
function fill(url) {
  const flags = ["--clients", "1", "--spaces", "1", "--batch", "10", "--events", String(records), "--payload", "200", "--json"];
  execFileSync(join(root, "build", "syncload"), ["run", "--url", url, ...flags], { stdio: ["ignore", "ignore", "pipe"] });
  const spaces = execFileSync(join(root, "build", "skerry"), ["space", "ls", "--data", join(dir, "data"), "--json"], { encoding: "utf8" });
  return spaces.trim().split("\n").map((line) => JSON.parse(line)).find(({ head }) => head === records).id; // the other one is the system space
}

/** Returns how many MB the largest page process of our browser takes: its share of what it has in memory. */
function rendererMemory() {
  const parents = new Map();
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      parents.set(Number(pid), Number(readFileSync(`/proc/${pid}/stat`, "utf8").replace(/.*\) . /, "").split(" ")[0]));
    } catch {} // it has ended
  }
  const ours = (pid) => pid === process.pid || (parents.has(pid) && parents.get(pid) !== 0 && ours(parents.get(pid)));
  let most = 0;
  for (const pid of parents.keys()) {
    try {
      if (!ours(pid) || !readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("--type=renderer")) continue;
      most = Math.max(most, Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))[1]) / 1000);
    } catch {}
  }
  return most;
}

/** Prints how soon a new device can use a space of so many records, and what memory that takes. */
async function boot(count, runs) {
  await inPage(async (call) => {
    const id = await call("long", count);
    const samples = [];
    for (let i = 0; i < runs; i++) samples.push({ ...(await call("boot", id, count, `new ${i}`)), memory: call.memory });
    const { usable, tables, older, oldest, memory } = samples.sort((a, b) => a.usable - b.usable)[runs >> 1];
    console.log(`## A space of ${count.toLocaleString("en")} records on a new device\n`);
    console.log("A browser that knows nothing opens a space by its ID: until its table was asked and its newest 100 events are read. Then 1,000");
    console.log(`events back, over the ${(oldest - 1).toLocaleString("en")} that were left out. The memory is the page's process, worker and all, then.\n`);
    console.log("| | takes | wanted | |\n| --- | --: | --: | --- |");
    console.log(`| usable | ${ms(usable)} | 2,000 ms | ${met(usable <= 2000)} |`);
    console.log(`| of that, the tables | ${ms(tables)} | | |`);
    console.log(`| 1,000 events back | ${ms(older)} | | |`);
    console.log(`| memory | ${Math.round(memory)} MB | 150 MB | ${met(memory < 150)} |`);
  });
}

/** Serves the pages, opens a browser, and returns what measure makes of them. */
async function inPage(measure) {
  cpSync(join(web, "dist"), join(dir, "www"), { recursive: true });
  cpSync(join(root, "syncserver", "cmd", "syncload", "chat.wasm"), join(dir, "www", "chat.wasm"));
  await esbuild.build({
    entryPoints: [join(web, "bench", "page.ts")],
    outfile: join(dir, "www", "bench.js"),
    bundle: true,
    format: "esm",
    target: "es2022",
    logLevel: "warning",
    plugins: [{ name: "skerry", setup: (b) => b.onResolve({ filter: /^skerry$/ }, () => ({ path: "./skerry.js", external: true })) }],
  });
  writeFileSync(join(dir, "www", "bench.html"), '<!doctype html><meta charset="utf-8"><title>bench</title><script type="module" src="bench.js"></script>');
  const server = serve();
  let browser;
  try {
    const url = await server.url;
    browser = await chromium.launchPersistentContext(join(dir, "profile"), { executablePath, args: ["--no-sandbox", "--disable-gpu", "--disable-quic"] });
    const call = async (name, ...args) => {
      const page = await browser.newPage();
      try {
        await page.goto(`${url}/bench.html`);
        await page.waitForFunction(() => "bench" in globalThis);
        const result = await page.evaluate(([name, args]) => globalThis.bench[name](...args), [name, args]);
        call.memory = rendererMemory();
        return result;
      } finally {
        await page.close();
      }
    };
    return await measure(call, () => fill(url));
  } finally {
    await browser?.close();
    const exited = new Promise((resolve) => server.child.once("exit", resolve));
    server.child.kill("SIGTERM");
    await exited;
  }
}

async function everything(call, fill) {
  const id = fill();
  const append = await call("append", events);
  const catchUp = await call("catchUp", id, records);
  const pack = await call("pack", records);
  const cold = await call("coldLoad", id, records);
  const unpack = await call("unpack", records);
  const tables = await call("tables", await call("chat", records), records);
  return { append, catchUp, pack, cold, unpack, tables };
}

/** Prints the medians of one part, by name. */
async function only(part, runs) {
  const print = (samples) => {
    for (const name of Object.keys(samples[0])) {
      const times = samples.map((sample) => sample[name]).sort((a, b) => a - b);
      console.log(`${name.padEnd(10)} ${ms(times[runs >> 1])} (${times.map(ms).join(", ")})`);
    }
  };
  await inPage(async (call, fill) => {
    const samples = [];
    if (part === "tables") {
      const id = await call("chat", records);
      for (let i = 0; i < runs; i++) samples.push(await call("tables", id, records));
    } else if (part === "append") {
      for (let i = 0; i < runs; i++) samples.push(await call("append", events));
    } else {
      const id = fill();
      console.log(`catchUp    ${ms(await call("catchUp", id, records))}`);
      await call("pack", records);
      for (let i = 0; i < runs; i++) {
        const { opened, read } = await call("coldLoad", id, records);
        const floor = await call("unpack", records);
        samples.push({ opened, read, floor });
      }
    }
    print(samples);
  });
}

/** Runs the store's benchmarks in the browser and returns milliseconds by name. */
function inWorker() {
  const times = {};
  for (const [name, { "ns/op": ns, "ms/100k": per100k }] of benchmarks(goBench("./wasmclient/internal/idbstore", "ColdLoad|Append", "5x"))) {
    times[name] = per100k ?? ns / 1e6;
  }
  return times;
}

/** Prints what modules take in the browser. */
function modules() {
  const nanoseconds = {};
  for (const [name, { "ns/op": ns, "ns/host-call": each }] of benchmarks(goBench("./wasmclient/internal/jsengine", "Call|Get|Materialize|Refusal", "1s"))) {
    nanoseconds[name] = each ?? ns;
  }
  console.log("## Modules in a page\n");
  console.log("Go's benchmarks of package jsengine in a worker of Chromium. The floor of all is a call that does nothing, which");
  console.log("puts 64 KiB of memory back.\n");
  console.log("| | takes | wanted | |\n| --- | --: | --: | --- |");
  console.log(`| a call that does nothing | ${us(nanoseconds.Call)} | | |`);
  console.log(`| a host function that does nothing | ${us(nanoseconds.HostCall)} | 0.50 µs | ${met(nanoseconds.HostCall <= 500)} |`);
  console.log(`| get, a row of 212 bytes | ${us(nanoseconds.Get)} | | |`);
  console.log(`| a message refused | ${us(nanoseconds.Refusal)} | | |`);
  console.log(`| 100,000 messages applied | ${ms(nanoseconds.Materialize / 1e6)} | 2,000 ms | ${met(nanoseconds.Materialize <= 2e9)} |`);
  meter();
}

/** Prints what counting a guest's work costs, in the page and in wazero: the least of three of each. */
function meter() {
  const figures = { Chromium: {}, wazero: {} };
  const keep = (where, output) => {
    for (const [name, { "ns/op": ns }] of benchmarks(output)) figures[where][name] = Math.min(ns, figures[where][name] ?? Infinity);
  };
  for (const [names, often] of [["Meter$", "1s"], ["MeterOrdinary", "20000x"]]) {
    for (let round = 0; round < 3; round++) {
      keep("Chromium", goBench("./wasmclient/internal/jsengine", names, often));
      keep("wazero", execFileSync("go", ["test", "-run", "^$", "-bench", names, "-benchtime", often, "./syncserver/wasmengine"], { cwd: root, encoding: "utf8" }));
    }
  }
  console.log("\nWhat the meter costs: metered and, as the floor, as it was. First whole transactions of ordinary modules, authorized and");
  console.log("applied, with the host's part: what people wait for, and what the wish is of. Then a guest's own work alone, as little");
  console.log("else as can be: where it costs most. Calls count how deep they go, too.\n");
  console.log("| a module that | in | metered | floor | times the floor | wanted | |\n| --- | --- | --: | --: | --: | --: | --- |");
  const work = {
    "MeterOrdinary/chat": "is written by hand: a message of a chat",
    "MeterOrdinary/typed": "is written with the SDK: a row of 13 columns",
    "Meter/words": "counts the words of a text",
    "Meter/hash": "hashes a text, byte by byte",
    "Meter/sort": "sorts numbers",
    "Meter/calls": "calls itself, and hardly anything else",
  };
  for (const [kind, does] of Object.entries(work)) {
    for (const [where, took] of Object.entries(figures)) {
      const [metered, plain] = [took[`${kind}/metered`], took[`${kind}/plain`]];
      const ratio = metered / plain;
      const wish = kind.startsWith("MeterOrdinary/") ? `< 1.2 | ${met(ratio < 1.2)}` : " | ";
      console.log(`| ${does} | ${where} | ${us(metered)} | ${us(plain)} | ${ratio.toFixed(2)} | ${wish} |`);
    }
  }
}

/** Runs a package's benchmarks in the browser and returns what they print. */
function goBench(path, names, time) {
  const runner = join(dir, "browsertest");
  execFileSync("go", ["build", "-o", runner, "./wasmclient/internal/browsertest"], { cwd: root });
  const args = ["test", "-timeout", "30m", "-exec", runner, "-run", "^$", "-bench", names, "-benchtime", time, path];
  return execFileSync("go", args, {
    cwd: root,
    env: { ...process.env, GOOS: "js", GOARCH: "wasm", CHROME: executablePath },
    encoding: "utf8",
  });
}

/** Reads what `go test -bench` prints: of each benchmark the name, and its figures by their units. */
function benchmarks(output) {
  return [...output.matchAll(/^Benchmark(\S+?)(?:-\d+)?\s+\d+\s+(.+)$/gm)].map(([, name, figures]) => {
    const pairs = [...figures.matchAll(/([\d.]+) (\S+)/g)].map(([, figure, unit]) => [unit, Number(figure)]);
    return [name, Object.fromEntries(pairs)];
  });
}

const met = (ok) => (ok ? "met" : "**missed**");
const us = (ns) => `${ns < 1e6 ? (ns / 1000).toFixed(2) : Math.round(ns / 1000).toLocaleString("en")} µs`;
const ms = (n) => `${n < 10 ? n.toFixed(1) : Math.round(n).toLocaleString("en")} ms`;
const rate = (n, ms) => `${Math.round((n / ms) * 1000).toLocaleString("en")}/s`;
const times = (a, b) => (a / b).toFixed(1);

const [part, runs = "3"] = process.argv.slice(2);
if (part && !["append", "records", "tables", "modules", "boot"].includes(part)) throw new Error(`no part ${part}: append, records, tables, modules or boot`);
try {
  if (part === "modules") modules();
  else if (part === "boot") await boot(Number(process.env["BOOT_RECORDS"] ?? 1_000_000), Number(runs));
  else if (part) await only(part, Number(runs));
  else {
    await report();
    console.log();
    modules();
  }
} finally {
  rmSync(dir, { recursive: true, force: true });
}

async function report() {
  const { append: a, catchUp, pack, cold, unpack, tables } = await inPage(everything);
  const store = inWorker();
  const row = (...cells) => console.log(`| ${cells.join(" | ")} |`);

  console.log("## Appending in a page\n");
  console.log("Chromium, headless. Until an append is durable: in IndexedDB, strictly. Payloads are objects that take about");
  console.log("200 bytes, made before the clock starts. The floor: the same values encoded by @msgpack/msgpack and put by hand, one");
  console.log("a transaction, or 1,000 in one value. Dexie puts as many objects, with strict durability too. Medians of 100 and of 9");
  console.log("rounds, in which each takes its turn; before those a page's first 10,000, whose code the engine has yet to compile.\n");
  row("", "Skerry", "floor", "a row an event, by hand", "Dexie", "wanted", "");
  row("---", "--:", "--:", "--:", "--:", "--:", "---");
  row("one event, awaited", ms(a.one), ms(a.oneFloor), "", ms(a.oneDexie), "", "");
  row(
    `the first ${events.toLocaleString("en")} events, 1,000 in a transaction`, ms(a.manyFirst), "", "", "", "", "",
  );
  row(
    `${events.toLocaleString("en")} events, 1,000 in a transaction`, `${ms(a.many)}, ${rate(events, a.many)}`, ms(a.manyFloor), ms(a.manyRows),
    `bulkPut ${ms(a.manyDexie)}`, `10 x bulkPut: ${times(a.manyDexie, a.many)} x`, met(a.manyDexie >= 10 * a.many),
  );

  console.log(`\n## ${records.toLocaleString("en")} records in a page\n`);
  console.log("Catch-up: a new replica follows a space of the server, over a loopback WebSocket, until it has all of it; the floor");
  console.log("puts as many bytes in segments of 1,000 into IndexedDB and does nothing else. Cold load: a new page opens that");
  console.log("replica and iterates over every event; the floor reads its segments by one getAll and decodes them and every payload");
  console.log("with @msgpack/msgpack.\n");
  row("", "Skerry", "floor", "times the floor", "wanted", "");
  row("---", "--:", "--:", "--:", "--:", "---");
  row("catch-up", `${ms(catchUp)}, ${rate(records, catchUp)}`, ms(pack), times(catchUp, pack), "", "");
  row("cold load, into the page's objects", `${ms(cold.read)}, and ${ms(cold.opened)} to open`, ms(unpack), times(cold.read, unpack), "2", met(cold.read <= 2 * unpack));

  console.log("\nTables: a page that has just opened asks for the newest of as many messages of a chat, which has the tables from the");
  console.log("checkpoint on the device; the floor has none and makes them of the whole log. Medians of five.\n");
  row("", "Skerry", "by the log", "times as fast", "wanted", "");
  row("---", "--:", "--:", "--:", "--:", "---");
  row("the first query", ms(tables.kept), ms(tables.log), times(tables.log, tables.kept), "20", met(tables.log >= 20 * tables.kept));

  console.log(`\n## The store in a worker\n`);
  console.log("The store alone, Go in a dedicated Worker. Cold load: 100,000 records of 200 bytes that came in commits of so many;");
  console.log("the floor reads the same in segments of 1,000 by one getAll and decodes them.");
  console.log("Append: outbox rows that are strictly durable; the floor puts as many bytes a row and nothing else.\n");
  row("", "Skerry", "floor", "times the floor", "wanted", "");
  row("---", "--:", "--:", "--:", "--:", "---");
  const floor = store["ColdLoad/floor"];
  for (const size of ["1", "7", "100", "1000"]) {
    const took = store[`ColdLoad/commits_of_${size}`];
    row(`cold load, commits of ${size}`, ms(took), ms(floor), times(took, floor), "2", met(took <= 2 * floor));
  }
  for (const n of ["1", "1000"]) {
    const [took, raw] = [store[`Append/${n}_strict`], store[`Append/${n}_strict_raw_puts`]];
    row(`append, transactions in one commit: ${n}`, ms(took), ms(raw), times(took, raw), "", "");
  }
  console.log();
}
