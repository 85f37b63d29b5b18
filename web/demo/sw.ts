// The service worker: it installs a whole build and serves the pages from it with no server. A build before it stays as
// long as a page uses it. What is of no build goes to the network.
//
// A new build takes over at once: the next page that is loaded is of the new build, and a page that was loaded before
// still finds its own files, as their names carry hashes. In each build's cache lies a mark for each page that was
// loaded from it; a build without living pages is dropped.

interface ExtendableEvent extends Event {
  waitUntil(done: Promise<unknown>): void;
}
interface FetchEvent extends ExtendableEvent {
  readonly request: Request;
  readonly resultingClientId: string;
  respondWith(response: Promise<Response>): void;
}
interface WindowClient {
  readonly id: string;
}
interface Scope {
  addEventListener(type: "install" | "activate", f: (event: ExtendableEvent) => void): void;
  addEventListener(type: "fetch", f: (event: FetchEvent) => void): void;
  addEventListener(type: "message", f: (event: ExtendableEvent) => void): void;
  skipWaiting(): Promise<void>;
  readonly clients: {
    claim(): Promise<void>;
    get(id: string): Promise<WindowClient | undefined>;
    matchAll(options: object): Promise<WindowClient[]>;
  };
  readonly registration: { readonly scope: string };
}

export {};

const scope = globalThis as unknown as Scope;
const prefix = "skerry-build-";
const name = prefix + __BUILD__;
const absolute = (file: string) => new URL(file, scope.registration.scope).href;
const files = new Map(__FILES__.map(([file, integrity]) => [absolute(file), integrity]));
const marks = absolute("./sw.js?page=");

scope.addEventListener("install", (event) => event.waitUntil(install()));
scope.addEventListener("activate", (event) => event.waitUntil(activate()));
scope.addEventListener("message", (event) => event.waitUntil(activate())); // a page that activate missed asks
scope.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  url.search = url.hash = "";
  url.pathname = url.pathname.replace(/\/index\.html$/, "/");
  const hashed = /-[0-9a-f]{12}\.[a-z]+$/.test(url.pathname) && url.href.startsWith(scope.registration.scope);
  if (event.request.method !== "GET" || !(hashed || files.has(url.href))) return;
  event.respondWith(serve(url.href, event.request));
  if (event.request.mode === "navigate") event.waitUntil(mark(event.resultingClientId).then(() => sweep(event.resultingClientId)));
  // In Firefox the page before it in the tab is there still then; it is gone when the page starts its worker.
  else if (event.request.destination === "worker") event.waitUntil(sweep());
});

/** All of the build or nothing, and nothing of another one: a newer build can be deployed meanwhile. */
async function install(): Promise<void> {
  const cache = await caches.open(name);
  await cache.addAll([...files].map(([file, integrity]) => new Request(file, { cache: "no-cache", integrity })));
  await scope.skipWaiting();
}

/** Pages that no build knows were loaded from the network, before the first was installed: they are of this one. */
async function activate(): Promise<void> {
  await scope.clients.claim();
  const known = new Set((await builds()).flatMap((build) => build.pages));
  const pages = await scope.clients.matchAll({ type: "window", includeUncontrolled: true });
  for (const { id } of pages) if (!known.has(id)) await mark(id);
  await sweep();
}

async function serve(file: string, request: Request): Promise<Response> {
  // Of this build first; what has a hash in its name is the same in any.
  const cached = await caches.match(file, { cacheName: name, ignoreVary: true });
  if (cached) return cached;
  const others = (await caches.keys()).filter((other) => other.startsWith(prefix) && !files.has(file));
  for (const cacheName of others) {
    const found = await caches.match(file, { cacheName, ignoreVary: true });
    if (found) return found;
  }
  return fetch(request);
}

async function mark(page: string): Promise<void> {
  const cache = await caches.open(name);
  await cache.put(marks + page, new Response());
}

/** The builds that are here, each with the pages that were loaded from it. */
async function builds(): Promise<{ name: string; cache: Cache; pages: string[] }[]> {
  const names = (await caches.keys()).filter((n) => n.startsWith(prefix));
  return Promise.all(
    names.map(async (name) => {
      const cache = await caches.open(name);
      const urls = (await cache.keys()).map((request) => request.url);
      return { name, cache, pages: urls.filter((url) => url.startsWith(marks)).map((url) => url.slice(marks.length)) };
    }),
  );
}

/** Drops the marks of pages that are gone, and then the builds before this one that have none. */
async function sweep(loading = ""): Promise<void> {
  if (loading) await scope.clients.get(loading); // it is there, and the page before it in this tab is gone
  for (const build of await builds()) {
    const gone: string[] = [];
    for (const page of build.pages) if (page !== loading && !(await scope.clients.get(page))) gone.push(page);
    for (const page of gone) await build.cache.delete(marks + page);
    if (build.name !== name && gone.length === build.pages.length) await caches.delete(build.name);
  }
}
