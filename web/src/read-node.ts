import { readFile } from "node:fs/promises";

/** Returns the bytes of a file of the package. */
export async function readUrl(url: URL): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
  return new Blob([await readFile(url)]).stream();
}
