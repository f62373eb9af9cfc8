/** Service worker: keeps what was fetched, and gives it where there is no network. */

const CACHE = "hzc";

async function answer(request) {
  const cache = await caches.open(CACHE);
  try {
    const response = await fetch(request);
    if (response.ok) await cache.put(request, response.clone());
    return response;
  } catch (error) {
    const kept = await cache.match(request, { ignoreSearch: true });
    if (kept) return kept;
    throw error;
  }
}

async function install() {
  const cache = await caches.open(CACHE);
  await cache.addAll(["./", "page.js", "style.css"]); // fetched before this worker had control
  await self.skipWaiting();
}

self.addEventListener("install", (event) => event.waitUntil(install()));
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("fetch", (event) => {
  const { request } = event;
  const isOwn = new URL(request.url).origin === self.location.origin;
  if (request.method === "GET" && isOwn && !request.url.endsWith(".hzc")) event.respondWith(answer(request));
});
