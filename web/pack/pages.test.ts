// The package as npm has it, in pages as people make them: each is built by its example's own command, served as files
// are, opened in a browser, and writes an event that reaches the server.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Page } from "playwright-core";
import { chat } from "../e2e/guests.js";
import { freePort } from "../e2e/net.js";
import { TestServer } from "../e2e/server.js";
import { example, Files, type Headers, Pages, stage } from "./stage.js";

let dir: string;
let server: TestServer;
let pages: Pages;
let socket: string;
const written: string[] = []; // spaces with an event in each

before(async () => {
  dir = mkdtempSync(join(tmpdir(), "skerry-pack-"));
  server = await TestServer.make(dir, ["--allow-origins", "127.0.0.1:*"]);
  await server.start();
  socket = `ws://127.0.0.1:${server.port}/sync`;
  pages = await Pages.launch();
});

after(async () => {
  await pages?.close();
  await server?.stop();
  for (const id of written) {
    const [record] = await server.log(id);
    assert.deepEqual(record?.payload, { text: "hello from the reef" });
  }
  rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
});

/** Waits until a page has written and read its event, and sees that nothing went wrong. */
async function works(page: Page): Promise<void> {
  try {
    await page.waitForFunction(() => /synced as 1/.test(document.querySelector("output")?.value ?? ""), undefined, { timeout: 30_000 });
    await page.waitForSelector("#log li:text('hello from the reef')");
  } catch (error) {
    throw new Error(`${String(error)}\nthe page: ${await page.locator("output").innerText()}\n${pages.faults.join("\n")}`);
  }
  written.push(/[0-9a-f]{64}/.exec(await page.locator("output").innerText())![0]);
  await page.context().close();
  assert.deepEqual(pages.faults, []);
}

async function built(command: string, headers?: Headers): Promise<void> {
  await example(command);
  await served(headers);
}

/** Serves what an example made. */
async function served(headers?: Headers): Promise<void> {
  const files = await Files.serve(join(stage, "www"), headers);
  try {
    await works(await pages.open(`${files.origin}/?server=${encodeURIComponent(socket)}`));
  } finally {
    await files.close();
  }
}

/** What a page sends that wants memory to be shared, and its worker's script too. */
const isolated = { "Cross-Origin-Embedder-Policy": "require-corp", "Cross-Origin-Opener-Policy": "same-origin" };

/** The strictest policies that work: one for a page, one for its worker's script. */
const strictest: Headers = (request) => {
  const worker = request.headers["sec-fetch-dest"] === "worker";
  const policy = worker
    ? `default-src 'none'; script-src 'wasm-unsafe-eval'; connect-src 'self' ${new URL(socket).origin}; require-trusted-types-for 'script'; trusted-types 'none'`
    : "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; " +
      "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types skerry";
  return { "Content-Security-Policy": policy, "Cross-Origin-Resource-Policy": "same-origin", ...isolated };
};

test("Vite, as it builds", () => built("vite-build", strictest));
test("webpack, as it builds", () => built("webpack", strictest));
test("esbuild, as it builds", () => built("esbuild", strictest));
test("a script tag, and no bundler", () => built("script", strictest));

test("Vite, as it serves while one develops", () =>
  developing("page", async (origin) => works(await pages.open(`${origin}/?server=${encodeURIComponent(socket)}`))));

test("the module alone in Vite's cache, as Vite had it before version 8", async () => {
  await example("script");
  const modules = join(stage, "www", "node_modules");
  for (const name of [".vite/deps", "skerry"]) mkdirSync(join(modules, name), { recursive: true });
  renameSync(join(stage, "www", "skerry"), join(modules, "skerry", "lib"));
  renameSync(join(modules, "skerry", "lib", "skerry.js"), join(modules, ".vite", "deps", "skerry.js"));
  const main = join(stage, "www", "main.js");
  writeFileSync(main, readFileSync(main, "utf8").replace("./skerry/skerry.js", "/node_modules/.vite/deps/skerry.js?v=5a2b"));
  await served(strictest);
});

const shared: Headers = () => ({ "Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin" });

test("assets of another origin, as the page says", async () => {
  await example("origin");
  await elsewhere(join(stage, "node_modules", "skerry", "lib"), "script-src 'self' 'wasm-unsafe-eval' ASSETS/worker.js");
});

test("assets of another origin, as a bundler was told", async () => {
  const port = await freePort();
  await example("vite-build", "--base", `http://127.0.0.1:${port}/`);
  await elsewhere(join(stage, "www"), "script-src 'wasm-unsafe-eval' ASSETS/assets/", port);
});

/** Serves a page whose assets are on another origin. */
async function elsewhere(dir: string, scripts: string, port = 0): Promise<void> {
  const assets = await Files.serve(dir, shared, port);
  const page = await Files.serve(join(stage, "www"), () => ({
    ...isolated,
    "Content-Security-Policy":
      `default-src 'none'; ${scripts.replace("ASSETS", assets.origin)}; worker-src blob:; ` +
      `connect-src ${assets.origin} ${new URL(socket).origin}; img-src data:; base-uri 'none'; form-action 'none'`,
  }));
  try {
    await works(await pages.open(`${page.origin}/?server=${encodeURIComponent(socket)}&assets=${encodeURIComponent(`${assets.origin}/`)}`));
  } finally {
    await page.close();
    await assets.close();
  }
}

test("React, in StrictMode", async () => {
  const assets = join(stage, "react", "public");
  mkdirSync(assets, { recursive: true });
  writeFileSync(join(assets, "chat.wasm"), chat());
  await developing("react", async (origin) => {
    await react(origin);
    await reactTables(origin);
  });
  await example("react-build");
  const files = await Files.serve(join(stage, "www"), strictest);
  try {
    await react(files.origin);
  } finally {
    await files.close();
  }
});

async function react(origin: string): Promise<void> {
  const page = await pages.open(`${origin}/?server=${encodeURIComponent(socket)}`);
  await page.click("button:text('Start')");
  for (const text of ["hello from the reef", "and again"]) {
    await page.fill("input", text);
    await page.press("input", "Enter");
    await page.waitForSelector(`li:text-is('${text}')`);
  }
  assert.deepEqual(await page.locator("li").allInnerTexts(), ["hello from the reef", "and again"]);
  await page.waitForSelector("footer:text('online, all synced')");
  assert.equal(page.workers().length, 1); // however often it was mounted
  await page.reload();
  await page.waitForSelector("li:text-is('and again')");
  assert.deepEqual(await page.locator("li").allInnerTexts(), ["hello from the reef", "and again"]);
  await server.stop();
  try {
    await page.fill("input", "offline");
    await page.press("input", "Enter");
    await page.waitForSelector("li:has-text('(to sync)') em:text-is('offline')");
    await page.reload();
    await page.waitForSelector("li:has-text('(to sync)') em:text-is('offline')");
  } finally {
    await server.start();
  }
  await page.waitForSelector("li:text-is('offline')", { timeout: 60_000 });
  assert.deepEqual(await page.locator("li").allInnerTexts(), ["hello from the reef", "and again", "offline"]);
  await page.context().close();
  assert.deepEqual(pages.faults.filter((fault) => !fault.includes(socket)), []); // nobody was there
}

/** The same of a space's tables, which StrictMode subscribes to twice. */
async function reactTables(origin: string): Promise<void> {
  const page = await pages.open(`${origin}/?server=${encodeURIComponent(socket)}&module=chat.wasm`);
  await page.click("button:text('Start')");
  for (const text of ["from the tables", "of the module"]) {
    await page.fill("input", text);
    await page.click("button:text('Say'):enabled");
    await page.waitForSelector(`li:has-text('${text}')`);
  }
  await page.waitForFunction(() => !document.querySelector("li em"));
  assert.deepEqual(await page.locator("li").allInnerTexts(), ["from the tables", "of the module"]);
  await page.reload();
  await page.waitForSelector("li:text-is('of the module')");
  assert.deepEqual(await page.locator("li").allInnerTexts(), ["from the tables", "of the module"]);
  await page.context().close();
  assert.deepEqual(pages.faults, []);
}

test("a server imports it, and renders what uses it", async () => {
  await example("react-server");
  const url = (path: string) => JSON.stringify(new URL(`file://${join(stage, path)}`).href);
  const program = `
    const before = Object.getOwnPropertyNames(globalThis).join();
    const skerry = await import("skerry");
    if (Object.getOwnPropertyNames(globalThis).join() !== before) throw new Error("importing it changed a global");
    if (typeof skerry.open !== "function") throw new Error("it exports no open");
    const { render } = await import(${url("server/server.js")});
    console.log(render());`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", program], { cwd: stage, stdio: ["ignore", "pipe", "pipe"] });
  assert.equal((await output(child)).trim(), "<p>Opening…</p>");
});

async function output(child: ChildProcess): Promise<string> {
  let text = "";
  for (const stream of [child.stdout!, child.stderr!]) stream.setEncoding("utf8").on("data", (piece: string) => (text += piece));
  await new Promise((resolve) => child.once("close", resolve));
  return text;
}

/** Runs Vite's server for development on an example, with nothing prepared by an earlier run. */
async function developing(name: string, body: (origin: string) => Promise<void>): Promise<void> {
  const port = await freePort();
  rmSync(join(stage, "node_modules", ".vite"), { recursive: true, force: true });
  const vite = join(stage, "node_modules", "vite", "bin", "vite.js");
  const child = spawn(process.execPath, [vite, name, "--port", String(port), "--strictPort", "--host", "127.0.0.1"], { cwd: stage, stdio: ["ignore", "pipe", "pipe"] });
  const said = output(child);
  try {
    const ready = async () => (await fetch(`http://127.0.0.1:${port}/`).catch(() => undefined))?.ok;
    while (!(await ready())) {
      if (child.exitCode !== null) throw new Error(`Vite ended: ${await said}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await body(`http://127.0.0.1:${port}`);
  } finally {
    child.kill();
    await said;
  }
}
