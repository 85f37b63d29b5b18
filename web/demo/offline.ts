/**
 * Registers the service worker, so that the page loads with no network. A page that was loaded while the worker was
 * becoming active may have been missed by its claim, and one that was loaded past it by hand (Shift and Reload) is: its
 * worker could not be started again with no network, so it asks to be claimed.
 */
export async function loadOffline(): Promise<void> {
  const container = navigator.serviceWorker;
  try {
    await container?.register("./sw.js");
    const registration = await container?.ready;
    if (!container?.controller) registration?.active?.postMessage("claim");
  } catch (error) {
    console.info("no service worker:", error);
  }
}
