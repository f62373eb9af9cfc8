/** The promises about waveforms: with the weights of the Python package, and with the small ones. */

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { countFrames, unpack } from "../src/container.js";
import { loadDecoder, loadEncoder, type NetworkFiles } from "../src/load.js";
import { resample } from "../src/resample.js";
import { highPassed } from "../src/rumble.js";
import { decode, encode } from "../src/shipped.js";
import {
  PYTHON, read, readFlac, reference, repository, skipWithoutModels, snrDb, vectors,
} from "./repository.js";

/** Of the small networks against the reference waveforms. */
const SMALL_MIN_SNR_DB = 25;
const decoder = await loadDecoder(reference("synthesis"));
const encoder = await loadEncoder(reference("analysis"));

for (const vector of vectors.filter((v) => v.reference !== undefined)) {
  test(`${vector.file} has its reference waveform, ${vector.min_snr_db} dB`, async () => {
    const expected = await readFlac(`formats/vectors/${vector.reference}`);
    const { channels, sampleRateHz } = await decoder.decode(read(`formats/vectors/${vector.file}`));
    assert.equal(sampleRateHz, expected.rateHz);
    assert.equal(channels.length, expected.channels.length);
    for (const [i, samples] of expected.channels.entries()) {
      assert.equal(channels[i]!.length, vector.n_samples);
      const snr = snrDb(samples, channels[i]!);
      assert.ok(snr >= vector.min_snr_db!, `${snr.toFixed(1)} dB`);
    }
  });
}

test("a stretch has the samples of the whole", async () => {
  const bytes = read("formats/vectors/valid/chunks.hzc");
  const whole = (await decoder.decode(bytes)).channels[0]!;
  const [part] = await decoder.open(bytes).samples(75, 90);
  assert.equal(part!.length, 15 * 2000);
  assert.ok(snrDb(whole.subarray(75 * 2000, 90 * 2000), part!) > 80);
});

test("a recording that is encoded gives the symbols of Python's file", async () => {
  const { channels, rateHz } = await readFlac("demo/samples/2033-164914-0003.flac");
  const expected = unpack(read("formats/vectors/valid/speech.hzc"));
  const start = channels[0]!.subarray(0, expected.nSamples);
  const file = unpack(await encoder.encode([start], rateHz));
  assert.deepEqual(file.header, expected.header);
  assert.equal(file.nSamples, expected.nSamples);
  assert.equal(countFrames(file.chunks), countFrames(expected.chunks));
  const [found] = decoder.model.decode(file.header, file.chunks[0]!);
  const [known] = decoder.model.decode(expected.header, expected.chunks[0]!);
  const nOther = found!.filter((symbol, i) => symbol !== known![i]).length;
  assert.ok(nOther <= 0.01 * known!.length, `${nOther} symbols of ${known!.length} differ`);
});

test("the shipped networks decode and encode nearly the same", { skip: skipWithoutModels }, async () => {
  const bytes = read("formats/vectors/valid/speech.hzc");
  const known = await readFlac("formats/vectors/speech-decoded.flac");
  const { channels } = await decode(bytes);
  const snr = snrDb(known.channels[0]!, channels[0]!);
  assert.ok(snr >= SMALL_MIN_SNR_DB, `${snr.toFixed(1)} dB`);
  const again = await encode(known.channels[0]!, known.rateHz);
  assert.equal(unpack(again).nSamples, known.channels[0]!.length);
});

const skipWithoutPython =
  spawnSync(PYTHON, ["-c", "import hzc, onnx, onnxscript, torch"], { cwd: repository }).status !== 0 &&
  `${PYTHON} has no hzc with the extra train`;

test("a model of other sizes, which sees the step index, works as in Python", { skip: skipWithoutPython }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "hzc-model-"));
  execFileSync(PYTHON, [fileURLToPath(new URL("web/test/other_model.py", repository)), folder]);
  const bytesOf = (name: string): Uint8Array<ArrayBuffer> => new Uint8Array(readFileSync(join(folder, name)));
  const floatsOf = (name: string): Float32Array => new Float32Array(bytesOf(name).buffer);
  const files = (part: string): NetworkFiles => ({
    weights: bytesOf("other.safetensors"), graph: bytesOf(`other.${part}.onnx`),
  });
  const bytes = bytesOf("other.hzc");
  const other = await loadDecoder(files("synthesis"));
  const { channels } = await other.decode(bytes);
  const snr = snrDb(floatsOf("decoded.f32"), channels[0]!);
  assert.ok(snr >= 55, `${snr.toFixed(1)} dB`);
  const again = unpack(await (await loadEncoder(files("analysis"))).encode([floatsOf("sound.f32")], 16000));
  const known = unpack(bytes);
  assert.deepEqual(again.header, known.header);
  const [found, expected] = [again, known].map(({ header, chunks }) => other.model.decode(header, chunks[0]!)[0]!);
  const nOther = found!.filter((symbol, i) => symbol !== expected![i]).length;
  assert.ok(nOther <= 0.01 * found!.length, `${nOther} symbols of ${found!.length} differ`);
  rmSync(folder, { recursive: true });
});

test("the resampler keeps a tone and its place", () => {
  const tone = (rateHz: number, n: number): Float32Array =>
    Float32Array.from({ length: n }, (_, i) => Math.sin((2 * Math.PI * 440 * i) / rateHz));
  const converted = resample(tone(44100, 44100), 44100, 16000, 16000);
  assert.ok(snrDb(tone(16000, 16000).subarray(200, 15800), converted.subarray(200, 15800)) > 80);
});

test("a direct current is taken out, a voice stays", () => {
  for (const rateHz of [8000, 48000]) {
    const voice = Float32Array.from({ length: 3 * rateHz }, (_, i) => Math.sin((2 * Math.PI * 100 * i) / rateHz) / 9);
    const out = highPassed(voice.map((x) => x + 0.3), rateHz);
    assert.ok(snrDb(voice.subarray(rateHz, 2 * rateHz), out.subarray(rateHz, 2 * rateHz)) > 50);
  }
});
