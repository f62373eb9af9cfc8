/** Payloads from symbols and back (sections 6.6 and 7.2). */

import type { Prior } from "./prior.js";
import { RangeDecoder, RangeEncoder } from "./rangecoder.js";

export const MIN_SYMBOL = -32768;
export const MAX_SYMBOL = 32767;

const TABLE_FACTOR = 256; // frequencies of a row sum to 2^16, those of the coder to 2^24
const BYTE_FREQUENCY = 65536;

/**
 * Returns the symbols of a payload, [frame][dimension].
 *
 * Throws CorruptError where the payload is no coded stream.
 */
export function decodePayload(
  prior: Prior,
  payload: Uint8Array,
  nFrames: number,
  stepIndex: number,
): Int16Array {
  const symbols = new Int16Array(nFrames * prior.nLatent);
  const coder = new RangeDecoder(payload);
  forEachGroup(prior, symbols, stepIndex, (first) => {
    const entries = Array.from(prior.row, (row) => decodeEntry(coder, prior, row));
    for (const [d, entry] of entries.entries()) {
      const isEscape = entry === prior.nEntries - 1;
      symbols[first + d] = isEscape
        ? decodeByte(coder) * 256 + decodeByte(coder) + MIN_SYMBOL
        : prior.whole[d]! + entry - maxResidual(prior);
    }
  });
  return symbols;
}

/** Returns the payload of symbols, [frame][dimension]. */
export function encodePayload(prior: Prior, symbols: Int16Array, stepIndex: number): Uint8Array {
  const coder = new RangeEncoder();
  const escape = prior.nEntries - 1;
  forEachGroup(prior, symbols, stepIndex, (first) => {
    const escaped: number[] = [];
    for (let d = 0; d < prior.groupSize; d++) {
      const symbol = symbols[first + d]!;
      const entry = symbol - prior.whole[d]! + maxResidual(prior);
      const isEscape = entry < 0 || entry >= escape;
      if (isEscape) escaped.push(symbol);
      const at = prior.row[d]! + (isEscape ? escape : entry);
      const c = prior.cumulatives[at]!;
      coder.put(c * TABLE_FACTOR, (prior.cumulatives[at + 1]! - c) * TABLE_FACTOR);
    }
    for (const symbol of escaped) {
      const value = symbol - MIN_SYMBOL;
      coder.put((value >> 8) * BYTE_FREQUENCY, BYTE_FREQUENCY);
      coder.put((value & 0xff) * BYTE_FREQUENCY, BYTE_FREQUENCY);
    }
  });
  return coder.finish();
}

/** Calls `code` for every group in coding order, after the prior's prediction of it. */
function forEachGroup(
  prior: Prior,
  symbols: Int16Array,
  stepIndex: number,
  code: (first: number) => void,
): void {
  const nFrames = symbols.length / prior.nLatent;
  for (let frame = 0; frame < nFrames; frame++) {
    for (let group = 0; group < prior.nGroups; group++) {
      prior.predict(symbols, frame, group, stepIndex);
      code(frame * prior.nLatent + group * prior.groupSize);
    }
  }
}

/** R: the largest distance to `whole` that has an entry of its own. */
function maxResidual(prior: Prior): number {
  return prior.nEntries / 2 - 1;
}

/** Finds the entry by halving; cumulatives are whole multiples of 256, so q / 256 decides. */
function decodeEntry(coder: RangeDecoder, prior: Prior, row: number): number {
  const target = Math.floor(coder.target() / TABLE_FACTOR);
  const { cumulatives, nEntries } = prior;
  let entry = 0;
  for (let end = nEntries; end - entry > 1; ) {
    const middle = (entry + end) >> 1;
    if (cumulatives[row + middle]! <= target) entry = middle;
    else end = middle;
  }
  const c = cumulatives[row + entry]!;
  coder.consume(c * TABLE_FACTOR, (cumulatives[row + entry + 1]! - c) * TABLE_FACTOR);
  return entry;
}

function decodeByte(coder: RangeDecoder): number {
  const byte = Math.floor(coder.target() / BYTE_FREQUENCY);
  coder.consume(byte * BYTE_FREQUENCY, BYTE_FREQUENCY);
  return byte;
}
