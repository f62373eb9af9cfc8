/**
 * The range coder of section 7, with frequencies that sum to 2^24.
 *
 * Its integers of 64 bits and more are BigInt: exact, and next to the prior's network their cost
 * is small (256 entries for a second of speech).
 */

import { CorruptError } from "./errors.js";

const PRECISION_BITS = 24n;
const PRECISION = 1n << PRECISION_BITS;
const WORD_BITS = 32n;
const WORD = 1n << WORD_BITS;
const MAX_U64 = (1n << 64n) - 1n;

/** Takes entries from a payload. For each: `target`, then `consume` with the entry found there. */
export class RangeDecoder {
  private position = 0;
  private lower = 0n;
  private range = MAX_U64;
  private point: bigint;

  constructor(private readonly payload: Uint8Array) {
    this.point = (this.nextWord() << WORD_BITS) | this.nextWord();
  }

  /** Returns q, 0 … 2^24 − 1: the next entry is the one with c ≤ q < c + f. */
  target(): number {
    const offset = BigInt.asUintN(64, this.point - this.lower);
    const q = offset / (this.range >> PRECISION_BITS);
    if (q >= PRECISION) throw new CorruptError("a payload is no coded stream", "P1");
    return Number(q);
  }

  /** Goes past an entry with cumulative c and frequency f. */
  consume(c: number, f: number): void {
    const unit = this.range >> PRECISION_BITS;
    this.lower = BigInt.asUintN(64, this.lower + unit * BigInt(c));
    this.range = unit * BigInt(f);
    if (this.range < WORD) {
      this.lower = BigInt.asUintN(64, this.lower << WORD_BITS);
      this.range <<= WORD_BITS;
      this.point = BigInt.asUintN(64, this.point << WORD_BITS) | this.nextWord();
    }
  }

  /** Returns 32 bits of the payload; zeros past its end. */
  private nextWord(): bigint {
    let word = 0;
    for (let i = 0; i < 4; i++) word = word * 256 + (this.payload[this.position++] ?? 0);
    return BigInt(word);
  }
}

/** Makes the payload of a row of entries: the shortest, and the smallest among the shortest. */
export class RangeEncoder {
  private low = 0n;
  private range = MAX_U64;
  private nBytes = 8;

  /** Codes an entry with cumulative c and frequency f. */
  put(c: number, f: number): void {
    const unit = this.range >> PRECISION_BITS;
    this.low += unit * BigInt(c);
    this.range = unit * BigInt(f);
    if (this.range < WORD) {
      this.low <<= WORD_BITS;
      this.range <<= WORD_BITS;
      this.nBytes += 4;
    }
  }

  /**
   * Returns the payload.
   *
   * Section 7.4 asks for the fewest bytes k whose number, followed by zeros, lies in low …
   * low + range − 1. Such a number exists for k bytes exactly where low − 1 and low + range − 1
   * differ in their first k bytes. So k is the place of the first difference, and the smallest
   * number is one more than the first k bytes of low − 1.
   */
  finish(): Uint8Array {
    if (this.low === 0n) return new Uint8Array(0);
    const before = bigEndian(this.low - 1n, this.nBytes);
    const last = bigEndian(this.low + this.range - 1n, this.nBytes);
    const k = before.findIndex((byte, i) => byte !== last[i]) + 1;
    const payload = before.slice(0, k);
    payload[k - 1]! += 1; // no carry: the byte is less than that of `last`
    return payload;
  }
}

function bigEndian(value: bigint, nBytes: number): Uint8Array {
  const digits = value.toString(16).padStart(2 * nBytes, "0");
  return Uint8Array.from({ length: nBytes }, (_, i) => parseInt(digits.slice(2 * i, 2 * i + 2), 16));
}
