/** The promises about waveforms; they need the networks in web/models. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Codec } from "../src/codec.js";
import { countFrames, unpack } from "../src/container.js";
import { Model } from "../src/model.js";
import { loadTrunk } from "../src/onnx.js";
import { resample } from "../src/resample.js";
import { hasModels, modelsHint, read, readFlac, readModel, snrDb, vectors } from "./repository.js";

const skip = hasModels ? false : modelsHint;

async function openCodec(): Promise<Codec> {
  const [synthesis, analysis] = await Promise.all(
    ["synthesis.onnx", "analysis.onnx"].map((name) => loadTrunk(readModel(name))),
  );
  return new Codec(new Model(read("hzc/weights/base.safetensors")), synthesis!, analysis!);
}

for (const vector of vectors.filter((v) => v.reference !== undefined)) {
  test(`${vector.file} has its reference waveform, ${vector.min_snr_db} dB`, { skip }, async () => {
    const codec = await openCodec();
    const reference = await readFlac(`formats/vectors/${vector.reference}`);
    const { channels, sampleRateHz } = await codec.decode(read(`formats/vectors/${vector.file}`));
    assert.equal(sampleRateHz, reference.rateHz);
    assert.equal(channels.length, reference.channels.length);
    for (const [i, expected] of reference.channels.entries()) {
      assert.equal(channels[i]!.length, vector.n_samples);
      const snr = snrDb(expected, channels[i]!);
      assert.ok(snr >= vector.min_snr_db!, `${snr.toFixed(1)} dB`);
    }
  });
}

test("a stretch has the samples of the whole", { skip }, async () => {
  const codec = await openCodec();
  const bytes = read("formats/vectors/valid/chunks.hzc");
  const whole = (await codec.decode(bytes)).channels[0]!;
  const [part] = await codec.open(bytes).samples(75, 90);
  assert.equal(part!.length, 15 * 2000);
  assert.ok(snrDb(whole.subarray(75 * 2000, 90 * 2000), part!) > 80);
});

test("a recording that is encoded gives the symbols of Python's file", { skip }, async () => {
  const codec = await openCodec();
  const { channels, rateHz } = await readFlac("demo/samples/2033-164914-0003.flac");
  const expected = unpack(read("formats/vectors/valid/speech.hzc"));
  const start = channels[0]!.subarray(0, expected.nSamples);
  const file = unpack(await codec.encode([start], rateHz));
  assert.deepEqual(file.header, expected.header);
  assert.equal(file.nSamples, expected.nSamples);
  assert.equal(countFrames(file.chunks), countFrames(expected.chunks));
  const [found] = codec.model.decode(file.header, file.chunks[0]!);
  const [known] = codec.model.decode(expected.header, expected.chunks[0]!);
  const nOther = found!.filter((symbol, i) => symbol !== known![i]).length;
  assert.ok(nOther <= 0.01 * known!.length, `${nOther} symbols of ${known!.length} differ`);
});

test("the resampler keeps a tone and its place", () => {
  const tone = (rateHz: number, n: number): Float32Array =>
    Float32Array.from({ length: n }, (_, i) => Math.sin((2 * Math.PI * 440 * i) / rateHz));
  const converted = resample(tone(44100, 44100), 44100, 16000, 16000);
  assert.ok(snrDb(tone(16000, 16000).subarray(200, 15800), converted.subarray(200, 15800)) > 80);
});
