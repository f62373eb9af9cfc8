/** DC and rumble below 20 Hz: taken out where they would be coded in place of speech. */

import { levelDb, meansOf, SILENCE_DB } from "./dsp.js";
import { Fft } from "./fft.js";
import { bessel0 } from "./resample.js";

const RUMBLE_BELOW_LEVEL_DB = 10;
const STOP_HZ = 20;
const PASS_HZ = 50;
const STOP_DB = 60;

/** Returns channels as they are, or without DC and rumble where these are loud. */
export function withoutRumble(
  channels: readonly Float32Array[],
  sampleRateHz: number,
): readonly Float32Array[] {
  const level = levelDb(channels, sampleRateHz);
  if (level <= SILENCE_DB || rumbleDb(channels, sampleRateHz) <= level - RUMBLE_BELOW_LEVEL_DB) return channels;
  return channels.map((channel) => highPassed(channel, sampleRateHz));
}

/** Returns the level of means of 20 ms, exceeded half of the time. */
function rumbleDb(channels: readonly Float32Array[], sampleRateHz: number): number {
  const powers = channels.map((channel) => {
    const means = meansOf(channel, sampleRateHz);
    const at = (t: number): number => means[Math.max(0, Math.min(means.length - 1, t))]!;
    return means.map((mean, t) => (at(t - 1) / 4 + mean / 2 + at(t + 1) / 4) ** 2);
  });
  const sorted = powers[0]!
    .map((_, t) => powers.reduce((sum, channel) => sum + channel[t]!, 0) / powers.length)
    .sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return 10 * Math.log10((sorted[Math.floor(middle)]! + sorted[Math.ceil(middle)]!) / 2 + 1e-20);
}

/**
 * Returns a signal less its low-pass, a windowed sinc of 0.12 s: nothing is left below 20 Hz, all
 * above 50 Hz, without delay. The signal is mirrored at both ends.
 */
export function highPassed(samples: Float32Array, sampleRateHz: number): Float32Array {
  const width = (2 * Math.PI * (PASS_HZ - STOP_HZ)) / sampleRateHz;
  const half = Math.ceil((STOP_DB - 7.95) / (2.285 * width) / 2);
  const nFft = 2 ** Math.ceil(Math.log2(8 * half));
  const fft = new Fft(nFft);
  const filter = fft.transform(lowPass(sampleRateHz, half, nFft), new Float64Array(nFft)).map((part) => part.slice());
  const [c, d] = filter as [Float64Array, Float64Array];
  const [n, level] = [samples.length, samples[0]!];
  const at = (i: number): number => {
    const place = ((i % (2 * n)) + 2 * n) % (2 * n);
    return samples[place < n ? place : 2 * n - 1 - place]! - level;
  };
  const out = new Float32Array(n);
  const nAtOnce = nFft - 2 * half;
  for (let first = 0; first < n; first += 2 * nAtOnce) {
    const second = first + nAtOnce; // two stretches go through one complex transform
    const re = Float64Array.from({ length: nFft }, (_, i) => at(first - half + i));
    const im = Float64Array.from({ length: nFft }, (_, i) => at(second - half + i));
    const [x, y] = fft.transform(re, im);
    const product = [new Float64Array(nFft), new Float64Array(nFft)] as const;
    for (let k = 0; k < nFft; k++) {
      product[0][k] = x[k]! * c[k]! - y[k]! * d[k]!;
      product[1][k] = x[k]! * d[k]! + y[k]! * c[k]!;
    }
    const [lowSecond, lowFirst] = fft.transform(product[1], product[0]);
    for (let i = 0; i < nAtOnce; i++) {
      if (first + i < n) out[first + i] = at(first + i) - lowFirst[2 * half + i]! / nFft;
      if (second + i < n) out[second + i] = at(second + i) - lowSecond[2 * half + i]! / nFft;
    }
  }
  return out;
}

/** Returns a low-pass with a Kaiser window whose values sum to one, filled with zeros. */
function lowPass(sampleRateHz: number, half: number, length: number): Float64Array {
  const cutoff = (STOP_HZ + PASS_HZ) / sampleRateHz; // of its middle, in units of half the rate
  const beta = 0.1102 * (STOP_DB - 8.7);
  const taps = Float64Array.from({ length }, (_, i) => {
    if (i > 2 * half) return 0;
    const x = Math.PI * cutoff * (i - half);
    const window = bessel0(beta * Math.sqrt(1 - ((i - half) / half) ** 2));
    return (x === 0 ? 1 : Math.sin(x) / x) * window;
  });
  const sum = taps.reduce((all, tap) => all + tap, 0);
  return taps.map((tap) => tap / sum);
}
