/** What surrounds the networks: their input from samples, and samples from their output. */

import type { Spectra, Spectrum } from "./spectrum.js";

const LOG_MAGNITUDE_FLOOR = 1e-4;
const SPECTRUM_RANGE = 1.5e-4;
const MAX_LOG_MAGNITUDE = 7;
const MAX_LOG_NOISE = 0;
const GOLDEN = 0x9e3779b9 | 0;

/** Returns the analysis network's input, [time][bin], for a signal of whole hops. */
export function logMagnitudes(samples: Float32Array, spectrum: Spectrum): Float32Array {
  const { re, im } = spectrum.forward(samples);
  const { nBins } = spectrum;
  const magnitudes = re.map((x, i) => Math.hypot(x, im[i]!));
  for (let first = 0; first < magnitudes.length; first += nBins) {
    const frame = magnitudes.subarray(first, first + nBins);
    let max = 0;
    for (const magnitude of frame) max = Math.max(max, magnitude);
    const floor = LOG_MAGNITUDE_FLOOR + SPECTRUM_RANGE * max;
    for (let k = 0; k < nBins; k++) frame[k] = Math.log(frame[k]! + floor);
  }
  return magnitudes;
}

/** What the synthesis network gives, each [time][bin]. */
export interface SynthesisOutput {
  readonly logMagnitude: Float32Array;
  readonly phase: Float32Array;
  readonly logNoise: Float32Array;
}

/** Returns the samples of a network's output, with noise for its noisy part. */
export function samplesOf(
  { logMagnitude, phase, logNoise }: SynthesisOutput,
  noise: Float32Array,
  spectrum: Spectrum,
): Float32Array {
  const { re, im }: Spectra = spectrum.forward(noise);
  for (let i = 0; i < re.length; i++) {
    const magnitude = Math.exp(Math.min(logMagnitude[i]!, MAX_LOG_MAGNITUDE));
    const gain = Math.exp(Math.min(logNoise[i]!, MAX_LOG_NOISE));
    re[i] = magnitude * Math.cos(phase[i]!) + gain * re[i]!;
    im[i] = magnitude * Math.sin(phase[i]!) + gain * im[i]!;
  }
  return spectrum.inverse({ re, im });
}

/**
 * Returns noise of mean 0 and variance 1 that follows from a latent alone.
 *
 * The bits of a frame's binary32 values are its seed, so a latent that differs in one last bit has
 * other noise: steps and products have to be rounded to binary32 as `quantize.ts` does.
 *
 * @param latent [frame][dimension]
 * @param nSamples how many for every frame
 */
export function whiteNoise(latent: Float32Array, nLatent: number, nSamples: number): Float32Array {
  const nFrames = latent.length / nLatent;
  const bits = new Int32Array(latent.buffer, latent.byteOffset, latent.length);
  const noise = new Float32Array(nFrames * nSamples);
  for (let t = 0; t < nFrames; t++) {
    let sum = 0;
    for (let d = 0; d < nLatent; d++) {
      sum = (sum + hashed((bits[t * nLatent + d]! + Math.imul(GOLDEN, d + 1)) | 0)) | 0;
    }
    const seed = hashed(sum);
    for (let i = 0; i < nSamples; i++) {
      const unsigned = hashed((seed + Math.imul(GOLDEN, i)) | 0) >>> 0;
      noise[t * nSamples + i] = (Math.fround(unsigned) / 2 ** 32 - 0.5) * Math.sqrt(12);
    }
  }
  return noise;
}

/** Hashes 32 bits. Source: Wellons 2018, "Prospecting for hash functions", lowbias32. */
function hashed(h: number): number {
  h = Math.imul(h ^ (h >>> 16), 0x7feb352d);
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
  return h ^ (h >>> 16);
}

const LEVEL_FRAME_S = 0.02;
const RARE_ABOVE_COMMON_DB = 12;
export const SILENCE_DB = -70;
const TARGET_LEVEL_DB = -26;
const MAX_LEVEL_GAIN_HALF_DB = 80;

/** Returns the factor that a gain in half decibels stands for. */
export function linearGain(gainHalfDb: number): number {
  return Math.fround(10 ** (gainHalfDb / 40));
}

/** Returns the gain, in half decibels, that brings a recording to the level the model expects. */
export function gainFor(channels: readonly Float32Array[], sampleRateHz: number): number {
  const level = levelDb(channels, sampleRateHz);
  if (level <= SILENCE_DB) return 0;
  const wanted = Math.round(2 * (TARGET_LEVEL_DB - level));
  return Math.max(-MAX_LEVEL_GAIN_HALF_DB, Math.min(MAX_LEVEL_GAIN_HALF_DB, wanted));
}

/** Returns the level of the loud parts of a recording. */
export function levelDb(channels: readonly Float32Array[], sampleRateHz: number): number {
  return loudLevelDb(framePowers(channels, sampleRateHz));
}

const levelFrame = (sampleRateHz: number): number => Math.max(1, Math.round(LEVEL_FRAME_S * sampleRateHz));

/** Returns the means of stretches of 20 ms. */
export function meansOf(samples: Float32Array, sampleRateHz: number): number[] {
  const length = levelFrame(sampleRateHz);
  return Array.from({ length: Math.ceil(samples.length / length) }, (_, t) => {
    const part = samples.subarray(t * length, (t + 1) * length);
    return part.reduce((sum, x) => sum + x, 0) / part.length;
  });
}

function framePowers(channels: readonly Float32Array[], sampleRateHz: number): number[] {
  const length = levelFrame(sampleRateHz);
  const nSamples = channels[0]!.length;
  const powers: number[] = [];
  for (let first = 0; first < nSamples; first += length) {
    const n = Math.min(length, nSamples - first);
    let sum = 0;
    for (const channel of channels) {
      for (let i = first; i < first + n; i++) sum += channel[i]! ** 2;
    }
    powers.push(sum / (n * channels.length));
  }
  return powers;
}

/** 95th percentile; where speech is rare, the loudest frames decide. */
function loudLevelDb(powers: number[]): number {
  const sorted = powers.sort((a, b) => a - b);
  const level = (share: number): number => {
    const at = share * (sorted.length - 1);
    const below = sorted[Math.floor(at)]!;
    const above = sorted[Math.ceil(at)]!;
    return 10 * Math.log10(below + (above - below) * (at - Math.floor(at)) + 1e-20);
  };
  return Math.max(level(0.95), level(0.999) - RARE_ABOVE_COMMON_DB);
}
