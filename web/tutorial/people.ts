import { type Browser, chromium, type Page } from "playwright-core";
import { executable } from "../e2e/chromium.js";
import type { Table } from "./markdown.js";

const patience = 120_000;

/** What the reader does outside of pages. */
export interface Reader {
  stop(): Promise<void>;
  start(): Promise<void>;
}

/** People with a window each, in one browser. */
export class People {
  readonly #browser: Browser;
  readonly #windows = new Map<string, Page>();
  readonly faults: string[] = [];

  private constructor(browser: Browser) {
    this.#browser = browser;
  }

  static async launch(): Promise<People> {
    return new People(await chromium.launch({ executablePath: executable(), args: ["--no-sandbox", "--disable-gpu", "--disable-quic"] }));
  }

  close(): Promise<void> {
    return this.#browser.close();
  }

  /** The window of somebody who has one. */
  window(who: string): Page {
    const page = this.#windows.get(who);
    if (!page) throw new Error(`${who} has no window`);
    return page;
  }

  /** Does what a table says, and waits for what is seen then. */
  async follow(table: Table, reader: Reader): Promise<void> {
    for (const [n, [who, does, sees]] of table.rows.entries()) {
      try {
        await this.#do(who, does, reader);
        await this.#see(who, sees);
      } catch (error) {
        const pages = await Promise.all([...this.#windows].map(async ([name, page]) => `${name} has\n${await page.innerText("body")}`));
        throw new Error(`line ${table.line + 2 + n}: ${who} ${does}, and sees ${sees}:\n${(error as Error).message}\n${pages.join("\n")}\n${this.faults.join("\n")}`);
      }
    }
  }

  async #do(who: string, does: string, reader: Reader): Promise<void> {
    const actions: [RegExp, (...given: string[]) => Promise<unknown>][] = [
      [/^opens `(http[^`]+)`/, (url) => this.#open(who, url!)],
      [/^opens (\w+)'s address with `me=(\w+)`, in another window/, (other, me) => this.#open(who, this.window(other!).url().replace(`me=${other}`, `me=${me}`))],
      [/^writes `([^`]*)` into \*([^*]+)\*/, (text, label) => this.window(who).getByLabel(label!).fill(text!)],
      [/^writes (\w+)'s identity, which \w+ page shows, into \*([^*]+)\*/, async (other, label) => this.window(who).getByLabel(label!).fill(await this.window(other!).innerText("#identity"))],
      [/^presses \*\*([^*]+)\*\*/, (name) => this.window(who).getByRole("button", { name: name! }).click()],
      [/^reloads/, () => this.window(who).reload()],
      [/^stop the server, by Ctrl\+C in its terminal/, () => reader.stop()],
      [/^start the server again, by the same command/, () => reader.start()],
      [/^(, in the page that he has had open all the time|,|and)(?=\s|$)/, async () => {}],
    ];
    for (let rest = does; rest !== ""; ) {
      const found = actions.find(([pattern]) => pattern.test(rest));
      if (!found) throw new Error(`nobody knows how to do this: ${rest}`);
      const match = found[0].exec(rest)!;
      await found[1](...match.slice(1));
      rest = rest.slice(match[0].length).trim();
    }
  }

  async #open(who: string, url: string): Promise<void> {
    const page = await (this.#browser.contexts()[0] ?? (await this.#browser.newContext())).newPage();
    page.on("pageerror", (error) => this.faults.push(`${who}: uncaught ${error.stack ?? error.message}`));
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") this.faults.push(`${who}: ${message.text()}`);
    });
    this.#windows.set(who, page);
    await page.goto(url);
  }

  /** Waits until all that is in code is on the page, and what has "no" before it is not. */
  async #see(who: string, sees: string): Promise<void> {
    const texts = [...sees.matchAll(/(no )?`([^`]+)`/g)].map(([, no, text]) => ({ there: !no, text: text! }));
    if (sees.replaceAll(/(no )?`[^`]+`(, )?/g, "") !== "") throw new Error(`nobody knows how to see this: ${sees}`);
    const seen = (page: Page) =>
      page.waitForFunction(
        (wanted) => wanted.every(({ there, text }) => document.body.innerText.replaceAll(/\s+/g, " ").includes(text) === there),
        texts,
        { timeout: patience },
      );
    if (who === "you") return;
    await (who === "one of them" ? Promise.any([...this.#windows.values()].map(seen)) : seen(this.window(who)));
  }
}
