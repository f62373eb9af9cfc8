/** Fields of a .hzc file: big-endian integers and varints (section 3). */

import { CorruptError, LimitError, TruncatedError } from "./errors.js";

const MAX_VARINT_BYTES = 5;

/** Takes fields from the front of a file. */
export class ByteReader {
  position = 0;

  constructor(readonly bytes: Uint8Array) {}

  get isAtEnd(): boolean {
    return this.position === this.bytes.length;
  }

  /** Returns the next `length` bytes. Throws TruncatedError where fewer are left. */
  take(length: number): Uint8Array {
    const nLeft = this.bytes.length - this.position;
    if (nLeft < length) {
      throw new TruncatedError(
        `the file ends early (found ${nLeft} bytes at ${this.position}, expected ${length})`,
        "",
      );
    }
    this.position += length;
    return this.bytes.subarray(this.position - length, this.position);
  }

  u8(): number {
    return this.take(1)[0]!;
  }

  s8(): number {
    return (this.u8() << 24) >> 24;
  }

  u16(): number {
    return this.u8() * 2 ** 8 + this.u8();
  }

  u32(): number {
    return this.u16() * 2 ** 16 + this.u16();
  }

  /**
   * Returns a varint of up to 35 bits.
   * @param checks labels of the errors: too long (Limit), not in its shortest form (Corrupt)
   */
  vlq(name: string, checks: readonly [string, string]): number {
    let value = 0;
    for (let i = 0; i < MAX_VARINT_BYTES; i++) {
      const byte = this.u8();
      value += (byte & 0x7f) * 2 ** (7 * i);
      if (byte < 0x80) {
        if (byte === 0 && i > 0) {
          throw new CorruptError(`${name} is not in its shortest form`, checks[1]);
        }
        return value;
      }
    }
    throw new LimitError(`${name} has more than ${MAX_VARINT_BYTES} bytes`, checks[0]);
  }
}

/** Puts fields at the end of a file. Throws RangeError for a value that its field cannot hold. */
export class ByteWriter {
  private readonly bytes: number[] = [];

  get length(): number {
    return this.bytes.length;
  }

  unsigned(value: number, nBytes: number): void {
    this.check(value, 0, 2 ** (8 * nBytes) - 1);
    for (let i = nBytes - 1; i >= 0; i--) this.bytes.push(Math.floor(value / 2 ** (8 * i)) & 0xff);
  }

  s8(value: number): void {
    this.check(value, -128, 127);
    this.bytes.push(value & 0xff);
  }

  vlq(value: number): void {
    this.check(value, 0, 2 ** (7 * MAX_VARINT_BYTES) - 1);
    for (; value >= 0x80; value = Math.floor(value / 0x80)) this.bytes.push((value % 0x80) | 0x80);
    this.bytes.push(value);
  }

  put(bytes: Iterable<number>): void {
    for (const byte of bytes) this.bytes.push(byte);
  }

  /** Returns what was put from `start` on. */
  since(start: number): Uint8Array<ArrayBuffer> {
    return Uint8Array.from(this.bytes.slice(start));
  }

  private check(value: number, min: number, max: number): void {
    if (!Number.isInteger(value) || value < min || value > max) {
      throw new RangeError(`a field is out of range (found ${value}, expected ${min} … ${max})`);
    }
  }
}
