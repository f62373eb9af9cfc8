/** The promises of the format: the golden files of formats/vectors, and their re-encoding. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";

import { countFrames, pack, unpack } from "../src/container.js";
import { HzcError } from "../src/errors.js";
import { Model, type ChunkSymbols } from "../src/model.js";
import { RangeEncoder } from "../src/rangecoder.js";
import { WeightFile } from "../src/weights.js";
import { read, vectors, type Vector } from "./repository.js";

const accepted = vectors.filter((v) => v.error === undefined);
const faulty = vectors.filter((v) => v.error !== undefined);
const model = new Model(new WeightFile(read("hzc/weights/base.safetensors")));

function decodeAll(bytes: Uint8Array): ChunkSymbols[] {
  const file = unpack(bytes);
  model.check(file.header);
  return file.chunks.map((chunk) => model.decode(file.header, chunk));
}

/** Hashes symbols as 32-bit big-endian integers in the order channel, dimension, frame. */
function hashOf(chunks: ChunkSymbols[], nChannels: number, nLatent: number): string {
  const hash = createHash("sha256");
  for (let channel = 0; channel < nChannels; channel++) {
    for (let d = 0; d < nLatent; d++) {
      for (const chunk of chunks) {
        const column = chunk[channel]!.filter((_, i) => i % nLatent === d);
        const bytes = Buffer.alloc(4 * column.length);
        column.forEach((symbol, i) => bytes.writeInt32BE(symbol, 4 * i));
        hash.update(bytes);
      }
    }
  }
  return hash.digest("hex");
}

test("the network gives the check values of section 6.5", () => {
  const context = Float64Array.from({ length: 95 }, (_, i) => (i === 0 ? 3 : ((7 * i) % 11) - 5));
  const { h1, h2 } = model.prior.evaluate(context, 15);
  assert.deepEqual([...h1.slice(0, 4)], [0, 129, 217, 84]);
  assert.deepEqual([...h2.slice(0, 4)], [0, 0, 0, 42]);
  const rowOf = (scale: number, fraction: number): number => (scale * 8 + fraction) * 129;
  assert.deepEqual([...model.prior.whole], [0, 0]);
  assert.deepEqual([...model.prior.row], [rowOf(8, 2), rowOf(8, 1)]);
});

test("the range coder gives the check values of section 7.4", () => {
  for (const [bytes, payload] of [
    [[0x48, 0x5a, 0x43, 0x31], [0x48, 0x5a, 0x43, 0x31]],
    [[0, 0, 0, 0], []],
    [[255, 255, 255, 255], [255, 255, 255, 255]],
  ] as const) {
    const coder = new RangeEncoder();
    for (const byte of bytes) coder.put(byte * 65536, 65536);
    assert.deepEqual([...coder.finish()], payload);
  }
});

for (const vector of accepted) {
  test(`${vector.file} has the manifest's fields and symbols, and is made again byte by byte`, () => {
    const bytes = read(`formats/vectors/${vector.file}`);
    const file = unpack(bytes);
    const { header, chunks } = file;
    assert.deepEqual(
      {
        is_streamed: header.isStreamed,
        model_id: header.modelId,
        fingerprint: header.fingerprint,
        sample_rate_hz: header.sampleRateHz,
        n_channels: header.nChannels,
        step_index: header.stepIndex,
        n_latent: header.nLatent,
        step_offsets: header.stepOffsets && [...header.stepOffsets],
        n_frames: countFrames(chunks),
        n_samples: file.nSamples,
        chunks: chunks.map((chunk) => [chunk.nFrames, chunk.gainHalfDb]),
      },
      Object.fromEntries(
        ["is_streamed", "model_id", "fingerprint", "sample_rate_hz", "n_channels", "step_index",
          "n_latent", "step_offsets", "n_frames", "n_samples", "chunks",
        ].map((key) => [key, vector[key as keyof Vector]]),
      ),
    );
    const symbols = decodeAll(bytes);
    assert.equal(hashOf(symbols, header.nChannels, header.nLatent), vector.symbols_sha256);
    const again = symbols.map((chunk, i) =>
      model.encode(header.stepIndex, chunks[i]!.gainHalfDb, chunk),
    );
    assert.deepEqual(pack({ ...file, chunks: again }), bytes);
  });
}

for (const vector of faulty) {
  test(`${vector.file} is refused as ${vector.error} ${vector.check}`, () => {
    assert.throws(
      () => decodeAll(read(`formats/vectors/${vector.file}`)),
      (error) =>
        error instanceof HzcError && error.name === vector.error && error.check === vector.check,
    );
  });
}

test("every wrong bit and every cut of the smallest file is found", () => {
  const whole = read("formats/vectors/unusual/empty-payload.hzc");
  for (let bit = 0; bit < 8 * whole.length; bit++) {
    const damaged = whole.slice();
    damaged[bit >> 3]! ^= 0x80 >> (bit & 7);
    assert.throws(() => decodeAll(damaged), HzcError, `bit ${bit}`);
  }
  for (let length = 0; length < whole.length; length++) {
    assert.throws(() => decodeAll(whole.slice(0, length)), HzcError, `${length} bytes`);
  }
});

test("a writer refuses what no file can hold", () => {
  const file = unpack(read("formats/vectors/valid/stereo.hzc"));
  const chunk = file.chunks[0]!;
  const header = file.header;
  for (const wrong of [
    { ...file, chunks: [{ ...chunk, gainHalfDb: 300 }] },
    { ...file, chunks: [{ ...chunk, gainHalfDb: 121 }] },
    { ...file, chunks: [{ ...chunk, payloads: chunk.payloads.slice(1) }] },
    { ...file, chunks: [{ ...chunk, nFrames: 1 }, chunk] },
    { ...file, header: { ...header, nChannels: 17 } },
    { ...file, header: { ...header, sampleRateHz: 0 } },
    { ...file, nSamples: 0 },
  ]) {
    assert.throws(() => pack(wrong), (error) => error instanceof RangeError || error instanceof HzcError);
  }
});
