/** Service worker: keeps the page's files, so that a second visit needs no network. */

const VERSION = "@VERSION@"; // the build puts in a hash of all files, and their names
const FILES = ["@FILES@"];
const SHELL = FILES.filter((name) => !name.endsWith(".gzip"));
const HOME = "index.html";

/** With these headers browsers allow shared memory, and with it threads. */
const ISOLATION = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

async function answer(name) {
  const cache = await caches.open(VERSION);
  let response = await cache.match(name);
  if (response === undefined) {
    response = await fetch(name, { cache: "no-cache" });
    if (!response.ok) return response;
    await cache.put(name, response.clone());
  }
  const headers = new Headers(response.headers);
  for (const [key, value] of Object.entries(ISOLATION)) headers.set(key, value);
  return new Response(response.body, { status: response.status, headers });
}

async function install() {
  const cache = await caches.open(VERSION);
  await cache.addAll(SHELL.map((name) => new Request(name, { cache: "no-cache" })));
}

async function activate() {
  for (const key of await caches.keys()) if (key !== VERSION) await caches.delete(key);
  await self.clients.claim();
}

async function keepAll() {
  for (const name of FILES) await answer(name).then((response) => response.body?.cancel());
}

self.addEventListener("install", (event) => event.waitUntil(install()));
self.addEventListener("activate", (event) => event.waitUntil(activate()));
self.addEventListener("message", (event) => event.waitUntil(keepAll()));
self.addEventListener("fetch", (event) => {
  const { url } = event.request;
  const scope = self.registration.scope;
  const path = url.split(/[?#]/)[0];
  const name = path === scope ? HOME : path.slice(scope.length);
  if (path.startsWith(scope) && FILES.includes(name)) event.respondWith(answer(name));
});
