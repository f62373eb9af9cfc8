/** Returns the bytes of a file of the package. */
export async function readUrl(url: URL): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
  const response = await fetch(url);
  if (!response.ok || response.body === null) throw new Error(`${url} cannot be fetched`);
  return response.body;
}
