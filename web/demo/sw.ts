// The service worker: it installs a whole build, serves the page from it with no server, and goes when no page uses it
// any more. What is not of the build goes to the network.

interface ExtendableEvent extends Event {
  waitUntil(done: Promise<unknown>): void;
}
interface FetchEvent extends ExtendableEvent {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}
interface Scope {
  addEventListener(type: "install" | "activate", f: (event: ExtendableEvent) => void): void;
  addEventListener(type: "fetch", f: (event: FetchEvent) => void): void;
  skipWaiting(): Promise<void>;
  readonly clients: { claim(): Promise<void>; matchAll(options: object): Promise<unknown[]> };
  readonly registration: { readonly scope: string };
}

export {};

const scope = globalThis as unknown as Scope;
const prefix = "skerry-build-";
const name = prefix + __BUILD__;
const files = new Set(__FILES__.map((file) => new URL(file, scope.registration.scope).href));

scope.addEventListener("install", (event) => event.waitUntil(install()));
scope.addEventListener("activate", (event) => event.waitUntil(activate()));
scope.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  url.search = url.hash = "";
  if (event.request.method !== "GET" || !files.has(url.href)) return;
  event.respondWith(serve(url.href, event.request));
});

/** All of the build or nothing. */
async function install(): Promise<void> {
  const cache = await caches.open(name);
  await cache.addAll([...files].map((file) => new Request(file, { cache: "no-cache" })));
  // A page that is alone has loaded all it needs and may be left to the next build. With more of them the old build
  // stays until the last is closed.
  const pages = await scope.clients.matchAll({ type: "window", includeUncontrolled: true });
  if (pages.length <= 1) await scope.skipWaiting();
}

/** Nobody uses the builds before this one. */
async function activate(): Promise<void> {
  const names = await caches.keys();
  await Promise.all(names.filter((n) => n.startsWith(prefix) && n !== name).map((n) => caches.delete(n)));
  await scope.clients.claim();
}

async function serve(file: string, request: Request): Promise<Response> {
  const cache = await caches.open(name);
  return (await cache.match(file, { ignoreVary: true })) ?? fetch(request);
}
