/** The page's side of the service worker. Where the browser has none, the page needs the network. */

const CONTROL_MS = 2000;

/**
 * Waits until the service worker keeps what is fetched; not for ever, since a forced reload goes
 * past it.
 */
export async function keepForOffline(): Promise<void> {
  const { serviceWorker } = navigator;
  if (serviceWorker === undefined) return;
  try {
    await serviceWorker.register("offline.js");
  } catch {
    return; // `hzc play` has none: its address is another every time
  }
  if (serviceWorker.controller !== null) return;
  await new Promise((resolve) => {
    serviceWorker.addEventListener("controllerchange", resolve, { once: true });
    setTimeout(resolve, CONTROL_MS);
  });
}

/** Has all files kept that were not needed yet. */
export function keepAll(): void {
  navigator.serviceWorker?.controller?.postMessage("keep all");
}
