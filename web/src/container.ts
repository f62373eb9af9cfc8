/**
 * The bytes of a .hzc file, version 1, without the coded symbols (sections 4, 5 and 11).
 *
 * `unpack` makes all checks of groups H, R, E and X; whether the model fits (M) and the payloads
 * (P) is found by `Model.decode`.
 */

import { ByteReader, ByteWriter } from "./bytes.js";
import { crc16 } from "./crc.js";
import { CorruptError, LimitError, NotHzcError, VersionError } from "./errors.js";

export const FRAME_RATE_HZ = 8;
export const CHUNK_FRAMES = 80;
export const MAX_STEP_INDEX = 64;
export const MAX_GAIN_HALF_DB = 120;

const MAGIC = [0x68, 0x7a, 0x63];
const VERSION = 1;
const FLAG_STREAMED = 1;
const FLAG_STEPS = 2;
const MAX_CHANNELS = 16;
/** By rate code; code 0 stands for a rate that is written in full. */
const RATES_HZ = [
  0, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000, 176400,
  192000,
];
const RESERVED_RATE_CODE = 15;
const MIN_SAMPLE_RATE_HZ = 1000;
const MAX_SAMPLE_RATE_HZ = 768000;
const MAX_FRAMES = 2 ** 27;
const MAX_SYMBOL_BYTES = 5;

/** What stands at the start of every file. */
export interface Header {
  readonly isStreamed: boolean;
  /** 1 … 255. */
  readonly modelId: number;
  /** CRC-16 of the model's prior. */
  readonly fingerprint: number;
  /** Of the original recording. */
  readonly sampleRateHz: number;
  /** 1 … 16. */
  readonly nChannels: number;
  /** −64 … 64; steps are multiplied by 2^(index / 8). */
  readonly stepIndex: number;
  /** D, dimensions of the latent. */
  readonly nLatent: number;
  /** Added to the step index, one per dimension; null where the file has none. */
  readonly stepOffsets: Int8Array | null;
}

/** 1 … 80 frames of all channels. */
export interface Chunk {
  readonly nFrames: number;
  /** Half decibels that the samples were raised by before analysis. */
  readonly gainHalfDb: number;
  /** One per channel. */
  readonly payloads: readonly Uint8Array[];
}

export interface HzcFile {
  readonly header: Header;
  readonly chunks: readonly Chunk[];
  /** Samples per channel of the original, at its own rate. */
  readonly nSamples: number;
}

/** Returns the number of frames of a file, per channel. */
export function countFrames(chunks: readonly Chunk[]): number {
  return chunks.reduce((sum, chunk) => sum + chunk.nFrames, 0);
}

/** Reads a whole file. Throws the HzcError of the first check that fails. */
export function unpack(bytes: Uint8Array): HzcFile {
  const input = new ByteReader(bytes);
  const { header, length, crc } = readHeader(input);
  const chunks: Chunk[] = [];
  let nBefore = 0;
  let nSamples = length?.nSamples ?? 0;
  while (length === null || nBefore < length.nFrames) {
    const place = crcOfPlace(crc, chunks.length, 0);
    if (length === null && bytes[input.position] === 0) {
      nSamples = readEnd(input, header, nBefore, place);
      break;
    }
    const nDeclared = length && Math.min(CHUNK_FRAMES, length.nFrames - nBefore);
    const chunk = readChunk(input, header, nDeclared, nBefore, (channel) =>
      crcOfPlace(crc, chunks.length, channel),
    );
    chunks.push(chunk);
    nBefore += chunk.nFrames;
  }
  if (!input.isAtEnd) {
    throw new CorruptError(`${bytes.length - input.position} bytes follow the end`, "X1");
  }
  return { header, chunks, nSamples };
}

interface Length {
  readonly nFrames: number;
  readonly nSamples: number;
}

/** Reads the header; the length is null in a streamed file. */
export function readHeader(input: ByteReader): { header: Header; length: Length | null; crc: number } {
  readMagic(input);
  const versionAndFlags = input.u8();
  const flags = versionAndFlags & 0x0f;
  if (versionAndFlags >> 4 !== VERSION) {
    throw new VersionError(`unknown version (found ${versionAndFlags >> 4}, expected 1)`, "H2");
  }
  if (flags & ~(FLAG_STREAMED | FLAG_STEPS)) throw new VersionError("a reserved flag is set", "H2");
  const modelId = input.u8();
  const fingerprint = input.u16();
  const rateAndChannels = input.u8();
  const stepIndex = input.s8();
  const nLatent = input.u8();
  const rateCode = rateAndChannels >> 4;
  if (rateCode === RESERVED_RATE_CODE) throw new VersionError("rate code 15 is reserved", "H3");
  const sampleRateHz = rateCode === 0 ? input.u32() : RATES_HZ[rateCode]!;
  const stepOffsets = flags & FLAG_STEPS ? Int8Array.from(input.take(nLatent)) : null;
  const isStreamed = (flags & FLAG_STREAMED) !== 0;
  const nFrames = isStreamed ? null : input.vlq("the number of frames", ["H4", "H5"]);
  const trim = isStreamed ? null : input.vlq("trim", ["H4", "H5"]);
  const crc = crc16(input.bytes.subarray(0, input.position));
  checkCrc(input, crc, "the header", "H6");
  if (rateCode === 0 && RATES_HZ.indexOf(sampleRateHz) > 0) {
    throw new CorruptError(`the sample rate is written in full (${sampleRateHz} Hz has a code)`, "H7");
  }
  if (nFrames !== null) checkRange("the number of frames", nFrames, 1, MAX_FRAMES, "H8");
  checkRange("the sample rate", sampleRateHz, MIN_SAMPLE_RATE_HZ, MAX_SAMPLE_RATE_HZ, "H9");
  const length =
    nFrames === null ? null : { nFrames, nSamples: countSamples(nFrames, sampleRateHz, trim!, "H10") };
  checkRange("the model id", modelId, 1, 255, "H11");
  checkRange("the number of dimensions", nLatent, 1, 255, "H11");
  for (const offset of [0, ...(stepOffsets ?? [])]) {
    checkRange("a step index", stepIndex + offset, -MAX_STEP_INDEX, MAX_STEP_INDEX, "H11");
  }
  const nChannels = (rateAndChannels & 0x0f) + 1;
  const header = {
    isStreamed, modelId, fingerprint, sampleRateHz, nChannels, stepIndex, nLatent, stepOffsets,
  };
  return { header, length, crc };
}

function readMagic(input: ByteReader): void {
  const found = input.bytes.subarray(0, MAGIC.length);
  if (found.length === 0) throw new NotHzcError("the file is empty", "H1");
  if (!found.every((byte, i) => byte === MAGIC[i])) {
    throw new NotHzcError("this is no .hzc file (it does not begin with 68 7A 63)", "H1");
  }
  input.take(MAGIC.length);
}

function readChunk(
  input: ByteReader,
  header: Header,
  nDeclared: number | null,
  nBefore: number,
  placeOf: (channel: number) => number,
): Chunk {
  const records = Array.from({ length: header.nChannels }, (_, channel) =>
    readRecord(input, header.nLatent, nDeclared, nBefore, placeOf(channel)),
  );
  const { nFrames, gainHalfDb } = records[0]!;
  if (records.some((r) => r.nFrames !== nFrames || r.gainHalfDb !== gainHalfDb)) {
    throw new CorruptError("the channels of a chunk differ in frames or gain", "R6");
  }
  checkRange("a gain", gainHalfDb, -MAX_GAIN_HALF_DB, MAX_GAIN_HALF_DB, "R7");
  return { nFrames, gainHalfDb, payloads: records.map((record) => record.payload) };
}

function readRecord(
  input: ByteReader,
  nLatent: number,
  nDeclared: number | null,
  nBefore: number,
  place: number,
): { nFrames: number; gainHalfDb: number; payload: Uint8Array } {
  const start = input.position;
  const nFrames = nDeclared ?? input.u8();
  const nMax = Math.min(CHUNK_FRAMES, MAX_FRAMES - nBefore);
  checkRange("the number of frames of a record", nFrames, 1, nMax, "R1");
  const gainHalfDb = input.s8();
  const length = input.vlq("the length of a payload", ["R2", "R3"]);
  checkRange("the length of a payload", length, 0, nFrames * nLatent * MAX_SYMBOL_BYTES + 8, "R4");
  const payload = input.take(length);
  const crc = crc16(input.bytes.subarray(start, input.position), place);
  checkCrc(input, crc, "a record", "R5");
  return { nFrames, gainHalfDb, payload };
}

/** Reads the end record, and returns the number of samples. */
function readEnd(input: ByteReader, header: Header, nFrames: number, place: number): number {
  const start = input.position;
  input.u8();
  const nDeclared = input.vlq("the number of frames", ["E1", "E2"]);
  const trim = input.vlq("trim", ["E1", "E2"]);
  checkCrc(input, crc16(input.bytes.subarray(start, input.position), place), "the end", "E3");
  if (nDeclared !== nFrames) {
    throw new CorruptError(`the chunks have ${nFrames} frames, the end declares ${nDeclared}`, "E4");
  }
  if (nFrames === 0) throw new LimitError("the file has no chunk", "E5");
  return countSamples(nFrames, header.sampleRateHz, trim, "E6");
}

/** Returns N of section 4.5; all products are below 2^53, so exact. */
function countSamples(nFrames: number, rateHz: number, trim: number, check: string): number {
  const nSamples = Math.floor((nFrames * rateHz) / FRAME_RATE_HZ) - trim;
  if (nSamples < 1 || nSamples * FRAME_RATE_HZ <= (nFrames - 1) * rateHz) {
    throw new CorruptError(`trim is too large (found ${trim} for ${nFrames} frames)`, check);
  }
  return nSamples;
}

/** Returns the CRC-16 that a record's own goes on from (section 5.3). */
function crcOfPlace(headerCrc: number, chunk: number, channel: number): number {
  const place = new ByteWriter();
  place.unsigned(headerCrc, 2);
  place.unsigned(chunk, 4);
  place.unsigned(channel, 1);
  return crc16(place.since(0));
}

function checkCrc(input: ByteReader, crc: number, what: string, check: string): void {
  const found = input.u16();
  if (found !== crc) {
    throw new CorruptError(`${what} is damaged (checksum ${found}, expected ${crc})`, check);
  }
}

function checkRange(what: string, value: number, min: number, max: number, check: string): void {
  if (value < min || value > max) {
    throw new LimitError(`${what} is out of range (found ${value}, expected ${min} … ${max})`, check);
  }
}

/**
 * Returns the bytes of a file.
 *
 * Throws RangeError for a value that its field cannot hold or chunks that this kind of file cannot
 * have, and the HzcError of `unpack` for what a reader would refuse.
 */
export function pack({ header, chunks, nSamples }: HzcFile): Uint8Array<ArrayBuffer> {
  const nFrames = countFrames(chunks);
  const trim = Math.floor((nFrames * header.sampleRateHz) / FRAME_RATE_HZ) - nSamples;
  const out = new ByteWriter();
  writeHeader(out, header, nFrames, trim);
  const crc = crc16(out.since(0));
  out.unsigned(crc, 2);
  for (const [i, chunk] of chunks.entries()) {
    if (!header.isStreamed && i < chunks.length - 1 && chunk.nFrames !== CHUNK_FRAMES) {
      throw new RangeError("only the last chunk may be short in a file that is not streamed");
    }
    if (chunk.payloads.length !== header.nChannels) {
      throw new RangeError("a chunk needs one payload per channel");
    }
    for (const [channel, payload] of chunk.payloads.entries()) {
      const start = out.length;
      if (header.isStreamed) out.unsigned(chunk.nFrames, 1);
      out.s8(chunk.gainHalfDb);
      out.vlq(payload.length);
      out.put(payload);
      out.unsigned(crc16(out.since(start), crcOfPlace(crc, i, channel)), 2);
    }
  }
  if (header.isStreamed) {
    const start = out.length;
    out.unsigned(0, 1);
    out.vlq(nFrames);
    out.vlq(trim);
    out.unsigned(crc16(out.since(start), crcOfPlace(crc, chunks.length, 0)), 2);
  }
  const bytes = out.since(0);
  unpack(bytes);
  return bytes;
}

function writeHeader(out: ByteWriter, header: Header, nFrames: number, trim: number): void {
  const flags =
    (header.isStreamed ? FLAG_STREAMED : 0) | (header.stepOffsets === null ? 0 : FLAG_STEPS);
  const rateCode = Math.max(0, RATES_HZ.indexOf(header.sampleRateHz));
  checkRange("the number of channels", header.nChannels, 1, MAX_CHANNELS, "");
  out.put(MAGIC);
  out.unsigned(VERSION * 16 + flags, 1);
  out.unsigned(header.modelId, 1);
  out.unsigned(header.fingerprint, 2);
  out.unsigned(rateCode * 16 + header.nChannels - 1, 1);
  out.s8(header.stepIndex);
  out.unsigned(header.nLatent, 1);
  if (rateCode === 0) out.unsigned(header.sampleRateHz, 4);
  for (const offset of header.stepOffsets ?? []) out.s8(offset);
  if (!header.isStreamed) {
    out.vlq(nFrames);
    out.vlq(trim);
  }
}
