import { execFile } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { executable } from "../e2e/chromium.js";
import { root } from "../test/root.js";

/** Where scripts/pack.mjs put the examples and installed the package. */
export const stage = join(root, "build", "pack");

/** Runs one of the examples' own commands, as its reader would. What it makes is in `www`. */
export function example(command: string, ...args: string[]): Promise<string> {
  rmSync(join(stage, "www"), { recursive: true, force: true });
  return new Promise((resolve, reject) => {
    execFile("npm", ["run", "--silent", command, "--", ...args], { cwd: stage }, (error, out, err) =>
      error ? reject(new Error(`${command}: ${error.message}\n${out}\n${err}`)) : resolve(out + err),
    );
  });
}

/** What is sent with each file. */
export type Headers = (request: IncomingMessage) => Record<string, string>;

const types: Record<string, string> = {
  ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".wasm": "application/wasm", ".css": "text/css",
};

/** A server of files as anybody has it, which sends the headers that it is told to. */
export class Files {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async serve(dir: string, headers: Headers = () => ({}), port = 0): Promise<Files> {
    const server = createServer((request, response) => answer(dir, headers, request, response));
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
    return new Files(server);
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function answer(dir: string, headers: Headers, request: IncomingMessage, response: ServerResponse): void {
  const path = normalize(new URL(request.url ?? "/", "http://localhost").pathname).replace(/\/$/, "/index.html");
  const file = join(dir, path);
  if (!existsSync(file)) {
    response.writeHead(404).end();
    return;
  }
  response.writeHead(200, { "Content-Type": types[extname(file)] ?? "application/octet-stream", "X-Content-Type-Options": "nosniff", ...headers(request) });
  response.end(readFileSync(file));
}

/** A browser whose pages are watched for all that should not happen. */
export class Pages {
  readonly #browser: Browser;
  /** What went wrong in the page that was opened last. */
  faults: string[] = [];

  private constructor(browser: Browser) {
    this.#browser = browser;
  }

  static async launch(): Promise<Pages> {
    return new Pages(await chromium.launch({ executablePath: executable(), args: ["--no-sandbox", "--disable-gpu", "--disable-quic"] }));
  }

  /** Opens a page on a device that has nothing yet. */
  async open(url: string): Promise<Page> {
    const context = await this.#browser.newContext();
    const page = await context.newPage();
    const faults: string[] = (this.faults = []);
    page.on("pageerror", (error) => faults.push(`uncaught ${error.stack ?? error.message}`));
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") faults.push(`${message.type()}: ${message.text()} (${message.location().url})`);
    });
    page.on("requestfailed", (request) => {
      if (request.failure()?.errorText !== "net::ERR_ABORTED") faults.push(`${request.url()}: ${request.failure()?.errorText}`);
    });
    page.on("response", (response) => {
      if (response.status() >= 400) faults.push(`${response.url()}: ${response.status()}`);
    });
    await page.goto(url);
    return page;
  }

  async close(): Promise<void> {
    await this.#browser.close();
  }
}
