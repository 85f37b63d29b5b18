// Chromium goes on with the log of its database where the browser left off, also behind a record that it was killed in the middle of
// (google/leveldb 1287). What comes after such a record is there while the browser runs. The next one takes the log for damaged, and
// throws away every database of the origin.

/**
 * Makes Chromium begin a new log, and put what the old one holds into tables: it does when a database is deleted, so a small one is made
 * for that. It is asked for before the replica writes, and nobody waits for it, or needs it to succeed.
 */
export function beginLog(): void {
  if (!globalThis.indexedDB || !/Chrome\//.test(navigator.userAgent)) return; // others keep their databases in SQLite
  const name = "skerry-log"; // a tab that does the same waits for this one, by the browser's order
  try {
    const request = indexedDB.open(name);
    request.onsuccess = () => {
      request.result.close();
      indexedDB.deleteDatabase(name);
    };
  } catch {
    // this page may keep nothing
  }
}
