// What a torture test has in its pages, and what it does to them.
import type { CDPSession, Page } from "playwright-core";
import type { Receipt } from "../src/index.js";

/** What a tab keeps in its page. */
interface Tab {
  /** Ids by space, in the order in which a live iterator gave them. */
  readonly seen: Record<string, string[]>;
  readonly receipts: Receipt[];
  written: Promise<void>;
  enough: boolean;
}
declare var tab: Tab;

const durable = "durable: "; // what a page says on its console, so that it is known when the page is not there any more

/** Notes the ids of every event that becomes durable in a page. */
export function noteDurable(page: Page, ids: Set<string>): void {
  page.on("console", (message) => {
    const text = message.text();
    if (text.startsWith(durable)) for (const id of text.slice(durable.length).split(" ")) ids.add(id);
  });
}

/** Follows spaces in a tab from their beginning. */
export function follow(page: Page, spaces: readonly string[]): Promise<void> {
  return page.evaluate((spaces) => {
    const tab: Tab = { seen: {}, receipts: [], written: Promise.resolve(), enough: false };
    Object.assign(globalThis, { tab });
    for (const id of spaces) {
      const seen: string[] = (tab.seen[id] = []);
      void (async () => {
        for await (const event of globalThis.skerry.client.space(id).events({ live: true })) seen.push(event.id);
      })();
    }
  }, [...spaces]);
}

/** Begins to write transactions into all spaces in turn, until it is enough. Every event's payload is another one. */
export function write(page: Page, spaces: readonly string[], label: string): Promise<void> {
  return page.evaluate(
    ([spaces, label, durable, most]) => {
      tab.written = (async () => {
        for (let n = 0; n < most && !tab.enough; n++) {
          const events = Array.from({ length: 1 + (n % 3) }, (_, i) => ({ type: "note", payload: `${label} ${n} ${i}` }));
          const receipt = globalThis.skerry.client.space(spaces[n % spaces.length]!).transact(events);
          tab.receipts.push(receipt);
          void receipt.durable.then(() => console.log(durable + receipt.ids.join(" ")));
          await receipt.applied;
          await new Promise((resolve) => setTimeout(resolve, (n * 7) % 40));
        }
      })();
    },
    [[...spaces], label, durable, 400] as const,
  );
}

/** Ends what a tab writes, waits until the server has all of it, and returns its ids. */
export function finish(page: Page): Promise<string[]> {
  return page.evaluate(async () => {
    tab.enough = true;
    await tab.written;
    const again = setInterval(() => globalThis.dispatchEvent(new Event("online")), 1000); // nobody waits for a backoff
    await Promise.all(tab.receipts.map((receipt) => receipt.synced));
    clearInterval(again);
    return tab.receipts.flatMap((receipt) => [...receipt.ids]);
  });
}

/** Waits until a tab knows of nothing that is not synced, and returns how far each space is there. */
export function settled(page: Page, spaces: readonly string[]): Promise<number[]> {
  return page.evaluate(async (spaces) => {
    const { client } = globalThis.skerry;
    const quiet = () => ["online", "following"].includes(client.status.connection) && client.status.pending + client.status.pendingSpaces + client.status.catchingUp === 0;
    while (!quiet()) await new Promise((resolve) => setTimeout(resolve, 20));
    return spaces.map((id) => client.space(id).info().seq);
  }, [...spaces]);
}

/** Waits until the live iterators of a tab gave so many events, and returns them by space. */
export async function seen(page: Page, counts: readonly number[]): Promise<Record<string, string[]>> {
  return page.evaluate(async (counts) => {
    while (!Object.values(tab.seen).every((ids, i) => ids.length >= counts[i]!)) await new Promise((resolve) => setTimeout(resolve, 20));
    return tab.seen;
  }, [...counts]);
}

/** Makes a page believe that it is looked at or is not, which a browser without windows never tells it. */
export function look(page: Page, state: "visible" | "hidden"): Promise<void> {
  return page.evaluate((state) => {
    Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, state);
}

/** Opens a session with a page by which the browser freezes it and lets it go on. */
export async function freezer(page: Page): Promise<{ set(state: "frozen" | "active"): Promise<void> }> {
  const session: CDPSession = await page.context().newCDPSession(page);
  return { set: async (state) => void (await session.send("Page.setWebLifecycleState", { state })) };
}

/** Returns the process that a page runs in: the one that works when the page does, while nothing else does. */
export async function processOf(page: Page): Promise<number> {
  const session = await page.context().browser()!.newBrowserCDPSession();
  const times = async () => {
    const { processInfo } = await session.send("SystemInfo.getProcessInfo");
    return new Map(processInfo.filter(({ type }) => type === "renderer").map(({ id, cpuTime }) => [id, cpuTime]));
  };
  for (;;) {
    const before = await times();
    await page.evaluate(() => {
      for (const until = performance.now() + 300; performance.now() < until; );
    });
    const worked = [...(await times())].map(([id, time]) => [id, time - (before.get(id) ?? 0)] as const).sort((a, b) => b[1] - a[1]);
    const [first, second] = worked;
    if (second && first![1] < 2 * second[1]) continue; // on a busy machine another one may have worked as much
    await session.detach();
    return first![0];
  }
}
